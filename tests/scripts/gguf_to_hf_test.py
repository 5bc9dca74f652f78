"""scripts/gguf_to_hf.py on GGUF files written here: weights, configs and tokenizers against the
model and the tokenizers that they were made from, and against transformers' own reader of GGUF.
Exit code 4: gguf or transformers is not installed."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from counted import main

try:
    import gguf
    import numpy as np
    import sentencepiece
    import tokenizers
    import torch
    from gguf import GGMLQuantizationType as Type
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
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


class Tokenizers(Conversion):
    def test_byte_level_bpe_gives_the_ids_of_the_original(self):
        for pre in ("smollm", "gpt-2", "llama-bpe"):
            with self.subTest(pre):
                self.setUp()
                bpe = Bpe(pre)
                output = self.convert(self.write(tiny_model(len(bpe.tokens)), bpe))
                converted = tokenizers.Tokenizer.from_file(str(output / "tokenizer.json"))
                loaded = AutoTokenizer.from_pretrained(output)
                bos = [1] if pre == "llama-bpe" else []
                for text in TEXTS + training_lines()[:50]:
                    ids = bpe.ids(text)
                    self.assertEqual(converted.encode(text, add_special_tokens=False).ids, ids)
                    self.assertEqual(converted.encode(text).ids, bos + ids)
                    self.assertEqual(loaded(text)["input_ids"], bos + ids)
                    self.assertEqual(converted.decode(ids, skip_special_tokens=False), text)
                self.assertEqual(loaded.chat_template, bpe.keys["chat_template"])
                self.assertEqual((loaded.bos_token, loaded.eos_token, loaded.unk_token),
                                 ("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
                self.assertNotIn("<tool>", loaded.all_special_tokens)

    def test_pre_tokenizers_differ_where_they_should(self):
        # Else the equality above could hold with the wrong one.
        ids = {pre: Bpe(pre).reference.pre_tokenizer.pre_tokenize_str("it's 12345\n\nA'LL")
               for pre in ("smollm", "gpt-2", "llama-bpe")}
        self.assertEqual(len({json.dumps(value) for value in ids.values()}), 3)

    def test_the_file_says_whether_a_bos_is_added(self):
        for adds in (True, False):
            self.setUp()
            output = self.convert(self.write(keys={"ggml.add_bos_token": adds}))
            converted = tokenizers.Tokenizer.from_file(str(output / "tokenizer.json"))
            self.assertEqual(converted.encode("a").ids, [1] * adds + self.bpe.ids("a"))
            config = json.loads((output / "tokenizer_config.json").read_text())
            self.assertEqual(config["add_bos_token"], adds)

    def test_sentencepiece_gives_the_ids_of_the_original(self):
        pieces = Pieces(self.folder)
        output = self.convert(self.write(tiny_model(len(pieces.tokens)), pieces))
        converted = sentencepiece.SentencePieceProcessor(str(output / "tokenizer.model"))
        loaded = AutoTokenizer.from_pretrained(output, use_fast=False)
        for text in TEXTS + training_lines()[:50]:
            self.assertEqual(converted.encode(text), pieces.ids(text), text)
            self.assertEqual(converted.decode(pieces.ids(text)),
                             pieces.reference.decode(pieces.ids(text)))
        self.assertEqual(loaded("the sea 42")["input_ids"], [1] + pieces.ids("the sea 42"))
        self.assertEqual([converted.bos_id(), converted.eos_id(), converted.pad_id()], [1, 2, -1])

    def test_spaces_are_treated_as_the_file_says(self):
        pieces = Pieces(self.folder)
        output = self.convert(self.write(tiny_model(len(pieces.tokens)), pieces,
                                         keys={"ggml.add_space_prefix": False}))
        converted = sentencepiece.SentencePieceProcessor(str(output / "tokenizer.model"))
        self.assertEqual(converted.decode(converted.encode(" the sea")), " the sea")
        self.assertNotEqual(converted.encode("the sea"), pieces.ids("the sea"))


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
