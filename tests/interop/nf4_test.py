"""NF4 against bitsandbytes, and what a run on a base in NF4 exports against a merge in float32.

Usage: nf4_test.py INTEROP_QUANTISE INTEROP_MODELS, with the folder of the tools in LOCOCO_BIN. Both sides of the
comparison run on a GPU where there is one. Its cases are skipped where bitsandbytes is not installed.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from counted import main

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)
try:
    import bitsandbytes.functional as bnb
except ImportError:
    bnb = None

QUANTISE, GENERATOR = (sys.argv + ["", ""])[1:3]
BLOCK, GROUP = 64, 256
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def matrices():
    """Sizes with full and with short last blocks and groups, all dtypes of files, scales that differ much."""
    draw = torch.Generator().manual_seed(1)
    normal = lambda *sizes: torch.randn(*sizes, generator=draw)
    heavy = normal(128, 320) / normal(128, 320).abs().clamp_min(0.05)
    return {
        "plain": normal(1024, 1024) * 0.02,
        "half": (normal(128, 192) * 0.02).to(torch.float16),
        "brain": (normal(300, 256) * 0.02).to(torch.bfloat16),
        "heavy": heavy * 0.01,
        "wide": normal(96, 640) * torch.logspace(-4, 0, 96).unsqueeze(1),
        "short": normal(9, 50),
        "odd": normal(3, 7),
    }


@unittest.skipIf(bnb is None, "bitsandbytes is not installed; pip install -r scripts/requirements.txt")
class Bitsandbytes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        values = matrices()
        with tempfile.TemporaryDirectory(prefix="lococo-nf4-") as folder:
            save_file(values, f"{folder}/in.safetensors")
            run(QUANTISE, f"{folder}/in.safetensors", f"{folder}/out.safetensors", DEVICE)
            ours = load_file(f"{folder}/out.safetensors", device=DEVICE)
        cls.cases = [(name, matrix.to(DEVICE), {key.removeprefix(name + "."): part for key, part in ours.items()
                                                if key.startswith(name + ".")})
                     for name, matrix in values.items()]

    def assert_same(self, ours, theirs):
        self.assertEqual((ours.dtype, ours.shape), (theirs.dtype, theirs.shape))
        self.assertEqual((ours != theirs).sum().item(), 0)

    def test_the_codes_are_the_same_bytes(self):
        for name, values, ours in self.cases:
            with self.subTest(name):
                codes, _ = bnb.quantize_4bit(values, blocksize=BLOCK, quant_type="nf4")
                self.assert_same(ours["codes"][:codes.numel()], codes.flatten())

    def test_the_codes_of_scales_are_the_nearest(self):
        for name, values, ours in self.cases:
            with self.subTest(name):
                _, state = bnb.quantize_4bit(values, blocksize=BLOCK, quant_type="nf4")
                offset = state.absmax.mean()
                self.assert_same(ours["offset"][0], offset)
                # In double precision bitsandbytes looks for the nearest value on a CPU too, as it does on GPUs; for
                # float32 its CPU side takes a table of 65,536 entries, which misses some near the middle of two.
                codes, groups = torch.ops.bitsandbytes.quantize_blockwise(
                    (state.absmax - offset).cpu().double(), bnb.create_dynamic_map(), GROUP)
                self.assert_same(ours["group_scales"].cpu(), groups)
                if groups.max() > 0:  # else every code stands for 0
                    self.assert_same(ours["scale_codes"].cpu(), codes)

    def test_its_own_double_quantisation_has_the_same_bytes(self):
        for name, values, ours in self.cases:
            with self.subTest(name):
                _, state = bnb.quantize_4bit(values, blocksize=BLOCK, quant_type="nf4", compress_statistics=True)
                self.assert_same(ours["offset"][0], state.offset)
                self.assert_same(ours["group_scales"], state.state2.absmax)
                if ours["group_scales"].max() == 0:
                    continue
                away = (ours["scale_codes"].int() - state.absmax.flatten().int()).abs()
                few = away.numel() // 100 if DEVICE == "cpu" else 0  # that table
                self.assertLessEqual(away.max().item(), 1 if few > 0 else 0)
                self.assertLessEqual((away > 0).sum().item(), few)

    def test_it_dequantises_our_bytes_to_our_values(self):
        for name, values, ours in self.cases:
            codes = ours["codes"][:(values.numel() + 1) // 2].unsqueeze(1)
            for dtype in (torch.float32, torch.bfloat16):
                with self.subTest(name, dtype=dtype):
                    scales = bnb.QuantState(absmax=ours["group_scales"], blocksize=GROUP, dtype=torch.float32,
                                            code=bnb.create_dynamic_map().to(DEVICE))
                    state = bnb.QuantState(absmax=ours["scale_codes"], shape=values.shape, dtype=dtype,
                                           blocksize=BLOCK, code=bnb.get_4bit_type("nf4", device=DEVICE),
                                           quant_type="nf4", offset=ours["offset"][0], state2=scales)
                    self.assert_same(ours[str(dtype).removeprefix("torch.")], bnb.dequantize_4bit(codes, state))


class Export(unittest.TestCase):
    def test_a_merged_export_of_a_run_on_nf4_is_the_merge_of_the_original_weights(self):
        tools = pathlib.Path(os.environ["LOCOCO_BIN"])
        with tempfile.TemporaryDirectory(prefix="lococo-nf4-") as folder:
            run(GENERATOR, folder)
            base = pathlib.Path(folder, "linear", "base")
            rows = torch.randint(0, 61, (2000,), generator=torch.Generator().manual_seed(3), dtype=torch.int32)
            pathlib.Path(folder, "text.bin").write_bytes(rows.numpy().astype("uint16").tobytes())
            run(tools / "lococo-train", f"model.path={base}", "model.base_precision=nf4", "tune.lora=1e-2",
                "tune.lora_rank=4", "tune.embed=1e-3", f"data.train={folder}/text.bin", "data.raw_dtype=uint16",
                "data.context_length=32", "train.steps=3", f"train.output={folder}/run", "log.tensorboard=false",
                "distributed.device=cpu", "distributed.threads=1")
            step = pathlib.Path(folder, "run", "step-00000003")
            run(tools / "lococo-export", step / "config.yaml", f"model.adapter={step}", "export.kind=merged",
                f"export.output={folder}/merged")
            adapter = load_file(step / "adapter_model.safetensors")
            settings = json.loads((step / "adapter_config.json").read_text(encoding="utf-8"))
            scale = settings["lora_alpha"] / settings["r"]
            merged, original = load_file(f"{folder}/merged/model.safetensors"), load_file(base / "model.safetensors")
            self.assertEqual(set(merged), set(original))
            moved = 0
            for name, weight in original.items():
                name_there = "base_model.model." + name
                a = adapter.get(name_there.replace(".weight", ".lora_A.weight"))
                b = adapter.get(name_there.replace(".weight", ".lora_B.weight"))
                want = adapter.get(name_there, weight) if a is None else weight + scale * (b @ a)
                self.assertLess((merged[name] - want).abs().max().item(), 1e-6, name)
                moved += not torch.equal(merged[name], weight)
            self.assertGreater(moved, 4)


if __name__ == "__main__":
    main()
