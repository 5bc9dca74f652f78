#!/usr/bin/env python3
"""The measurement of supervised fine-tuning: records of questions, the order of its runs, what is asked
of the tools; and, on a tiny model, all of it: data, trainings, questions, tables."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["LOCOCO_SOURCE"])
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import make_sft_records as records  # noqa: E402
import measure_sft  # noqa: E402
import measure_sft_table  # noqa: E402
import tiny_files  # noqa: E402
from counted import main  # noqa: E402
from measure_sft_plan import Plan  # noqa: E402
from measure_sft_sizes import PATTERNS, SCALE, Records, Scale  # noqa: E402
from tool_runs import Fault  # noqa: E402

# Tokens are bytes, of which a few facts have several hundreds.
TINY = Scale(
    base=2048, long=4096, lengths=(700, 1024), novel_steps=1, rows=2, long_rows=1,
    records=(Records("short", 1400, 2, 4), Records("middle", 2048, 3, 2), Records("long", 4096, 5, 1)),
    base_documents=(("short", 4), ("middle", 2)), long_documents=(("middle", 2), ("long", 1)),
    trials=1, passkeys=1, slots=64, block=64, train_at_once=2048, eval_at_once=8192)
OPTIONS = ["model.dtype=float32", "distributed.device=cpu", "distributed.threads=1",
           "log.tensorboard=false"]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-measure-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def arguments(self, *words):
        return measure_sft.parse_arguments(["--texts", "texts", "--train", "novels", "--output",
                                            str(self.folder / "out"), *words])


class MakeRecords(Folder):
    def setUp(self):
        super().setUp()
        self.tokenizer = tiny_files.write_json(str(self.folder / "tokenizer.json"),
                                               tiny_files.bpe_tokenizer())
        self.special = len(tiny_files.bpe_tokenizer()["model"]["vocab"])

    def sample(self, text, question, answer):
        return {"context_ids": [self.special, *self.ids(text)], "question_ids": self.ids(question),
                "answers": [answer]}

    def ids(self, text):
        letters = records.byte_letters()
        vocabulary = tiny_files.bpe_tokenizer()["model"]["vocab"]
        return [vocabulary[letters[byte]] for byte in text.encode("utf-8")]

    def made(self, samples, count):
        path = self.folder / "samples.jsonl"
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
        return records.make_records([path], self.tokenizer, count, seed=1)[0]

    def test_a_document_has_all_texts_and_a_question_about_each(self):
        made = self.made([self.sample(f"Nº {n}: the key of {n} is {n}7.\n",
                                      f"What is the key of {n}? the key of {n} is", f"{n}7")
                          for n in range(1, 7)], 3)
        self.assertEqual(len(made), 2)
        for record in made:
            messages = record["messages"]
            self.assertEqual([m["role"] for m in messages], ["user", "assistant"] * 3)
            text = messages[0]["content"]
            for user, answer in zip(messages[::2], messages[1::2]):
                self.assertEqual(user["content"].splitlines()[-1][:19], "What is the key of ")
                self.assertIn(f"{answer['content']}.\n", text)

    def test_no_document_has_a_question_twice(self):
        same = [self.sample("a is 1.\n", "What is a? a is", "1") for _ in range(3)]
        other = [self.sample("b is 2.\n", "What is b? b is", "2") for _ in range(2)]
        made = self.made(same + other, 2)
        self.assertEqual([len(record["messages"]) for record in made], [4, 4, 2])
        for record in made[:2]:
            self.assertNotEqual(record["messages"][1], record["messages"][3])

    def test_what_fills_no_document_makes_a_smaller_one(self):
        path, output = self.folder / "samples.jsonl", self.folder / "pairs.jsonl"
        samples = [self.sample(f"{n} is {n}7.\n", f"What is {n}? {n} is", f"{n}7") for n in range(1, 6)]
        samples.append(self.sample("9 is 9, 9 is 97.\n", "What is 9? 9 is", "97"))  # its answer is not one
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples), encoding="utf-8")
        made = subprocess.run([sys.executable, records.__file__, path, "--tokenizer", self.tokenizer, "--pieces", "3",
                               "--output", output], capture_output=True, text=True, check=True)
        self.assertEqual(made.stdout, "2 documents with 5 of 6 questions\n")
        sizes = [len(json.loads(line)["messages"]) for line in output.read_text().splitlines()]
        self.assertEqual(sizes, [6, 4])

    def refusal(self, *, samples="samples.jsonl", output="pairs.jsonl", tokenizer=None, more=()):
        """What the script says of these, in one line; it leaves nothing behind."""
        before = sorted(self.folder.iterdir())
        done = subprocess.run(
            [sys.executable, records.__file__, self.folder / samples, "--tokenizer",
             tokenizer or self.tokenizer, "--pieces", "2", "--output", self.folder / output, *more],
            capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(sorted(self.folder.iterdir()), before)
        return done.stderr.replace(str(self.folder), "F")

    def samples_file(self, second):
        """Of a good sample and a second line of bytes."""
        first = json.dumps(self.sample("a is 1.\n", "What is a? a is", "1")).encode() + b"\n"
        (self.folder / "samples.jsonl").write_bytes(first + second)
        return json.loads(first)

    def test_a_line_that_is_no_sample_is_named(self):
        good = self.samples_file(b"")
        for line, says in (
                (b'{"question_ids": [1, 2', "is not JSON, or was cut short"),
                (b'{"answers": ["caf\xe9"]}', "is not UTF-8"),
                (b"[1]", "is not a JSON object"),
                (b'{"messages": [{"role": "user"}]}', "is not a sample of lococo-eval"),
                (json.dumps(good | {"answers": []}).encode(), "is not a sample of lococo-eval"),
                (json.dumps(good | {"answers": ["\ud800"]}).encode(), "is not a sample of"),
                (json.dumps(good | {"context_ids": [99999]}).encode(), "its tokens are no text with"),
                (json.dumps(good | {"context_ids": 1}).encode(), "is not a sample of lococo-eval")):
            self.samples_file(line)
            self.assertRegex(self.refusal(), f"^make_sft_records: F/samples.jsonl:2: {says}.*; give ")

    def test_what_cannot_be_read_is_named(self):
        self.assertIn("F/gone.jsonl: cannot be read (No such file or directory); give what lococo-eval",
                      self.refusal(samples="gone.jsonl"))
        self.samples_file(b"")
        for content in ("[]", "{", '{"decoder": {"type": "ByteLevel"}}'):
            other = tiny_files.write_text(str(self.folder / "other.json"), content)
            self.assertRegex(self.refusal(tokenizer=other),
                             "F/other.json: is not .*; give the tokenizer.json of the model")

    def test_samples_of_which_no_document_can_be_made_are_named(self):
        (self.folder / "samples.jsonl").write_bytes(b"\n")
        self.assertIn("F/samples.jsonl: no question there", self.refusal())

    def test_an_output_that_cannot_be_is_refused_before_the_samples_are_read(self):
        (self.folder / "there").mkdir()
        self.samples_file(b"{")
        for output, says in (("there", "F/there: is a folder; name a file"),
                             ("no/pairs.jsonl", "F/no/pairs.jsonl: there is no folder F/no; make it"),
                             ("/dev/null", "/dev/null: is no plain file"),
                             ("samples.jsonl", "F/samples.jsonl: is one of the files that are read")):
            self.assertIn(says, self.refusal(output=output))
        self.assertIn("--most -1: give a number", self.refusal(more=("--most", "-1")))

    def test_a_file_that_could_not_be_written_whole_is_not_there(self):
        def cut_off():
            yield {"messages": []}
            raise OSError(28, "No space left on device")
        before = sorted(self.folder.iterdir())
        with self.assertRaisesRegex(Fault, "pairs.jsonl: cannot be written .No space left"):
            records.write_records(str(self.folder / "pairs.jsonl"), cut_off())
        self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_prompts_of_a_template_are_refused(self):
        with self.assertRaisesRegex(Fault, "chat_template=none"):
            self.made([self.sample("a is 1.\n", "What is a?\nassistant\na is", "1")], 1)

    def test_another_tokenizer_is_refused(self):
        path = tiny_files.write_json(str(self.folder / "other.json"), {"decoder": None})
        with self.assertRaisesRegex(Fault, "no byte-level BPE"):
            records.ByteLevelTokens(path)


class MeasureSft(Folder):
    def test_there_are_enough_pairs_in_few_enough_tokens(self):
        for some in (SCALE.records[:2], SCALE.records[1:]):
            self.assertGreaterEqual(sum(r.questions * r.documents for r in some), 4000)
        plan = Plan(self.arguments())
        tokens = {}
        for job in plan.jobs():
            if "lococo-train" in job.command[0]:
                option = dict(o.split("=", 1) for o in job.command if "=" in o)
                tokens[job.name] = (int(option["train.steps"]) * int(option["data.context_length"]) *
                                    int(option["train.sequences_per_step"]))
        self.assertLessEqual(tokens["pairs-s2"] + tokens["long-s2"], 20_000_000)
        self.assertEqual(tokens["novels-full"], tokens["novels-sf1"])
        self.assertEqual(tokens["pairs-full"], tokens["pairs-sf"])
        self.assertGreaterEqual(SCALE.trials * 3, 200)

    def test_test_questions_are_of_the_test_split_and_a_pattern_is_training_s(self):
        for job in Plan(self.arguments()).jobs():
            command = " ".join(job.command)
            if "eval.samples" in command:
                self.assertIn("eval.split=train", command)
                self.assertIn("data.validation=novels", command)
            elif "lococo-eval" in command:
                self.assertNotIn("eval.split", command)  # its default is test
                self.assertIn("data.validation=texts", command)
                self.assertNotIn("attention.", command)

    def test_positions_are_scaled_by_yarn_where_it_is_asked_for(self):
        linear = Plan(self.arguments(), SCALE).novels("full").command
        yarn = Plan(self.arguments("--scaling", "yarn"), SCALE).novels("full").command
        self.assertIn("model.interpolate_to=32768", linear)
        self.assertNotIn("model.interpolate_to=32768", yarn)
        self.assertIn("model.rope_scaling={rope_type: yarn, factor: 4.0, "
                      "original_max_position_embeddings: 8192}", yarn)

    def test_a_longer_training_goes_on_from_the_novels_of_its_pattern(self):
        jobs = {job.name: job for job in Plan(self.arguments("--only", "pairs")).jobs()}
        for pattern in ("full", "s2", "sf"):
            job = jobs[f"long-{pattern}"]
            self.assertIn(f"novels-{pattern}", job.after)
            for part in (*PATTERNS[pattern], "model.interpolate_to=32768",
                         f"model.adapter={self.folder / 'out' / f'novels-{pattern}'}"):
                self.assertIn(part, job.command)
        self.assertNotIn("passkey-full-texts", jobs)

    def test_longest_chains_come_first_and_extras_last(self):
        names = [job.name for job in Plan(self.arguments()).missing()]
        self.assertEqual(names[:2], ["tokens", "novels-full"])
        self.assertLess(names.index("long-full"), names.index("pairs-full"))
        extras = ["novels-sf1", "needle-base-32768", "passkey-windows-texts"]
        self.assertLess(max(map(names.index, ("needle-sf-8192", "passkey-base-texts"))),
                        min(map(names.index, extras)))
        usual = {job.name for job in Plan(self.arguments("--no-extras")).missing()}
        self.assertEqual(len(usual), len(names) - 10)
        self.assertFalse(usual.intersection(extras))

    def test_what_is_there_is_not_done_again_and_what_was_broken_off_is(self):
        plan = Plan(self.arguments())
        before = {job.name for job in plan.missing()}
        plan.output.mkdir()
        (plan.output / "tokens.done").touch()
        plan.result("needle-full-8192").write_text('{"cells": []}')
        plan.result("needle-s2-8192").write_text('{"cells": [')
        for pattern, step in (("full", SCALE.novel_steps), ("s2", SCALE.novel_steps - 1)):
            state = plan.output / f"novels-{pattern}" / f"step-{step:08}" / "state.json"
            state.parent.mkdir(parents=True)
            state.write_text("{}")
        self.assertEqual(before - {job.name for job in plan.missing()},
                         {"tokens", "novels-full", "needle-full-8192"})

    def test_figures_are_counts_intervals_and_differences(self):
        plan = Plan(self.arguments())
        plan.output.mkdir()
        for key, right in (("full", 48), ("s2", 46)):
            cells = [{"length": length, "correct": right, "trials": 50} for length in SCALE.lengths]
            plan.result(f"passkey-{key}-texts").write_text(json.dumps({"cells": cells}))
        text = measure_sft_table.table(plan)
        self.assertIn("| full attention | novels | 48 of 50, 96 [87, 99] |", text)
        row = next(r for r in text.splitlines() if r.startswith("| LongLoRA (S2-Attn) | novels |"))
        self.assertTrue(row.endswith("| -4.0 |"), row)

    def test_texts_that_are_not_there_are_named(self):
        for more in ([], ["--dry-run"]):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                with self.assertRaisesRegex(Fault, "texts: no such file"):
                    measure_sft.main(["--texts", "texts", "--train", "novels", "--output",
                                      str(self.folder), *more])
            self.assertEqual(printed.getvalue(), "")

    def test_a_seed_that_the_tools_refuse_is_refused(self):
        with self.assertRaisesRegex(Fault, "--seed -1: is out of range"):
            measure_sft.main(["--texts", "texts", "--train", "novels", "--seed", "-1", "--dry-run"])

    def test_everything_runs_on_a_tiny_model_and_once(self):
        model = tiny_files.make_model(str(self.folder / "model"),
                                      max_position_embeddings=TINY.base)
        tiny_files.write_json(os.path.join(model, "tokenizer.json"), tiny_files.bpe_tokenizer())
        for name, seeds in (("train", (1, 2)), ("test", (3,))):
            (self.folder / name).mkdir()
            for seed in seeds:
                tiny_files.write_text(str(self.folder / name / f"{seed}.txt"),
                                      tiny_files.novel(seed))
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)
        words = ["--texts", str(self.folder / "test"), "--train", str(self.folder / "train"),
                 "--output", str(self.folder / "out"), "--model", model, "--bin",
                 os.environ["LOCOCO_BIN"], "--gpus", "2", "--no-extras", "--options", *OPTIONS]
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            measure_sft.main(words, TINY)
        rows = [r for r in printed.getvalue().splitlines() if r.startswith("| ")]
        empty = {r.split(" |")[0] for r in rows if "|  |  |" in r}
        self.assertEqual(empty, {"| SinkLoRA, half of the heads", "| fixed windows",
                                 "| not tuned; longer: positions interpolated"})
        self.assertIn("| pairs-lococo |", printed.getvalue())
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            measure_sft.main([*words, "--dry-run"], TINY)
        self.assertTrue(printed.getvalue().startswith("0 trainings and 0 evaluations to do: "),
                        printed.getvalue())


if __name__ == "__main__":
    main()
