"""A base model's folder, for lococo_transformers.py: whether it can be run, how far its positions
reach, and its fingerprint, the same 16 and 16 digits that the tools write beside what they train
(src/weights/fingerprint.cpp)."""

import functools
import pathlib

import xxhash

from lococo_files import BadExport, TensorFile, read_json_object

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
BEFORE_ARITHMETIC = "+"
# Of rope_scaling, in the order in which they are hashed; what a file leaves out is this.
SCALING_NUMBERS = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "beta_fast": 32.0,
                   "beta_slow": 1.0, "attention_factor": 0.0}
ROPE_TYPES = ("default", "linear", "yarn", "llama3")  # whose angles do not depend on the length


def may_be_same_base(one, other):
    """Equal, or one is unknown or from before there were digits of the arithmetic."""
    if not one or not other or one == other:
        return True
    both_know = BEFORE_ARITHMETIC in one and BEFORE_ARITHMETIC in other
    return not both_know and weights_part(one) == weights_part(other)


def weights_part(fingerprint):
    return fingerprint.split(BEFORE_ARITHMETIC)[0]


def base_difference(one, other):
    return ("rms_norm_eps, rope_theta or rope_scaling" if weights_part(one) == weights_part(other)
            else "weights")


def hexfloat(number):
    """As C++ prints it: without the zeros at the end."""
    mantissa, exponent = float(number).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent if "." in mantissa else \
        f"{mantissa}p{exponent}"


def open_weights(folder):
    """The weight files of a Hugging Face folder, each whole as far as its header tells."""
    if (folder / SINGLE).exists():
        return [TensorFile(folder / SINGLE)]
    if not (folder / INDEX).exists():
        raise BadExport(f"{folder}: holds neither {SINGLE} nor {INDEX}; a Hugging Face folder with "
                        "safetensors is needed")
    shards = read_json_object(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise BadExport(f"{folder / INDEX}: is not an index with a weight_map; download the file "
                        "again")
    return [TensorFile(folder / name) for name in sorted(set(shards.values()))]


class Base:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        if not self.folder.is_dir():
            raise BadExport(f"{folder}: there is no such folder, and models are not downloaded; a "
                            "Hugging Face model folder is needed (huggingface-cli download NAME "
                            "--local-dir DIR)")
        self.path = self.folder / "config.json"
        if not self.path.exists():
            raise BadExport(f"{self.path}: is missing; a Hugging Face model folder is needed")
        if (self.folder / "adapter_config.json").exists():
            raise BadExport(f"{self.folder}: holds an adapter_config.json, by which transformers would "
                            "load the model that it names in place of this one; move it away")
        self.config = read_json_object(self.path)
        self.check_architecture()
        self.read_rope()

    def check_architecture(self):
        config = self.config
        kind, listed = config.get("model_type"), config.get("architectures")
        if kind != "llama" or (listed and "LlamaForCausalLM" not in str(listed)):
            raise BadExport(f"{self.path}: this is not a LLaMA model (model_type {kind}, "
                            f"architectures {listed}); only LlamaForCausalLM can be run")
        if config.get("quantization_config"):
            raise BadExport(f"{self.path}: quantization_config: quantized weights cannot be run; use "
                            "the original model")
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                    "num_attention_heads", "num_key_value_heads"):
            value = config.get(key)
            if value is None and key == "num_key_value_heads":
                continue  # as many as query heads
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadExport(f"{self.path}: {key} is {'missing' if value is None else value}; it "
                                "must be a positive integer (download the file again)")

    def number(self, values, key, default, kind=float):
        """Absent and null are the same, as in transformers."""
        value = values.get(key)
        if value is None:
            return kind(default)
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) \
            and abs(value) < 1e18 and kind(value) == value  # which nothing that is no number is
        if not fits:
            raise BadExport(f"{self.path}: {key} is {value}, not a number that it can be")
        return kind(value)

    def read_rope(self):
        """theta, and scaling as a dict, {} without any. Both spellings may be present."""
        config = self.config
        rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
        if not isinstance(rope, dict):
            raise BadExport(f"{self.path}: rope_scaling is not an object")
        self.theta = self.number(rope, "rope_theta", self.number(config, "rope_theta", 10000.0))
        self.given_positions = self.number(config, "max_position_embeddings", 2048, int)
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind not in ROPE_TYPES:
            raise BadExport(f"{self.path}: RoPE of type {kind} cannot be run here, only "
                            f"{', '.join(ROPE_TYPES)}")
        self.scaling = {}
        if kind == "default":
            return
        beside = self.number(config, "original_max_position_embeddings", 0, int)
        original = self.number(rope, "original_max_position_embeddings", beside, int)
        self.scaling = {"type": kind, "factor": self.number(rope, "factor", 1.0),
                        "original": original or self.given_positions}
        self.scaling |= {key: self.number(rope, key, default)
                         for key, default in SCALING_NUMBERS.items()}

    def positions(self):
        """How far the base's positions reach with its scaling: positions_of in core/model_shape.cpp."""
        given = self.given_positions
        if not self.scaling:
            return given
        kind, factor, original = (self.scaling[key] for key in ("type", "factor", "original"))
        if kind == "linear":
            return int(factor * given)
        if kind == "llama3" and given > original:
            return given
        return max(given, int(factor * original))

    def arithmetic_text(self):
        words = [hexfloat(self.number(self.config, "rms_norm_eps", 1e-6)), hexfloat(self.theta)]
        if self.scaling:
            words += [self.scaling["type"], hexfloat(self.scaling["factor"]),
                      str(self.scaling["original"])]
            words += [hexfloat(self.scaling[key]) for key in SCALING_NUMBERS]
        return " ".join(words)

    @functools.cached_property
    def fingerprint(self):
        """Over every tensor's name, dtype, shape and bytes, and over the arithmetic between them.
        Reads the whole model."""
        file_of = {name: file for file in open_weights(self.folder) for name in file.tensors}
        digest = xxhash.xxh3_64()
        for name in sorted(file_of):
            entry = file_of[name].tensors[name]
            for text in (name, entry["dtype"], *map(str, entry["shape"]), ""):
                digest.update(text.encode() + b"\0")
            for piece in file_of[name].pieces(name):
                digest.update(piece)
        arithmetic = xxhash.xxh3_64(self.arithmetic_text().encode() + b"\0").hexdigest()
        return digest.hexdigest() + BEFORE_ARITHMETIC + arithmetic
