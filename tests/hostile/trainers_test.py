"""Two trainers on one output folder, and signals: the first goes on as if it were alone.

usage: trainers_test.py [--pairs N]
"""

import argparse
import os
import random
import signal
import subprocess
import time

from counted import main
import tiny_files as tiny
from harness import HostileTest, kill, run, start, watch, why_not_refused
from runs import checkpoints, read_metrics

WAIT_S = 30
STEPS = 40
PAIRS = 10


class Trainers(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.alone = cls.path("alone")
        seen = run("train", *cls.arguments(cls.alone, STEPS))
        assert seen.code == 0, seen.err
        cls.metrics = read_metrics(cls.alone)
        cls.checkpoints = checkpoints(cls.alone)

    @classmethod
    def arguments(cls, output, steps):
        return cls.tiny.train("train.output=" + output, f"train.steps={steps}",
                              "checkpoint.every=5", "checkpoint.keep_last=1000", "log.level=warn")

    def start(self, output, steps):
        process = start("train", *self.arguments(output, steps), stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(kill, process)
        return process

    def wait_for(self, condition, what):
        deadline = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain for " + what)
            time.sleep(0.01)

    def first_step(self, output):
        return lambda: len(read_metrics(output)) > 0

    def why_not_alone(self, output):
        """How a run differs from the one that nobody disturbed, as far as both went."""
        metrics = read_metrics(output)
        if [line["step"] for line in metrics] != list(range(1, len(metrics) + 1)):
            return f"the steps in metrics.jsonl are {[line['step'] for line in metrics]}"
        if any(one != other for one, other in zip(metrics, self.metrics)):
            return "metrics.jsonl differs from that of an undisturbed run"
        for step, files in checkpoints(output).items():
            if files != self.checkpoints.get(step, files):
                return f"{step} differs from that of an undisturbed run"
            if not files:
                return f"{step} is empty"
        return ""

    def judge(self, name, first, second, output):
        """`first` and `second` are Seen of the run that went on and of the one that was late."""
        complaint = why_not_refused("train", second, mentions=("another lococo-train",))
        complaint = complaint or self.why_not_alone(output)
        self.report(name, second, complaint)
        self.assertFalse(complaint, f"{name}: first {first.summary()}; second {second.summary()}")

    def test_the_second_is_refused_while_the_first_runs(self):
        """The first stands still while the second starts, so that it cannot be done before."""
        for pair in range((PAIRS + 1) // 2):
            output = self.path(f"late{pair}")
            first = self.start(output, STEPS)
            self.wait_for(self.first_step(output), "a step of the first run")
            time.sleep(random.random() * 0.1)
            os.kill(first.pid, signal.SIGSTOP)
            second = watch(self.start(output, STEPS), WAIT_S)
            os.kill(first.pid, signal.SIGCONT)
            seen = watch(first, WAIT_S)
            self.judge(f"pair {pair + 1}, the second starts later", seen, second, output)
            self.assertEqual(seen.code, 0, seen.summary())
            self.assertEqual(checkpoints(output), self.checkpoints)

    def test_of_two_that_start_together_one_is_refused(self):
        """Both would run for ever: one must give way, the other is stopped."""
        for pair in range(PAIRS // 2):
            output = self.path(f"together{pair}")
            both = [self.start(output, 1_000_000) for _ in range(2)]
            self.wait_for(lambda: any(one.poll() is not None for one in both),
                          "one of two trainers in a folder to give way")
            both.sort(key=lambda one: one.poll() is None)
            late, first = both
            self.wait_for(self.first_step(output), "a step of the other run")
            first.terminate()
            seen = watch(first, WAIT_S)
            self.judge(f"pair {PAIRS - pair}, both start together", seen, watch(late, WAIT_S), output)
            self.assertEqual(seen.code, 128 + signal.SIGTERM, seen.summary())

    def test_after_a_kill_the_folder_is_free_again(self):
        output = self.path("killed")
        first = self.start(output, 1_000_000)
        self.wait_for(self.first_step(output), "a step")
        kill(first)
        seen = run("train", *self.arguments(output, STEPS))
        complaint = "" if seen.code == 0 else "the folder is not free"
        self.report("a run after one that was killed", seen, complaint)
        self.assertFalse(complaint, seen.summary())

    def test_a_signal_saves_and_stops(self):
        for number in (signal.SIGHUP, signal.SIGTERM):
            output = self.path(number.name)
            process = self.start(output, 1_000_000)
            self.wait_for(self.first_step(output), "a step")
            process.send_signal(number)
            seen = watch(process, WAIT_S)
            steps = [line["step"] for line in read_metrics(output)]
            saved = sorted(checkpoints(output))
            complaint = "" if seen.code == 128 + number else \
                f"exit code {seen.code} instead of {128 + number}"
            if not complaint and saved[-1:] != [f"step-{steps[-1]:08d}"]:
                complaint = f"the last step is {steps[-1]}, the checkpoints are {saved}"
            with self.subTest(number.name):
                self.report(f"{number.name} to a run", seen, complaint or self.why_not_alone(output))
                self.assertFalse(complaint or self.why_not_alone(output), seen.summary())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    PAIRS = parser.parse_args().pairs
    main()
