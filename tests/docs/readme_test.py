#!/usr/bin/env python3
"""README's own commands, as they stand there, on a model small enough for a test.

Every block fenced as `sh` in the section "Your own model" is run from top to bottom, line by line, in
one folder; MODEL, TEXTS and HELD_OUT are what the text says they are.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from counted import main
import tiny_files

SOURCE = pathlib.Path(os.environ["LOCOCO_SOURCE"])
README = (SOURCE / "README.md").read_text(encoding="utf-8")


def section(title):
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return match.group(1) if match else ""


def shell_commands(text):
    """The lines of all blocks fenced as sh."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def make_world(folder):
    """A model with its tokenizer, texts for it, and the configs; the environment of the commands."""
    model = tiny_files.make_model(str(folder / "model"), max_position_embeddings=4096)
    shutil.copy(tiny_files.make_tokenizer(str(folder)), folder / "model" / "tokenizer.model")
    subprocess.run([sys.executable, SOURCE / "scripts" / "make_corpus.py", folder / "corpus"],
                   check=True, capture_output=True)
    (folder / "configs").symlink_to(SOURCE / "configs")
    return {**os.environ, "MODEL": model, "TEXTS": str(folder / "corpus" / "train.jsonl"),
            "HELD_OUT": str(folder / "corpus" / "validation.jsonl"),
            "PATH": os.environ["LOCOCO_BIN"] + os.pathsep + os.environ["PATH"]}


class Readme(unittest.TestCase):

    def test_the_commands_for_a_model_of_ones_own_run_from_top_to_bottom(self):
        if shutil.which("spm_train") is None:
            self.skipTest("spm_train is not installed")
        commands = shell_commands(section("Your own model"))
        self.assertGreaterEqual(len(commands), 4)
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            environment = make_world(folder)
            for command in commands:
                with self.subTest(command=command):
                    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder,
                                          env=environment, stdin=subprocess.DEVNULL, timeout=400,
                                          capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr[-2000:])
            self.assertTrue((folder / "exported" / "model.safetensors").is_file())

    def test_the_two_commands_exist_and_explain_themselves(self):
        self.assertIn("./scripts/demo.sh", section("Two commands"))
        self.assertIn("./scripts/test.sh", section("Two commands"))
        for script in ("demo.sh", "test.sh"):
            self.assertTrue(os.access(SOURCE / "scripts" / script, os.X_OK))
        done = subprocess.run([SOURCE / "scripts" / "demo.sh", "--help"], capture_output=True,
                              text=True, check=True)
        self.assertIn("Usage", done.stdout)

    def test_every_file_that_is_linked_exists(self):
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README)
        self.assertGreater(len(links), 4)
        for link in links:
            self.assertTrue((SOURCE / link).exists(), link)

    def test_it_stays_a_first_page(self):
        self.assertLessEqual(README.count("\n"), 160)


if __name__ == "__main__":
    main()
