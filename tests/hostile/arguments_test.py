"""Arguments of any length, and paths that no file system takes."""

import os

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest

LENGTHS = (245, 256, 300, 5_000, 100_000)
LONG = "n" * 300


class Arguments(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.tokenizer = tiny.make_tokenizer(cls.folder)

    def test_an_override_of_any_length_works(self):
        dry = ["data.raw_dtype=uint16", "data.train=" + self.tiny.tokens, "--dry-run"]
        cases = [Case(f"a dry run with a text of {length} characters", "prepare",
                      [*dry, "data.text_field=" + "a" * length], answer="either",
                      mentions=("data.text_field",))
                 for length in LENGTHS]
        cases += [Case(f"a dry run with a path of {length} characters", "prepare",
                       [*dry, "train.output=" + "folder/" * (length // 7)],
                       answer="either", mentions=("train.output",)) for length in LENGTHS]
        cases.append(Case("an unknown key of 300 characters", "prepare", [*dry, LONG + "=5"],
                          mentions=("nnn",)))
        if self.tokenizer:
            cases += [Case(f"a prompt of {length} characters", "generate", self.tiny.generate(
                "data.tokenizer=" + self.tokenizer,
                "generate.prompt=" + "ramon loset " * (length // 12 + 1)), answer="works")
                for length in (300, 5_000)]
        self.check(cases)

    def keys_with_paths(self):
        """(key, tool, arguments without that key)"""
        for key in ("model.path", "model.adapter", "data.validation", "eval.output"):
            yield key, "eval", self.tiny.eval
        for key in ("train.output", "train.resume", "data.train"):
            yield key, "train", self.tiny.train
        yield "export.output", "export", self.tiny.export
        for key in ("bench.output", "bench.trace"):
            yield key, "bench", lambda *more: self.tiny.bench("prefill", *more)
        if self.tokenizer:
            tokenizer, text = "data.tokenizer=" + self.tokenizer, self.path("text.txt")
            tiny.write_text(text, "words and words\n")
            yield "data.tokenizer", "prepare", lambda *more: ["data.train=" + text, *more]
            yield "data.train", "prepare", lambda *more: [tokenizer, *more]
            yield "data.cache_dir", "prepare", lambda *more: [tokenizer, "data.train=" + text, *more]
            yield ("generate.prompt_file", "generate",
                   lambda *more: self.tiny.generate(tokenizer, "generate.prompt=", *more))

    def refuse_path(self, name, path_for, tools=None):
        """`path_for` makes a path for each key: some old tools replaced what they were given."""
        cases = []
        for number, (key, tool, arguments) in enumerate(self.keys_with_paths()):
            if tools and tool not in tools:
                continue
            path = path_for(number)
            cases.append(Case(f"{key} ({tool}) is {name}", tool, arguments(f"{key}={path}"),
                              mentions=(path[:100], key)))
        self.check(cases)

    def loop(self, name, number):
        """The first of two symlinks that point at each other."""
        one, other = self.path(f"{name}{number}"), self.path(f"{name}{number}-back")
        os.symlink(one, other)
        os.symlink(other, one)
        return one

    def test_a_path_component_of_300_characters_is_refused(self):
        self.refuse_path("a name of 300 characters", lambda _: self.path(LONG))

    def test_a_file_in_a_folder_of_300_characters_is_refused(self):
        self.refuse_path("in a folder of 300 characters", lambda _: self.path(LONG, "file.bin"),
                         tools=("prepare", "export"))

    def test_a_path_of_5000_characters_is_refused(self):
        self.refuse_path("a path of 5,000 characters", lambda _: self.path(*["part"] * 1000),
                         tools=("prepare", "export"))

    def test_a_symlink_loop_is_refused(self):
        self.refuse_path("a symlink loop", lambda number: self.loop("loop", number))

    def test_a_file_behind_a_symlink_loop_is_refused(self):
        self.refuse_path("behind a symlink loop",
                         lambda number: os.path.join(self.loop("around", number), "file.bin"),
                         tools=("prepare", "export"))

    def test_as_the_config_file(self):
        self.check([Case(f"the config file is {name}", "prepare", [path, "--dry-run"],
                         mentions=(path[:100],)) for name, path in (
                             ("a name of 300 characters", self.path(LONG)),
                             ("a path of 5,000 characters", self.path(*["part"] * 1000)),
                             ("a symlink loop", self.loop("config", 0)))])


if __name__ == "__main__":
    main()
