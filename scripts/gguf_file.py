"""A GGUF file of architecture llama: its keys, checked as they are asked for, and its tensors."""

import math

import numpy as np
from gguf import GGUFReader

from gguf_tokenizer import Refused

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
