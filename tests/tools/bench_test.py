"""The command line of lococo-bench: its names, its mistakes, a run of the tool itself."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from counted import main

TOOL = pathlib.Path(os.environ["LOCOCO_BIN"]) / "lococo-bench"
TINY = """
model: {init: {vocab_size: 61, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1,
               num_attention_heads: 4}}
cache: {policy: lococo, slots: 8, block: 8, kernel_size: 3, buffer: 0}
distributed: {device: cpu, threads: 1}
"""


def bench(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False)


class Tool(unittest.TestCase):
    def test_help_lists_the_benchmarks(self):
        result = bench("--help")
        self.assertEqual(result.returncode, 0)
        for name in ("train-step", "patterns", "scaling", "prefill", "decode", "attention", "conv", "data", "memory"):
            self.assertIn(f"  {name} ", result.stdout)

    def test_mistakes_give_one_line_and_exit_code_2(self):
        for arguments in (["train"], ["train", "cache.slots=8"], [], ["conv"],
                          ["conv", "bench.batch=0"], ["cache.slots=8"]):
            result = bench(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertTrue(result.stderr.startswith("lococo-bench: error: "), result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def test_a_benchmark_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            config, output = pathlib.Path(folder) / "x.yaml", pathlib.Path(folder) / "o.json"
            config.write_text(TINY, encoding="utf-8")
            result = bench("conv", config, f"bench.output={output}")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("library, forward", result.stdout)
            self.assertEqual(json.loads(output.read_text())["benchmark"], "conv")

    def test_as_many_iterations_are_timed_as_asked_for(self):
        with tempfile.TemporaryDirectory() as folder:
            config, output = pathlib.Path(folder) / "x.yaml", pathlib.Path(folder) / "o.json"
            config.write_text(TINY, encoding="utf-8")
            for name, figure in (("conv", "project, by the library, forward"), ("attention", "auto, forward")):
                result = bench(name, config, "bench.repeat=2", "bench.contexts=[16]", "bench.overwrite=true",
                               f"bench.output={output}")
                self.assertEqual(result.returncode, 0, result.stderr)
                for case in json.loads(output.read_text())["cases"]:
                    self.assertEqual(case["figures"][figure]["samples"], 2, name)

    def test_stages_are_refused(self):
        for more in ([], ["--dry-run"]):
            result = bench("conv", "distributed.pipeline=2", *more)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertEqual(result.stderr, "lococo-bench: error: distributed.pipeline: 2, but lococo-bench conv runs "
                                            "in one process with the whole model; use distributed.pipeline=1\n")

    def test_a_dry_run_prints_the_config(self):
        result = bench("train-step", "cache.slots=77", "--dry-run")
        self.assertEqual(result.returncode, 0)
        self.assertIn("slots: 77", result.stdout)


if __name__ == "__main__":
    main()
