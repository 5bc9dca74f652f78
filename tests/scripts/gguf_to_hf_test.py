"""scripts/gguf_to_hf.py: what it refuses, and that nothing is left behind then."""

import random

from counted import main
from tiny_gguf import Conversion, run

# Behind tiny_gguf, which says what is not installed.
import numpy as np


class Refusals(Conversion):
    def test_what_cannot_be_expressed_is_named(self):
        row = np.ones(64, np.float32)
        for change, *says in (
                ({"general": {"architecture": "qwen2"}}, 'architecture "qwen2"', "only llama"),
                ({"general": {"type": "adapter"}}, '"adapter" is no model'),
                ({"llama": {"expert_count": 8}}, "llama.expert_count (8)"),
                ({"llama": {"attention.sliding_window": 4096}}, "llama.attention.sliding_window"),
                ({"llama": {"attention.head_count_kv": [2, 4]}}, "differs between layers"),
                ({"llama": {"attention.head_count_kv": 3}}, "does not divide the 4 heads"),
                ({"llama": {"attention.head_count": 0}}, "is 0, no positive int"),
                ({"llama": {"rope.dimension_count": 8}}, "llama.rope.dimension_count 8"),
                ({"llama": {"attention.value_length": 32}}, "llama.attention.value_length 32"),
                ({"llama": {"attention.layer_norm_rms_epsilon": None}}, "epsilon is missing"),
                ({"llama": {"rope.freq_base": float("inf")}}, "llama.rope.freq_base is inf"),
                ({"llama": {"block_count": "two"}}, "llama.block_count is 'two', no positive int"),
                ({"llama": {"block_count": 4_000_000_000}}, "blk.2.attn_norm.weight is missing"),
                ({"llama": {"vocab_size": 7}}, "llama.vocab_size is 7, but there are"),
                ({"llama": {"rope.scaling.type": "longrope"}}, '"longrope" is not supported'),
                ({"llama": {"rope.scaling.type": "linear"}}, "factor is missing"),
                ({"tensors": {"rope_freqs.weight": row[:8] * 3}}, "not those of Llama 3.1"),
                ({"tensors": {"blk.0.attn_q.bias": row}}, "tensor blk.0.attn_q.bias"),
                ({"tensors": {"blk.1.ffn_up.weight": None}}, "blk.1.ffn_up.weight is missing"),
                ({"tensors": {"blk.1.attn_norm.weight": row[:32]}}, "has shape (32,)"),
                ({"keys": {"ggml.pre": "qwen2"}}, 'tokenizer.ggml.pre "qwen2"', "smollm"),
                ({"keys": {"ggml.pre": None}}, "tokenizer.ggml.pre is missing"),
                ({"keys": {"ggml.model": "bert"}}, 'tokenizer.ggml.model "bert"'),
                ({"keys": {"ggml.tokens": None}}, "tokenizer.ggml.tokens is missing"),
                ({"keys": {"ggml.tokens": ["a"] * len(self.bpe.tokens)}}, "occurs twice"),
                ({"keys": {"ggml.token_type": [1]}}, "token_type: 1 entries"),
                ({"keys": {"ggml.merges": ["a b", "a zz"]}}, 'number 0, "a b"'),
                ({"keys": {"ggml.add_eos_token": True}}, "add_eos_token is true"),
                ({"keys": {"ggml.eos_token_id": 100_000}}, "eos_token_id: 100000 is none")):
            with self.subTest(says=says):
                self.setUp()
                self.check_refused(self.write(**change), "model.gguf: ", *says)

    def test_broken_files_are_refused_in_one_line(self):
        whole = self.write().read_bytes()
        path = self.work / "model.gguf"
        draw = random.Random(5)
        cuts = [0, 3, 4, 8, 24, 100, len(whole) // 2, len(whole) - 100]
        for content in [whole[:cut] for cut in cuts] + [
                b"PK\3\4" + whole[4:], whole[:8] + draw.randbytes(4000) + whole[4008:],
                whole[:16] + b"\xff" * 8 + whole[24:]]:
            path.write_bytes(content)
            self.check_refused(path, "model.gguf: cannot be read as GGUF")
        path.unlink()
        self.check_refused(path, "model.gguf")

    def test_an_existing_folder_is_left_alone(self):
        path = self.write()
        (self.work / "converted").mkdir()
        done = run(path, self.work / "converted")
        self.assertEqual(done.returncode, 2)
        self.assertIn("exists already", done.stderr)
        self.assertEqual(list((self.work / "converted").iterdir()), [])


if __name__ == "__main__":
    main()
