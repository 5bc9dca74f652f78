"""Sizes that no machine has: refused before anything of that size is made.

The bounds on time are generous, no benchmark: what a start of a tool takes here is measured first.
"""

import json
import os
import struct

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, run

SIZES_S, TENSORS_S = 1, 5
UNKNOWN_TENSORS = 300_000


def write_many_tensors(path, count):
    """The tensors of the tiny model and `count` that no model has."""
    header, offset = {}, 0
    names = [(name, shape) for name, shape in tiny.model_shapes().items()]
    names += [(f"model.layers.{i}.extra", (1,)) for i in range(count)]
    for name, shape in names:
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode("ascii")
    tiny.write_bytes(path, struct.pack("<Q", len(text)) + text + bytes(offset))


class Limits(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tokenizer = tiny.make_tokenizer(cls.folder)
        starts = [run("eval", *cls.tiny.eval("cache.slots=0")).seconds for _ in range(2)]
        cls.start_s = 3 * max(starts)  # two tools at once on a machine that others use too

    def refused(self, name, tool, arguments, mentions):
        return Case(name, tool, arguments, mentions=mentions, seconds=SIZES_S + self.start_s)

    def test_a_config_json(self):
        cases = []
        for key, value in (("num_hidden_layers", 10**6), ("num_hidden_layers", 10**9),
                           ("vocab_size", 10**9), ("hidden_size", 10**9),
                           ("intermediate_size", 10**9)):
            folder = tiny.make_model(self.tiny.fresh("model-"), **{key: value})
            for tool, arguments in (("eval", self.tiny.eval), ("train", self.tiny.train)):
                for more in ([], ["--dry-run"]):
                    if key != "num_hidden_layers" and bool(more) == (tool == "train"):
                        continue  # each way once is enough for what behaves alike
                    cases.append(self.refused(
                        " ".join([f"config.json, {key} {value}, lococo-{tool}", *more]), tool,
                        arguments("model.path=" + folder, *more), mentions=(key, "GiB", folder)))
        self.check(cases)

    def test_a_random_model(self):
        cases = []
        for key in ("num_hidden_layers", "vocab_size"):
            sizes = {name: value for name, value in tiny.model_config().items()
                     if type(value) is int} | {key: 10**9}
            model = [f"model.init.{name}={value}" for name, value in sizes.items()]
            for more in ([], ["--dry-run"]):
                cases.append(self.refused(" ".join([f"model.init.{key} 1e9", *more]), "train",
                                          self.tiny.train("model.path=", *model, *more),
                                          mentions=(key, "GiB")))
        self.check(cases)

    def test_a_cache(self):
        cases = []
        for more in ([], ["--dry-run"]):
            for tool, arguments in (("eval", self.tiny.eval), ("train", self.tiny.train)):
                cases.append(self.refused(" ".join([f"cache.slots 1e9, lococo-{tool}", *more]), tool,
                                          arguments("cache.slots=1000000000", *more),
                                          mentions=("cache.slots", "GiB")))
            if self.tokenizer:
                arguments = self.tiny.generate("data.tokenizer=" + self.tokenizer,
                                               "generate.decode_buffer=1000000000", *more)
                cases.append(self.refused(" ".join(["generate.decode_buffer 1e9", *more]),
                                          "generate", arguments, mentions=("decode_buffer", "GiB")))
        self.check(cases)

    def test_an_adapter(self):
        folder = tiny.make_adapter(self.path("adapter"), r=10**9)
        self.check([self.refused(" ".join([f"adapter r 1e9, lococo-{tool}", *more]), tool,
                                 arguments("model.adapter=" + folder, *more), mentions=("adapter",))
                    for tool, arguments in (("eval", self.tiny.eval), ("export", self.tiny.export))
                    for more in ([], ["--dry-run"])])

    def test_many_unknown_tensors(self):
        folder = tiny.make_model(self.path("many"))
        write_many_tensors(os.path.join(folder, "model.safetensors"), UNKNOWN_TENSORS)
        bound = TENSORS_S + self.start_s
        self.check([Case(f"{UNKNOWN_TENSORS} unknown tensors", "eval",
                         self.tiny.eval("model.path=" + folder), mentions=("unknown", "many"),
                         seconds=bound)])


if __name__ == "__main__":
    main()
