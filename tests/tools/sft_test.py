"""Supervised fine-tuning through the tools: records in, an adapter that is evaluated, resumed and exported out; and
records that nothing can be learned from."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import tiny_files
from counted import main

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
END_OF_TEXT = 261
CONFIG = """
data: {context_length: 128, template: plain}
tune: {lora: 1.0e-2, embed: 1.0e-2}
train: {steps: 4, sequences_per_step: 4, micro_batch: 2, decay: constant}
distributed: {device: cpu, threads: 1}
log: {tensorboard: false}
"""
LOCOCO = ("cache={policy: lococo, slots: 8, block: 16, kernel_size: 3, buffer: 0, boundary_targets: true}",
          "tune.conv=1e-3")


def instruction(number):
    return {"instruction": f"the sand of number {number}\nwhat is it?", "output": f"sand {number}"}


class Sft(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory(prefix="lococo-sft-")
        cls.folder = pathlib.Path(cls.place.name)
        cls.model = tiny_files.make_model(str(cls.folder / "model"))
        tiny_files.write_json(os.path.join(cls.model, "tokenizer.json"), tiny_files.bpe_tokenizer())
        cls.config = tiny_files.write_text(str(cls.folder / "sft.yaml"), CONFIG)
        cls.lines = tiny_files.write_text(str(cls.folder / "a.jsonl"),
                                          "".join(json.dumps(instruction(n)) + "\n" for n in range(12)))
        talk = [{"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"who {n}?"},
                              {"role": "assistant", "content": "ann"}, {"role": "user", "content": "and?"},
                              {"role": "assistant", "content": "dan"}]} for n in range(6)]
        cls.list = tiny_files.write_json(str(cls.folder / "b.json"), talk)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def run_tool(self, tool, *overrides):
        own = any(override.startswith("model.path=") for override in overrides)
        model = () if own else (f"model.path={self.model}",)
        return subprocess.run([BIN / f"lococo-{tool}", self.config, *model, *overrides],
                              capture_output=True, text=True, check=False, timeout=180)

    def train(self, name, *overrides):
        output = self.folder / name
        done = self.run_tool("train", f"train.output={output}", *overrides)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = (output / "metrics.jsonl").read_text(encoding="ascii").splitlines()
        return output, [json.loads(line) for line in lines], done.stderr

    def records(self):
        return f"data.records=[{{path: {self.lines}, weight: 2}}, {self.list}]"

    def refused(self, part, *overrides, tool="train"):
        done = self.run_tool(tool, f"train.output={self.folder / 'refused'}", *overrides)
        self.assertEqual(done.returncode, 2, done.stderr)
        errors = [line for line in done.stderr.splitlines() if ": error: " in line]
        self.assertEqual(len(errors), 1, done.stderr)
        self.assertIn(part, errors[0])

    def broken(self, part, content, *overrides, name="broken.jsonl"):
        path = tiny_files.write_text(str(self.folder / name), content)
        self.refused(part, f"data.records={path}", *overrides)

    def test_answers_are_learned_and_counted(self):
        _, steps, log = self.train("full", self.records(), "train.steps=12")
        self.assertLess(steps[-1]["loss"], 0.9 * steps[0]["loss"])
        self.assertEqual(steps[0]["records"], 18)
        self.assertEqual(steps[0]["records_dropped"], 0)
        self.assertGreater(steps[0]["targets"], 0)
        self.assertIn("12 records read, 12 to train on", log)

    def test_rows_are_packed_and_blocks_begin_anew(self):
        for name, options in (("packed", ()), ("packed-blocks", LOCOCO),
                              ("packed-s2", ("attention.pattern=s2", "attention.group_tokens=16")),
                              ("packed-sf", ("attention.pattern=sf", "attention.group_tokens=16")),
                              ("grouped", ("data.packing=false", "data.group_by_length=true"))):
            with self.subTest(name):
                _, steps, _ = self.train(name, self.records(), "data.packing=true", "train.steps=8", *options)
                self.assertLess(steps[-1]["loss"], steps[0]["loss"])

    def test_a_resumed_run_goes_on_as_if_nothing_had_been(self):
        options = (self.records(), "data.packing=true", "checkpoint.every=2")
        _, whole, _ = self.train("whole", *options)
        output = self.folder / "resumed"
        self.train("resumed", *options, "train.steps=2")
        self.assertEqual(self.run_tool("train", f"train.output={output}", *options).returncode, 0)
        resumed = [json.loads(line) for line in (output / "metrics.jsonl").read_text("ascii").splitlines()]
        self.assertEqual([step["loss"] for step in resumed], [step["loss"] for step in whole])

    def test_records_are_evaluated_by_the_nll_of_their_answers(self):
        result = self.folder / "eval.json"
        done = self.run_tool("eval", f"data.validation_records=[{self.lines}, {self.list}]", "eval.batch=4",
                             f"eval.output={result}", "eval.per_segment=true")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("answer_nll", done.stdout)
        files = json.loads(result.read_text(encoding="utf-8"))["records"]
        self.assertEqual([file["records"] for file in files], [12, 6])
        self.assertEqual(len(files[0]["per_record"]), 12)
        self.assertEqual(files[1]["targets"], 6 * 2 * 3)  # "an" "n" end, "d" "an" end
        alone = self.run_tool("eval", f"data.validation_records=[{self.lines}, {self.list}]", f"eval.output={result}",
                              "eval.overwrite=true", "eval.batch=1")
        self.assertEqual(alone.returncode, 0, alone.stderr)
        again = json.loads(result.read_text(encoding="utf-8"))["records"]
        for one, other in zip(files, again):
            self.assertAlmostEqual(one["answer_nll"], other["answer_nll"], places=5)

    def test_a_run_evaluates_records_on_its_way(self):
        output, _, _ = self.train("watched", self.records(), f"data.validation_records={self.list}", "eval.every=2")
        lines = (output / "evaluation.jsonl").read_text(encoding="ascii").splitlines()
        self.assertEqual([json.loads(line)["step"] for line in lines], [2, 4])
        self.assertIn("answer_nll", json.loads(lines[0]))

    def test_an_export_stops_where_answers_end(self):
        output, _, _ = self.train("exported", self.records(), "train.steps=1")
        for name, overrides in (("given", (self.records(),)), ("taken", ("data.template=auto",))):
            target = self.folder / f"merged-{name}"
            done = self.run_tool("export", f"model.adapter={output}", "export.kind=merged", f"export.output={target}",
                                 *overrides)
            self.assertEqual(done.returncode, 0, done.stderr)
            config = json.loads((target / "generation_config.json").read_text(encoding="utf-8"))
            self.assertEqual(config["eos_token_id"], END_OF_TEXT)

    def test_questions_have_the_form_that_was_tuned_on(self):
        run, _, _ = self.train("asked", self.records(), "train.steps=4")
        folders = {"run": (f"model.adapter={run}",)}
        for kind in ("adapter", "merged"):
            target = self.folder / f"asked-{kind}"
            done = self.run_tool("export", f"model.adapter={run}", f"export.kind={kind}", f"export.output={target}")
            self.assertEqual(done.returncode, 0, done.stderr)
            folders[kind] = (f"model.{'path' if kind == 'merged' else 'adapter'}={target}",)
        answer = ("generate.max_new_tokens=8", "generate.output=ids", "generate.stop_at_eos=false")
        want = self.run_tool("generate", "--prompt", "who is ann?\n", *folders["run"], *answer).stdout
        for name, model in folders.items():
            with self.subTest(name):
                done = self.run_tool("generate", "--question", "who is ann?", *model, *answer)
                self.assertEqual((done.returncode, done.stdout), (0, want), done.stderr)
                if name != "merged":
                    self.assertIn("chat template plain, which ", done.stderr)
        other = self.run_tool("generate", "--question", "who is ann?", *folders["run"], *answer,
                              "generate.chat_template=none")
        self.assertIn("generate.chat_template: none is given, but ", other.stderr)
        self.assertNotEqual(other.stdout, want)

    def test_too_long_records_are_treated_as_asked(self):
        long = {"instruction": "sand " * 60 + "\nwhat is it?", "output": "sand"}
        path = tiny_files.write_text(str(self.folder / "long.jsonl"),
                                     json.dumps(instruction(1)) + "\n" + json.dumps(long) + "\n")
        self.refused(f"{path}:2: the record has", f"data.records={path}")
        for how, key in (("drop", "records_dropped"), ("truncate_prompt", "records_truncated"),
                         ("split", "records_split")):
            with self.subTest(how):
                _, steps, _ = self.train(how, f"data.records={path}", f"data.on_too_long={how}", "train.steps=1")
                self.assertEqual(steps[0][key], 1)

    def test_records_that_teach_nothing_are_refused(self):
        good = json.dumps(instruction(1)) + "\n"
        self.broken("broken.jsonl:2: is not JSON", good + '{"instruction": \n')
        self.broken('broken.jsonl:1: the record has no "output"', '{"instruction": "x"}')
        self.broken('broken.jsonl:2: unknown role "human"',
                    good + '{"messages": [{"role": "human", "content": "x"}]}')
        self.broken('broken.jsonl:1: "output" is empty', '{"instruction": "x", "output": "  "}')
        self.broken("the last message is not the assistant's", '{"messages": [{"role": "user", "content": "x"}]}')
        self.broken("broken.json:3: the record does not end", '[\n{"instruction": "x", "output": "y"},\n{"in',
                    name="broken.json")
        self.broken("holds no records", "\n")
        path = tiny_files.write_text(str(self.folder / "eval.jsonl"), good + good + "{]\n")
        self.refused("eval.jsonl:3: is not JSON", f"data.validation_records={path}", tool="eval")
        self.broken("no record is left", good, "data.on_too_long=drop", "data.context_length=8")
        self.broken('broken.jsonl:1: unknown role "human"', json.dumps(
            {"messages": [{"role": "human", "content": "x"}, {"role": "assistant", "content": "y"}]}))
        self.broken("broken.jsonl:1: an answer of the assistant is empty", json.dumps(
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]}))
        self.broken("data.template: chatml needs <|im_start|>", good, "data.template=chatml")
        self.refused("no-such.json", "data.records=no-such.json")
        self.refused("weight: must be positive",
                     f"data.records=[{{path: {self.lines}, weight: 0}}, {{path: {self.list}, weight: 0}}]")
        self.refused("data.records: are trained on in place of data.train", self.records(), "data.train=x.txt")
        self.refused("cache.distill: compares all tokens", self.records(), *LOCOCO, "cache.distill=1", "tune.lora=null",
                     "tune.embed=null")

    def test_a_template_that_is_not_known_is_refused(self):
        model = tiny_files.make_model(str(self.folder / "own-template"))
        tiny_files.write_json(os.path.join(model, "tokenizer.json"), tiny_files.bpe_tokenizer())
        tiny_files.write_json(os.path.join(model, "tokenizer_config.json"), {"chat_template": "{{ messages[0] }}"})
        self.refused("chat_template: is none of the templates known here; set data.template to plain, llama-2",
                     self.records(), "data.template=auto", f"model.path={model}")

    def test_patterns_that_cannot_be_are_refused(self):
        s2 = (self.records(), "attention.pattern=s2")
        self.refused("attention.group_fraction", *s2, "attention.group_fraction=0.001")
        self.refused("attention.sinks: 9 are more than the 8 tokens of a segment", *s2, "attention.group_tokens=8",
                     "attention.sinks=9")
        self.refused("attention.pattern", *s2, *LOCOCO)
        self.refused("attention.pattern", *s2, "train.pass=blockwise")


if __name__ == "__main__":
    main()
