"""A rank that lives but does not come: all end after distributed.timeout_s, and one line says who is missing.

usage: stalls_test.py MPIRUN DIST_TEST_PROGRAM [--stalls N] [--seed N] [--device cuda]

LOCOCO_BIN names the folder of the tools. On GPUs, by hand, two of them are enough.
"""

import argparse
import os
import re
import signal
import subprocess
import time
import unittest

from counted import main
from ranks import BOUND_S, launcher
from runs import broken_checkpoint, read_metrics
from training_ranks import TrainingRanks

PROGRAM, STALLS, DEVICE = "", 1, "cpu"
TIMEOUT_S = 4
# rank R: step S: WAIT has waited N s for rank X, of which nothing was heard for M s (last: step T, ...
LINE = re.compile(r"rank (\d+): step (\d+): (an? .+) has waited [\d.]+ s for rank (\d+), "
                  r"of which nothing was heard for [\d.]+ s \(last: step (\d+), ")


class StoppedRanks(TrainingRanks):
    """SIGSTOP for a random rank at a random moment of a training."""

    waits = ("a sum over ranks (gradients)", "a maximum over ranks", "a barrier (checkpoint)")

    def in_its_loop(self, name):
        """A run that has made some steps, and the pids of its ranks."""
        output = os.path.join(self.folder, name)
        run = self.start(output, "train.steps=1000000", "checkpoint.every=3",
                         f"distributed.timeout_s={TIMEOUT_S}", f"distributed.device={DEVICE}")
        pids = run.wait_for_ranks()
        run.wait_until(lambda: len(read_metrics(output)) > 2, "steps")
        self.assertIsNone(run.process.poll(), run.lines())
        return run, pids, output

    def stop_one(self, name):
        run, pids, output = self.in_its_loop(name)
        victim = self.choice.randrange(self.ranks)
        time.sleep(self.choice.random())
        os.kill(pids[victim], signal.SIGSTOP)
        steps = len(read_metrics(output))
        begin = time.monotonic()
        code, _ = run.end()
        seconds = time.monotonic() - begin
        told = [LINE.search(line) for line in run.lines_with(" has waited ")]
        print(f"rank {victim} of {self.ranks} stopped: all gone after {seconds:.1f} s, code {code}: "
              f"{'; '.join(run.lines_with(' has waited '))}")
        hint = f"--seed {self.seed}: {run.lines()}"
        self.assertNotEqual(code, 0, hint)
        self.assertGreaterEqual(seconds, TIMEOUT_S * 0.9, hint)
        self.assertLess(seconds, TIMEOUT_S + BOUND_S, hint)
        self.assertEqual(len(told), 1, hint)
        self.assertIsNotNone(told[0], hint)
        speaker, step, wait, missing, last = told[0].groups()
        self.assertEqual(int(missing), victim, hint)
        self.assertNotEqual(int(speaker), victim, hint)
        self.assertTrue(steps <= int(step) <= steps + 2, hint)  # the others may have made one more, and save
        self.assertTrue(1 <= int(last) <= int(step) + 1, hint)  # reported up to a tenth of the timeout earlier
        self.check_wait(wait, victim)
        self.assertEqual(broken_checkpoint(output), "", hint)

    def check_wait(self, wait, victim):
        del victim
        self.assertTrue(wait.startswith(self.waits), wait)

    def test_a_stopped_rank_ends_all_and_is_named(self):
        for number in range(STALLS):
            self.stop_one(f"stopped-{number}")


class StoppedStages(StoppedRanks):
    """A pipeline of two: the stage that is left waits for a message of the other, or for what all say to each other."""

    ranks, options = 2, ("distributed.pipeline=2",)

    def check_wait(self, wait, victim):
        self.assertTrue(wait.startswith((f"a message from stage {victim}", f"a message to stage {victim}",
                                         "a sum over ranks", *self.waits, "a broadcast (checkpoint)")), wait)


class LateRanks(unittest.TestCase):
    """Ranks in a loop of barriers, one of which is late."""

    def run_late(self, how, ranks=3):
        begin = time.monotonic()
        done = subprocess.run([*launcher(TrainingRanks.mpirun, ranks), PROGRAM, "late", how], capture_output=True,
                              text=True, timeout=TIMEOUT_S * 2 + BOUND_S, check=False,
                              env=dict(os.environ, LOCOCO_TEST_TIMEOUT=str(TIMEOUT_S)))
        return done.returncode, done.stderr, time.monotonic() - begin

    def test_one_that_hangs_but_lives_is_named(self):
        code, errors, seconds = self.run_late("hang")
        print(f"a rank that hangs: all gone after {seconds:.1f} s")
        self.assertEqual(code, 1, errors)
        self.assertEqual(errors.count(" has waited "), 1, errors)
        self.assertRegex(errors, r"rank 0: step 3: a barrier has waited [\d.]+ s for rank 2, which lives but has not "
                                 r"come on for [\d.]+ s \(step 3, at work\)")

    def test_one_that_is_slow_is_waited_for(self):
        code, errors, _ = self.run_late("slow")
        self.assertEqual(code, 0, errors)

    def test_one_that_comes_on_is_waited_for_however_long_it_takes(self):
        code, errors, seconds = self.run_late("progress")
        self.assertEqual(code, 0, errors)
        self.assertGreater(seconds, TIMEOUT_S * 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mpirun")
    parser.add_argument("program")
    parser.add_argument("--stalls", type=int, default=STALLS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default=DEVICE)
    options = parser.parse_args()
    TrainingRanks.mpirun, TrainingRanks.seed = options.mpirun, options.seed
    PROGRAM, STALLS, DEVICE = options.program, options.stalls, options.device
    if DEVICE == "cuda":
        StoppedRanks.ranks = 2
        TIMEOUT_S = 15  # NCCL takes seconds to connect
    main()
