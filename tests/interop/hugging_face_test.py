"""Loads what lococo-export writes with transformers and PEFT, and the other way round.

Usage: hugging_face_test.py INTEROP_MODELS, with the folder of the tools in LOCOCO_BIN.
Exit code 4: transformers or PEFT is not installed.
"""

import logging
import os
import subprocess
import sys
import tempfile
import unittest

from counted import main

try:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

TOLERANCE = 1e-4  # of logits of about 1, float32 on both sides
GENERATOR = sys.argv[1] if len(sys.argv) > 1 else ""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done


def export(case, kind, output, *overrides):
    """Runs lococo-export on a case's config; returns the folder it made and what it logged."""
    tool = os.path.join(os.environ["LOCOCO_BIN"], "lococo-export")
    done = run(tool, os.path.join(case, "config.yaml"), f"export.kind={kind}",
               f"export.output={output}", *overrides)
    return done.stderr


def load_model(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def logits_of(model, input_ids):
    with torch.no_grad():
        return model(input_ids=input_ids, use_cache=False).logits


class ExportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="lococo-interop-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.cases = [os.path.join(cls.folder.name, name)
                     for name in run(GENERATOR, cls.folder.name).stdout.split()]
        assert len(cls.cases) >= 4, cls.cases

    def assert_close(self, got, want):
        self.assertLess((got - want).abs().max().item(), TOLERANCE)

    def each_case(self):
        for case in self.cases:
            with self.subTest(case=os.path.basename(case)):
                yield case, load_file(os.path.join(case, "expected.safetensors"))

    def test_transformers_computes_the_merged_model(self):
        for case, expected in self.each_case():
            merged = os.path.join(case, "merged")
            log = export(case, "merged", merged)
            self.assertIn("its convolutions are not in it", log)
            model = load_model(merged)
            self.assert_close(logits_of(model, expected["input_ids"]), expected["logits"])

    def test_transformers_finds_no_fault_with_the_exported_rope_scaling(self):
        logging.Logger.warning_once.cache_clear()  # which else says nothing twice
        lengths = set()
        for case, _ in self.each_case():
            merged = os.path.join(case, "merged-quietly")
            export(case, "merged", merged)
            with self.assertNoLogs("transformers.modeling_rope_utils", "WARNING"):
                config = load_model(merged).config
            base = AutoConfig.from_pretrained(os.path.join(case, "base"))
            longer = config.max_position_embeddings / base.max_position_embeddings
            lengths.add((config.rope_scaling["rope_type"], longer))
        self.assertEqual(lengths, {("linear", 1), ("yarn", 4), ("llama3", 4)})

    def test_transformers_loads_a_sharded_merged_model(self):
        case = self.cases[0]
        expected = load_file(os.path.join(case, "expected.safetensors"))
        merged = os.path.join(case, "sharded")
        export(case, "merged", merged, "export.max_shard_bytes=20000")
        self.assertTrue(os.path.exists(os.path.join(merged, "model.safetensors.index.json")))
        model = load_model(merged)
        self.assert_close(logits_of(model, expected["input_ids"]), expected["logits"])

    def test_peft_computes_the_adapter_with_the_exported_rope_scaling(self):
        for case, expected in self.each_case():
            adapter = os.path.join(case, "adapter")
            export(case, "adapter", adapter)
            base = os.path.join(case, "base")
            config = AutoConfig.from_pretrained(adapter)
            model = PeftModel.from_pretrained(load_model(base, config=config), adapter).eval()
            self.assert_close(logits_of(model, expected["input_ids"]), expected["logits"])
            # The scaling is needed: the base's own config.json does not have it.
            plain = PeftModel.from_pretrained(load_model(base), adapter).eval()
            got = logits_of(plain, expected["input_ids"])
            self.assertGreater((got - expected["logits"]).abs().max().item(), 10 * TOLERANCE)
            merged = model.merge_and_unload()
            self.assert_close(logits_of(merged, expected["input_ids"]), expected["logits"])

    def test_an_adapter_trained_with_peft_is_read(self):
        for stabilised in (False, True):
            with self.subTest(use_rslora=stabilised):
                case = self.cases[0]
                expected = load_file(os.path.join(case, "expected.safetensors"))
                torch.manual_seed(1)
                config = LoraConfig(
                    r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"],
                    modules_to_save=["embed_tokens", "norm"], use_rslora=stabilised,
                    init_lora_weights=False, task_type="CAUSAL_LM")
                model = get_peft_model(load_model(os.path.join(case, "base")), config).eval()
                with torch.no_grad():
                    for name, parameter in model.named_parameters():
                        if "modules_to_save" in name:
                            parameter.add_(0.2 * torch.randn_like(parameter))
                want = logits_of(model, expected["input_ids"])
                adapter = os.path.join(case, f"peft-{stabilised}")
                model.save_pretrained(adapter)
                merged = os.path.join(case, f"peft-merged-{stabilised}")
                export(case, "merged", merged, f"model.adapter={adapter}",
                       "model.rope_scaling={type: default}", "cache.policy=none")
                self.assert_close(logits_of(load_model(merged), expected["input_ids"]), want)

    def test_an_existing_folder_is_refused_before_a_model_is_loaded(self):
        tool = os.path.join(os.environ["LOCOCO_BIN"], "lococo-export")
        done = subprocess.run([tool, "model.path=/nowhere", f"export.output={self.folder.name}"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("exists already", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_conv_weights_have_the_official_names_and_shapes(self):
        case = self.cases[0]
        for kind, options in (("conv", "lococo_config.json"), ("official_conv", "lococo_args.json")):
            output = os.path.join(case, kind)
            export(case, kind, output)
            self.assertTrue(os.path.exists(os.path.join(output, options)))
            tensors = load_file(os.path.join(output, "lococo.safetensors"))
            prefix = "model.layers.1.self_attn.memory_saver."
            self.assertEqual(tuple(tensors[prefix + "layers.0.weight"].shape), (4, 16, 3))
            self.assertEqual(tuple(tensors[prefix + "layers.0.bias"].shape), (4,))
            self.assertEqual(tuple(tensors[prefix + "normalizer"].shape), (1,))
            self.assertEqual(len(tensors), 6)


if __name__ == "__main__":
    main()
