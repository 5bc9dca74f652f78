"""scripts/plot.py --speed on reports as lococo-bench and bench_peer.py write them, and plot.py on what
lococo-eval wrote for the demo. Exit code 4: matplotlib is not installed."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

from counted import main
from folder_case import FolderCase

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "plot.py"


def report(benchmark, policy, slots, cases, lora="null"):
    """`cases`: (batch, context, tokens per second)."""
    config = f"data:\n  slots: 9\ncache:\n  policy: {policy}\n  slots: {slots}\ntune:\n  lora: {lora}\n"
    context, prefix = ("prompt", "decoding, ") if benchmark == "decode" else ("tokens", "")
    return {"benchmark": benchmark, "config": config, "cases": [
        {"batch": batch, context: length, "figures": {
            "limit, tokens per second": {"unit": "tokens/s", "value": 1.0},
            prefix + "tokens per second": {"unit": "tokens/s", "value": rate}}}
        for batch, length, rate in cases]}


class Speed(FolderCase):
    def plot(self, *files):
        picture = self.folder / "speed.png"
        done = subprocess.run([sys.executable, SCRIPT, "--speed", picture, *files],
                              capture_output=True, text=True, check=False)
        return done, picture

    def test_series_are_drawn_along_context_slots_and_batch(self):
        files = [
            self.write("a.json", report("train-step", "lococo", 512, [
                (1, 4096, 8000.0), (1, 32768, 10000.0), (4, 32768, 20000.0)], lora="5e-5")),
            self.write("b.json", report("train-step", "lococo", 1024, [(1, 32768, 5000.0)],
                                        lora="5e-5")),
            self.write("c.json", report("decode", "none", 512, [(1, 100, 250.0), (2, 100, 500.0)])),
            self.write("d.json", {"benchmark": "peer", "cases": [
                {"batch": 1, "tokens": 64, "tokens_per_s": 1000.0},
                {"batch": 2, "tokens": 64, "tokens_per_s": 2000.0},
                {"batch": 4, "tokens": 64, "failure": "out of memory"}]})]
        done, picture = self.plot(*files)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "train-step, LoCoCo, LoRA, context: 4096: 125 us, 32768: 100 us",
            "train-step, LoCoCo, LoRA, slots: 512: 100 us, 1024: 200 us",
            "train-step, LoCoCo, LoRA, batch: 1: 100 us, 4: 50 us",
            "decode, full attention, batch: 1: 4000 us, 2: 2000 us",
            "peer, batch: 1: 1000 us, 2: 500 us"])
        self.assertEqual(picture.read_bytes()[1:4], b"PNG")
        self.assertLess(picture.stat().st_size, 100_000)

    def test_what_is_no_report_is_named_in_one_line(self):
        for content, says in (
                ("{", "is not JSON, or was cut short"),
                ({"results": []}, "is not a file of lococo-bench"),
                ({"benchmark": "decode", "cases": [{"tokens": 8, "tokens_per_s": "x"}]},
                 "is not a file of lococo-bench")):
            done, picture = self.plot(self.write("x.json", content))
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, f"^plot: .*/x.json: {says}; give what lococo-bench .*\n$")
            self.assertFalse(picture.exists())
        done, _ = self.plot(self.folder / "gone.json")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "^plot: .*/gone.json: cannot be read .*; give what .*\n$")

    def test_a_picture_that_cannot_be_written_is_named(self):
        file = self.write("a.json", report("decode", "none", 512, [(1, 100, 250.0)]))
        for name, says in (("no/a.png", "there is no folder"), ("", "is a folder"),
                           ("a.json", "is one of the files that are read"),
                           ("a.word", "Format 'word' is not supported")):
            done = subprocess.run([sys.executable, SCRIPT, "--speed", self.folder / name, file],
                                  capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn(says, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [file])

    def test_words_that_say_nothing_get_the_usage(self):
        for words, code in ((["--help"], 0), ([], 2), (["--speed", "a.png"], 2), (["--sped", "a"], 2)):
            done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True,
                                  check=False)
            self.assertEqual(done.returncode, code)
            self.assertIn("Usage: plot.py FOLDER", done.stderr if code else done.stdout)


def evaluation(*far_nll):
    """Of one length, with two segments of ten far targets each."""
    return {"results": [{"length": 1024, "nll": 1.5, "far_nll": sum(far_nll) / 2, "far_targets": 20,
                         "per_segment": [{"far_nll": value, "far_targets": 10}
                                         for value in far_nll]}]}


class Policies(FolderCase):
    def plot(self, *policies, **results):
        for policy, result in results.items():
            (self.folder / f"{policy}.json").write_text(json.dumps(result), encoding="utf-8")
        return subprocess.run([sys.executable, SCRIPT, self.folder, *policies],
                              capture_output=True, text=True, check=False)

    def test_lococo_and_the_memory_are_compared_with_all_others(self):
        done = self.plot("h2o", "lococo", "memory", h2o=evaluation(2.0, 2.2),
                         lococo=evaluation(1.9, 2.1), memory=evaluation(1.8, 1.9))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-4:], [
            "LoCoCo minus H2O, far repeats at 1024: -0.1000 +- 0.0000",
            "LoCoCo minus taught memory, far repeats at 1024: +0.1500 +- 0.0500",
            "taught memory minus H2O, far repeats at 1024: -0.2500 +- 0.0500",
            "taught memory minus LoCoCo, far repeats at 1024: -0.1500 +- 0.0500"])
        written = json.loads((self.folder / "results.json").read_text(encoding="utf-8"))
        self.assertEqual([entry["policy"] for entry in written["memory_minus_policy"]],
                         ["h2o", "lococo"])
        self.assertEqual((self.folder / "context.png").read_bytes()[1:4], b"PNG")

    def test_a_policy_without_a_result_is_named(self):
        done = self.plot("memory")
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "^plot: .*/memory.json: cannot be read .*; give what .*\n$")

    def test_a_file_of_something_else_is_named_in_one_line(self):
        text = evaluation(2.0, 2.2)
        text["results"][0]["far_nll"] = "low"
        for content in ({"cells": []}, {"results": [7]}, {"results": []}, text):
            done = self.plot("memory", memory=content)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertRegex(done.stderr, "^plot: .*/memory.json: (is not a file of NLL|has no results)"
                             ".*; give what lococo-eval .*\n$")


if __name__ == "__main__":
    if importlib.util.find_spec("matplotlib") is None:
        sys.exit(4)
    main()
