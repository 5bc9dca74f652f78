#!/usr/bin/env python3
"""Makes an adapter folder of ours from weights that LongLoRA released.

    convert_longlora.py Llama-2-7b-longlora-32k adapters/longlora-32k --base Llama-2-7b-hf --context 32768
    lococo-eval configs/llama2_7b_longlora.yaml model.adapter=adapters/longlora-32k

Reads adapter_config.json, adapter_model.bin (LoRA) and trainable_params.bin (embedding and norms,
which --lora-only does without) and writes adapter_config.json and adapter_model.safetensors, as
lococo-export's kind adapter and PEFT have them. --context writes the base's config.json too, with
the linear position interpolation that model.interpolate_to gives for so many tokens. The pickles
are read as tensors alone (weights_only), so no code of theirs runs. Every tensor must be one of the
base's and have its shape; LongLoRA's row for a padding token behind the base's vocabulary is cut.
"""

import argparse
import json
import math
import os
import pathlib
import pickle
import sys
import zipfile

from new_folder import new_folder

try:
    import torch
    from safetensors.torch import save_file
except ImportError as missing:
    sys.exit(f"convert_longlora: {missing}; run it with .venv/bin/python, which "
             "'scripts/bootstrap.sh --deps-only' makes")

PREFIX = "base_model.model."
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
LONGLORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


class Refused(Exception):
    """What is wrong, in one line."""


