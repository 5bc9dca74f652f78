"""Files that say tokenizer.json and are none, contradict themselves or ask for too much."""

import json
import os

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest

DEEP = "[" * 300_000 + "]" * 300_000
HUGE = 10 ** 30
SURROGATE = '"\\ud800"'


def member(path, value):
    """A change that gives one member, by the names on its way, another value."""
    def change(file):
        *way, last = path
        for name in way:
            file = file[name]
        file[last] = value
    return change


def without(*path):
    def change(file):
        *way, last = path
        for name in way:
            file = file[name]
        del file[last]
    return change


def pattern(regex):
    return member(("pre_tokenizer", "pretokenizers", 0, "pattern", "Regex"), regex)


def nested_sequence(depth):
    def change(file):
        for _ in range(depth):
            file["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [file["pre_tokenizer"]]}
    return change


def many(*changes):
    def change(file):
        for each in changes:
            each(file)
    return change


# What tokenizers would not read either, or would read as something else.
BROKEN = {
    "an object without anything": lambda file: file.clear(),
    "no model": without("model"),
    "no vocabulary": without("model", "vocab"),
    "no merges": without("model", "merges"),
    "no decoder": without("decoder"),
    "no pre-tokenizer": without("pre_tokenizer"),
    "a model that is a list": member(("model",), []),
    "a vocabulary that is a list": member(("model", "vocab"), ["a", "b"]),
    "an empty vocabulary": many(member(("model", "vocab"), {}), member(("model", "merges"), []),
                                member(("added_tokens",), [])),
    "an id that is a text": member(("model", "vocab", "the"), "257"),
    "an id that is negative": member(("model", "vocab", "the"), -257),
    "an id with a fraction": member(("model", "vocab", "the"), 257.5),
    "an id of ten digits": member(("model", "vocab", "the"), 4_000_000_000),
    "an id beyond 64 bits": member(("model", "vocab", "the"), HUGE),
    "an id that is null": member(("model", "vocab", "the"), None),
    "one id for two tokens": member(("model", "vocab", "the"), 97),
    "merges that are an object": member(("model", "merges"), {"t": "h"}),
    "a merge of one token": member(("model", "merges", 0), ["t"]),
    "a merge of three tokens": member(("model", "merges", 0), ["t", "h", "e"]),
    "a merge without a space": member(("model", "merges", 0), "th"),
    "a merge that is a number": member(("model", "merges", 0), 7),
    "a merge with null": member(("model", "merges", 0), ["t", None]),
    "a merge of a token that is not there": member(("model", "merges", 0), ["q", "zz"]),
    "a merge into a token that is not there": member(("model", "merges", 0), ["q", "q"]),
    "added tokens that are an object": member(("added_tokens",), {"a": 1}),
    "an added token that is a text": member(("added_tokens", 0), "<|endoftext|>"),
    "an added token without an id": without("added_tokens", 0, "id"),
    "an added token with a hole before it": member(("added_tokens", 0, "id"), 4000),
    "an added token with a huge id": member(("added_tokens", 0, "id"), 1 << 62),
    "an added token that is empty": member(("added_tokens", 0, "content"), ""),
    "an added token with a flag that is 1": member(("added_tokens", 0, "special"), 1),
    "a model of another kind": member(("model", "type"), "Unigram"),
    "a model whose kind is a number": member(("model", "type"), 3),
    "a kind of a megabyte": member(("model", "type"), "x" * 1_000_000),
    "a normalizer": member(("normalizer",), {"type": "NFKC"}),
    "a normalizer that is a text": member(("normalizer",), "NFC"),
    "an unknown pre-tokenizer": member(("pre_tokenizer",), {"type": "Whitespace"}),
    "a sequence of nothing": member(("pre_tokenizer", "pretokenizers"), []),
    "another decoder": member(("decoder",), {"type": "Metaspace"}),
    "an unknown post-processor": member(("post_processor",), {"type": "RobertaProcessing"}),
    "a template without the text": member(("post_processor", "single"), []),
    "a template of a token that is not there": member(("post_processor", "special_tokens"), {}),
    "a template with an id beyond the vocabulary": member(
        ("post_processor", "special_tokens", "<|endoftext|>", "ids"), [100_000]),
    "dropout": member(("model", "dropout"), 0.5),
    "dropout that is a text": member(("model", "dropout"), "0"),
    "a prefix of subwords": member(("model", "continuing_subword_prefix"), "##"),
    "an unknown behavior": member(("pre_tokenizer", "pretokenizers", 0, "behavior"), "Sometimes"),
    "a pattern that is a list": pattern(["a"]),
    "a pattern that does not end": pattern("(a"),
    "a pattern of a million brackets": pattern("(?:" * 1_000_000),
    "a pattern that repeats a repetition": pattern("(((a{60000}){60000}){60000})"),
    "a pattern with an anchor": pattern("^a"),
    "a pattern with the code of another language": pattern("(?{ system('x') })"),
    "a pattern of a script that is not there": pattern(r"\p{Klingon}"),
    "ninety sequences within each other": nested_sequence(90),
}
WORKS = {
    "nothing is changed": lambda file: None,
    "ten sequences within each other": nested_sequence(10),
    "names that nobody knows": member(("comment",), {"a": ["b"]}),
    "a hole in the ids": many(without("model", "vocab", "\u00ff"), member(("added_tokens", 0, "id"), 260),
                              without("model", "vocab", "and"), without("model", "merges", 4),
                              member(("model", "vocab", "far"), 4_000_000),
                              member(("post_processor", "special_tokens", "<|endoftext|>", "ids"), [260])),
    "a pattern that matches nothing": pattern("x?"),
}


class TokenizerJson(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.texts = tiny.write_text(cls.path("texts.txt"), "the land and the sea\n" + "a" * 5000 + "\n \u00ff")
        cls.made = 0

    def case(self, name, text, **options):
        TokenizerJson.made += 1
        folder = self.path(f"case{self.made}")
        os.mkdir(folder)
        path = os.path.join(folder, "tokenizer.json")
        tiny.write_bytes(path, text if isinstance(text, bytes) else text.encode())
        options.setdefault("mentions", (path,))
        return Case(name, "prepare", ["data.tokenizer=" + path, "data.train=" + self.texts,
                                      "data.cache_dir=" + folder], **options)

    def changed(self, changes, **options):
        cases = []
        for name, change in changes.items():
            file = tiny.bpe_tokenizer()
            change(file)
            cases.append(self.case(name, json.dumps(file), **options))
        self.check(cases)

    def test_files_that_contradict_themselves(self):
        self.changed(BROKEN)

    def test_files_that_are_odd_and_good(self):
        self.changed(WORKS, answer="works")

    def test_texts_that_are_no_such_file(self):
        text = json.dumps(tiny.bpe_tokenizer())
        twice = text.replace('"the": 257', '"the": 257, "the": 257')
        assert twice != text
        cases = [self.case(f"cut to {part} of 8", text[:len(text) * part // 8]) for part in range(8)]
        cases += [
            self.case("without its last bracket", text[:-1]),
            self.case("with something behind it", text + "x"),
            self.case("a list", "[" + text + "]"),
            self.case("a number", "7"),
            self.case("a token given twice", twice),
            self.case("300,000 levels deep", DEEP),
            self.case("a member 300,000 levels deep", text.replace('"truncation": null', '"truncation": ' + DEEP)),
            self.case("half a surrogate pair", text.replace('"BPE"', SURROGATE)),
            self.case("bytes that are no UTF-8", text.encode().replace(b'"BPE"', b'"B\xff"')),
            self.case("zeros", bytes(10_000)),
            self.case("a SentencePiece model's first bytes", b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02"),
        ]
        self.check(cases)

    def test_a_byte_here_and_there_is_another(self):
        """Whatever a byte says in other places: refused in one line, or a tokenizer."""
        text = json.dumps(tiny.bpe_tokenizer())
        cases = []
        for number in range(20):
            at = len(text) * number // 20 + number
            for byte in '"]':
                cases.append(self.case(f"{byte} at byte {at}", text[:at] + byte + text[at + 1:], answer="either"))
        self.check(cases)

    def test_a_pattern_that_never_ends(self):
        file = tiny.bpe_tokenizer()
        pattern("(?:a|aa)+[bc]")(file)
        self.check([self.case("a pattern of exponential time", json.dumps(file), mentions=("pattern",))])

    def test_a_folder_that_says_tokenizer_json(self):
        os.makedirs(self.path("model", "tokenizer.json"))
        self.check([Case("tokenizer.json is a folder", "prepare",
                         ["model.path=" + self.path("model"), "data.train=" + self.texts],
                         mentions=("tokenizer.json",))])


if __name__ == "__main__":
    main()
