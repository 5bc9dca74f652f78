"""lococo-eval's questions through the tool, on a tiny model: every task, its files, and what is refused."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import tiny_files  # noqa: E402
from counted import main  # noqa: E402

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])


class EvalTasks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="lococo-tasks-")
        cls.addClassCleanup(holder.cleanup)
        cls.folder = pathlib.Path(holder.name)
        tiny = tiny_files.Tiny(holder.name)
        cls.tokenizer = tiny_files.make_tokenizer(holder.name)
        if not cls.tokenizer:
            raise unittest.SkipTest("spm_train is missing: install the package 'sentencepiece'")
        texts = cls.folder / "novels"
        texts.mkdir()
        for seed in range(3):
            (texts / f"{seed}.txt").write_text(tiny_files.novel(seed), encoding="utf-8")
        cls.arguments = [tiny.config, f"model.path={tiny.model}", f"data.validation={texts}",
                         f"data.tokenizer={cls.tokenizer}", "data.raw_dtype=none",
                         "cache.policy=h2o", "cache.slots=32", "cache.block=32",
                         "tune.conv=null", "tune.lora=null",
                         "eval.lengths=1500", "eval.max_tokens=6000", "eval.batch=4"]

    def run_tool(self, *overrides):
        return subprocess.run([BIN / "lococo-eval", *self.arguments, *overrides],
                              capture_output=True, text=True, check=False, timeout=300)

    def evaluate(self, *overrides):
        """The JSON of a run."""
        output = self.folder / "out.json"
        done = self.run_tool(f"eval.output={output}", *overrides)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(output.read_text(encoding="utf-8"))

    def assert_refused(self, part, *overrides):
        """Before a model is loaded, so that a dry run says the same."""
        for more in ([], ["--dry-run"]):
            done = self.run_tool(*overrides, *more)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertEqual(len([line for line in done.stderr.splitlines() if "error" in line]), 1)
            self.assertIn(part, done.stderr)

    def questions(self, name, records):
        path = self.folder / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return f"eval.questions={path}"

    def choices(self):
        return self.questions("choice.jsonl", [
            {"context": tiny_files.novel(9)[:900], "question": f"Which number follows {i}?",
             "options": [str(i - 1), str(i + 1), str(i + 7)], "answer": 1} for i in range(3, 9)])

    def qa(self):
        return self.questions("qa.jsonl", [
            {"context": tiny_files.novel(8)[:700], "question": "Who came?", "answers": [name]}
            for name in tiny_files.NAMES])

    def every_task(self):
        yield "passkey", ["eval.trials=6"]
        yield "passkey", ["eval.trials=6", "eval.hay=filler", "eval.depths=[0, 100]"]
        yield "needle", ["eval.trials=3", "eval.depths=[10, 90]"]
        yield "ruler", ["eval.trials=2", "eval.lengths=2500"]
        yield "many_shot", ["eval.trials=4"]
        yield "choice", [self.choices()]
        yield "qa", [self.qa()]

    def test_who_knows_the_answers_is_always_right(self):
        for task, options in self.every_task():
            with self.subTest(task=task):
                result = self.evaluate(f"eval.task={task}", "eval.answerer=oracle", *options)
                self.assertEqual(result["task"], task)
                self.assertGreater(len(result["cells"]), 0)
                for cell in result["cells"]:
                    self.assertEqual(cell["correct"], cell["trials"], cell)

    def test_the_model_answers_and_every_answer_is_written(self):
        for task, options in self.every_task():
            with self.subTest(task=task):
                samples = self.folder / "samples.jsonl"
                result = self.evaluate(f"eval.task={task}", f"eval.samples={samples}",
                                       *options)  # over the one of the task before
                lines = [json.loads(line) for line in samples.read_text().splitlines()]
                self.assertEqual(len(lines), result["questions"])
                for line in lines:
                    self.assertEqual(line["task"], task)
                    self.assertIn("score", line)
                    self.assertLessEqual(len(line["context_ids"]) + len(line["question_ids"]),
                                         line["length"] or 10**9)
                main_metric = result["cells"][0]["metric"]
                total = sum(cell["correct"] for cell in result["cells"]
                            if cell["metric"] == main_metric)
                self.assertAlmostEqual(total, sum(line["score"] for line in lines))

    def test_answers_do_not_depend_on_the_batch(self):
        answers = []
        for batch in (1, 3):
            samples = self.folder / f"batch{batch}.jsonl"
            self.evaluate("eval.task=qa", self.qa(), f"eval.batch={batch}",
                          f"eval.samples={samples}")
            lines = samples.read_text(encoding="utf-8").splitlines()
            answers.append([json.loads(line)["answer"] for line in lines])
        self.assertEqual(answers[0], answers[1])

    def test_a_seed_asks_the_same_questions_and_another_asks_others(self):
        written = []
        for seed in (1, 1, 2):
            samples = self.folder / f"seed{len(written)}.jsonl"
            self.evaluate("eval.task=needle", "eval.trials=2", "eval.answerer=oracle",
                          f"eval.seed={seed}", f"eval.samples={samples}")
            written.append(samples.read_text())
        self.assertEqual(written[0], written[1])
        self.assertNotEqual(written[0], written[2])

    def test_bad_input_is_one_line_before_any_work(self):
        self.assert_refused("data.validation", "eval.task=passkey", "data.validation=[]")
        self.assert_refused("eval.questions", "eval.task=choice")
        self.assert_refused("nope", "eval.task=needle", "eval.kinds=[nope]")
        self.assert_refused("missing.jsonl", "eval.task=qa", "eval.questions=missing.jsonl")
        bad = self.folder / "bad.jsonl"
        good = json.dumps({"context": "a", "question": "b", "answers": ["c"]})
        bad.write_text(good + "\n" + '{"context": "x"}\n', encoding="utf-8")
        self.assert_refused("bad.jsonl:2", "eval.task=qa", f"eval.questions={bad}")
        self.assert_refused("length", "eval.task=needle", "eval.lengths=40")
        self.assert_refused("have no room", "eval.task=needle", "eval.lengths=[1500,150]", "eval.distance=140")
        self.assert_refused("too short", "eval.task=needle", "eval.lengths=1000000", "eval.max_tokens=1000000")
        empty = self.folder / "empty.jsonl"
        empty.write_text("", encoding="utf-8")
        self.assert_refused("empty.jsonl", "eval.task=qa", f"eval.questions={empty}")
        self.assert_refused("data.tokenizer", "eval.task=passkey", "data.tokenizer=")
        mine = self.folder / "mine.txt"
        mine.write_text("years of work", encoding="utf-8")
        self.assert_refused("eval.samples", "eval.task=passkey", f"eval.samples={mine}")
        self.assertEqual(mine.read_text(), "years of work")


if __name__ == "__main__":
    main()