def read_json(path):
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Refused(f"{path}: is missing") from error
    except ValueError as error:
        raise Refused(f"{path}: is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise Refused(f"{path}: is not a JSON object")
    return value


def read_pickle(path, hint=""):
    """Tensors by name, without running code of the file's."""
    if not path.exists():
        raise Refused(f"{path}: is missing{hint}")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True,
                             mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n", maxsplit=1)[0][:120]
        raise Refused(f"{path}: cannot be read as tensors of torch ({first})") from error
    if not isinstance(tensors, dict) or not tensors:
        raise Refused(f"{path}: holds no tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise Refused(f"{path}: {name!r:.60} is no tensor")
        if not tensor.is_floating_point():
            raise Refused(f"{path}: {name} holds no numbers with a point but {tensor.dtype}")
    return tensors


class Base:
    """The model that the adapter belongs to, by its config.json."""

    def __init__(self, folder):
        self.path = folder / "config.json"
        self.config = read_json(self.path)
        self.layers = self.number("num_hidden_layers")
        self.hidden = self.number("hidden_size")
        self.vocabulary = self.number("vocab_size")
        self.tied = self.config.get("tie_word_embeddings") is True
        inner, heads = self.number("intermediate_size"), self.number("num_attention_heads")
        head = self.config.get("head_dim") or self.hidden // heads
        query = heads * head
        key_value = (self.config.get("num_key_value_heads") or heads) * head
        self.projections = {  # (out, in)
            "q_proj": (query, self.hidden), "k_proj": (key_value, self.hidden),
            "v_proj": (key_value, self.hidden), "o_proj": (self.hidden, query),
            "gate_proj": (inner, self.hidden), "up_proj": (inner, self.hidden),
            "down_proj": (self.hidden, inner)}

    def number(self, key):
        value = self.config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise Refused(f"{self.path}: {key} is no positive number")
        return value

    def whole_shapes(self):
        """What LongLoRA trains whole."""
        shapes = {EMBEDDING: (self.vocabulary, self.hidden), "model.norm.weight": (self.hidden,)}
        for i in range(self.layers):
            for norm in ("input_layernorm", "post_attention_layernorm"):
                shapes[f"model.layers.{i}.{norm}.weight"] = (self.hidden,)
        return shapes

    def lora_shapes(self, rank, targets):
        shapes = {}
        for i in range(self.layers):
            for target in targets:
                rows, columns = self.projections[target]
                part = "self_attn" if target in LONGLORA_TARGETS else "mlp"
                name = f"model.layers.{i}.{part}.{target}"
                shapes[f"{name}.lora_A.weight"] = (rank, columns)
                shapes[f"{name}.lora_B.weight"] = (rows, rank)
        return shapes


class Lora:
    """LongLoRA's adapter_config.json."""

    def __init__(self, path, base):
        self.path, self.config = path, read_json(path)
        if self.config.get("peft_type", "LORA") != "LORA":
            raise Refused(f"{path}: peft_type is {self.config['peft_type']!r:.40}, not LORA")
        self.rank, self.targets = self.config.get("r"), self.config.get("target_modules")
        if not isinstance(self.rank, int) or self.rank < 1:
            raise Refused(f"{path}: r is no positive number")
        if not isinstance(self.config.get("lora_alpha"), (int, float)):
            raise Refused(f"{path}: lora_alpha is no number")
        if not isinstance(self.targets, list) or not self.targets:
            raise Refused(f"{path}: target_modules is no list of projections")
        for target in self.targets:
            if target not in base.projections:
                raise Refused(f"{path}: target_modules names {target!r:.40}; only "
                              f"{', '.join(base.projections)} are known")

    def with_whole(self, modules, base_path):
        """adapter_config.json of what is written: other keys stay for our reader to judge."""
        return self.config | {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "inference_mode": True,
            "base_model_name_or_path": base_path, "modules_to_save": modules or None}


def plain_name(name):
    name = name.removeprefix(PREFIX)
    return name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.")


def fitted(tensors, shapes, path):
    """The file's tensors under plain names: all of `shapes`, and nothing else."""
    found = {}
    for name, tensor in tensors.items():
        plain = plain_name(name)
        if plain not in shapes:
            raise Refused(f"{path}: tensor {name} is unknown: none that LongLoRA trains of such a base")
        if plain in found:
            raise Refused(f"{path}: holds {plain} twice under two names")
        found[plain] = without_padding_row(tensor, plain, shapes[plain])
        if found[plain].shape != shapes[plain]:
            raise Refused(f"{path}: tensor {name} has shape {tuple(tensor.shape)}, but the base "
                          f"needs {shapes[plain]}")
    for name in shapes:
        if name not in found:
            raise Refused(f"{path}: tensor {name} is missing")
    return found


def without_padding_row(tensor, name, shape):
    """LongLoRA gives the tokenizer a padding token, and the embedding one more row for it."""
    if name == EMBEDDING and tensor.shape == (shape[0] + 1, *shape[1:]):
        print(f"{EMBEDDING}: {shape[0] + 1} rows, of which the last, a padding token's, is cut")
        return tensor[:shape[0]]
    return tensor


def interpolated(base, context):
    """The base's config.json for so many tokens: model.interpolate_to's rule."""
    scaling = base.config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("default", "linear"):
        raise Refused(f"{base.path}: rope_scaling is {kind}; --context multiplies a linear one")
    own = scaling.get("factor", 1.0) if kind == "linear" else 1.0
    reach = own * base.number("max_position_embeddings")
    factor = own * max(1.0, math.ceil(context / reach))
    return base.config | {"rope_scaling": {"type": "linear", "factor": factor} if factor > 1 else None}


def read_adapter(source, base, lora_only):
    """LoRA's config and the tensors under the names that the written file has."""
    lora = Lora(source / "adapter_config.json", base)
    path = source / "adapter_model.bin"
    tensors = fitted(read_pickle(path), base.lora_shapes(lora.rank, lora.targets), path)
    modules = []
    if not lora_only:
        path = source / "trainable_params.bin"
        hint = ": LongLoRA's embedding and norms; --lora-only does without them"
        whole = fitted(read_pickle(path, hint), base.whole_shapes(), path)
        modules = sorted({name.split(".")[-2] for name in whole})
        if base.tied:  # PEFT unties
            whole[HEAD] = whole[EMBEDDING].clone()
            modules = sorted([*modules, "lm_head"])
        tensors |= whole
    return lora, modules, {PREFIX + name: tensor.contiguous() for name, tensor in tensors.items()}


def convert(arguments, output):
    base = Base(arguments.base)
    lora, modules, tensors = read_adapter(arguments.source, base, arguments.lora_only)
    files = {"adapter_config.json": lora.with_whole(modules, str(arguments.base))}
    if arguments.context:
        files["config.json"] = interpolated(base, arguments.context)
    with new_folder(output) as folder:
        for name, value in files.items():
            (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    whole = sum(".lora_" not in name for name in tensors)
    print(f"{arguments.output}: LoRA of rank {lora.rank} on {', '.join(lora.targets)}, {whole} tensors whole")
    if arguments.context:
        print(f"use it with model.interpolate_to={arguments.context}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="folder of the released files")
    parser.add_argument("output", type=pathlib.Path, help="folder to make")
    parser.add_argument("--base", type=pathlib.Path, required=True,
                        help="Hugging Face folder of the model that was tuned")
    parser.add_argument("--context", type=int, help="tokens that it was tuned for")
    parser.add_argument("--lora-only", action="store_true",
                        help="leave the embedding and the norms as the base has them")
    arguments = parser.parse_args()
    output = pathlib.Path(os.path.abspath(arguments.output))
    try:
        if output.exists():
            raise Refused(f"{arguments.output}: exists already; remove it or name another folder")
        if arguments.context is not None and arguments.context < 1:
            raise Refused("--context: is no positive number")
        convert(arguments, output)
    except (Refused, OSError) as error:
        print(f"convert_longlora: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
