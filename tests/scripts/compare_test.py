#!/usr/bin/env python3
"""scripts/compare.py on evaluations whose differences are known."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from counted import main

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "compare.py"


def evaluation(nll_of, far_of, segments=30, begin=0):
    """Segments of different sizes and hardness; nll_of and far_of shift them by segment number."""
    rows = []
    for i in range(segments):
        base = 3.0 + 0.1 * (i % 7)
        rows.append({"source": 0, "document": i // 10, "begin": begin + 4096 * (i % 10),
                     "nll": base + nll_of(i), "far_nll": base - 1 + far_of(i),
                     "far_targets": 10 + i % 3, "near_nll": base, "near_targets": 5,
                     "new_nll": None, "new_targets": 85})
    return {"results": [{"length": 4096, "per_segment": rows}]}


class Compare(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, content):
        path = pathlib.Path(self.folder.name) / name
        path.write_text(json.dumps(content))
        return str(path)

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, "--draws", "300", *arguments],
                              capture_output=True, text=True, check=False)

    def test_a_shift_of_every_segment_is_found_without_error(self):
        base = self.write("base.json", evaluation(lambda i: 0, lambda i: 0))
        better = self.write("better.json", evaluation(lambda i: -0.25, lambda i: 0.5))
        text = self.run_script(better, base).stdout
        self.assertRegex(text, r"all +-0\.2500 +\[-0\.2500, -0\.2500\] +better")
        self.assertRegex(text, r"far +\+0\.5000 +\[\+0\.5000, \+0\.5000\] +worse")

    def test_noise_around_zero_is_no_difference(self):
        base = self.write("base.json", evaluation(lambda i: 0, lambda i: 0))
        noisy = self.write("noisy.json", evaluation(lambda i: 0.1 * (-1) ** i, lambda i: 0))
        self.assertRegex(self.run_script(noisy, base).stdout, r"all .* no difference")

    def test_segments_without_far_repeats_are_compared_by_the_rest(self):
        content = evaluation(lambda i: 0, lambda i: 0)
        for row in content["results"][0]["per_segment"]:
            row |= {"far_nll": None, "far_targets": 0}
        done = self.run_script(self.write("a.json", content), self.write("b.json", content))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"all .* no difference")
        self.assertRegex(done.stdout, r"far +no such targets")

    def test_the_share_of_the_gap(self):
        worst = self.write("worst.json", evaluation(lambda i: 0, lambda i: 0.4))
        best = self.write("best.json", evaluation(lambda i: 0, lambda i: 0.0))
        mine = self.write("mine.json", evaluation(lambda i: 0, lambda i: 0.1))
        text = self.run_script(mine, "--gap", worst, best).stdout
        self.assertIn("75.0 %  [75.0, 75.0]", text)

    def test_bad_input_is_one_line_and_exit_code_2(self):
        base = self.write("base.json", evaluation(lambda i: 0, lambda i: 0))
        moved = self.write("moved.json", evaluation(lambda i: 0, lambda i: 0, begin=7))
        bare = self.write("bare.json", {"results": [{"length": 4096}]})
        other = self.write("other.json", {"cells": []})
        spoilt = self.write("spoilt.json", {"results": [{"length": 4096, "per_segment": [{"nll": 1}]}]})
        for arguments, word in (((base, moved), "other segments"), ((base, bare), "per_segment"),
                                ((base, base + "x"), "base.jsonx: cannot be read (No such file"),
                                ((base, other), "other.json: is not a file of NLL by length; give "),
                                ((base, spoilt), "spoilt.json: is not a file of NLL by length; give "),
                                ((base, "--gap", base, moved), "moved.json: was evaluated on other"),
                                ((base,), "second file")):
            result = self.run_script(*arguments)
            self.assertEqual(result.returncode, 2)
            self.assertIn(word, result.stderr)
            self.assertTrue(result.stderr.startswith("compare: "))
            self.assertEqual(len(result.stderr.splitlines()), 1)


if __name__ == "__main__":
    main()
