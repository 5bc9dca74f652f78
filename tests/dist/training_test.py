"""lococo-train as users run it, on CPUs: ranks, resume, kills.

usage: training_test.py MPIRUN (LOCOCO_BIN names the folder of the tools)
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from counted import main
from training_tool import CONTEXT, SEQUENCES, Training, write_tokens  # skips without its packages
import numpy

Training.mpirun = sys.argv[1]


class Ranks(Training):
    def test_two_ranks_train_what_one_does(self):
        for ranks in (1, 2):
            self.train(f"first{ranks}", 1, ranks)
            self.train(f"run{ranks}", 20, ranks)
        # After one step the optimizer's first moment is the clipped mean gradient times 1 - beta1.
        first = [self.tensors(f"first{ranks}", 1, "optimizer.safetensors") for ranks in (1, 2)]
        gradients = [{k: v for k, v in state.items() if k.endswith(".m")} for state in first]
        self.assertGreater(len(gradients[0]), 10)
        self.assert_close(gradients[0], gradients[1], 1e-6)
        self.assert_close(self.tuned("run1", 20), self.tuned("run2", 20), 1e-3)
        metrics = [self.metrics(f"run{ranks}") for ranks in (1, 2)]
        for lines in metrics:
            self.assertLess(lines[-1]["loss"], lines[0]["loss"] - 0.1)
            # Every rank's tokens, each once, are the global batch.
            self.assertEqual([line["tokens"] for line in lines], [CONTEXT * SEQUENCES * (i + 1) for i in range(20)])

    def test_a_run_of_one_rank_goes_on_with_two(self):
        self.train("whole", 8)
        self.train("split", 4)
        self.train("split", 8, ranks=2)
        self.assertEqual([line["step"] for line in self.metrics("split")], list(range(1, 9)))
        self.assert_close(self.tuned("whole", 8), self.tuned("split", 8), 1e-3)


class UnequalRanks(Training):
    """A launcher starts what it is told to: two programs with commands of their own."""

    def refusal(self, **options):
        one, other = (self.command("run", 2, **more) for more in ({}, options))
        done = subprocess.run([self.mpirun, "--oversubscribe", "--bind-to", "none", "-np", "1", *one, ":", "-np", "1",
                               *other], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertFalse(os.path.exists(self.path("run", "metrics.jsonl")))
        return done.stderr

    def test_another_option_is_named(self):
        self.assertIn("this rank was not started like rank 0: cache.slots: 20 instead of 16",
                      self.refusal(cache__slots="20"))
        self.assertIn("train.steps: 4 instead of 2", self.refusal(train__steps="4"))

    def test_another_text_at_the_same_path_is_named(self):
        # As on two hosts whose disks differ: the second rank's folder has a text of its own.
        write_tokens(self.path("other.bin"), seed=8)
        script = self.path("elsewhere.sh")
        with open(script, "w", encoding="ascii") as file:
            file.write('if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then cd "$1"; else cd "$2"; fi; shift 2; exec "$@"\n')
        for name, text in (("host-a", "train.bin"), ("host-b", "other.bin")):
            os.mkdir(self.path(name))
            shutil.copy(self.path(text), self.path(name, "text.bin"))
        command = self.command("run", 2, ranks=2)
        at = command.index(next(word for word in command if word.endswith("lococo-train")))
        command[at:at] = ["bash", script, self.path("host-b"), self.path("host-a")]
        command = ["data.train=text.bin" if word.startswith("data.train=") else word for word in command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("rank 1", done.stderr)
        self.assertIn("data.train: this rank has other texts than rank 0", done.stderr)


class IdleRanks(Training):
    def test_ranks_without_a_sequence_are_told(self):
        done = subprocess.run(self.command("few", 1, ranks=3, train__sequences_per_step=2), capture_output=True,
                              text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("2 sequences, dealt in whole micro-batches, are work for 2 of 3 ranks"), 1)
        done = subprocess.run(self.command("enough", 1, ranks=2), capture_output=True, text=True, timeout=120)
        self.assertNotIn("are work for", done.stderr)


class ShardedOptimizer(Training):
    """All weights tuned, groups with rates and decays of their own, gradients clipped."""

    def tune_all(self, name, steps, ranks, sharded, **options):
        self.train(name, steps, ranks, tune__all="1e-2", tune__conv="2e-2", tune__lora="null", tune__embed="null",
                   tune__norm="null", train__weight_decay="0.1", train__clip="0.5", distributed__shard_optimizer=sharded,
                   **options)

    def assert_same_files(self, one, other, step):
        folders = [self.path(name, f"step-{step:08d}") for name in (one, other)]
        names = sorted(name for name in os.listdir(folders[0]) if name.endswith(".safetensors"))
        self.assertEqual(names, ["lococo.safetensors", "model.safetensors", "optimizer.safetensors"])
        for name in names:
            contents = []
            for folder in folders:
                with open(os.path.join(folder, name), "rb") as file:
                    contents.append(file.read())
            self.assertTrue(contents[0] == contents[1], name)

    def test_it_trains_what_the_whole_one_does_bit_for_bit(self):
        for ranks in (1, 2, 3):
            for sharded in ("false", "true"):
                self.tune_all(f"{sharded}{ranks}", 5, ranks, sharded)
            self.assert_same_files(f"false{ranks}", f"true{ranks}", 5)
            metrics = [self.metrics(f"{sharded}{ranks}") for sharded in ("false", "true")]
            for key in ("loss", "grad_norm", "lr"):
                self.assertEqual(*[[line[key] for line in lines] for lines in metrics], key)
            self.assertGreater(metrics[0][0]["grad_norm"], 0.5, "nothing is clipped")

    def test_it_goes_on_with_any_number_of_ranks_sharded_or_not(self):
        self.tune_all("whole", 6, 1, "false")
        for steps, ranks, sharded in ((2, 2, "true"), (4, 3, "true"), (6, 1, "true")):
            self.tune_all("sharded", steps, ranks, sharded)
            self.tune_all("plain", steps, ranks, "false")
            self.tune_all("mixed", steps, ranks, "true" if ranks == 2 else "false")
            self.assert_same_files("plain", "sharded", steps)
            self.assert_same_files("plain", "mixed", steps)
        self.assertEqual([line["step"] for line in self.metrics("sharded")], list(range(1, 7)))
        files = ("model.safetensors", "lococo.safetensors")
        self.assert_close(self.tensors("whole", 6, *files), self.tensors("sharded", 6, *files), 1e-3)

    def test_convolutions_and_lora_alone(self):
        for sharded in ("false", "true"):
            self.train(sharded, 3, ranks=3, distributed__shard_optimizer=sharded)
        for file in ("adapter_model.safetensors", "lococo.safetensors", "optimizer.safetensors"):
            one, other = self.tensors("false", 3, file), self.tensors("true", 3, file)
            self.assertEqual(one.keys(), other.keys())
            for key in one:
                self.assertTrue(numpy.array_equal(one[key], other[key]), key)

    def test_one_rank_is_told_that_it_shares_with_nobody(self):
        done = subprocess.run(self.command("alone", 1, distributed__shard_optimizer="true"), capture_output=True,
                              text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("distributed.shard_optimizer: without effect in this run, which has one rank", done.stderr)

    def test_a_dry_run_counts_a_part_of_the_state(self):
        lines = []
        for ranks in (1, 2):
            done = subprocess.run([*self.command("dry", 1, ranks, distributed__shard_optimizer="true"), "--dry-run"],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            lines.append(done.stdout)
        self.assertIn("N ranks need the N-th part of the optimizer's line each", lines[0])
        self.assertIn("the optimizer's line is the part of one of 2 ranks", lines[1])


class Resume(Training):
    def assert_same_bits(self, one, other, step):
        for files in (["adapter_model.safetensors"], ["lococo.safetensors"], ["optimizer.safetensors"]):
            a, b = self.tensors(one, step, *files), self.tensors(other, step, *files)
            self.assertEqual(a.keys(), b.keys())
            for key in a:
                self.assertTrue(numpy.array_equal(a[key], b[key]), key)

    def test_a_killed_run_resumes_to_the_same_bits(self):
        self.train("whole", 12, checkpoint__every=3)
        options = {"checkpoint__every": 3}
        process = subprocess.Popen(self.command("killed", 12, **options), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not os.path.isdir(self.path("killed", "step-00000003")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertFalse(os.path.isdir(self.path("killed", "step-00000012")), "the run was over before it could be killed")
        self.train("killed", 12, **options)
        self.assert_same_bits("whole", "killed", 12)
        self.assertEqual([line["step"] for line in self.metrics("killed")], list(range(1, 13)))

    def test_a_signal_saves_and_stops_and_the_run_goes_on(self):
        self.check_stop(signal.SIGUSR1, 143)

    def test_a_hangup_saves_and_stops_and_the_run_goes_on(self):
        self.check_stop(signal.SIGHUP, 128 + signal.SIGHUP)

    def test_a_hangup_that_nohup_ignores_stays_ignored(self):
        process = subprocess.Popen(["nohup", *self.command("run", 40)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_steps("run", 3)
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(timeout=120), 0)
        self.assertEqual(len(self.metrics("run")), 40)

    def wait_for_steps(self, name, steps):
        deadline = time.monotonic() + 120
        while not os.path.isfile(self.path(name, "metrics.jsonl")) or len(self.metrics(name)) < steps:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def check_stop(self, number, code):
        self.train("whole", 40)
        process = subprocess.Popen(self.command("stopped", 40), stderr=subprocess.DEVNULL)
        self.wait_for_steps("stopped", 3)
        process.send_signal(number)
        self.assertEqual(process.wait(timeout=60), code)
        saved = [name for name in os.listdir(self.path("stopped")) if name.startswith("step-")]
        self.assertEqual(len(saved), 1)
        self.train("stopped", 40)
        self.assert_same_bits("whole", "stopped", 40)

    def test_a_half_written_checkpoint_is_passed_over(self):
        self.train("whole", 6)
        self.train("damaged", 6, checkpoint__every=3)
        file = self.path("damaged", "step-00000006", "lococo.safetensors")
        with open(file, "r+b") as stream:
            stream.truncate(os.path.getsize(file) - 10)
        self.train("damaged", 6, checkpoint__every=3)
        self.assert_same_bits("whole", "damaged", 6)

    def test_another_base_is_refused(self):
        self.train("run", 2)
        done = subprocess.run(self.command("run", 4, train__seed=2), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn("train.seed is 1 there and 2 here", done.stderr)
        self.assertIn("base", done.stderr)


if __name__ == "__main__":
    main()
