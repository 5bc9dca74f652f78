"""Seeded texts of every kind that a tokenizer may meet: all scripts, emoji, white space, and words."""

import random
import unicodedata

# Letters, digits and signs of scripts; the last ones lie beyond the first 65,536 code points.
SCRIPTS = (
    (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x250, 0x2AF), (0x370, 0x3FF), (0x400, 0x52F),
    (0x531, 0x58A), (0x591, 0x5F4), (0x600, 0x6FF), (0x710, 0x74A), (0x780, 0x7B1), (0x7C0, 0x7FA),
    (0x900, 0x97F), (0x981, 0x9FE), (0xA01, 0xA76), (0xA81, 0xAFF), (0xB01, 0xB77), (0xB82, 0xBFA),
    (0xC00, 0xC7F), (0xD00, 0xD7F), (0xE01, 0xE5B), (0xE81, 0xEDF), (0xF00, 0xFDA), (0x1000, 0x109F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F), (0x13A0, 0x13FD), (0x1400, 0x167F),
    (0x16A0, 0x16F8), (0x1780, 0x17F9), (0x1800, 0x18AA), (0x1E00, 0x1FFE), (0x2C00, 0x2C7F),
    (0x3041, 0x309F), (0x30A0, 0x30FF), (0x3105, 0x312F), (0x4E00, 0x9FFC), (0xA000, 0xA48C),
    (0xA500, 0xA62B), (0xAC00, 0xD7A3), (0xFB00, 0xFB4F), (0xFE70, 0xFEFC), (0xFF01, 0xFFDC),
    (0x10330, 0x1034A), (0x10400, 0x1044F), (0x12000, 0x12399), (0x13000, 0x1342E),
    (0x1D400, 0x1D7FF), (0x1E900, 0x1E959), (0x20000, 0x2A6DD))
# Assigned after Unicode 14: what they are depends on the version that a library knows.
NEWER = (
    (0xCF3, 0xCF3), (0xECE, 0xECE), (0x10EFD, 0x10EFF), (0x1123F, 0x11241), (0x11B00, 0x11B09),
    (0x11F00, 0x11F59), (0x1342F, 0x13455), (0x1B132, 0x1B132), (0x1B155, 0x1B155),
    (0x1D2C0, 0x1D2D3), (0x1DF25, 0x1DF2A), (0x1E030, 0x1E08F), (0x1E4D0, 0x1E4F9),
    (0x2EBF0, 0x2EE5D), (0x31350, 0x323AF))
SPACES = [chr(c) for c in (*range(9, 14), 0x20, 0x20, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
                           0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
NEARLY_SPACES = [chr(c) for c in (0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x1C, 0x1F)]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇵🇹", "❤️", "1️⃣", "🧑🏿‍🚀", "☕", "♟️", "🫠", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'Re", "’s", "'ſ", "''", "'sx", "'K", "'l"]
CODE = ["if (x != 0) {", "  return a[i] << 2;", "\t}\r\n", "// ---", "def f(x):\n    ", "0x1F", "1e-9", "$%&",
        "</div>", "https://example.org/?q=1", "...", "===", "\\n", "\r\n\r\n", "{}", "#include <x>"]
SYLLABLES = "ka lo mi ter on ra sel vin do gar the an ing er ou st re tion pre con".split()
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_", "<|", "|>",
           "<tool call>", "<tool", "@@name", "@@", "<mask>", "<ma", "word", "words", "<|im_end|><|im_end|>"]


def assigned(code):
    return not any(low <= code <= high for low, high in NEWER) and (
        unicodedata.category(chr(code)) not in ("Cn", "Cs"))


