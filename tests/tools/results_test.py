"""What lococo-eval and lococo-bench do with files that are in the way, with figures that mean nothing, and how
their threads wait."""

import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

from counted import main

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
# As a user has it: how threads wait is the tool's own choice.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
CONFIG = """
model: {init: {vocab_size: 61, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 4}}
data: {raw_dtype: uint16, context_length: 32}
cache: {policy: h2o, slots: 8, block: 8, buffer: 0}
tune: {norm: 1.0e-3}
train: {steps: 2, sequences_per_step: 2}
eval: {lengths: [32], max_tokens: 64}
distributed: {device: cpu, threads: 1}
log: {tensorboard: false}
bench: {repeat: 1}
"""


class Results(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-results-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "x.yaml").write_text(CONFIG, encoding="utf-8")
        draw = random.Random(3)
        tokens = [draw.randrange(3, 61) for _ in range(400)]
        (self.folder / "t.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))

    def run_tool(self, *arguments, **variables):
        tool, *rest = arguments
        data = [f"data.train={self.folder / 't.bin'}", f"data.validation={self.folder / 't.bin'}"]
        return subprocess.run([BIN / tool, *rest, *data], capture_output=True, text=True, check=False, timeout=120,
                              env={**ENVIRONMENT, **variables})

    def evaluate(self, *overrides, **variables):
        return self.run_tool("lococo-eval", self.folder / "x.yaml", *overrides, **variables)

    def bench(self, *overrides):
        return self.run_tool("lococo-bench", "data", self.folder / "x.yaml", *overrides)

    def assert_refused(self, done, part):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_a_file_of_the_user_is_replaced_on_request_only(self):
        mine = self.folder / "mine.json"
        for run, key in ((self.evaluate, "eval"), (self.bench, "bench")):
            mine.write_text("years of work", encoding="utf-8")
            self.assert_refused(run(f"{key}.output={mine}"), f"{key}.overwrite=true")
            self.assertEqual(mine.read_text(encoding="utf-8"), "years of work")
            done = run(f"{key}.output={mine}", f"{key}.overwrite=true")
            self.assertEqual(done.returncode, 0, done.stderr)
            json.loads(mine.read_text(encoding="utf-8"))
            self.assertEqual(run(f"{key}.output={mine}").returncode, 0)  # a result of ours by now
        mine.write_text("years of work", encoding="utf-8")
        self.assert_refused(self.bench(f"bench.trace={mine}"), "bench.trace")

    def test_what_is_no_file_is_never_replaced(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        for path in (fifo, self.folder):
            self.assert_refused(self.evaluate(f"eval.output={path}", "eval.overwrite=true"), "eval.output")
            self.assert_refused(self.bench(f"bench.output={path}", "bench.overwrite=true"), "bench.output")
        self.assertTrue(fifo.is_fifo())

    def test_figures_that_are_not_finite_are_no_result(self):
        output = self.folder / "o.json"
        overflow = ["model.init_std=1e12", "model.rope_scaling={type: yarn, factor: 2, attention_factor: 1e9}"]
        done = self.evaluate(*overflow, f"eval.output={output}", "log.level=warn")
        self.assert_refused(done, "not finite")
        self.assertFalse(output.exists())

    def test_an_option_without_effect_is_named_once(self):
        done = self.evaluate("cache.kernel_size=9", "log.level=warn")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("without effect in this run: cache.kernel_size", done.stderr)

    def test_a_training_looks_along_the_segment_at_its_end(self):
        config = self.folder / "x.yaml"
        done = self.run_tool("lococo-train", config, f"train.output={self.folder / 'run'}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("evaluation after training", done.stderr)
        done = self.run_tool("lococo-train", config, f"train.output={self.folder / 'off'}", "eval.after_training=false")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("evaluation after training", done.stderr)
        weights = [(self.folder / run / "step-00000002/adapter_model.safetensors").read_bytes() for run in ("run", "off")]
        self.assertEqual(*weights)
        overrides = [f"train.output={self.folder / 'missing'}", f"data.train={self.folder / 't.bin'}"]
        train = lambda source: subprocess.run([BIN / "lococo-train", config, *overrides, f"data.validation={source}"],
                                              capture_output=True, text=True, check=False)
        done = train("/nowhere.bin")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("data.validation: /nowhere.bin: no such file or folder", done.stderr)
        # A source that cannot be used does not fail a run that is done.
        odd = self.folder / "odd.bin"
        odd.write_bytes(b"odd")
        done = train(odd)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("no evaluation after training", done.stderr)

    def test_output_that_is_lost_is_an_error(self):
        dry = [self.folder / "x.yaml", f"data.validation={self.folder / 't.bin'}", "--dry-run"]
        for command in (["lococo-train", "--reference"], ["lococo-eval", *dry], ["lococo-export", "--help"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([BIN / command[0], *command[1:]], stdout=full, stderr=subprocess.PIPE, text=True,
                                      check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("standard output: cannot be written", done.stderr)
        closed = subprocess.run(f"{BIN / 'lococo-train'} --version >&-", shell=True, capture_output=True, text=True,
                                check=False)
        self.assertEqual(closed.returncode, 2, closed.stderr)

    def test_threads_spin_shortly_unless_the_user_says_how_they_wait(self):
        shown = {"OMP_DISPLAY_ENV": "VERBOSE"}
        done = self.evaluate("distributed.threads=2", **shown)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("GOMP_SPINCOUNT = '1000'", done.stderr)
        done = self.evaluate("distributed.threads=2", OMP_WAIT_POLICY="ACTIVE", **shown)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("GOMP_SPINCOUNT = '1000'", done.stderr)


if __name__ == "__main__":
    main()
