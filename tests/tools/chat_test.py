"""lococo-generate in conversation: turns from a pipe and from a terminal, documents, refusals.

usage: chat_test.py (LOCOCO_BIN names the folder of the tools)
"""

import json
import os
import pty
import re
import signal
import subprocess
import unittest

from counted import main
from generate_test import BIN, Tools


class Chat(Tools):
    def setUp(self):
        super().setUp()
        self.book = self.folder / "book.txt"
        self.book.write_text("a long story of nothing at all\n" * 40, encoding="ascii")
        self.arguments = [f"data.tokenizer={self.tokenizer}", "generate.chat_template=llama-2"]

    def talk(self, lines, *arguments):
        """Everything that is printed, and the log."""
        done = self.run_tool(*self.arguments, "--chat", *arguments, stdin=lines.encode())
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout, done.stderr.decode()


class Pipe(Chat):
    def test_each_line_gets_an_answer_and_a_line_about_it(self):
        one, _ = self.talk("hello\n")
        two, log = self.talk("hello\nand then\n")
        self.assertTrue(one.endswith(b"\n"))
        self.assertTrue(two.startswith(one))
        self.assertGreater(len(two), len(one))
        seen = [int(count) for count in re.findall(r"30 tokens in .* slots a layer, (\d+) tokens so far", log)]
        self.assertEqual(len(seen), 2, log)
        # The second turn reads itself, BOS and EOS, and the token that the first answer was cut at.
        turn = len("_[INST] and then [/INST]")
        self.assertEqual(seen[1] - seen[0], 1 + 1 + 1 + turn + 29)
        self.assertIn(f"after {turn + 3} new ones", log)
        self.assertNotIn("> ", log)

    def test_the_end_of_input_ends_it(self):
        self.assertEqual(self.talk("")[0], b"")
        self.assertEqual(self.talk("hello\n/exit\nmore\n")[0], self.talk("hello")[0])

    def test_a_document_is_read_before_questions(self):
        plain, _ = self.talk("who\n")
        about, log = self.talk("who\nand then\n", "--document", self.book)
        self.assertNotEqual(about[:len(plain)], plain)
        seen = [int(count) for count in re.findall(r", (\d+) tokens so far", log)]
        self.assertGreater(seen[0], len(self.book.read_text()))
        self.assertLess(seen[1] - seen[0], 100)
        self.assertEqual(len(re.findall("of 81 slots a layer", log)), 2)
        # A cache is compressed between a document and its question: without a policy nothing depends on it.
        document = ["cache.policy=none", "--document", self.book]
        once = self.run_tool(*self.arguments, *document, "--question", "who")
        self.assertEqual(once.returncode, 0, once.stderr.decode())
        self.assertEqual(self.talk("who\n", *document)[0], once.stdout)

    def test_a_document_beyond_the_positions_is_told_before_it_is_read(self):
        short = ["model.init.max_position_embeddings=64", "--document", self.book]
        _, log = self.talk("who\nand then\n", *short)
        self.assertEqual(log.count("more than the 64 positions of the base"), 1, log)
        self.assertLess(log.index("generate.document: "), log.index("cache policy"), log)

    def test_stop_texts_end_an_answer(self):
        whole = self.generate("--prompt", "abc", "generate.max_new_tokens=300").decode()
        stop = next(char for char in whole if char.isascii() and char.isalpha())
        got = self.generate("--prompt", "abc", "generate.max_new_tokens=300", f"generate.stop=[{stop}]").decode()
        self.assertEqual(got, whole[:whole.index(stop)] + "\n")


class Refusals(Chat):
    def test_a_template_that_is_not_known_is_refused_by_file_with_those_that_are(self):
        config = self.folder / "tokenizer_config.json"
        config.write_text(json.dumps({"chat_template": "{{ messages }}"}), encoding="ascii")
        line = self.refused(f"data.tokenizer={self.tokenizer}", "--chat", stdin=b"hello\n")
        self.assertIn(f"{config}: chat_template", line)
        self.assertIn("llama-2, llama-3, chatml, longlora, plain or none", line)

    def test_what_is_no_conversation_is_one_line(self):
        chat = [*self.arguments, "--chat"]
        self.assertIn("is given too", self.refused(*chat, "--prompt", "a"))
        self.assertIn("generate.output", self.refused(*chat, "--ids"))
        self.assertIn("standard input", self.refused(*chat, "--document", "-"))
        self.assertIn("UTF-8", self.refused(*chat, stdin=b"a\xff\n"))
        self.assertIn("<|im_start|>", self.refused(*chat, "generate.chat_template=chatml"))
        self.assertIn("generate.chat_template", self.refused(*chat, "generate.chat_template=chatlm"))
        self.assertIn("--question", self.refused(*self.arguments, "--document", self.book))
        self.assertIn("data.tokenizer", self.refused("--chat", stdin=b"hello\n"))
        self.assertIn("generate.stop", self.refused(*self.arguments, "--prompt", "a", "generate.stop=[\"\"]"))


class Terminal(Chat):
    def start(self, *arguments):
        self.master, terminal = pty.openpty()
        self.addCleanup(os.close, self.master)
        process = subprocess.Popen([BIN / "lococo-generate", self.config, *self.arguments, "--chat", *arguments],
                                   stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(terminal)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        return process

    def test_ctrl_c_ends_an_answer_and_the_conversation_goes_on(self):
        process = self.start("generate.max_new_tokens=100000000")
        os.write(self.master, b"hello\n")
        self.assertEqual(len(process.stdout.read(100)), 100)
        process.send_signal(signal.SIGINT)
        log = b""
        while b"tokens so far" not in log:
            log = process.stderr.readline()
            self.assertTrue(log, "the process is gone")
        self.assertIn(b"; cut", log)
        os.write(self.master, b"/exit\n")
        process.stdout.read()
        self.assertEqual(process.wait(timeout=60), 0)

    def test_ctrl_c_at_the_prompt_ends_the_process(self):
        process = self.start()
        while b", cache policy " not in process.stderr.readline():
            pass
        self.assertEqual(process.stderr.read(2), b"> ")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), -signal.SIGINT)


if __name__ == "__main__":
    main()
