"""Files that are small and right, written by hand, for a test to spoil one thing in.

Vocabulary 300, width 32, two layers: a tool is done with it as soon as torch is loaded.
"""

import json
import os
import random
import shutil
import struct
import subprocess

VOCABULARY, HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS = 300, 32, 48, 2, 4, 2
HEAD_DIM = HIDDEN // HEADS
SLOTS, MIXED, KERNEL, RANK = 8, 4, 3, 2
CONTEXT = 48
NAMES = ["Marian", "Walter", "Hartright", "Laura", "Fosco", "Limmeridge", "Gilmore", "Pesca"]

NAMES = ["Marian", "Walter", "Hartright", "Laura", "Fosco", "Limmeridge", "Gilmore", "Pesca"]

RUN_CONFIG = f"""
data: {{raw_dtype: uint16, context_length: {CONTEXT}}}
cache: {{policy: lococo, slots: {SLOTS}, block: 8, kernel_size: {KERNEL}, buffer: 0}}
tune: {{conv: 1.0e-3, lora: 1.0e-3}}
train: {{steps: 2, sequences_per_step: 1, decay: constant}}
eval: {{lengths: {CONTEXT}, max_tokens: 480}}
generate: {{max_new_tokens: 4}}
distributed: {{device: cpu, threads: 1}}
log: {{tensorboard: false}}
"""


def model_config(**changes):
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "hidden_act": "silu"}
    config.update(changes)
    return config


def model_shapes():
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN),
              "lm_head.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    kv_width = KV_HEADS * HEAD_DIM
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, rows in (("q", HIDDEN), ("k", kv_width), ("v", kv_width), ("o", HIDDEN)):
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = (rows, HIDDEN)
        shapes[prefix + "mlp.gate_proj.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[prefix + "mlp.up_proj.weight"] = (INTERMEDIATE, HIDDEN)
        shapes[prefix + "mlp.down_proj.weight"] = (HIDDEN, INTERMEDIATE)
        shapes[prefix + "input_layernorm.weight"] = (HIDDEN,)
        shapes[prefix + "post_attention_layernorm.weight"] = (HIDDEN,)
    return shapes


def adapter_shapes(rank=RANK):
    prefix = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    shapes = {}
    for layer in range(LAYERS):
        shapes[prefix.format(layer, "A")] = (rank, HIDDEN)
        shapes[prefix.format(layer, "B")] = (HIDDEN, rank)
    return shapes


def conv_shapes():
    shapes = {}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}.self_attn.memory_saver."
        shapes[prefix + "layers.0.weight"] = (MIXED, KV_HEADS * HEAD_DIM, KERNEL)
        shapes[prefix + "layers.0.bias"] = (MIXED,)
        shapes[prefix + "normalizer"] = (1,)
    return shapes


