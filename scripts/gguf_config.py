"""Hugging Face's config.json of what a GGUF file says about its model."""

import math

import numpy as np

from gguf_tokenizer import Refused


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
