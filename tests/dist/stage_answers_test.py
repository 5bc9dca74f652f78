"""lococo-generate and the tasks of lococo-eval as stages of a pipeline, on CPUs: the answers of one process.

usage: stage_answers_test.py MPIRUN (LOCOCO_BIN names the folder of the tools)
"""

import json
import os
import subprocess
import sys

from counted import main
import tiny_files
from training_tool import Training  # skips without its packages

Training.mpirun = sys.argv[1]
Training.layers = 4

NOTHING = {"tune__conv": "null", "tune__lora": "null", "tune__embed": "null", "tune__norm": "null"}
POLICIES = {
    "none": {"cache__policy": "none"},
    "streaming": {"cache__policy": "streaming", "cache__sinks": 2},
    "h2o": {"cache__policy": "h2o", "cache__scores": "accumulated", "cache__keys": "unrotated"},
    "lococo": {},
    "retention": {"cache__policy": "retention", "cache__scores": "accumulated"},
}
PROMPT = " ".join(str(3 + 7 * n % 58) for n in range(45))


def pairs(options):
    return [f"{key.replace('__', '.')}={value}" for key, value in options.items()]


class Answers(Training):
    def run_tool(self, name, ranks, *arguments, stdin="", code=0, **options):
        stages = {"distributed__pipeline": ranks} if ranks > 1 else {}
        command = self.tool(name, ranks, *arguments, *pairs({**NOTHING, **stages, **options}))
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def lines_of_error(self, *arguments, **options):
        done = self.run_tool(*arguments, code=2, **options)
        return [line for line in done.stderr.splitlines() if "error: " in line]


class Ids(Answers):
    """Of a model of four layers whose random weights are so large that what was read matters."""

    def ids(self, ranks, **options):
        settings = {"generate__max_new_tokens": 50, "generate__decode_buffer": 7, "generate__stop_at_eos": "false",
                    "model__init_std": 0.3, **options}
        done = self.run_tool("lococo-generate", ranks, "--prompt-ids", PROMPT, "--ids", **settings)
        self.assertEqual(len(done.stdout.split()), 50)
        return done.stdout

    def test_stages_say_what_one_process_says_with_every_policy(self):
        answers = set()
        for policy, options in POLICIES.items():
            want = self.ids(1, **options)
            answers.add(want)
            for ranks in (2, 3):
                with self.subTest(policy=policy, ranks=ranks):
                    self.assertEqual(self.ids(ranks, **options), want)
        self.assertGreater(len(answers), 3)  # the policies keep something else each

    def test_drawn_tokens_are_those_of_the_last_stage_everywhere(self):
        options = {"generate__temperature": 1.0, "generate__top_k": 20, "generate__repetition_penalty": 1.3}
        self.assertEqual(self.ids(3, **options), self.ids(1, **options))

    def test_more_ranks_than_stages_are_refused_in_one_line(self):
        ask = ["--prompt-ids", "1", "--ids"]
        lines = self.lines_of_error("lococo-generate", 4, *ask, distributed__pipeline=2)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("lococo-generate runs as the stages of one model; start it with mpirun -np 2", lines[0])
        lines = self.lines_of_error("lococo-generate", 2, *ask, distributed__pipeline=1)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("lococo-generate runs as one process; start it without mpirun", lines[0])
        lines = self.lines_of_error("lococo-generate", 2, "--prompt-ids", "1 61", "--ids")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn('"61" is no token id', lines[0])


