#!/usr/bin/env python3
"""Makes a Hugging Face folder from a GGUF file of architecture llama.

    gguf_to_hf.py model.gguf models/name                    # bfloat16
    gguf_to_hf.py model.gguf models/name --dtype float32

Writes config.json, generation_config.json, model.safetensors and the tokenizer (tokenizer.json of
the kinds gpt-2, smollm and llama-bpe, or SentencePiece's tokenizer.model). Quantized weights are
dequantized: the result is as good as the file, not as the model that it was made from. What the
folder cannot express is refused by name, and nothing is left behind then.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import struct
import sys
import tempfile

from gguf_tokenizer import GgufTokenizer, Refused, to_json

try:
    import numpy as np
    from gguf import GGUFReader
    from gguf.quants import dequantize
except ImportError as missing:
    sys.exit(f"gguf_to_hf: {missing}; run it with .venv/bin/python, which "
             "'scripts/bootstrap.sh --deps-only' makes")

# What is read of llama.*; another key may change what the model computes.
KNOWN_KEYS = {
    "context_length": int, "embedding_length": int, "block_count": int, "vocab_size": int,
    "feed_forward_length": int, "attention.head_count": int, "attention.head_count_kv": int,
    "attention.key_length": int, "attention.value_length": int,
    "attention.layer_norm_rms_epsilon": float, "rope.dimension_count": int,
    "rope.freq_base": float, "rope.scale_linear": float, "rope.scaling.type": str,
    "rope.scaling.factor": float, "rope.scaling.original_context_length": int,
    "rope.scaling.finetuned": bool, "rope.scaling.attn_factor": float,
    "rope.scaling.yarn_beta_fast": float, "rope.scaling.yarn_beta_slow": float,
    "tensor_data_layout": str}
# These change nothing at these values.
NEUTRAL_KEYS = {"expert_count": 0, "expert_used_count": 0, "attention.causal": True}
REQUIRED = object()


class GgufFile:
    def __init__(self, path):
        try:
            reader = GGUFReader(path)
            self.fields = {name: field.contents() for name, field in reader.fields.items()}
            self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        except Exception as error:  # its parser lets out whatever numpy or struct raise
            raise Refused(f"cannot be read as GGUF ({type(error).__name__}: {error})") from error

    def get(self, key, default=REQUIRED):
        value = self.fields.get(key, default)
        if value is REQUIRED:
            raise Refused(f"{key} is missing")
        return value

    def llama(self, name, default=REQUIRED):
        """The value of a known key; floats as the shortest decimal that is the same float32."""
        key = "llama." + name
        if key not in self.fields and default is not REQUIRED:
            return default
        value, kind = self.get(key), KNOWN_KEYS[name]
        if isinstance(value, list):
            raise Refused(f"{key} differs between layers, which is not supported")
        if not isinstance(value, kind) or (kind is int and value < 1):
            raise Refused(f"{key} is {value!r:.40}, no {'positive ' * (kind is int)}"
                          f"{kind.__name__}")
        if kind is not float:
            return value
        if not math.isfinite(value):
            raise Refused(f"{key} is {value}")
        return float(str(np.float32(value)))


def check_kind(source):
    architecture = source.get("general.architecture")
    if architecture != "llama":
        raise Refused(f'general.architecture "{architecture}" is not supported, only llama')
    if source.get("general.type", "model") != "model":
        raise Refused(f'general.type "{source.get("general.type")}" is no model')
    if source.get("split.count", 1) not in (0, 1):
        raise Refused("split.count: one of several files; join them first")
    for key, value in source.fields.items():
        name = key.removeprefix("llama.")
        if name == key or name in KNOWN_KEYS or NEUTRAL_KEYS.get(name, REQUIRED) == value:
            continue
        raise Refused(f"{key} ({str(value)[:40]}) is not supported")


def head_dim_of(source):
    hidden, heads = source.llama("embedding_length"), source.llama("attention.head_count")
    if heads % source.llama("attention.head_count_kv", heads) != 0:
        raise Refused(f"llama.attention.head_count_kv {source.llama('attention.head_count_kv')} "
                      f"does not divide the {heads} heads")
    head_dim = source.llama("attention.key_length", hidden // heads)
    for name in ("attention.value_length", "rope.dimension_count"):
        if source.llama(name, head_dim) != head_dim:
            raise Refused(f"llama.{name} {source.llama(name)} is not the length of a head, "
                          f"{head_dim}, which is not supported")
    return head_dim


def llama3_angles(theta, head_dim, rope):
    """What Llama 3.1's RoPE scaling divides each frequency by."""
    frequency = theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return 1.0 / (share + (1.0 - share) / rope["factor"])


