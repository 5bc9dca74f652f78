"""The tensors of a GGUF file as Hugging Face's model.safetensors."""

import json
import math
import struct

import numpy as np
from gguf.quants import dequantize

from gguf_tokenizer import Refused


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
