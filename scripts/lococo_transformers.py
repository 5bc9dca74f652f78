#!/usr/bin/env python3
"""Runs a learned memory (cache.policy retention) inside transformers, in plain PyTorch.

    lococo_transformers.py MODEL EXPORT --prompt-file book.txt --max-new-tokens 100
    lococo_transformers.py MODEL EXPORT --prompt-file book.txt cache.slots=256 cache.local=48

MODEL is a Hugging Face folder of LlamaForCausalLM; EXPORT a run's folder, a checkpoint of it, or what
`lococo-export export.kind=conv` wrote: gates, options and, where LoRA was tuned too, a PEFT adapter.
It needs the other lococo_*.py beside it. From Python (docs/transformers.md):

    model, options = load(MODEL, EXPORT, slots=256)
    model.generate(ids, past_key_values=LearnedMemory(options), max_new_tokens=100)

A LearnedMemory holds one conversation and goes on with it when it is given again; without one the
model is its base (with the adapter). Rows of a batch must be of one length, without padding.

What happens in a layer. Tokens come in blocks of `block`. Before a block, a cache of more than
slots + buffer keys is compressed to `slots`, for each key-value head by itself: the first `sinks`
stay, the last `local`, of those between the best by the gate's score, and of the others the best by
score + mass_weight * log(mass + 0.001), where a key's mass is the attention that it received from
queries at least `score_distance` slots behind it. Then the block's queries see all slots, and the
block causally. Tokens that are generated come one by one, and the cache is compressed when it holds
more than slots + decode_buffer. Keys are cached before RoPE with the place that they have in the
text, counted from a frame that follows at a distance of `position_cap`: older keys stand at its
begin.

This is made to be read and compared with, not to be fast: a prompt's hidden states are all there
at once, and only the caches stay small. Letters in names: B batch, L new tokens, S slots, H query
heads, G key-value heads, R = H / G, D head dimension, E hidden size.
"""

import argparse
import functools
import logging
import math
import os
import pathlib
import sys

try:
    import torch
    import transformers
    from torch import nn
    from transformers import AutoTokenizer, GenerationConfig

    # Behind those, which they need too and whose absence is told here.
    from lococo_base import Base
    from lococo_export import Export
    from lococo_files import BadExport, one_line
    from lococo_memory import LearnedMemory
    from lococo_options import MemoryOptions, check_name, full_name
    from lococo_weights import FOREIGN, load_adapter, load_base, read_gates, replace_weights
except ImportError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(f"lococo_transformers: {missing}; install scripts/requirements.txt")


