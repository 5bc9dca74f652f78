"""lococo-train as users run it: a tiny model, a text with order in it, and what a run leaves behind."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"skipped: {error}; scripts/bootstrap.sh installs what is missing")
    sys.exit(4)

CONTEXT, SEQUENCES = 96, 4
# Options beside the config's: whole sequences without a cache, every weight.
WHOLE = {"cache__policy": "none", "tune__conv": "null", "train__micro_batch": 1}
TUNE_ALL = {"tune__all": "1e-2", "tune__conv": "2e-2", "tune__lora": "null", "tune__embed": "null", "tune__norm": "null",
            "train__weight_decay": "0.1", "train__clip": "0.5"}


def config_text(layers=2):
    return f"""
model:
  init: {{vocab_size: 61, hidden_size: 32, intermediate_size: 48, num_hidden_layers: {layers}, num_attention_heads: 4,
         num_key_value_heads: 2, max_position_embeddings: 64}}
data: {{raw_dtype: uint16, context_length: {CONTEXT}}}
cache: {{policy: lococo, slots: 16, block: 16, kernel_size: 5, buffer: 0, boundary_targets: true, first_block_gradient: true}}
tune: {{conv: 1.0e-2, lora: 1.0e-2, embed: 1.0e-2, norm: 1.0e-2}}
train: {{sequences_per_step: {SEQUENCES}, decay: constant}}
distributed: {{device: cpu, threads: 1}}
log: {{level: warn, tensorboard: false}}
"""


def write_tokens(path, seed=7):
    """A text with order in it, so that the loss can fall: every token is mostly followed by one of its own."""
    choice = random.Random(seed)
    following = [choice.randrange(3, 61) for _ in range(61)]
    tokens, token = [], 3
    for _ in range(20000):
        token = following[token] if choice.random() < 0.9 else choice.randrange(3, 61)
        tokens.append(token)
    with open(path, "wb") as file:
        file.write(struct.pack(f"<{len(tokens)}H", *tokens))


class Training(unittest.TestCase):
    """`mpirun` has to be set before."""

    mpirun = "mpirun"
    layers = 2

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="lococo-training-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.config = self.path("config.yaml")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(config_text(self.layers))
        write_tokens(self.path("train.bin"))

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def tool(self, name, ranks, *arguments):
        launcher = [self.mpirun, "-np", str(ranks), "--oversubscribe", "--bind-to", "none"] if ranks > 1 else []
        return [*launcher, os.path.join(os.environ["LOCOCO_BIN"], name), self.config, *arguments]

    def command(self, name, steps, ranks=1, **options):
        overrides = [f"data.train={self.path('train.bin')}", f"train.output={self.path(name)}", f"train.steps={steps}"]
        overrides += [f"{key.replace('__', '.')}={value}" for key, value in options.items()]
        return self.tool("lococo-train", ranks, *overrides)

    def train(self, name, steps, ranks=1, **options):
        done = subprocess.run(self.command(name, steps, ranks, **options), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)

    def metrics(self, name):
        with open(self.path(name, "metrics.jsonl"), encoding="ascii") as file:
            return [json.loads(line) for line in file]

    def tensors(self, name, step, *files):
        result = {}
        for file in files:
            result.update(load_file(self.path(name, f"step-{step:08d}", file)))
        return result

    def tuned(self, name, step):
        """A cache policy without weights of its own leaves no lococo.safetensors."""
        files = ("adapter_model.safetensors", "lococo.safetensors")
        return self.tensors(name, step, *[file for file in files
                                          if os.path.isfile(self.path(name, f"step-{step:08d}", file))])

    def assert_close(self, one, other, bound):
        self.assertEqual(one.keys(), other.keys())
        for key in one:
            scale = numpy.abs(one[key]).max() + 1e-30
            self.assertLessEqual(numpy.abs(one[key] - other[key]).max() / scale, bound, key)
