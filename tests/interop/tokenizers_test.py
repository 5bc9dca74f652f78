"""Our byte-level BPE against the package tokenizers: the same ids, the same decoded text.

Usage: tokenizers_test.py INTEROP_TOKENIZE [TEXTS [TOKENIZER_JSON...]]; TEXTS (2000) texts for each
tokenizer. The test trains and writes its own tokenizer.json files; those named are tested as well.
Exit code 4: tokenizers is not installed.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

from counted import main
from fuzz_texts import Texts

try:
    from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors,
                            trainers)
except ImportError as error:
    print(f"skipped: {error}; install scripts/requirements.txt", file=sys.stderr)
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(4)

TOOL = sys.argv[1] if len(sys.argv) > 1 else ""
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
FILES = sys.argv[3:]
SHOWN = 3  # differences in a message

LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>"]
BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def gpt_2(add_prefix_space=False):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)


def smollm(individual_digits=True, add_prefix_space=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=individual_digits),
                                    gpt_2(add_prefix_space)])


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, behavior, invert), BYTE_LEVEL])


def train(texts, pre_tokenizer, alphabet=None, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet
    known = SPECIAL_TOKENS + ([options["unk_token"]] if "unk_token" in options else [])
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1500, special_tokens=known, initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def llama_3(texts):
    tokenizer = train(texts, split(Regex(LLAMA_3)), ignore_merges=True)
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin} $B:1",
                                      special_tokens=[(begin, tokenizer.token_to_id(begin))])])
    return tokenizer


def with_added_tokens(tokenizer):
    """Every flag, tokens within tokens, one that is in the model and one with a character that the
    alphabet of bytes lacks."""
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True),
                                  AddedToken("<tool", rstrip=True, normalized=True, special=True)])
    tokenizer.add_tokens([AddedToken("word", single_word=True), AddedToken("<tool call>", rstrip=True, lstrip=True),
                          AddedToken("@@name", normalized=False), AddedToken("@@", single_word=True, lstrip=True),
                          AddedToken("the"), AddedToken("か か", normalized=False)])
    return tokenizer


def without_some_bytes(texts, **options):
    """A vocabulary that has learned only the bytes of plain words."""
    plain = [text for text in texts if text.isascii()]
    return train(plain, gpt_2(), alphabet=[], unk_token="<unk>", **options)


def all_tokenizers(texts):
    yield "GPT-2", train(texts, gpt_2())
    yield "GPT-2 with a space in front", train(texts, gpt_2(True))
    yield "Llama-3", llama_3(texts)
    yield "SmolLM", train(texts, smollm())
    yield "numbers together, a space in front of each piece", train(texts, smollm(False, True))
    yield "added tokens", with_added_tokens(train(texts, gpt_2()))
    yield "unknown bytes", without_some_bytes(texts)
    yield "unknown bytes, fused", without_some_bytes(texts, fuse_unk=True)
    for behavior in ("removed", "merged_with_previous", "merged_with_next", "contiguous"):
        yield "split, " + behavior, train(texts, split(Regex(r"\s|\p{P}"), behavior))
    yield "split, inverted", train(texts, split(Regex(r"\w+|[^\w\s]"), "removed", True))
    yield "split at nothing", train(texts, split(Regex(r"(?<=[a-z])(?=[A-Z])|\d?"), "isolated"))
    yield "split at a text", train(texts, split("a+", "merged_with_next"))


class Ours:
    """Many requests in one run of the driver (tokenize.cpp)."""

    def __init__(self, path):
        self.path = path

    def ask(self, kind, payloads):
        request = b"".join(kind + struct.pack("<I", len(payload)) + payload for payload in payloads)
        done = subprocess.run([TOOL, self.path], input=request, capture_output=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode(errors="replace"))
        answers, at = [], 0
        for _ in payloads:
            (count,) = struct.unpack_from("<I", done.stdout, at)
            ids = list(struct.unpack_from(f"<{count}i", done.stdout, at + 4))
            at += 4 + 4 * count
            (size,) = struct.unpack_from("<I", done.stdout, at)
            answers.append((ids, done.stdout[at + 4:at + 4 + size].decode("utf-8")))
            at += 4 + size
        return answers


def their_ids(tokenizer, texts):
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def pack(ids):
    return struct.pack(f"<{len(ids)}i", *ids)


class TokenizersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="lococo-tokenizers-")
        cls.addClassCleanup(folder.cleanup)
        source = Texts(seed=1)
        training = [source.sentence() for _ in range(3000)] + [source.draw() for _ in range(1000)]
        cls.tokenizers = []
        for name, tokenizer in all_tokenizers(training):
            path = os.path.join(folder.name, f"{len(cls.tokenizers)}.json")
            tokenizer.save(path)
            cls.tokenizers.append((name, tokenizer, path))
        cls.tokenizers += [(path, Tokenizer.from_file(path), path) for path in FILES]
        cls.source = Texts(seed=2)
        cls.texts = [cls.source.draw() for _ in range(COUNT)]

    def expect_equal(self, what, inputs, ours, theirs):
        different = [(given, mine, other) for given, mine, other in zip(inputs, ours, theirs, strict=True)
                     if mine != other]
        print(f"{what}: {len(inputs)} compared, {len(different)} differ")
        if different:
            self.fail(f"{what}: {len(different)} of {len(inputs)} differ: " +
                      "; ".join(f"{given!r}: ours {mine}, theirs {other}" for given, mine, other in different[:SHOWN]))

    def check(self, name, tokenizer, path, kind, texts):
        answers = Ours(path).ask(kind, [text.encode() for text in texts])
        theirs = their_ids(tokenizer, texts)
        self.expect_equal(name + ", ids", texts, [ids for ids, _ in answers], theirs)
        self.expect_equal(name + ", decoded", texts, [text for _, text in answers],
                          tokenizer.decode_batch(theirs, skip_special_tokens=False))

    def test_ids_and_decoded_texts_are_equal(self):
        for name, tokenizer, path in self.tokenizers:
            with self.subTest(name):
                self.check(name, tokenizer, path, b"e", self.texts)

    def test_special_tokens_as_ordinary_text(self):
        texts = [self.source.tokens() for _ in range(COUNT // 4)]
        for name, tokenizer, path in self.tokenizers:
            with self.subTest(name):
                tokenizer.encode_special_tokens = True
                self.check(name + ", ordinary", tokenizer, path, b"o", texts)
                tokenizer.encode_special_tokens = False

    def test_bytes_that_are_no_text(self):
        spoiled = [self.source.spoiled() for _ in range(COUNT // 4)]
        for name, tokenizer, path in self.tokenizers[:4]:
            with self.subTest(name):
                answers = Ours(path).ask(b"e", spoiled)
                repaired = [data.decode("utf-8", errors="replace") for data in spoiled]
                self.expect_equal(name + ", invalid bytes", spoiled, [ids for ids, _ in answers],
                                  their_ids(tokenizer, repaired))

    def test_any_ids_decode_alike(self):
        choice = self.source.random
        for name, tokenizer, path in self.tokenizers:
            with self.subTest(name):
                size = tokenizer.get_vocab_size()
                lists = [[choice.randrange(choice.choice((300, size))) % size for _ in range(choice.randrange(12))]
                         for _ in range(COUNT // 4)]
                answers = Ours(path).ask(b"d", [pack(ids) for ids in lists])
                self.expect_equal(name + ", any ids", lists, [text for _, text in answers],
                                  tokenizer.decode_batch(lists, skip_special_tokens=False))

    def test_what_stands_before_a_text_and_ends_one(self):
        for name, tokenizer, path in self.tokenizers:
            with self.subTest(name):
                ((begin, end, size), _), = Ours(path).ask(b"i", [b""])
                before = tokenizer.encode("", add_special_tokens=True).ids
                self.assertEqual([begin] if begin >= 0 else [], before)
                self.assertEqual(end, tokenizer.token_to_id("<|endoftext|>"))
                self.assertEqual(size, tokenizer.get_vocab_size())

    def test_merges_written_as_texts(self):
        """As files were until 2024."""
        name, tokenizer, path = self.tokenizers[0]
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        content["model"]["merges"] = ["#version: 0.2"] + [" ".join(pair) for pair in content["model"]["merges"]]
        older = path + ".older.json"
        with open(older, "w", encoding="utf-8") as file:
            json.dump(content, file)
        self.check(name + ", merges as texts", tokenizer, older, b"e", self.texts[:500])


if __name__ == "__main__":
    main()
