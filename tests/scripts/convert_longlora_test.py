"""scripts/convert_longlora.py on pickles made here in the form that LongLoRA releases: what lococo-export merges of
the adapter is W + (alpha / r) B A with the released embedding and norms, and what does not fit is refused."""

import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import tiny_files
from counted import main

try:
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "convert_longlora.py"
BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
sys.path.insert(0, str(SCRIPT.parent))
import convert_longlora as converter  # noqa: E402

RANK, ALPHA = 2, 4
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
EMBEDDING = "model.embed_tokens.weight"


def released_tensors():
    """What LongLoRA trains of the tiny base: LoRA's factors, and the rest whole, as its scripts name them."""
    torch.manual_seed(4)
    factors, whole = {}, {}
    for name, shape in tiny_files.model_shapes().items():
        module, _, _ = name.rpartition(".")
        if module.rpartition(".")[2] in TARGETS:
            factors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(RANK, shape[1]) * 0.1
            factors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(shape[0], RANK) * 0.1
        elif "norm" in name:
            whole[name] = torch.rand(shape) + 0.5
        elif "embed" in name:
            whole[name] = torch.randn(shape[0] + 1, shape[1]) * 0.1  # with a padding token's row
    return factors, whole


class Released:
    """A folder of LongLoRA's three files; None leaves one out."""

    def __init__(self, folder, factors, whole, config=None):
        folder.mkdir()
        self.folder = folder
        if factors is not None:
            torch.save(factors, folder / "adapter_model.bin")
        if whole is not None:
            torch.save(whole, folder / "trainable_params.bin")
        values = {"base_model_name_or_path": "/somewhere", "bias": "none", "lora_alpha": ALPHA,
                  "lora_dropout": 0.0, "modules_to_save": None, "peft_type": "LORA", "r": RANK,
                  "target_modules": TARGETS, "task_type": "CAUSAL_LM"} | (config or {})
        tiny_files.write_json(str(folder / "adapter_config.json"), values)


