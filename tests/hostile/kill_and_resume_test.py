"""kill -9 at random moments while a run saves after every step; what is resumed ends the same.

usage: kill_and_resume_test.py [--rounds N] [--seed N]
"""

import argparse
import os
import random
import signal
import subprocess
import time

from counted import main
import tiny_files as tiny
from harness import HostileTest, kill, run, start
from runs import broken_checkpoint, checkpoints, read_metrics

WAIT_S = 30
STEPS_A_ROUND = 5  # a round makes one step and the one or two that the next line leaves time for
LATEST_KILL = 1.5  # in steps after a save; saving takes most of a step, so most kills fall into one
ROUNDS, SEED = 20, None


class KillAndResume(HostileTest):
    def arguments(self, output, steps):
        return self.tiny.train("train.output=" + output, f"train.steps={steps}",
                               "checkpoint.every=1", "log.level=warn")

    def kill_while_saving(self, output, steps, delay):
        """Starts or resumes the run and kills it shortly after it saved; False: it was done."""
        def newest():
            names = [name for name in os.listdir(output) if name.startswith("step-")] \
                if os.path.isdir(output) else []
            return max(names, default="")

        before = newest()
        process = start("train", *self.arguments(output, steps), stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
        self.addCleanup(kill, process)
        deadline = time.monotonic() + WAIT_S
        while newest() == before and process.poll() is None:
            self.assertLess(time.monotonic(), deadline, "no checkpoint was made")
            time.sleep(0.001)
        time.sleep(delay)
        running = process.poll() is None
        kill(process)
        self.assertIn(process.returncode, (0, -signal.SIGKILL), "the run ended by itself")
        return running

    @staticmethod
    def seconds_of_a_step(output):
        """From the times of the checkpoints that are left."""
        times = [os.stat(os.path.join(output, step)).st_mtime for step in sorted(checkpoints(output))]
        return (times[-1] - times[0]) / (len(times) - 1)

    def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(self):
        self.tiny = tiny.Tiny(self.folder)
        seed = random.randrange(1 << 30) if SEED is None else SEED
        choice, steps = random.Random(seed), STEPS_A_ROUND * ROUNDS
        whole, killed = self.path("whole"), self.path("killed")
        seen = run("train", *self.arguments(whole, steps), timeout=300)
        self.assertEqual(seen.code, 0, seen.err)

        kills, latest = 0, LATEST_KILL * self.seconds_of_a_step(whole)
        for _ in range(ROUNDS):
            if not self.kill_while_saving(killed, steps, choice.uniform(0, latest)):
                break
            kills += 1
            self.assertEqual(broken_checkpoint(killed), "", f"after kill {kills}, --seed {seed}")
        last = run("train", *self.arguments(killed, steps), timeout=300)
        self.report(f"{kills} kills, --seed {seed}", last, "")
        self.assertEqual(last.code, 0, last.err)
        self.assertGreaterEqual(kills, (ROUNDS + 1) // 2, "the run was over too soon")
        self.assertEqual(read_metrics(killed), read_metrics(whole), f"--seed {seed}")
        self.assertEqual([line["step"] for line in read_metrics(whole)], list(range(1, steps + 1)))
        self.assertEqual(checkpoints(killed), checkpoints(whole), f"--seed {seed}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    ROUNDS, SEED = options.rounds, options.seed
    main()
