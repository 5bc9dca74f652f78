"""scripts/gguf_to_hf.py: weights and config.json of GGUF files against the models that they were
made from, and against transformers' own reader of GGUF."""

import json

from counted import main
from tiny_gguf import Conversion, Type, tiny_model

# Behind tiny_gguf, which says what is not installed.
import numpy as np
import torch
from transformers import AutoModelForCausalLM


class Weights(Conversion):
    def test_a_float32_file_gives_the_very_model_it_was_made_from(self):
        for options in ({}, {"kv_heads": 4}, {"kv_heads": 1, "tied": False}, {"head_dim": 32}):
            with self.subTest(**options):
                self.setUp()
                model = tiny_model(len(self.bpe.tokens), **options)
                output = self.convert(self.write(model), "--dtype", "float32")
                loaded = self.check_same_weights(output, model, rtol=0, atol=0)
                for key in ("rms_norm_eps", "rope_theta", "head_dim", "tie_word_embeddings",
                            "num_key_value_heads", "max_position_embeddings"):
                    self.assertEqual(getattr(loaded.config, key), getattr(model.config, key))
                self.assertEqual(loaded.config.eos_token_id, 2)
                self.assertEqual(loaded.generation_config.eos_token_id, 2)

    def test_bfloat16_is_rounded_as_torch_rounds(self):
        output = self.convert(self.write())
        loaded = AutoModelForCausalLM.from_pretrained(output, dtype="auto")
        self.assertEqual(loaded.dtype, torch.bfloat16)
        for name, weight in self.model.state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], weight.bfloat16(), rtol=0, atol=0)

    def test_quantized_files_equal_the_reader_of_transformers(self):
        kinds = {"q4_1": {"norm.weight": Type.F32, "token_embd.weight": Type.Q8_0,
                          ".weight": Type.Q4_1},
                 "f16": {"norm.weight": Type.F32, ".weight": Type.F16},
                 "bf16": {"norm.weight": Type.F32, ".weight": Type.BF16}}
        tokens = torch.tensor([[5, 9, 200, 31, 77, 8, 9, 10, 11, 300]])
        for (name, types), tied, kv_heads in zip(kinds.items(), (True, False, True), (2, 4, 1)):
            with self.subTest(name):
                self.setUp()
                model = tiny_model(len(self.bpe.tokens), kv_heads=kv_heads, tied=tied)
                path = self.write(model, types=types)
                output = self.convert(path, "--dtype", "float32")
                # The reference knows head_dim from hidden_size alone, which is right here.
                reference = AutoModelForCausalLM.from_pretrained(
                    self.work, gguf_file=path.name, dtype=torch.float32).eval()
                loaded = self.check_same_weights(output, reference, rtol=0, atol=0)
                with torch.no_grad():
                    torch.testing.assert_close(loaded(tokens).logits, reference(tokens).logits)

    def test_rope_scaling_is_carried_over(self):
        linear = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
        yarn = {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0,
                "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 0.5}
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                  "high_freq_factor": 4.0, "original_max_position_embeddings": 256}
        model = tiny_model(len(self.bpe.tokens), head_dim=64)
        inverse = tiny_model(8, head_dim=64, rope_scaling=llama3).model.rotary_emb.inv_freq
        factors = (model.model.rotary_emb.inv_freq / inverse).numpy()
        self.assertGreater(len(set(factors.round(3).tolist())), 4)
        for keys, tensors, wanted in (
                (linear, {}, {"rope_type": "linear", "factor": 4.0}),
                ({"rope.scale_linear": 2.0}, {}, {"rope_type": "linear", "factor": 2.0}),
                ({"rope.scaling.type": "none"}, {}, None),
                (yarn, {}, {"rope_type": "yarn", "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
                            "original_max_position_embeddings": 64,
                            "attention_factor": 0.5 * 1.2079441541679836}),
                ({}, {"rope_freqs.weight": factors.astype(np.float32)}, llama3)):
            with self.subTest(wanted=wanted):
                self.setUp()
                output = self.convert(self.write(model, llama=keys, tensors=tensors))
                found = json.loads((output / "config.json").read_text())["rope_scaling"]
                self.assertEqual(found, wanted)
                loaded = AutoModelForCausalLM.from_pretrained(output)
                if tensors:
                    torch.testing.assert_close(loaded.model.rotary_emb.inv_freq, inverse)


if __name__ == "__main__":
    main()