def llama3_scaling(factors, theta, head_dim):
    """The parameters that make the factors of rope_freqs.weight: Llama 3.1's, for any pretrained
    length that is a power of two."""
    for length in (1 << power for power in range(6, 24)):
        rope = {"rope_type": "llama3", "factor": float(str(np.float32(factors.max()))),
                "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": length}
        expected = llama3_angles(theta, head_dim, rope)
        if expected.shape == factors.shape and np.allclose(expected, factors, rtol=1e-4):
            return rope
    raise Refused("rope_freqs.weight: these factors are not those of Llama 3.1's RoPE scaling")


def rope_scaling(source, theta, head_dim):
    """Hugging Face's rope_scaling, null for plain RoPE."""
    kind = source.llama("rope.scaling.type", None)
    factor = source.llama("rope.scaling.factor", None)
    if kind is None:  # files of old converters
        factor = source.llama("rope.scale_linear", factor)
        kind = "linear" if factor not in (None, 0.0, 1.0) else "none"
    divisors = source.tensors.pop("rope_freqs.weight", None)
    if divisors is not None:
        if kind != "none":
            raise Refused(f'rope_freqs.weight together with llama.rope.scaling.type "{kind}" is '
                          "not supported")
        return llama3_scaling(np.array(divisors.data, np.float64), theta, head_dim)
    if kind == "none":
        return None
    if kind not in ("linear", "yarn"):
        raise Refused(f'llama.rope.scaling.type "{kind}" is not supported, only none, linear and '
                      "yarn")
    if factor is None or factor < 1.0:
        raise Refused(f"llama.rope.scaling.factor is {factor or 'missing'}; at least 1 is needed")
    rope = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        # For lack of a pretrained length both llama.cpp and transformers take the context's.
        rope["original_max_position_embeddings"] = source.llama(
            "rope.scaling.original_context_length", source.llama("context_length"))
        rope["beta_fast"] = source.llama("rope.scaling.yarn_beta_fast", 32.0)
        rope["beta_slow"] = source.llama("rope.scaling.yarn_beta_slow", 1.0)
        attention = source.llama("rope.scaling.attn_factor", 1.0)
        if attention != 1.0:
            rope["attention_factor"] = attention * (1.0 + 0.1 * math.log(factor))
    return rope


def model_config(source, tokenizer, dtype):
    heads, head_dim = source.llama("attention.head_count"), head_dim_of(source)
    theta = source.llama("rope.freq_base", 10000.0)
    scaling = rope_scaling(source, theta, head_dim)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "vocab_size": len(tokenizer.tokens), "hidden_size": source.llama("embedding_length"),
        "intermediate_size": source.llama("feed_forward_length"),
        "num_hidden_layers": source.llama("block_count"), "num_attention_heads": heads,
        "num_key_value_heads": source.llama("attention.head_count_kv", heads),
        "head_dim": head_dim, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "attention_dropout": 0.0, "max_position_embeddings": source.llama("context_length"),
        "rms_norm_eps": source.llama("attention.layer_norm_rms_epsilon"), "rope_theta": theta,
        "rope_scaling": scaling, "tie_word_embeddings": "output.weight" not in source.tensors,
        "use_cache": True, "torch_dtype": dtype}
    if source.llama("vocab_size", config["vocab_size"]) != config["vocab_size"]:
        raise Refused(f"llama.vocab_size is {source.llama('vocab_size')}, but there are "
                      f"{config['vocab_size']} tokens")
    return config


