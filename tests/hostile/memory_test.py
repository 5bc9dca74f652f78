"""Work that does not fit into memory: said in words, not in an allocator's."""

import struct

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest, run

BLOCK = 128 << 10  # the largest of zstd
ADDRESS_SPACE = 768 << 20
WORDS = ("memory", "line", "GiB")


def zstd_of_a_long_line(path, bytes_of_text):
    """A JSONL record whose text is one letter, as a zstd frame of four bytes for each block."""
    def block(last, kind, size, content):
        return struct.pack("<I", last | kind << 1 | size << 3)[:3] + content

    head, tail = b'{"text": "', b'"}\n'
    frame = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # magic, no sizes, a window of 128 KiB
    frame += block(0, 0, len(head), head)
    frame += block(0, 1, BLOCK, b"a") * (bytes_of_text // BLOCK)
    return tiny.write_bytes(path, frame + block(1, 0, len(tail), tail))


class Memory(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)

    def test_a_small_file_that_holds_a_line_of_256_MiB(self):
        tokenizer = tiny.make_tokenizer(self.folder)
        if not tokenizer:
            self.skipTest("spm_train is not installed")

        def arguments(name, size):
            path = zstd_of_a_long_line(self.path(name + ".jsonl.zst"), size)
            return ["data.tokenizer=" + tokenizer, "data.train=" + path]

        control = run("prepare", *arguments("short", 1 << 20), address_space=ADDRESS_SPACE)
        if control.code != 0:  # a build with ASan needs terabytes of addresses
            self.skipTest("no tool starts within so little memory: " + control.summary())
        self.check([Case("a .zst of 8 KB that holds a line of 256 MiB", "prepare",
                         arguments("long", 256 << 20), mentions=WORDS,
                         address_space=ADDRESS_SPACE)])

    def test_tensors_that_do_not_fit(self):
        """An evaluation of a batch whose tensors are larger than what the limit leaves."""
        data = tiny.write_bytes(self.path("long.bin"), self.tokens() * 1000)
        spaces = (size << 30 for size in (2, 3, 4, 6, 8))
        space = next((size for size in spaces if
                      run("eval", *self.tiny.eval(), address_space=size).code == 0), 0)
        if space == 0:
            self.skipTest("no tool starts within 8 GiB of addresses")
        full = ("cache.policy=none", "tune.conv=null", "data.validation=" + data)
        lococo = ("data.validation=" + data,)
        batch = ("eval.batch=80000", "eval.max_tokens=4000000")
        self.check([Case(f"lococo-eval of a batch of 80,000, {name}", "eval",
                         self.tiny.eval(*batch, *more), mentions=WORDS, address_space=space)
                    for name, more in (("full attention", full), ("lococo", lococo))])

    def tokens(self):
        with open(self.tiny.tokens, "rb") as file:
            return file.read()

    def test_numbers_that_only_bound_something_do_no_harm(self):
        most = 2**31 - 1
        self.check([
            Case("eval.batch of two billion", "eval", self.tiny.eval(f"eval.batch={most}"),
                 answer="either"),
            Case("train.loss_chunk of two billion", "train",
                 self.tiny.train(f"train.loss_chunk={most}"), answer="either"),
            Case("cache.buffer of two billion", "eval", self.tiny.eval(f"cache.buffer={most}"),
                 answer="either"),
            Case("data.context_length of two billion", "train",
                 self.tiny.train(f"data.context_length={most}"), answer="refused"),
        ])


if __name__ == "__main__":
    main()
