"""lococo-generate as users run it: prompts, streaming, token ids, refusals; and what its command line shares.

usage: generate_test.py [MPIRUN] (LOCOCO_BIN names the folder of the tools)
"""

import os
import pathlib
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from counted import main

BIN = pathlib.Path(os.environ["LOCOCO_BIN"])
MPIRUN = sys.argv[1] if len(sys.argv) > 1 else ""
VOCABULARY = 3 + 256 + 1 + 26
CONFIG = f"""
model: {{init: {{vocab_size: {VOCABULARY}, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1,
               num_attention_heads: 4, max_position_embeddings: 4096}}}}
cache: {{policy: h2o, slots: 16, block: 16, buffer: 0}}
generate: {{max_new_tokens: 30, stop_at_eos: false, temperature: 1.0}}
distributed: {{device: cpu, threads: 1}}
"""


def field(number, value):
    """A field of a protocol buffer: bytes, or a number below 128."""
    head = number << 3 | (2 if isinstance(value, bytes) else 0)
    tag = bytes([head]) if head < 128 else bytes([head & 127 | 128, head >> 7])
    return tag + bytes([len(value)]) + value if isinstance(value, bytes) else tag + bytes([value])


def tokenizer_model():
    """SentencePiece: unknown, BOS, EOS, every byte, space, a ... z."""
    def piece(text, kind):
        return field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", -1.0) + field(3, kind))
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3)] + [(f"<0x{byte:02X}>", 6) for byte in range(256)]
    pieces += [(letter, 1) for letter in "\u2581abcdefghijklmnopqrstuvwxyz"]
    assert len(pieces) == VOCABULARY
    return b"".join(piece(*entry) for entry in pieces) + field(2, field(35, 1))


