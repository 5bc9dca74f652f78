"""YAML that says more than keys and values."""

from counted import main
import tiny_files as tiny
from harness import Case, HostileTest

BOMB = "x-a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x-a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))


class Yaml(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tokens = tiny.write_tokens(cls.path("tokens.bin"), count=100)
        cls.options = ["data.raw_dtype=uint16", "data.train=" + tokens, "--dry-run"]

    def test_a_plain_file_works(self):
        path = tiny.write_text(self.path("plain.yaml"), "train: {seed: 5}\neval: {lengths: [48]}\n")
        self.check([Case("plain YAML", "prepare", [path, *self.options], answer="works")])

    def refuse(self, texts):
        cases = []
        for number, (name, text) in enumerate(texts.items()):
            path = tiny.write_text(self.path(f"{self._testMethodName}{number}.yaml"), text)
            cases.append(Case(name, "prepare", [path, *self.options], mentions=(path,)))
        self.check(cases)

    def test_tags_are_refused(self):
        self.refuse({
            "a tag of YAML": "train: {seed: !!int 5}\n",
            "a tag that contradicts the value": 'train: {seed: !!int "5"}\n',
            "a string tag on a number": "train: {seed: !!str 5}\n",
            "a tag of one's own": "train: {output: !secret run}\n",
            "a tag of another language": "train: {output: !!python/object:os.system run}\n",
            "a binary tag": "train: {output: !!binary cnVu}\n",
            "a tag on a section": "train: !!map {seed: 5}\n",
            "a tag on a list": "eval: {lengths: !!seq [48]}\n",
            "a tag on the whole": "!!map\ntrain: {seed: 5}\n",
        })

    def test_a_tag_in_an_override_is_refused(self):
        self.check([Case("a tag in an override", "prepare", ["train.seed=!!int 5", *self.options],
                         mentions=("train.seed",))])

    def test_anchors_that_explode_are_refused(self):
        self.refuse({
            "a billion values from nine anchors": BOMB,
            "a billion values as a known key": BOMB + "eval: {lengths: *a8}\n",
            "an anchor that holds itself": "eval: &a {lengths: *a}\n",
            "a list that holds itself": "data: {validation: &a [*a]}\n",
        })

    def test_keys_given_twice_are_refused(self):
        self.refuse({
            "a key twice": "train: {seed: 5, seed: 6}\n",
            "a key twice with the same value": "train:\n  seed: 5\n  seed: 5\n",
            "a section twice": "train: {seed: 5}\ncache: {slots: 8}\ntrain: {steps: 5}\n",
            "a key twice in a source": "data: {validation: [{path: a.txt, path: b.txt}]}\n",
            "a key twice in RoPE scaling":
                "model: {rope_scaling: {type: linear, factor: 2, factor: 4}}\n",
        })

    def test_what_is_too_deep_is_refused(self):
        self.refuse({"10,000 brackets": "eval: {lengths: " + "[" * 10_000 + "\n",
                     "3,000 levels of blocks": "".join(" " * i + "a:\n" for i in range(3_000))})


if __name__ == "__main__":
    main()