class Conversion(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="lococo-longlora-")
        self.addCleanup(place.cleanup)
        self.work = pathlib.Path(place.name)
        self.base = pathlib.Path(tiny_files.make_model(str(self.work / "base")))
        self.factors, self.whole = released_tensors()

    def convert(self, source, *arguments):
        """The script's main in this process, which has torch already, as if it were one of its own."""
        output, errors, code = io.StringIO(), io.StringIO(), 0
        words = [str(word) for word in (SCRIPT, source, self.work / "adapter", "--base", self.base, *arguments)]
        with (contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors),
              mock.patch.object(sys, "argv", words)):
            try:
                converter.main()
            except SystemExit as end:
                code = end.code
        return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())

    def converted(self, *arguments, whole=True):
        source = Released(self.work / "released", self.factors, self.whole if whole else None)
        done = self.convert(source.folder, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return self.work / "adapter", done.stdout

    def merged(self, adapter, *overrides):
        """lococo-export's merged weights, and its config.json."""
        output = self.work / "merged"
        done = subprocess.run([BIN / "lococo-export", f"model.path={self.base}", f"model.adapter={adapter}",
                               "export.kind=merged", "export.dtype=float32", f"export.output={output}",
                               "distributed.device=cpu", *overrides], capture_output=True, text=True, check=False,
                              timeout=180)
        self.assertEqual(done.returncode, 0, done.stderr)
        return load_file(output / "model.safetensors"), json.loads((output / "config.json").read_text("utf-8"))

    def expected(self, whole=True):
        weights = load_file(self.base / "model.safetensors")
        for name in list(weights):
            factor = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            if factor + "A.weight" in self.factors:
                product = self.factors[factor + "B.weight"] @ self.factors[factor + "A.weight"]
                weights[name] = weights[name] + ALPHA / RANK * product
            elif whole and name in self.whole:
                weights[name] = self.whole[name][:weights[name].shape[0]]
        return weights

    def check_same(self, got, want):
        self.assertEqual(sorted(got), sorted(want))
        for name, weight in want.items():
            torch.testing.assert_close(got[name], weight, rtol=1e-6, atol=1e-6)

    def refused(self, says, *arguments, factors=True, whole=True, config=None):
        """`factors` and `whole`: True for the right ones."""
        source = Released(self.work / f"released{len(os.listdir(self.work))}",
                          self.factors if factors is True else factors, self.whole if whole is True else whole, config)
        self.check_line(self.convert(source.folder, *arguments), says)

    def check_line(self, done, says):
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assertIn(says, done.stderr)
        self.assertFalse((self.work / "adapter").exists())
        self.assertEqual([name for name in os.listdir(self.work) if name.startswith(".")], [])

    def with_changed(self, tensors, name, value):
        changed = dict(tensors)
        if value is None:
            del changed[name]
        else:
            changed[name] = value
        return changed


class Weights(Conversion):
    def test_the_merged_model_has_the_released_weights(self):
        adapter, said = self.converted()
        self.assertIn(f"{EMBEDDING}: 301 rows, of which the last", said)
        weights, config = self.merged(adapter)
        self.check_same(weights, self.expected())
        self.assertIsNone(config["rope_scaling"])

    def test_it_is_a_program_of_its_own(self):
        source = Released(self.work / "released", self.factors, self.whole).folder
        done = subprocess.run([sys.executable, SCRIPT, source, self.work / "adapter", "--base", self.base],
                              capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("LoRA of rank 2 on q_proj, k_proj, v_proj, o_proj, 6 tensors whole", done.stdout)

    def test_peft_merges_the_same(self):
        adapter, _ = self.converted()
        base = AutoModelForCausalLM.from_pretrained(self.base, dtype=torch.float32)
        merged = PeftModel.from_pretrained(base, adapter).merge_and_unload()
        self.check_same(merged.state_dict(), self.expected())

    def test_lora_alone(self):
        adapter, _ = self.converted("--lora-only", whole=False)
        self.check_same(self.merged(adapter)[0], self.expected(whole=False))

    def test_a_tied_base_and_half_precision(self):
        self.base = pathlib.Path(tiny_files.make_model(str(self.work / "tied"), tie_word_embeddings=True))
        shapes = {name: shape for name, shape in tiny_files.model_shapes().items() if name != "lm_head.weight"}
        tiny_files.write_tensors(str(self.base / "model.safetensors"), shapes)
        self.whole = {name: tensor.bfloat16() for name, tensor in self.whole.items()}
        weights, _ = self.merged(self.converted()[0])
        torch.testing.assert_close(weights[EMBEDDING], self.whole[EMBEDDING][:-1].float(), rtol=0, atol=0)

    def test_the_context_is_told_as_the_merged_config_has_it(self):
        tiny_files.write_json(str(self.base / "config.json"),
                              tiny_files.model_config(rope_scaling={"type": "linear", "factor": 2.0}))
        adapter, said = self.converted("--context", "300")
        self.assertIn("model.interpolate_to=300", said)
        scaling = json.loads((adapter / "config.json").read_text("utf-8"))["rope_scaling"]
        self.assertEqual(scaling, {"type": "linear", "factor": 6.0})  # 300 of 2 x 64 positions: 3 times
        self.assertEqual(self.merged(adapter, "model.interpolate_to=300")[1]["rope_scaling"], scaling)


class Refusals(Conversion):
    def test_files_that_are_missing_or_broken(self):
        self.refused("trainable_params.bin: is missing: LongLoRA's embedding and norms; --lora-only", whole=None)
        self.refused("adapter_model.bin: is missing", factors=None)
        self.check_line(self.convert(self.work / "nowhere"), "adapter_config.json: is missing")
        # A global of another module: the loader refuses what could run code.
        self.refused("adapter_model.bin: cannot be read as tensors of torch", factors={"x": argparse.Namespace()})
        self.refused("adapter_model.bin: 'x' is no tensor", factors={"x": 3})
        broken = Released(self.work / "broken", self.factors, self.whole).folder
        (broken / "adapter_model.bin").write_bytes(b"no pickle")
        self.check_line(self.convert(broken), "adapter_model.bin: cannot be read as tensors of torch")
        (self.base / "config.json").unlink()
        self.refused("config.json: is missing")

    def test_tensors_that_do_not_fit(self):
        q = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
        self.refused(f"tensor {q} has shape (2, 31), but the base needs (2, 32)",
                     factors=self.with_changed(self.factors, q, torch.zeros(RANK, 31)))
        self.refused("tensor model.layers.1.self_attn.q_proj.lora_A.weight is missing",
                     factors=self.with_changed(self.factors, q, None))
        self.refused("tensor model.layers.2.norm.weight is unknown",
                     whole=self.with_changed(self.whole, "model.layers.2.norm.weight", torch.zeros(32)))
        self.refused("tensor model.norm.weight is missing",
                     whole=self.with_changed(self.whole, "model.norm.weight", None))
        self.refused(f"tensor {EMBEDDING} has shape (302, 32), but the base needs (300, 32)",
                     whole=self.with_changed(self.whole, EMBEDDING, torch.zeros(302, 32)))
        self.refused(f"{EMBEDDING} holds no numbers with a point",
                     whole=self.with_changed(self.whole, EMBEDDING, torch.zeros(301, 32, dtype=torch.int64)))

    def test_options_that_do_not_fit(self):
        self.refused("r is no positive number", config={"r": 0})
        self.refused("target_modules names 'qkv'", config={"target_modules": ["qkv"]})
        self.refused("--context: is no positive number", "--context", "0")
        source = Released(self.work / "released", self.factors, self.whole).folder
        self.assertEqual(self.convert(source).returncode, 0)
        again = self.convert(source)
        self.assertEqual(again.returncode, 2)
        self.assertIn("exists already", again.stderr)
        tiny_files.write_json(str(self.base / "config.json"),
                              tiny_files.model_config(rope_scaling={"rope_type": "dynamic", "factor": 2.0}))
        (self.work / "adapter").rename(self.work / "first")
        self.refused("rope_scaling is dynamic", "--context", "300")


if __name__ == "__main__":
    main()
