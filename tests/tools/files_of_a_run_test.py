"""What the tools say about the files of a run: a folder that another run writes into, a model that cannot be loaded."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

from counted import main

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
CONFIG = """
model:
  init: {vocab_size: 61, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 4,
         num_key_value_heads: 2, max_position_embeddings: 64}
data: {raw_dtype: uint16, context_length: 64}
cache: {policy: lococo, slots: 16, block: 16, kernel_size: 5, buffer: 0, sinks: 2}
tune: {conv: 1.0e-2}
train: {sequences_per_step: 2}
eval: {lengths: 64}
distributed: {device: cpu, threads: 1}
log: {tensorboard: false}
"""


def run(tool, *arguments):
    return subprocess.run([BIN / tool, *arguments], capture_output=True, text=True, check=False, timeout=120)


def text_of(folder):
    """Name and content of every file, the log of a run that still writes left out."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".jsonl"}


def figures(table):
    """The columns of an evaluation's table that do not depend on the clock."""
    return [line.split()[:8] for line in table.splitlines()]


class FilesOfARun(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lococo-files-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = self.folder / "x.yaml"
        self.config.write_text(CONFIG, encoding="utf-8")
        tokens = [(7 * i * i + 3 * i) % 61 for i in range(5000)]
        (self.folder / "text.bin").write_bytes(struct.pack(f"<{len(tokens)}H", *tokens))
        self.output = self.folder / "run"

    def train_arguments(self, steps):
        return [self.config, f"data.train={self.folder / 'text.bin'}", f"train.output={self.output}",
                f"train.steps={steps}"]

    def train(self, steps=2):
        result = run("lococo-train", *self.train_arguments(steps))
        self.assertEqual(result.returncode, 0, result.stderr)

    def refused(self, result, *parts):
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr.splitlines()[-1], "^lococo-[a-z]*: error: ")
        for part in parts:
            self.assertIn(part, result.stderr)

    def export(self):
        result = run("lococo-export", self.config, f"export.output={self.folder / 'base'}", "cache.policy=none",
                     "tune.conv=null")
        self.assertEqual(result.returncode, 0, result.stderr)
        return self.folder / "base"

    def test_what_only_trains_does_not_change_what_is_exported_and_checked(self):
        norms = [f"model.path={self.export()}", "tune.conv=null", "tune.norm=1e-2", "cache.policy=none"]
        result = run("lococo-train", *self.train_arguments(1), *norms)
        self.assertEqual(result.returncode, 0, result.stderr)
        lora = [self.config, *norms, "tune.lora=1e-3", "tune.lora_rank=2", f"model.adapter={self.output}"]
        result = run("lococo-eval", *lora, f"data.validation={self.folder / 'text.bin'}", "--dry-run")
        self.assertEqual(result.returncode, 0, result.stderr)
        result = run("lococo-export", *lora, "export.kind=adapter", f"export.output={self.folder / 'norms'}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("LoRA", result.stderr)
        self.assertNotIn(b"lora_A", (self.folder / "norms" / "adapter_model.safetensors").read_bytes())

    def test_a_second_trainer_is_refused_and_the_first_goes_on(self):
        with subprocess.Popen([BIN / "lococo-train", *self.train_arguments(100000)], stderr=subprocess.PIPE,
                              text=True) as first:
            try:
                for _ in range(600):
                    if (self.output / "metrics.jsonl").exists():
                        break
                    time.sleep(0.05)
                before = text_of(self.output)
                second = run("lococo-train", *self.train_arguments(2))
                self.refused(second, f"another lococo-train (pid {first.pid}) is writing here")
                self.assertEqual(text_of(self.output), before)
                self.assertIsNone(first.poll())
            finally:
                first.kill()
                first.communicate()
        self.train()  # the lock of a killed run is no obstacle

    def test_a_run_folder_brings_its_checkpoint_and_its_cache_options(self):
        self.train()
        bare = self.folder / "bare.yaml"
        lines = [line for line in CONFIG.splitlines() if not line.startswith(("cache:", "tune:"))]
        bare.write_text("\n".join(lines), encoding="utf-8")
        result = run("lococo-eval", bare, f"model.adapter={self.output}", f"data.validation={self.folder / 'text.bin'}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("is a run folder; its newest good checkpoint", result.stderr)
        taken = [line for line in result.stderr.splitlines() if "because the config does not give them" in line]
        self.assertEqual(len(taken), 1, result.stderr)
        for option in ("cache.policy lococo", "cache.slots 16", "cache.kernel_size 5", "cache.sinks 2"):
            self.assertIn(option, taken[0])
        same = run("lococo-eval", self.config, f"model.adapter={self.output / 'step-00000002'}",
                   f"data.validation={self.folder / 'text.bin'}")
        self.assertEqual(figures(result.stdout), figures(same.stdout))

    def test_a_dry_run_refuses_what_the_run_would_refuse(self):
        base = self.export()
        arguments = [self.config, f"model.path={base}", "--dry-run"]
        output = f"export.output={self.folder / 'merged'}"
        ids = ["--prompt-ids", "1 2", "--ids"]
        texts = [f"data.validation={self.folder / 'text.bin'}"]
        for tool, more in (("lococo-eval", texts), ("lococo-generate", ids), ("lococo-export", [output])):
            self.assertEqual(run(tool, *arguments, *more).returncode, 0)
            self.refused(run(tool, *arguments, *more, f"model.adapter={self.folder / 'none'}"), "no such folder")
        self.refused(run("lococo-export", *arguments, f"export.output={base}"), "exists already")
        for more, part in ((["--prompt-ids", "1 2"], "data.tokenizer"), (["--prompt-ids", "x.ids", "--ids"], "x.ids"),
                           ([*ids, "--prompt", "a"], "is given too"), ([*ids, "--chat"], "is given too")):
            self.refused(run("lococo-generate", *arguments, *more), part)
        self.refused(run("lococo-export", *arguments, output, "export.kind=conv", "cache.policy=none",
                         "tune.conv=null"), "export.kind: conv writes")
        (base / "model.safetensors").write_bytes(b"short")
        for tool, more in (("lococo-eval", texts), ("lococo-generate", ids), ("lococo-export", [output])):
            self.refused(run(tool, *arguments, *more), "model.safetensors: ")

    def test_an_export_keeps_the_bases_special_tokens(self):
        base = self.export()
        config = json.loads((base / "config.json").read_text())
        config["pad_token_id"] = 5
        (base / "config.json").write_text(json.dumps(config))
        merged = self.folder / "merged"
        result = run("lococo-export", f"model.path={base}", f"export.output={merged}")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads((merged / "config.json").read_text())["pad_token_id"], 5)


if __name__ == "__main__":
    main()
