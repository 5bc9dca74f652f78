"""Weights into a model of transformers, for lococo_transformers.py: base, adapter and gates. What
transformers and PEFT would only warn of (a weight that is missing and gets random numbers) is
refused here."""

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from lococo_base import open_weights
from lococo_export import ADAPTER, ADAPTER_WEIGHTS
from lococo_files import BadExport, TensorFile, one_line
from lococo_memory import GATE_PARAMETERS, Gate

# What those raise for files that they cannot use.
FOREIGN = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, AssertionError,
           ArithmeticError)


def some(names):
    names = sorted(map(str, names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def config_for_transformers(base):
    config = AutoConfig.from_pretrained(base.folder)
    rope = base.config.get("rope_parameters")
    # What version 5 writes; version 4 would go on with angles of its own.
    if rope and not base.config.get("rope_scaling") and int(transformers.__version__.split(".")[0]) < 5:
        config.rope_theta = base.theta
        config.rope_scaling = dict(rope) if base.scaling else None
    return config


def refuse_misfit(folder, is_tied, **wrong):
    """`wrong`: names of weights by what is wrong with them."""
    for what, names in wrong.items():
        # Old files repeat the angles, and those of tied models the embedding.
        names = {name for name in names if not name.endswith("rotary_emb.inv_freq")
                 and not (is_tied and name == "lm_head.weight")}
        if names:
            raise BadExport(f"{folder}: its weights do not fit its config.json: "
                            f"{what.replace('_', ' ')} {some(names)}; download the folder again")


def load_base(base, dtype):
    """The base as a LlamaForCausalLM."""
    open_weights(base.folder)  # says more plainly than transformers what is wrong with them
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            base.folder, config=config_for_transformers(base), dtype=dtype,
            output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True)
    except FOREIGN as error:
        raise BadExport(f"{base.folder}: transformers cannot load it: {one_line(error)}") from None
    refuse_misfit(base.folder, model.config.tie_word_embeddings,
                  there_is_no=set(report["missing_keys"]),
                  it_does_not_know=set(report["unexpected_keys"]),
                  another_shape_has={item[0] for item in report["mismatched_keys"]})
    refuse_non_finite(model, base.folder)
    return model


def replace_weights(model, checkpoint):
    """Every weight by that of a checkpoint in which all were tuned. (Given such a folder,
    transformers would load the base that the adapter in it names.)"""
    files, own = open_weights(checkpoint), dict(model.named_parameters())
    stored = {name: file.shape(name) for file in files for name in file.tensors}
    refuse_misfit(checkpoint, model.config.tie_word_embeddings,
                  there_is_no=own.keys() - stored.keys(),
                  it_does_not_know=stored.keys() - own.keys(),
                  another_shape_has={name for name in own.keys() & stored.keys()
                                     if stored[name] != tuple(own[name].shape)})
    for file in files:
        model.load_state_dict(load_file(str(file.path)), strict=False)
    refuse_non_finite(model, checkpoint)


def refuse_non_finite(module, place):
    for name, parameter in module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise BadExport(f"{place}: {name} is not finite (NaN or infinity); take another "
                            "checkpoint, or download the file again")


def load_adapter(model, folder):
    """The base itself, whose projections have the PEFT adapter in them now."""
    from peft import PeftModel, get_peft_model_state_dict
    stored = TensorFile(folder / ADAPTER_WEIGHTS).tensors.keys()
    if not any(".lora_" in name for name in stored):
        raise BadExport(f"{folder}: tunes embedding or norms without LoRA, which PEFT does not load; "
                        "lococo-generate runs it")
    try:
        adapted = PeftModel.from_pretrained(model, folder)
    except FOREIGN as error:
        raise BadExport(f"{folder / ADAPTER}: PEFT cannot load this adapter on the model: "
                        f"{one_line(error)}") from None
    wanted = get_peft_model_state_dict(adapted, save_embedding_layers=False).keys()
    if wanted != stored:
        raise BadExport(f"{folder / ADAPTER_WEIGHTS}: does not hold what {ADAPTER} says and the model "
                        f"needs; they differ in {some(wanted ^ stored)}")
    refuse_non_finite(adapted, folder / ADAPTER_WEIGHTS)
    return adapted.get_base_model()


def gate_shapes(units, hidden_size, kv_heads):
    return dict(zip(GATE_PARAMETERS, ((units, hidden_size), (units,), (kv_heads, units),
                                      (kv_heads, hidden_size), (kv_heads,), (kv_heads,))))


def read_gates(file, config):
    """The gates of all layers, their shapes checked against those of the model's config."""
    prefixes = [f"model.layers.{number}.self_attn.memory_saver.retention."
                for number in range(config.num_hidden_layers)]
    # Convolutions of a memory that mixes may lie beside them.
    left = {name for name in file.tensors if ".memory_saver.retention." in name}
    for prefix in prefixes:
        first = prefix + GATE_PARAMETERS[0]
        units = file.shape(first)[0] if first in left and file.shape(first) else 0
        shapes = gate_shapes(units, config.hidden_size, config.num_key_value_heads)
        for name, shape in shapes.items():
            if prefix + name not in left:
                raise BadExport(f"{file.path}: has no {prefix}{name}; was it made on a model of fewer "
                                "layers?")
            if file.shape(prefix + name) != shape:
                raise BadExport(f"{file.path}: {prefix}{name} is {list(file.shape(prefix + name))}, "
                                f"the model needs {list(shape)}; give the base it was taught on")
            left.remove(prefix + name)
    if left:
        raise BadExport(f"{file.path}: {min(left)} belongs to no gate of the model's {len(prefixes)} "
                        "layers; give the base it was taught on")
    tensors = load_file(str(file.path))
    gates = [Gate({name: tensors[prefix + name] for name in GATE_PARAMETERS}) for prefix in prefixes]
    for prefix, gate in zip(prefixes, gates):
        refuse_non_finite(gate, f"{file.path}: {prefix.rstrip('.')}")
    return gates