class Tools(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lococo-generate-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.config, self.tokenizer = self.folder / "config.yaml", self.folder / "tokenizer.model"
        self.config.write_text(CONFIG, encoding="ascii")
        self.tokenizer.write_bytes(tokenizer_model())

    def run_tool(self, *arguments, tool="lococo-generate", stdin=b"", **options):
        return subprocess.run([BIN / tool, self.config, *arguments], input=stdin, capture_output=True,
                              timeout=120, check=False, **options)

    def generate(self, *arguments, **options):
        done = self.run_tool(f"data.tokenizer={self.tokenizer}", *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def refused(self, *arguments, **options):
        """The line of a refusal, without the log's lines before it."""
        done = self.run_tool(*arguments, **options)
        self.assertEqual(done.returncode, 2, done.stderr.decode())
        errors = [line for line in done.stderr.decode().splitlines() if not line.startswith("[")]
        self.assertEqual(len(errors), 1, done.stderr.decode())
        self.assertIn(": error: ", errors[0])
        self.assertNotIn("internal", errors[0])
        return errors[0]


class Prompts(Tools):
    def test_every_way_to_give_a_prompt_gives_the_same_text(self):
        for prompt in ("null", "'Twas @home: *No. 7* #street", "x" * 300 + "\ntwo lines\n"):
            with self.subTest(prompt=prompt[:20]):
                file = self.folder / "prompt.txt"
                file.write_text(prompt, encoding="ascii")
                want = self.generate("--prompt", prompt)
                self.assertEqual(self.generate(f"generate.prompt={prompt}"), want)
                self.assertEqual(self.generate("--prompt-file", file), want)
                self.assertEqual(self.generate("-", stdin=prompt.encode()), want)
                self.assertEqual(self.generate(stdin=prompt.encode()), want)

    def test_token_ids_need_no_tokenizer(self):
        # BOS, and the space that SentencePiece puts before a text.
        ids = [1, 259, *(260 + ord(letter) - ord("a") for letter in "abc")]
        want = self.generate("--prompt", "abc", "--ids")
        self.assertEqual(len(want.split()), 30)
        file = self.folder / "ids.txt"
        file.write_text("\n".join(map(str, ids)), encoding="ascii")
        for given in (" ".join(map(str, ids)), str(ids), file):
            done = self.run_tool("--prompt-ids", given, "--ids")
            self.assertEqual((done.returncode, done.stdout), (0, want), done.stderr)
        self.assertIn("token ids", self.refused("--prompt-ids", "1 2"))

    def test_what_cannot_be_continued_is_one_line(self):
        tokenizer = f"data.tokenizer={self.tokenizer}"
        self.assertIn("is given too", self.refused(tokenizer, "--prompt", "a", "--prompt-ids", "1"))
        self.assertIn("is empty", self.refused(tokenizer, "data.add_bos=false"))
        for flag, key in (("--question", "question"), ("--prompt", "prompt"), ("--prompt-file", "prompt_file"),
                          ("--prompt-ids", "prompt_ids"), ("--document", "document")):
            line = self.refused(tokenizer, flag, "", stdin=b"a text that nobody asked for")
            self.assertIn(f"generate.{key} ({flag}): is empty; ", line)
        self.assertIn("UTF-8", self.refused(tokenizer, stdin=b"a\xff"))
        self.assertIn(f'"{VOCABULARY}" is no token id', self.refused("--ids", "--prompt-ids", str(VOCABULARY)))
        self.assertIn("--prompt-ids", self.refused("--prompt", "a"))
        self.assertIn("did you mean --prompt?", self.refused("--promt", "a"))

    def test_another_models_tokenizer_is_refused_before_anything_is_loaded(self):
        small = f"model.init.vocab_size={VOCABULARY - 1}"
        text = self.folder / "a.txt"
        text.write_text("abc", encoding="ascii")
        tokenizer, data = f"data.tokenizer={self.tokenizer}", [f"data.train={text}", f"data.validation={text}"]
        for tool, more in (("lococo-generate", ["--prompt", "a"]), ("lococo-eval", data), ("lococo-prepare", data),
                           ("lococo-train", [*data, f"train.output={self.folder / 'run'}"])):
            with self.subTest(tool=tool):
                line = self.refused(small, tokenizer, *more, tool=tool)
                self.assertIn("is it the model's own?", line)
                self.assertEqual(sorted(path.name for path in self.folder.glob("*.tokens")), [])


class Output(Tools):
    def test_text_appears_while_it_is_made_and_a_closed_pipe_is_one_line(self):
        command = [BIN / "lococo-generate", self.config, f"data.tokenizer={self.tokenizer}", "--prompt", "abc",
                   "generate.max_new_tokens=1000000", "log.level=error"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(len(process.stdout.read(200)), 200)
        self.assertIsNone(process.poll(), "the text came when all was over")
        process.stdout.close()
        error = process.stderr.read().decode()
        process.stderr.close()
        self.assertEqual(process.wait(timeout=60), 2)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertIn("standard output", error)

    def test_the_text_is_valid_utf8_and_ends_with_a_newline(self):
        text = self.generate("--prompt", "abc", "generate.temperature=3", "generate.max_new_tokens=500")
        self.assertIn("\ufffd", text.decode("utf-8"))  # bytes that are no character
        self.assertTrue(text.endswith(b"\n"))

    def test_the_log_says_what_ran_and_how_fast(self):
        log = self.run_tool(f"data.tokenizer={self.tokenizer}", "--prompt", "a" * 100).stderr.decode()
        self.assertIn("no adapter, cache policy h2o: 16 slots a layer", log)
        self.assertRegex(log, r"30 tokens in .* tokens/s\) after a prompt of 102 in .* tokens/s\)")
        self.assertIn("cache of 81 slots a layer, ", log)
        self.assertNotIn("max_new_tokens:", log)

    def test_figures_come_after_the_texts_newline(self):
        done = subprocess.run([BIN / "lococo-generate", self.config, "--prompt-ids", "1", "--ids"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=True)
        self.assertRegex(done.stdout.decode().splitlines()[-1], r"^\[.*30 tokens in ")

    def test_a_prompt_beyond_the_bases_positions_is_warned_of(self):
        arguments = [f"data.tokenizer={self.tokenizer}", "model.init.max_position_embeddings=50", "--prompt", "a" * 100]
        self.assertIn("positions of the base", self.run_tool("cache.policy=none", *arguments).stderr.decode())
        self.assertNotIn("positions of the base", self.run_tool("cache.keys=unrotated", *arguments).stderr.decode())


class Shared(Tools):
    def test_the_effective_config_is_a_file_or_asked_for(self):
        text, run = self.folder / "a.txt", self.folder / "run"
        text.write_text("a long story of nothing " * 40, encoding="ascii")
        data = [f"data.train={text}", f"data.validation={text}", f"data.tokenizer={self.tokenizer}", "tune.embed=1e-3",
                "data.context_length=64", "train.steps=1", "train.sequences_per_step=1", "log.tensorboard=false"]
        done = self.run_tool(*data, f"train.output={run}", tool="lococo-train")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn(f"{run}/config.yaml", done.stderr.decode())
        self.assertNotIn("max_new_tokens", done.stderr.decode())
        self.config = run / "config.yaml"
        done = self.run_tool("eval.lengths=64", tool="lococo-eval")
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertIn("64", done.stdout.decode())
        done = self.run_tool("eval.lengths=64", "--debug", tool="lococo-eval")
        self.assertIn("max_new_tokens", done.stderr.decode())

    def test_too_little_memory_is_one_line(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (48 << 30, 48 << 30))
        line = self.refused("model.init.vocab_size=1000000", "model.init.hidden_size=16384", "--prompt-ids", "1", "--ids",
                            preexec_fn=limit)
        self.assertIn("memory", line)

    @unittest.skipUnless(MPIRUN, "no mpirun")
    def test_under_mpirun_generation_is_refused(self):
        done = subprocess.run([MPIRUN, "-np", "2", "--oversubscribe", "--bind-to", "none", BIN / "lococo-generate",
                               self.config, "--prompt-ids", "1", "--ids"], capture_output=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 2, done.stderr.decode())
        self.assertIn("lococo-generate runs as one process", done.stderr.decode())

    def test_every_tools_help_fits_one_screen(self):
        for tool in ("prepare", "train", "eval", "export", "generate", "bench"):
            with self.subTest(tool=tool):
                done = subprocess.run([BIN / f"lococo-{tool}", "--help"], capture_output=True, text=True, check=True)
                lines = done.stdout.splitlines()
                self.assertLessEqual(len(lines), 40)
                self.assertLessEqual(max(map(len, lines)), 100)
                self.assertIn("Examples:", lines)
                self.assertIn("--reference", done.stdout)


if __name__ == "__main__":
    main()