class Texts:
    """Draws texts; the same seed draws the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.words = ["".join(self.random.choices(SYLLABLES, k=self.random.randint(1, 4)))
                      for _ in range(3000)]
        self.letters = [[chr(c) for c in range(low, high + 1) if assigned(c)] for low, high in SCRIPTS]
        self.numeric = [chr(c) for c in range(0x1FBFA) if assigned(c) and unicodedata.category(chr(c))[0] == "N"]
        self.marks = [chr(c) for c in range(0x300, 0x370)] + ["\u20e3", "\ufe0f", "\u0651", "\u094d"]

    def draw(self):
        kinds = (self.sentence, self.sentence, self.script, self.scripts, self.points, self.emoji, self.spaces,
                 self.controls, self.contracted, self.digits, self.tokens, self.code, self.run, self.mixture)
        return self.random.choice(kinds)()

    def several(self, draw, most):
        return "".join(draw() for _ in range(self.random.randint(0, most)))

    def word(self):
        word = self.random.choice(self.words)
        return self.random.choice((word, word, word.capitalize(), word.upper()))

    def sentence(self):
        """Natural-looking text, which training takes too."""
        choice = self.random
        words = [self.word() + choice.choice(("", "", "", "", ",", "'s", ";", "n't", " --")) for _ in
                 range(choice.randint(1, 30))]
        if choice.random() < 0.3:
            words.insert(choice.randrange(len(words)), str(choice.randrange(10 ** choice.randint(1, 9))))
        return " ".join(words) + choice.choice((".", "?", "!", "\n", "\n\n", ' "', ""))

    def script(self):
        letters = self.random.choice(self.letters)
        return self.several(lambda: "".join(self.random.choices(letters, k=self.random.randint(1, 8))) +
                            self.random.choice((" ", "", ", ", "  ", "\n")), 12)

    def scripts(self):
        return self.several(lambda: self.random.choice(self.random.choice(self.letters)) +
                            self.random.choice(("", "", " ")), 20)

    def points(self):
        def point():
            while True:
                code = self.random.randrange(self.random.choice((0x80, 0x3000, 0x10000, 0x110000)))
                if assigned(code):
                    return chr(code)
        return self.several(point, 20)

    def emoji(self):
        return self.several(lambda: self.random.choice(EMOJI + self.marks[:20] + [" ", "a", self.word()]), 12)

    def spaces(self):
        return self.several(lambda: self.random.choice(SPACES + SPACES + NEARLY_SPACES + ["x", ".", self.word()]), 14)

    def controls(self):
        return self.several(lambda: self.random.choice((chr(self.random.randrange(32)), "\x7f", "\x00", "a", " ")), 12)

    def contracted(self):
        return self.several(lambda: self.word() + self.random.choice(CONTRACTIONS) +
                            self.random.choice(("", " ")), 8)

    def digits(self):
        return self.several(lambda: self.random.choice((str(self.random.randrange(10 ** 6)), " ", ".", "a",
                                                        self.random.choice(self.numeric))), 14)

    def tokens(self):
        return self.several(lambda: self.random.choice(SPECIAL + [" ", "  ", "\u00a0", "\n", "a", "_", "é", "1"]), 10)

    def code(self):
        return self.several(lambda: self.random.choice(CODE + [self.word()]), 10)

    def run(self):
        piece = self.random.choice((" ", "a", "\n", "ab", "ha", "-", "1", "é", "\t", " \n", "か", "\r\n"))
        return piece * self.random.randint(1, 120) + self.random.choice(("", "x", " x"))

    def mixture(self):
        return self.several(lambda: self.random.choice((self.script, self.emoji, self.spaces, self.contracted,
                                                        self.digits, self.tokens, self.code))()[:20], 6)

    def spoiled(self):
        """Bytes that are not all UTF-8."""
        data = bytearray(self.draw().encode())
        for _ in range(self.random.randint(1, 6)):
            at = self.random.randint(0, len(data))
            how = self.random.randrange(3)
            if how == 0:
                data[at:at + self.random.randint(1, 3)] = b""
            elif how == 1:
                data[at:at] = bytes([self.random.randrange(0x80, 0x100)])
            else:
                data[at:at + 1] = self.random.choice((b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xe2\x82",
                                                      b"\xf0\x9f\x98", b"\xff"))
        return bytes(data)
