"""A learned memory that cannot be: too few slots, gates of another model, a teacher out of its depth."""

import json
import os
import shutil

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, run

CONFIG = f"""
data: {{raw_dtype: uint16, context_length: {tiny.CONTEXT}}}
cache: {{policy: retention, slots: 12, block: 12, buffer: 0, keys: unrotated, positions: text,
  sinks: 2, local: 3, scores: accumulated}}
tune: {{retention: 1.0e-3, lora: 1.0e-3}}
teach: {{slots: [12]}}
train: {{steps: 2, sequences_per_step: 1}}
eval: {{lengths: {tiny.CONTEXT}, max_tokens: 480}}
generate: {{max_new_tokens: 4}}
distributed: {{device: cpu, threads: 1}}
log: {{tensorboard: false}}
"""


class Retention(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tiny.config = tiny.write_text(cls.path("retention.yaml"), CONFIG)
        cls.run_folder = cls.path("taught")
        seen = run("train", *cls.tiny.train("train.output=" + cls.run_folder))
        assert seen.code == 0, seen.err
        cls.taught = os.path.join(cls.run_folder, "step-00000002")

    def refused(self, name, mentions, *overrides):
        return Case(name, "train", self.tiny.train(*overrides), mentions=mentions)

    def test_sizes_that_leave_nothing_to_choose(self):
        self.check([
            self.refused("as many sinks and newest as slots", ("cache.slots",), "cache.local=10"),
            self.refused("more newest than slots", ("cache.slots", "cache.local"), "cache.local=40"),
            self.refused("no slot", ("cache.slots",), "cache.slots=0"),
            self.refused("teaching with sinks alone", ("teach.slots",), "teach.slots=[2]"),
            self.refused("teaching with no number of slots", ("teach.slots",), "teach.slots=[]"),
            self.refused("a share below 0", ("cache.alone_fraction",), "cache.alone_fraction=-0.1"),
            self.refused("a share above 1", ("cache.alone_fraction",), "cache.alone_fraction=1.1"),
            self.refused("a cap within slots and block", ("cache.position_cap",),
                         "cache.position_cap=23"),
        ])

    def test_teaching_that_teaches_nothing(self):
        self.check([
            self.refused("beyond the base's positions", ("data.context_length",),
                         "data.context_length=80"),
            self.refused("a temperature of 0", ("teach.final_temperature",),
                         "teach.final_temperature=0"),
            self.refused("a choice that softens", ("teach.final_temperature",),
                         "teach.temperature=0.1", "teach.final_temperature=0.2"),
            self.refused("a moving teacher", ("train.pass",), "tune.embed=1e-3"),
            self.refused("places of slots", ("cache.positions",), "cache.positions=slot"),
            self.refused("gates in a blockwise pass", ("tune.retention", "train.pass"),
                         "train.pass=blockwise"),
            self.refused("gates of another policy", ("tune.retention",), "cache.policy=h2o"),
            self.refused("a pass without gates", ("train.pass",), "train.pass=teach",
                         "cache.policy=h2o", "tune.retention=null"),
        ])

    def test_a_cap_beyond_the_positions_is_told(self):
        def warned(seen):
            return "" if "cache.position_cap" in seen.err else "says nothing of cache.position_cap"

        self.check([Case("a cap beyond the base's positions", "eval",
                         self.tiny.eval("model.adapter=" + self.taught, "cache.position_cap=60"),
                         answer="works", after=warned)])

    def test_memory_that_is_not_there_is_told_with_what_fits(self):
        model = tiny.make_model(self.path("long_model"), max_position_embeddings=1 << 30)
        tokens = self.path("many_tokens.bin")
        with open(tokens, "wb") as file:
            file.truncate(2 * 10000100)

        def told(seen):
            complete = "fits; " in seen.out and "whole sequences" in seen.out
            return "" if complete else "names no length that fits"

        self.check([Case("ten million tokens at once", "train",
                         self.tiny.train("model.path=" + model, "data.context_length=10000000",
                                         "data.train=" + tokens, "--dry-run"),
                         answer="works", after=told)])

    def test_gates_of_another_model(self):
        other = tiny.make_model(self.path("other_heads"), num_key_value_heads=4,
                                num_attention_heads=4)
        weights = dict(tiny.model_shapes())
        for layer in range(tiny.LAYERS):
            for name in ("k", "v"):
                weights[f"model.layers.{layer}.self_attn.{name}_proj.weight"] = (tiny.HIDDEN,
                                                                                 tiny.HIDDEN)
        tiny.write_tensors(os.path.join(other, "model.safetensors"), weights)
        same_shape = tiny.make_model(self.path("other_weights"), scale=0.06)
        adapter = "model.adapter=" + self.taught
        self.check([
            Case("gates of a model with fewer heads", "eval",
                 self.tiny.eval("model.path=" + other, adapter), mentions=("base",)),
            Case("gates of other weights", "eval",
                 self.tiny.eval("model.path=" + same_shape, adapter), mentions=("base",)),
            # H2O with the same LoRA is a fair question, so long as it says what it leaves out.
            Case("gates for a cache without", "eval",
                 self.tiny.eval(adapter, "cache.policy=h2o", "tune.retention=null"),
                 answer="works", after=lambda seen: "" if "left out" in seen.err
                 else "says nothing of gates left out"),
        ])

    def test_gates_of_another_shape(self):
        with open(os.path.join(self.taught, "lococo.safetensors"), "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes = {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}
        cases = []
        for change in ("wider", "missing", "more"):
            folder = self.path("gates_" + change)
            os.makedirs(folder)
            shutil.copy(os.path.join(self.taught, "lococo_config.json"), folder)
            changed, first = dict(shapes), min(shapes)
            if change == "wider":
                changed[first] = [2 * size for size in shapes[first]]
            elif change == "missing":
                del changed[first]
            else:
                changed[first.replace(".0.", ".7.")] = shapes[first]
            tiny.write_tensors(os.path.join(folder, "lococo.safetensors"), changed)
            cases.append(Case(f"gates with one {change}", "eval",
                              self.tiny.eval("model.adapter=" + folder),
                              mentions=("memory_saver",)))
        self.check(cases)

    def test_gates_that_are_damaged(self):
        cut, broken = self.path("cut"), self.path("not_finite")
        for copy in (cut, broken):
            shutil.copytree(self.taught, copy)
        with open(os.path.join(cut, "lococo.safetensors"), "r+b") as file:
            file.truncate(200)
        path = os.path.join(broken, "lococo.safetensors")
        with open(path, "r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\x00\x00\xc0\x7f")
        self.check([Case(f"gates {name}", "eval", self.tiny.eval("model.adapter=" + folder),
                         mentions=("lococo.safetensors",))
                    for name, folder in (("cut short", cut), ("with a NaN", broken))])


if __name__ == "__main__":
    main()
