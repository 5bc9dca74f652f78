"""GGUF files for the tests of scripts/gguf_to_hf.py, with the models and tokenizers that they are
made from. Exit code 4: gguf or transformers is not installed."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

try:
    import gguf
    import numpy as np
    import sentencepiece
    import tokenizers
    import torch
    from gguf import GGMLQuantizationType as Type
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "gguf_to_hf.py"
TEXTS = ["It's 1234567 o'clock, isn't it?  Two  spaces\n\n\ttab\r\nend ",
         "naïve Ünïcode — 東京 🙂👩‍👩‍👧 ١٢٣",
         "THEY'LL say: <|im_end|>x<|im_start|> <tool> end", "", " ", "a", "\n \n", "ab" * 40]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def training_lines():
    words = "the sea it's a 42 isn't lamp 1984 ship they'll harbour naïve 東京 end of\tit".split(" ")
    draw = random.Random(1)
    return [" ".join(draw.choices(words, k=12)) for _ in range(300)]


class Bpe:
    """A byte-level BPE of PyPI tokenizers, and the keys of GGUF that describe it."""

    def __init__(self, pre):
        self.reference = tokenizers.Tokenizer(tokenizers.models.BPE(
            ignore_merges=pre == "llama-bpe"))
        level = pre_tokenizers.ByteLevel
        self.reference.pre_tokenizer = {
            "gpt-2": lambda: level(add_prefix_space=False),
            "smollm": lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(True),
                                                       level(add_prefix_space=False)]),
            "llama-bpe": lambda: pre_tokenizers.Sequence([
                pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated"),
                level(add_prefix_space=False, use_regex=False)])}[pre]()
        self.reference.decoder = tokenizers.decoders.ByteLevel()
        self.reference.train_from_iterator(training_lines(), tokenizers.trainers.BpeTrainer(
            vocab_size=384, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=level.alphabet(), show_progress=False))
        self.reference.add_tokens([tokenizers.AddedToken("<tool>", normalized=False)])
        model = json.loads(self.reference.to_str())
        size = self.reference.get_vocab_size()
        self.tokens = [self.reference.id_to_token(i) for i in range(size)]
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["model"]["merges"]]
        self.keys = {"ggml.model": "gpt2", "ggml.pre": pre, "ggml.tokens": self.tokens,
                     "ggml.token_type": [3] * 3 + [1] * (size - 4) + [4], "ggml.merges": merges,
                     "ggml.bos_token_id": 1, "ggml.eos_token_id": 2, "ggml.unknown_token_id": 0,
                     "chat_template": "{{ messages }} <|im_start|>"}

    def ids(self, text):
        return self.reference.encode(text, add_special_tokens=False).ids


class Pieces:
    """The same for SentencePiece."""

    def __init__(self, folder):
        text = folder / "lines.txt"
        text.write_text("\n".join(training_lines()), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(folder / "pieces"), model_type="bpe", vocab_size=352,
            byte_fallback=True, split_digits=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, user_defined_symbols=["<tool>"], minloglevel=2)
        self.reference = sentencepiece.SentencePieceProcessor(str(folder / "pieces.model"))
        r, size = self.reference, self.reference.vocab_size()

        def kind(i):
            return (2 if r.is_unknown(i) else 3 if r.is_control(i) else 6 if r.is_byte(i)
                    else 4 if r.id_to_piece(i) == "<tool>" else 1)
        self.tokens = [r.id_to_piece(i) for i in range(size)]
        self.keys = {"ggml.model": "llama", "ggml.tokens": self.tokens,
                     "ggml.scores": [r.get_score(i) for i in range(size)],
                     "ggml.token_type": [kind(i) for i in range(size)], "ggml.bos_token_id": 1,
                     "ggml.eos_token_id": 2, "ggml.unknown_token_id": 0}

    def ids(self, text):
        return self.reference.encode(text)


def tiny_model(vocabulary, kv_heads=2, tied=True, head_dim=16, **more):
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=kv_heads, head_dim=head_dim, rms_norm_eps=1e-5,
        max_position_embeddings=512, rope_theta=50000.0, tie_word_embeddings=tied,
        initializer_range=0.2, **more)
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


def side_by_side(weight, heads):
    """llama.cpp's order of the rows that RoPE turns."""
    half = weight.shape[0] // heads // 2
    return np.concatenate([head.reshape(2, half, -1).transpose(1, 0, 2).reshape(2 * half, -1)
                           for head in np.split(weight, heads)])


NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_tensors(model):
    """{GGUF's name: array} of a model of transformers."""
    config, tensors = model.config, {}
    for name, parameter in model.named_parameters():
        weight = parameter.detach().numpy()
        short = name.removeprefix("model.").removesuffix(".weight")
        if short.startswith("layers."):
            _, layer, inner = short.split(".", 2)
            if inner in ("self_attn.q_proj", "self_attn.k_proj"):
                weight = side_by_side(weight, config.num_attention_heads if "q_" in inner
                                      else config.num_key_value_heads)
            short = f"blk.{layer}.{NAMES[inner]}"
        else:
            short = {"embed_tokens": "token_embd", "norm": "output_norm",
                     "lm_head": "output"}[short]
        tensors[short + ".weight"] = weight
    return tensors


def model_keys(config):
    return {"context_length": 512, "embedding_length": 64, "block_count": 2,
            "feed_forward_length": 96, "attention.head_count": 4,
            "attention.head_count_kv": config.num_key_value_heads, "vocab_size": config.vocab_size,
            "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 50000.0,
            "rope.dimension_count": config.head_dim, "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim}


def write_gguf(path, tensors, llama, tokenizer, types=(), general=None):
    """`types`: name's ending -> type of the tensor, float32 where none fits; a key whose value is
    None is left out."""
    general = {"architecture": "llama"} | (general or {})
    writer = gguf.GGUFWriter(path, general["architecture"])
    keys = {f"llama.{k}": v for k, v in llama.items()}
    keys |= {f"tokenizer.{k}": v for k, v in tokenizer.items()}
    keys |= {f"general.{k}": v for k, v in general.items() if k != "architecture"}
    for key, value in keys.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32,
               str: writer.add_string, list: writer.add_array}
        if value is not None:
            add[type(value)](key, value)
    for name, weight in tensors.items():
        kind = next((kind for ending, kind in dict(types).items() if name.endswith(ending)),
                    Type.F32)
        data = gguf.quants.quantize(np.ascontiguousarray(weight), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True,
                          check=False)


class Conversion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="lococo-gguf-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.bpe = Bpe("smollm")
        cls.model = tiny_model(len(cls.bpe.tokens))

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    def write(self, model=None, tokenizer=None, llama=None, keys=None, tensors=None, **more):
        """A file of the model and tokenizer with some keys and tensors changed; its path."""
        model, tokenizer = model or self.model, tokenizer or self.bpe
        path = self.work / "model.gguf"
        tensors = {n: w for n, w in (gguf_tensors(model) | (tensors or {})).items()
                   if w is not None}
        write_gguf(path, tensors, model_keys(model.config) | (llama or {}),
                   tokenizer.keys | (keys or {}), **more)
        return path

    def convert(self, path, *arguments):
        output = self.work / "converted"
        done = run(path, output, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(sorted(os.listdir(self.work)), sorted({"converted", "model.gguf"}))
        return output

    def check_refused(self, path, *says):
        done = run(path, self.work / "converted")
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in says:
            self.assertIn(text, done.stderr)
        self.assertNotIn("converted", "".join(os.listdir(self.work)))

    def check_same_weights(self, converted, model, **tolerance):
        loaded = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32)
        state = loaded.state_dict()
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(state.pop(name), weight, **tolerance)
        self.assertEqual(state, {})
        return loaded.eval()
