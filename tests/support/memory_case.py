"""What the tests of scripts/lococo_transformers.py share: a tiny model, memories for it, and the
tools that run them too. Importing it ends the process with exit code 4 where transformers or PEFT
is not installed.
"""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import tiny_files as tiny

SOURCE = pathlib.Path(os.environ["LOCOCO_SOURCE"])
SCRIPT = SOURCE / "scripts" / "lococo_transformers.py"
sys.path.insert(0, str(SCRIPT.parent))
try:
    import peft  # noqa: F401
    import torch
    import lococo_transformers as interop
    from lococo_base import Base  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

UNITS, SLOTS, BLOCK, CAP = 16, 32, 32, 96
OPTIONS = {"policy": "retention", "slots": SLOTS, "block": BLOCK, "buffer": 0, "sinks": 2,
           "local": 8, "scores": "accumulated", "score_decay": 0.8, "score_distance": 4,
           "keys": "unrotated", "positions": "text", "position_cap": CAP, "retention_units": UNITS,
           "alone_fraction": 0.4}


def gate_shapes(kv_heads=tiny.KV_HEADS):
    shapes = {}
    for layer in range(tiny.LAYERS):
        prefix = f"model.layers.{layer}.self_attn.memory_saver.retention."
        shapes |= {prefix + "hidden_weight": (UNITS, tiny.HIDDEN), prefix + "hidden_bias": (UNITS,),
                   prefix + "out_weight": (kv_heads, UNITS), prefix + "out_bias": (kv_heads,),
                   prefix + "skip_weight": (kv_heads, tiny.HIDDEN),
                   prefix + "mass_weight": (kv_heads,)}
    return shapes


def make_export(folder, lora=False, kv_heads=tiny.KV_HEADS, poison=None, **changes):
    """What lococo-export writes of random gates, or a checkpoint with LoRA beside them; None takes
    an option out."""
    if lora:
        tiny.make_adapter(folder, lora_alpha=60.0)
    os.makedirs(folder, exist_ok=True)
    options = {key: value for key, value in (OPTIONS | changes).items() if value is not None}
    tiny.write_json(os.path.join(folder, "lococo_config.json"), options)
    tiny.write_tensors(os.path.join(folder, "lococo.safetensors"), gate_shapes(kv_heads), poison,
                       scale=0.5)
    return folder


def run_tool(name, *arguments):
    command = [os.path.join(os.environ["LOCOCO_BIN"], f"lococo-{name}"), *arguments,
               "model.dtype=float32", "distributed.device=cpu", "distributed.threads=1"]
    return subprocess.run(command, capture_output=True, text=True)


def tool(name, *arguments):
    done = run_tool(name, *arguments)
    if done.returncode != 0:
        raise AssertionError(f"{done.args}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def run_script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments, "--device", "cpu"],
                          capture_output=True, text=True)


class MemoryCase(unittest.TestCase):
    """One folder for all tests of a class, with a model and a memory without LoRA in it."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="lococo-transformers-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.model = cls.make_model("model", max_position_embeddings=512)
        # No token twice: equal ones have equal scores in the first layer, and of equals a machine's
        # sort may choose any.
        cls.ids = random.Random(1).sample(range(tiny.VOCABULARY), tiny.VOCABULARY)
        cls.plain = make_export(os.path.join(cls.folder, "plain"))
        torch.set_num_threads(1)

    @classmethod
    def make_model(cls, name, **changes):
        """So wide in its weights that one other key in a cache changes the text after it."""
        return tiny.make_model(os.path.join(cls.folder, name), scale=0.3, **changes)

    def fresh(self):
        return tempfile.mkdtemp(dir=self.folder)

    @classmethod
    def train(cls, name, *overrides):
        """A run of one step, which teaches gates and LoRA; its folder."""
        run = os.path.join(cls.folder, name)
        cache = ", ".join(f"{key}: {value}" for key, value in OPTIONS.items())
        tokens = tiny.write_tokens(os.path.join(cls.folder, "tokens.bin"))
        tool("train", f"model.path={cls.model}", f"data.train={tokens}", "data.raw_dtype=uint16",
             f"data.context_length={4 * BLOCK}", f"cache={{{cache}}}", f"teach.slots=[{SLOTS}]",
             "train.steps=1", "train.sequences_per_step=1", "train.warmup_steps=0",
             "tune.retention=1e-2", "tune.lora=1e-2", "log.tensorboard=false",
             f"train.output={run}", *overrides)
        return run

    def ours(self, export, ids, *overrides, new_tokens=20, model=None):
        """What lococo-generate continues a prompt with."""
        printed = tool("generate", f"model.path={model or self.model}", f"model.adapter={export}",
                       f"generate.prompt_ids={' '.join(map(str, ids))}", "generate.output=ids",
                       "generate.temperature=0", f"generate.max_new_tokens={new_tokens}",
                       "generate.stop_at_eos=false", *overrides)
        return [int(token) for token in printed.split()]

    def theirs(self, export, ids, new_tokens=20, model=None, **overrides):
        model, options = interop.load(model or self.model, export, **overrides)
        return interop.generate_greedily(model, interop.LearnedMemory(options), ids, new_tokens,
                                         stop_at_eos=False)

    def refused(self, message, model, export, **overrides):
        """That load() says `message` in its one line."""
        with self.assertRaises(interop.BadExport) as refused:
            interop.load(model, export, **overrides)
        text = str(refused.exception)
        self.assertIn(message, text)
        self.assertNotIn("\n", text)
        return text