def write_bytes(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def write_text(path, content):
    return write_bytes(path, content.encode("utf-8"))


def write_json(path, value):
    return write_text(path, json.dumps(value))


def write_tensors(path, shapes, poison=None, scale=0.05):
    """Small random float32 tensors; `poison` gives the last value of a tensor."""
    choice, header, data = random.Random(5), {}, bytearray()
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        values = [choice.gauss(0, scale) for _ in range(count)]
        if name.endswith("norm.weight"):
            values = [1.0] * count
        if poison and name in poison:
            values[-1] = poison[name]
        begin = len(data)
        data += struct.pack(f"<{count}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode("ascii")
    return write_bytes(path, struct.pack("<Q", len(text)) + text + bytes(data))


def write_tokens(path, count=4000, top=VOCABULARY):
    """Raw 16-bit tokens with order in them: mostly followed by one of their own."""
    choice = random.Random(7)
    following = [choice.randrange(3, top) for _ in range(top)]
    tokens, token = [], 3
    for _ in range(count):
        token = following[token] if choice.random() < 0.9 else choice.randrange(3, top)
        tokens.append(token)
    return write_bytes(path, struct.pack(f"<{count}H", *tokens))


def make_model(folder, poison=None, scale=0.05, **changes):
    """A Hugging Face folder; `changes` go into config.json, None takes a key out."""
    os.makedirs(folder)
    config = {key: value for key, value in model_config(**changes).items() if value is not None}
    write_json(os.path.join(folder, "config.json"), config)
    write_tensors(os.path.join(folder, "model.safetensors"), model_shapes(), poison, scale)
    return folder


def make_adapter(folder, poison=None, **changes):
    """A PEFT adapter folder."""
    os.makedirs(folder)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 4.0, "target_modules": ["q_proj"]}
    config.update(changes)
    write_json(os.path.join(folder, "adapter_config.json"), config)
    write_tensors(os.path.join(folder, "adapter_model.safetensors"), adapter_shapes(), poison)
    return folder


def make_conv(folder, poison=None):
    """An export of the convolutions alone."""
    os.makedirs(folder)
    write_json(os.path.join(folder, "lococo_config.json"),
               {"policy": "lococo", "slots": SLOTS, "block": 8, "kernel_size": KERNEL, "buffer": 0})
    write_tensors(os.path.join(folder, "lococo.safetensors"), conv_shapes(), poison)
    return folder


def make_tokenizer(folder):
    """A SentencePiece model of the vocabulary, or "" where spm_train is not installed."""
    if shutil.which("spm_train") is None:
        return ""
    choice = random.Random(3)
    words = ["".join(choice.choice("aeioulmnrst") for _ in range(5)) for _ in range(200)]
    lines = [" ".join(choice.choice(words) for _ in range(12)) for _ in range(400)]
    text = write_text(os.path.join(folder, "words.txt"), "\n".join(lines) + "\n")
    prefix = os.path.join(folder, "tokenizer")
    subprocess.run(["spm_train", f"--input={text}", f"--model_prefix={prefix}",
                    "--model_type=bpe", f"--vocab_size={VOCABULARY}", "--byte_fallback=true",
                    "--normalization_rule_name=identity", "--unk_id=0", "--bos_id=1", "--eos_id=2",
                    "--pad_id=-1"], check=True, capture_output=True)
    return prefix + ".model"


def bpe_tokenizer():
    """A tokenizer.json (as a value) of byte-level BPE: the bytes, some words, a special token."""
    printable = [byte for byte in range(256) if chr(byte).isprintable() and byte not in (0x20, 0xA0, 0xAD)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    merges = [("t", "h"), ("th", "e"), (letters[32], "the"), ("a", "n"), ("an", "d")]
    vocab = {letters[byte]: byte for byte in range(256)}
    vocab |= {left + right: 256 + i for i, (left, right) in enumerate(merges)}
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": len(vocab), "content": "<|endoftext|>", "single_word": False, "lstrip": False,
                              "rstrip": False, "normalized": False, "special": True}],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": r"\p{L}+|\s+|[^\s\p{L}]+"}, "behavior": "Isolated",
                 "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}},
                                          {"Sequence": {"id": "A", "type_id": 0}}],
                               "pair": [], "special_tokens": {"<|endoftext|>": {
                                   "id": "<|endoftext|>", "ids": [len(vocab)], "tokens": ["<|endoftext|>"]}}},
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": False, "vocab": vocab, "merges": merges}}


def write_tokenizer(folder):
    """bpe_tokenizer() as transformers reads it."""
    write_json(os.path.join(folder, "tokenizer.json"), bpe_tokenizer())
    write_json(os.path.join(folder, "tokenizer_config.json"),
               {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>",
                "eos_token": "<|endoftext|>"})


def novel(seed):
    """Sentences of invented words in which names occur, some paragraphs."""
    draw = random.Random(seed)
    words = ["".join(draw.choice("aeioulmnrst") for _ in range(draw.randint(2, 7)))
             for _ in range(300)]
    lines = []
    for _ in range(120):
        sentences = []
        for _ in range(5):
            sentence = [draw.choice(words) for _ in range(draw.randint(5, 14))]
            sentence[draw.randrange(1, len(sentence))] = draw.choice(NAMES)
            sentences.append(" ".join(sentence).capitalize() + ".")
        lines.append(" ".join(sentences))
    return "\n".join(lines) + "\n"


class Tiny:
    """A model, tokens and a config in one folder, and the arguments of the tools for them."""

    def __init__(self, folder):
        self.folder = folder
        self.model = make_model(os.path.join(folder, "model"))
        self.tokens = write_tokens(os.path.join(folder, "tokens.bin"))
        self.config = write_text(os.path.join(folder, "run.yaml"), RUN_CONFIG)
        self.outputs = 0

    def arguments(self, defaults, overrides):
        """An override replaces the default of the same key; an option like --dry-run stays."""
        keys = {override.split("=", 1)[0] for override in overrides}
        kept = [f"{key}={value}" for key, value in defaults.items() if key not in keys]
        return [self.config, *kept, *overrides]

    def fresh(self, name):
        self.outputs += 1
        return os.path.join(self.folder, f"{name}{self.outputs}")

    def train(self, *overrides):
        return self.arguments({"model.path": self.model, "data.train": self.tokens,
                               "train.output": self.fresh("run")}, overrides)

    def eval(self, *overrides):
        return self.arguments({"model.path": self.model, "data.validation": self.tokens}, overrides)

    def export(self, *overrides):
        return self.arguments({"model.path": self.model, "export.output": self.fresh("export")},
                              overrides)

    def generate(self, *overrides):
        return self.arguments({"model.path": self.model, "generate.prompt": "ramon",
                               "data.raw_dtype": "none"}, overrides)

    def bench(self, name, *overrides):
        return [name, *self.arguments({"model.path": self.model, "bench.contexts": CONTEXT,
                                       "bench.repeat": 1}, overrides)]
