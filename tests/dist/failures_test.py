"""What happens to a run of several ranks when one fails, is killed, or is told to stop.

usage: failures_test.py MPIRUN DIST_TEST_PROGRAM
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from counted import main
from ranks import BOUND_S, is_alive, launcher, wait_for

MPIRUN, PROGRAM = sys.argv[1], sys.argv[2]
RANKS = 2


def command(*arguments, mca=()):
    return [*launcher(MPIRUN, RANKS, *mca), PROGRAM, *arguments]


def run(*arguments):
    """Exit code, stderr and seconds of a run that ends by itself."""
    start = time.monotonic()
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=BOUND_S)
    return done.returncode, done.stderr, time.monotonic() - start


class FailingRank(unittest.TestCase):
    def test_an_exception_ends_all_ranks_with_its_place_and_a_code(self):
        code, errors, seconds = run("fail", "exception")
        self.assertEqual(code, 1)
        self.assertIn(f"rank {RANKS - 1}: step 3: the loss is not finite", errors)
        self.assertLess(seconds, BOUND_S)

    def test_the_users_fault_ends_all_ranks_with_code_2(self):
        code, errors, _ = run("fail", "user-error")
        self.assertEqual(code, 2)
        self.assertIn(f"rank {RANKS - 1}: step 3: data.train: the file ends early", errors)

    def test_a_rank_that_just_exits_ends_all(self):
        code, _, _ = run("fail", "exit")
        self.assertEqual(code, 5)

    def test_an_exception_that_leaves_the_loop_does_not_hang_in_the_destructor(self):
        code, errors, _ = run("unwind", "user-error")
        self.assertEqual(code, 2)
        self.assertIn("data.train: the file ends early", errors)

    def test_an_error_before_training_keeps_its_code(self):
        for moment in ("leave-before", "leave-early"):
            code, errors, _ = run(moment)
            self.assertEqual(code, 2, moment)
            self.assertIn("train.output: missing", errors)


class RunningTraining(unittest.TestCase):
    """Ranks in a training loop; self.start() returns once all are inside it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.pids = []

    def start(self, mca=()):
        self.launcher = subprocess.Popen(
            command("signal", self.folder, mca=mca),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.stop)
        names = [os.path.join(self.folder, f"pid.{rank}") for rank in range(RANKS)]
        wait_for(lambda: all(os.path.exists(name) for name in names), "the ranks to start")
        self.pids = [int(self.read(f"pid.{rank}")) for rank in range(RANKS)]

    def stop(self):
        if self.launcher.poll() is None:
            self.launcher.kill()
        self.launcher.wait()
        for pid in self.pids:  # ranks outlive a launcher that was killed
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="ascii") as file:
            return file.read()

    def saved_steps(self):
        names = [f"saved.{rank}" for rank in range(RANKS)]
        return [self.read(name) for name in names
                if os.path.exists(os.path.join(self.folder, name))]

    def assert_all_saved_at_one_step(self):
        steps = self.saved_steps()
        self.assertEqual(len(steps), RANKS)
        self.assertEqual(len(set(steps)), 1, steps)

    def test_a_killed_rank_ends_all(self):
        self.start()
        os.kill(self.pids[-1], signal.SIGKILL)
        self.assertNotEqual(self.launcher.wait(timeout=BOUND_S), 0)
        wait_for(lambda: not any(is_alive(pid) for pid in self.pids), "the ranks to end")
        self.assertEqual(self.saved_steps(), [])

    def test_sigusr1_to_mpirun_saves_and_stops(self):
        self.start()
        self.launcher.send_signal(signal.SIGUSR1)
        self.assertEqual(self.launcher.wait(timeout=BOUND_S), 0)
        self.assert_all_saved_at_one_step()

    def test_a_signal_to_one_rank_saves_and_stops_all(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.setUp()
                self.start()
                os.kill(self.pids[-1], number)
                self.assertEqual(self.launcher.wait(timeout=BOUND_S), 0)
                self.assert_all_saved_at_one_step()

    def test_sigterm_to_mpirun_saves_when_it_was_told_to_wait(self):
        self.start(mca=("--mca", "odls_base_sigkill_timeout", "4"))
        self.launcher.terminate()
        self.launcher.wait(timeout=BOUND_S)
        wait_for(lambda: len(self.saved_steps()) == RANKS, "the ranks to save")
        self.assert_all_saved_at_one_step()


if __name__ == "__main__":
    main()