class Rope:
    """LLaMA's rotation by places, in float32 whatever the model's dtype."""

    def __init__(self, rotary_embedding):
        self.source = rotary_embedding

    def turn(self, x, place):
        """x [..., S, D] turned by the angles of `place` [..., S]."""
        angles = place[..., None].float() * self.source.inv_freq.float()
        cos = torch.cat([angles.cos()] * 2, dim=-1) * self.source.attention_scaling
        sin = torch.cat([angles.sin()] * 2, dim=-1) * self.source.attention_scaling
        first, second = x.float().chunk(2, dim=-1)
        return (x.float() * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


def attend_block(attention, gate, rope, memory, options, hidden_BLE, decoding):
    """One block (or one generated token) of one layer: [B, L, E] -> the heads' results
    [B, L, H * D]; the memory then holds the block too."""
    B, L, _ = hidden_BLE.shape
    D, R = attention.head_dim, attention.num_key_value_groups

    full = memory.size() > options.slots + (options.decode_buffer if decoding else options.buffer)
    if full:
        memory.compress(gate, options)
    if full or not decoding:  # between compressions generated tokens stay in one frame
        memory.move_frame(options.frame_origin(memory.position))

    def heads(projection):
        return projection(hidden_BLE).view(B, L, -1, D).transpose(1, 2)
    q_BHLD, k_BGLD, v_BGLD = map(heads, (attention.q_proj, attention.k_proj, attention.v_proj))
    first = memory.position - memory.origin
    place_L = torch.arange(first, first + L, device=hidden_BLE.device)
    # To 12 binary places, as the C++ form has it: equal tokens of the first layer stay equal.
    score_BGL = torch.round(gate(hidden_BLE) * 4096) / 4096
    memory.append(key=k_BGLD, value=v_BGLD, score=score_BGL, mass=torch.zeros_like(score_BGL),
                  place=place_L.expand(score_BGL.shape))
    memory.position += L

    G, S = k_BGLD.shape[1], memory.size()
    q_BGRLD = rope.turn(q_BHLD, place_L).view(B, G, R, L, D)
    k_BGSD = rope.turn(memory.key, memory.place)
    scores = torch.einsum("bgrld,bgsd->bgrls", q_BGRLD.float(), k_BGSD.float()) / math.sqrt(D)
    seen_LS = torch.ones(L, S, dtype=torch.bool, device=scores.device).tril(S - L)
    weights = scores.masked_fill(~seen_LS, -math.inf).softmax(dim=-1)
    out = torch.einsum("bgrls,bgsd->blgrd", weights, memory.value.float()).to(hidden_BLE.dtype)
    # tril: of a query, only keys at least score_distance slots before it count.
    memory.mass = memory.mass + weights.tril(S - L - options.score_distance).sum(dim=(2, 3))
    return out.reshape(B, L, G * R * D)


def memory_among(arguments):
    """Versions of transformers differ in what they call the cache."""
    return next((value for value in arguments.values() if isinstance(value, LearnedMemory)), None)


def attention_forward(attention, full_attention, gate, rope, hidden_states, *args, **kwargs):
    """LlamaAttention.forward. A layer can take all blocks of a prompt at once, because a token's
    result depends on the layer's input up to it alone."""
    cache = memory_among(kwargs)
    if cache is None:
        return full_attention(hidden_states, *args, **kwargs)
    options, memory = cache.options, cache.of_layer(attention.layer_idx)
    decoding = hidden_states.shape[1] == 1 and memory.position > 0
    with torch.no_grad():  # the choice of a compression has no gradient
        results = [attend_block(attention, gate, rope, memory, options, block_BLE, decoding)
                   for block_BLE in hidden_states.split(options.block, dim=1)]
        return attention.o_proj(torch.cat(results, dim=1)), None


def refuse_padding(_, args, kwargs):
    """Before a forward pass: what the memory would read as text like any other token."""
    mask = kwargs.get("attention_mask")
    if memory_among(kwargs) is None or not torch.is_tensor(mask):
        return
    if mask.dim() != 2 or not mask.bool().all():
        raise BadExport("attention_mask: leaves tokens out, or is one of your own, which a "
                        "LearnedMemory cannot follow; give rows of one length, or one at a time, "
                        "without padding (generate() takes pad_token_id in a prompt for padding "
                        "unless attention_mask=torch.ones_like(ids) is given)")


def attach(model, export):
    """Gives each attention of a LlamaForCausalLM the gate that `export` (an Export or a folder's
    name) holds for it. Without a LearnedMemory it computes what it did before. That the model is
    the one it was taught on is for the caller to know: load() compares their files."""
    if not isinstance(export, Export):
        export = Export(export)
    config, rotary = model.config, model.model.rotary_emb
    if config.model_type != "llama" or rotary.rope_type in ("dynamic", "longrope"):
        raise BadExport(f"{config.model_type} with RoPE of type {rotary.rope_type} cannot be run, "
                        "only llama whose angles do not depend on the length")
    for layer, gate in zip(model.model.layers, read_gates(export.gates, config)):
        attention = layer.self_attn
        attention.memory_saver = nn.ModuleDict({"retention": gate})
        attention.memory_saver.to(attention.q_proj.weight.device)
        attention.forward = functools.partial(attention_forward, attention, attention.forward,
                                              gate, Rope(rotary))
    model.model.register_forward_pre_hook(refuse_padding, with_kwargs=True)
    return model


def load(model_folder, export_folder, dtype=torch.float32, device="cpu", **overrides):
    """The model with its adapter and gates, ready for generate(), and the options of a
    LearnedMemory; `overrides` (slots, local, alone_fraction, ...) replace what the export says,
    where they are not None. Throws BadExport."""
    check_device(device)
    base, export = Base(model_folder), Export(export_folder)
    options = MemoryOptions.read(*export.options(), **overrides).within(base.positions())
    export.check_base(base)
    model = load_base(base, dtype)
    if export.holds_whole_base():
        replace_weights(model, export.folder)
    if export.has_adapter:
        model = load_adapter(model, export.folder)
    return attach(model, export).to(device).eval(), options


def check_device(device):
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise BadExport(f"device {device}: cannot be used ({one_line(error)}); cpu always can") from None


def generate_greedily(model, memory, ids, max_new_tokens, stop_at_eos=True):
    """The most likely continuation of a list of token ids, whatever generation_config.json says;
    an end token is the last of it."""
    if not ids:
        raise BadExport("the prompt is empty; give at least one token")
    if not 0 <= min(ids) <= max(ids) < model.config.vocab_size:
        raise BadExport(f"the prompt's tokens go from {min(ids)} to {max(ids)}, the model has "
                        f"{model.config.vocab_size}; use the model's own tokenizer")
    own = model.generation_config
    prompt = torch.tensor([ids], device=model.device)
    try:
        model.generation_config = GenerationConfig(pad_token_id=0)
        made = model.generate(prompt, attention_mask=torch.ones_like(prompt), past_key_values=memory,
                              do_sample=False, max_new_tokens=max_new_tokens,
                              eos_token_id=own.eos_token_id if stop_at_eos else None)
    finally:
        model.generation_config = own
    return made[0, len(ids):].tolist()


def at_least_one(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1")
    return int(text)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("export", metavar="EXPORT")
    parser.add_argument("options", metavar="KEY=VALUE", nargs="*",
                        help="cache.slots=256, cache.local=48, cache.alone_fraction=0.6, "
                        "generate.decode_buffer=16, ...; default: as the export says")
    parser.add_argument("--prompt-file", required=True, metavar="FILE",
                        help="text; -: standard input")
    parser.add_argument("--max-new-tokens", type=at_least_one, default=256, metavar="N")
    parser.add_argument("--slots", metavar="M", help="cache.slots=M in short")
    parser.add_argument("--ids", action="store_true", help="print token ids")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_intermixed_args()


def given_options(arguments):
    """KEY=VALUE as the tools take them, by the names that load() has for them."""
    given = {}
    if arguments.slots is not None:
        given["slots"] = arguments.slots
    for text in arguments.options:
        key, equals, value = text.partition("=")
        option = key.partition(".")[2]
        if not equals or key != full_name(option):
            raise BadExport(f"{text}: is no option; write one as cache.slots=256")
        check_name(option)
        if option in given:
            raise BadExport(f"{text}: {key} is given twice")
        given[option] = value
    return given


def read_prompt(name):
    try:
        data = sys.stdin.buffer.read() if name == "-" else pathlib.Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise BadExport(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise BadExport(f"{name}: is not UTF-8 (byte {error.start}); convert it") from None


def load_tokenizer(folder):
    Base(folder)  # says more plainly than transformers what is wrong with it
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except FOREIGN as error:
        raise BadExport(f"{folder}: its tokenizer cannot be read ({one_line(error)}); copy it into the "
                        "model's folder") from None


def run(arguments):
    text, tokenizer = read_prompt(arguments.prompt_file), load_tokenizer(arguments.model)
    model, options = load(arguments.model, arguments.export, getattr(torch, arguments.dtype),
                          arguments.device, **given_options(arguments))
    ids = tokenizer(text)["input_ids"]
    made = generate_greedily(model, LearnedMemory(options), ids, arguments.max_new_tokens)
    return " ".join(map(str, made)) if arguments.ids \
        else tokenizer.decode(made, skip_special_tokens=True)


def main():
    arguments = parse_arguments()
    transformers.logging.set_verbosity_error()  # of a length that a memory makes harmless, ...
    transformers.logging.disable_progress_bar()
    logging.basicConfig(format="lococo_transformers: %(message)s")
    logging.getLogger("lococo_transformers").setLevel(logging.INFO)
    try:
        said = run(arguments)
    except BadExport as error:
        print(f"lococo_transformers: error: {error}", file=sys.stderr)
        return 2
    try:
        print(said, flush=True)
    except OSError as error:
        print(f"lococo_transformers: error: standard output: {error.strerror}", file=sys.stderr)
        # Python flushes once more at its end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