class Texts(Answers):
    """Of a model with a tokenizer."""

    def setUp(self):
        super().setUp()
        self.model = tiny_files.make_model(self.path("model"), scale=0.3)
        tiny_files.write_json(os.path.join(self.model, "tokenizer.json"), tiny_files.bpe_tokenizer())
        self.options = {"model__path": self.model, "cache__policy": "h2o", "generate__max_new_tokens": 30,
                        "generate__stop_at_eos": "false", "data__raw_dtype": "none", "log__level": "info"}

    def test_a_prompt_comes_from_standard_input(self):
        for ask in ([], ["--prompt-file", "-"]):
            one, two = (self.run_tool("lococo-generate", ranks, *ask, stdin="the sand of numbers " * 9, **self.options)
                        for ranks in (1, 2))
            self.assertEqual(one.stdout, two.stdout)
            self.assertGreater(len(one.stdout.strip()), 0)
            self.assertIn("30 tokens in ", two.stderr)

    def test_a_question_about_a_document(self):
        book = tiny_files.write_text(self.path("book.txt"), "the sand of numbers\n" * 30)
        ask = ["--document", book, "--question", "who"]
        one, two = (self.run_tool("lococo-generate", ranks, *ask, **self.options).stdout for ranks in (1, 2))
        self.assertEqual(one, two)

    def test_a_conversation_goes_on_from_turn_to_turn(self):
        book = tiny_files.write_text(self.path("book.txt"), "the sand of numbers\n" * 30)
        turns = "sand\nand then\n\n/reset\nsand\n/exit\nmore\n"
        for document in ([], ["--document", book]):
            one, two = (self.run_tool("lococo-generate", ranks, "--chat", *document, stdin=turns,
                                      generate__chat_template="none", **self.options) for ranks in (1, 2))
            self.assertEqual(one.stdout, two.stdout)
            self.assertEqual(two.stderr.count("30 tokens in "), 3, two.stderr)

    def test_what_all_ranks_find_is_one_line(self):
        lines = self.lines_of_error("lococo-generate", 2, "--prompt", "sand", "--question", "who", **self.options)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("is given too; remove one", lines[0])
        lines = self.lines_of_error("lococo-generate", 2, "--prompt-file", self.path("missing.txt"), **self.options)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("missing.txt", lines[0])
        lines = self.lines_of_error("lococo-eval", 2, eval__task="qa", eval__questions="missing.jsonl", **self.options)
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("missing.jsonl", lines[0])

    def samples(self, ranks, task, **options):
        path = self.path(f"{task} {ranks}.jsonl")
        self.run_tool("lococo-eval", ranks, eval__task=task, eval__samples=path, eval__batch=3,
                      eval__output=self.path(f"{task} {ranks}.json"), **self.options, **options)
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def questions(self, name, records):
        return tiny_files.write_text(self.path(name), "".join(json.dumps(record) + "\n" for record in records))

    def test_questions_get_the_answers_of_one_process(self):
        qa = self.questions("qa.jsonl", [{"context": f"sand {n} of the numbers " * (3 + n), "question": "Who came?",
                                          "answers": ["sand"]} for n in range(5)])
        want, got = (self.samples(ranks, "qa", eval__questions=qa) for ranks in (1, 2))
        self.assertEqual(len(want), 5)
        self.assertGreater(len({line["answer"] for line in want}), 1)
        for a, b in zip(want, got, strict=True):
            self.assertEqual((a["answer"], a["score"]), (b["answer"], b["score"]))

    def test_options_are_weighed_as_by_one_process(self):
        choices = self.questions("choice.jsonl", [
            {"context": f"sand {n} of the numbers " * (3 + n), "question": f"Which number follows {n}?",
             "options": [str(n - 1), str(n + 1), f"{n} sands"], "answer": 1} for n in range(5)])
        want, got = (self.samples(ranks, "choice", eval__questions=choices) for ranks in (1, 2))
        self.assertEqual(len(want), 5)
        for a, b in zip(want, got, strict=True):
            self.assertEqual(a.keys(), b.keys())
            self.assertEqual(a["score"], b["score"])

    def test_tables_are_those_of_one_process(self):
        tables = []
        for ranks in (1, 2):
            qa = self.questions("qa.jsonl", [{"context": "sand of the numbers " * 9, "question": "Who came?",
                                              "answers": ["sand"]}])
            self.samples(ranks, "qa", eval__questions=qa)
            with open(self.path(f"qa {ranks}.json"), encoding="utf-8") as file:
                tables.append(json.load(file)["cells"])
        self.assertEqual(*tables)


if __name__ == "__main__":
    main()
