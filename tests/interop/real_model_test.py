"""A real model (scripts/get_smollm2.sh) in the tools and in transformers: NLL and greedy answers.

Usage: real_model_test.py [MODEL [TEXT ...]], with the folder of the tools in LOCOCO_BIN. MODEL is
models/smollm2-135m without one, a TEXT this project's documentation. Skips where there is no model.
"""

import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from counted import main

ROOT = pathlib.Path(__file__).resolve().parents[2]
ARGUMENTS = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
MODEL = ARGUMENTS[0] if ARGUMENTS else str(ROOT / "models/smollm2-135m")
TEXTS = ARGUMENTS[1:]


def skip(reason):
    print(f"skipped: {reason}", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)


if not os.path.exists(os.path.join(MODEL, "config.json")):
    skip(f"no model at {os.path.relpath(MODEL)}; scripts/get_smollm2.sh makes it")
try:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    skip(f"{error}; install scripts/requirements.txt")

TOLERANCE = 1e-4  # nats, of a segment's mean
LENGTH = 1024
NEW_TOKENS = 200
PROMPT = ("The lighthouse stood at the end of a long spit of sand, and for forty years the same man "
          "had climbed its stairs every evening.")
QUESTION = "Why is the sky blue? Explain it to a child, and then to a physicist."


def tool(name, *arguments):
    command = [os.path.join(os.environ["LOCOCO_BIN"], name), f"model.path={MODEL}",
               "distributed.device=cpu", "data.add_bos=false", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


class RealModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
        cls.tokenizer = AutoTokenizer.from_pretrained(MODEL)
        cls.folder = tempfile.TemporaryDirectory(prefix="lococo-real-")
        cls.addClassCleanup(cls.folder.cleanup)

    def texts(self):
        if TEXTS:
            return TEXTS
        path = os.path.join(self.folder.name, "documentation.txt")
        pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md",
                 *map(pathlib.Path, sorted(glob.glob(str(ROOT / "docs/*.md"))))]
        pathlib.Path(path).write_text("\n".join(page.read_text() for page in pages))
        return [path]

    def test_texts_have_the_nll_of_transformers(self):
        for text in self.texts():
            with self.subTest(text=os.path.basename(text)):
                output = os.path.join(self.folder.name, os.path.basename(text) + ".jsonl")
                tool("lococo-eval", f"data.validation={text}", f"eval.lengths={LENGTH}",
                     f"eval.max_tokens={4 * LENGTH}", f"eval.per_token={output}",
                     f"data.cache_dir={self.folder.name}")
                segments = [json.loads(line) for line in open(output)]
                self.assertGreaterEqual(len(segments), 2)
                ids = self.tokenizer(pathlib.Path(text).read_text(),
                                     add_special_tokens=False)["input_ids"]
                for segment in segments:
                    window = torch.tensor([ids[segment["begin"]:segment["begin"] + LENGTH + 1]])
                    with torch.no_grad():
                        logits = self.model(input_ids=window[:, :-1]).logits
                    want = torch.nn.functional.cross_entropy(logits[0], window[0, 1:]).item()
                    got = sum(segment["nll"]) / len(segment["nll"])
                    self.assertLess(abs(got - want), TOLERANCE)
                print(f"{os.path.basename(text)}: {len(segments)} segments of {LENGTH}, "
                      f"the last {got:.6f}, transformers {want:.6f}")

    def greedy(self, ids):
        with torch.no_grad():
            made = self.model.generate(torch.tensor([ids]), max_new_tokens=NEW_TOKENS,
                                       do_sample=False)
        return made[0, len(ids):].tolist()

    def assert_same_ids(self, got, want, what):
        self.assertEqual(got, want)
        print(f"{what}: {len(got)} ids equal")

    def test_a_text_goes_on_as_in_transformers(self):
        want = self.greedy(self.tokenizer(PROMPT, add_special_tokens=False)["input_ids"])
        got = tool("lococo-generate", "--prompt", PROMPT, "--ids",
                   f"generate.max_new_tokens={NEW_TOKENS}")
        self.assert_same_ids([int(i) for i in got.split()], self.without_end(want), "text")

    def test_a_question_is_answered_as_in_transformers(self):
        if not self.tokenizer.chat_template:
            self.skipTest("the model has no chat template")
        ids = self.tokenizer.apply_chat_template([{"role": "user", "content": QUESTION}],
                                                 add_generation_prompt=True, return_dict=False)
        got = tool("lococo-generate", "--question", QUESTION, "--ids",
                   f"generate.max_new_tokens={NEW_TOKENS}")
        self.assert_same_ids([int(i) for i in got.split()], self.without_end(self.greedy(ids)),
                             "answer")

    def without_end(self, ids):
        """Our tools print no end token."""
        end = self.model.generation_config.eos_token_id
        ends = set(end if isinstance(end, list) else [end])
        for at, token in enumerate(ids):
            if token in ends:
                return ids[:at]
        return ids


if __name__ == "__main__":
    main(verbosity=2)