def halves_apart(weight, heads):
    """llama.cpp keeps the two coordinates that RoPE turns together side by side, Hugging Face half
    a head apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, -1)


def planned_tensors(config):
    """(Hugging Face's name, GGUF's name, shape, heads whose rows are in llama.cpp's order or 0)."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    query, key = heads * config["head_dim"], kv_heads * config["head_dim"]
    vocabulary = (config["vocab_size"], hidden)
    yield "model.embed_tokens", "token_embd", vocabulary, 0
    for i in range(config["num_hidden_layers"]):
        for name, source, shape, permuted in (
                ("input_layernorm", "attn_norm", (hidden,), 0),
                ("self_attn.q_proj", "attn_q", (query, hidden), heads),
                ("self_attn.k_proj", "attn_k", (key, hidden), kv_heads),
                ("self_attn.v_proj", "attn_v", (key, hidden), 0),
                ("self_attn.o_proj", "attn_output", (hidden, query), 0),
                ("post_attention_layernorm", "ffn_norm", (hidden,), 0),
                ("mlp.gate_proj", "ffn_gate", (inner, hidden), 0),
                ("mlp.up_proj", "ffn_up", (inner, hidden), 0),
                ("mlp.down_proj", "ffn_down", (hidden, inner), 0)):
            yield f"model.layers.{i}.{name}", f"blk.{i}.{source}", shape, permuted
    yield "model.norm", "output_norm", (hidden,), 0
    if not config["tie_word_embeddings"]:
        yield "lm_head", "output", vocabulary, 0


def checked_tensors(source, config):
    """The plan, once every tensor is there, has its shape, and none is left over."""
    plan, left = [], dict(source.tensors)
    for entry in planned_tensors(config):
        _, name, shape, _ = entry
        tensor = left.pop(name + ".weight", None)
        if tensor is None:
            raise Refused(f"tensor {name}.weight is missing")
        found = tuple(int(n) for n in reversed(tensor.shape))
        if found != shape:
            raise Refused(f"tensor {name}.weight has shape {found}, but the model needs {shape}")
        plan.append(entry)
    if left:
        raise Refused(f"tensor {min(left)} is not supported")
    return plan


def weight_of(source, name, shape, permuted):
    tensor = source.tensors[name + ".weight"]
    try:
        weight = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
        raise Refused(f"tensor {name}.weight is of type {tensor.tensor_type.name}, which is not "
                      "supported") from error
    weight = np.asarray(weight, np.float32).reshape(shape)
    return halves_apart(weight, permuted) if permuted else weight


def to_bytes(weight, dtype):
    if dtype == "float32":
        return np.ascontiguousarray(weight, "<f4").tobytes()
    bits = np.ascontiguousarray(weight, "<f4").view("<u4")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()  # ties to even


def write_weights(path, source, plan, dtype):
    """One tensor at a time, so that a model larger than the memory can be converted."""
    size, label = {"float32": (4, "F32"), "bfloat16": (2, "BF16")}[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, _, shape, _ in plan:
        begin, end = end, end + size * math.prod(shape)
        header[name + ".weight"] = {"dtype": label, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, name, shape, permuted in plan:
            file.write(to_bytes(weight_of(source, name, shape, permuted), dtype))


def convert(path, output, dtype):
    """Writes the folder; returns its config."""
    source = GgufFile(path)
    check_kind(source)
    tokenizer = GgufTokenizer(source.fields)
    config = model_config(source, tokenizer, dtype)
    ids = {f"{role}_token_id": tokenizer.special.get(role) for role in ("bos", "eos", "pad")}
    plan = checked_tensors(source, config)
    files = {"config.json": to_json(config | ids), "generation_config.json": to_json(ids),
             **tokenizer.files()}
    output.parent.mkdir(parents=True, exist_ok=True)
    # Under another name until it is complete.
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        write_weights(folder / "model.safetensors", source, plan, dtype)
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # mkdtemp's is for its owner alone
        folder.rename(output)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path, help="folder to make")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    arguments = parser.parse_args()
    output = pathlib.Path(os.path.abspath(arguments.output))
    try:
        if output.exists():
            raise Refused(f"{arguments.output} exists already; remove it or name another folder")
        config = convert(arguments.gguf, output, arguments.dtype)
    except Refused as error:
        print(f"gguf_to_hf: {arguments.gguf}: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"gguf_to_hf: {error}", file=sys.stderr)
        sys.exit(2)
    size = (output / "model.safetensors").stat().st_size
    print(f"{arguments.output}: {config['num_hidden_layers']} layers, {size / 1e6:.0f} MB of "
          f"{arguments.dtype}")


if __name__ == "__main__":
    main()
