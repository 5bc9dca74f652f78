"""lococo-bench scaling on CPUs: which figures each layout has, and how they hang together.

usage: scaling_test.py MPIRUN      (LOCOCO_BIN names the folder of the tools)
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from counted import main
from ranks import launcher

MPIRUN = sys.argv[1]
TOOL = os.path.join(os.environ["LOCOCO_BIN"], "lococo-bench")
TOKENS, BLOCK, REPEAT = 64, 8, 2
CONFIG = f"""
model: {{init: {{vocab_size: 61, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4,
               num_attention_heads: 4}}}}
data: {{context_length: {TOKENS}}}
cache: {{policy: lococo, slots: 8, block: {BLOCK}, kernel_size: 3, buffer: 0}}
tune: {{conv: 1.0e-3, lora: 1.0e-3}}
distributed: {{device: cpu, threads: 1, timeout_s: 60}}
bench: {{warmup: 1, repeat: {REPEAT}}}
log: {{level: warn}}
"""
ALONE = {"step", "tokens per second", "peak memory"}
TOGETHER = ALONE | {"of as many times one rank", "collectives", "communication, of the step"}
IN_STAGES = TOGETHER | {"messages", "bubble, calculated", "bubble, measured"}


class Scaling(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-scaling-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "run.yaml").write_text(CONFIG, encoding="utf-8")

    def run_tool(self, ranks, *overrides):
        command = [TOOL, "scaling", str(self.folder / "run.yaml"), *overrides]
        if ranks > 1:
            command = [*launcher(MPIRUN, ranks), *command]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    def measure(self, ranks, *overrides):
        """(replicas, stages, sequences of a replica) -> figure -> value, in the order in which they were measured."""
        output = self.folder / "scaling.json"
        done = self.run_tool(ranks, f"bench.output={output}", *overrides)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("lococo-bench scaling on"), 1, "rank 0 alone prints")
        cases = {}
        for case in json.loads(output.read_text())["cases"]:
            self.assertEqual(case["tokens"], TOKENS)
            self.assertNotIn("failure", case)
            layout = case["replicas"], case["stages"], case["sequences"]
            cases[layout] = {name: figure["value"] for name, figure in case["figures"].items()}
            self.assertEqual(case["figures"]["step"].get("samples", 1), REPEAT)
            self.check_figures(layout, cases)
        return cases

    def check_figures(self, layout, cases):
        replicas, stages, sequences = layout
        ranks, figures = replicas * stages, cases[layout]
        self.assertEqual(set(figures), IN_STAGES if stages > 1 else TOGETHER if ranks > 1 else ALONE, layout)
        rate = figures["tokens per second"]
        self.assertAlmostEqual(rate, replicas * sequences * TOKENS / figures["step"] * 1e3, delta=1e-6 * rate)
        if ranks > 1:
            one = cases[1, 1, sequences]["tokens per second"]
            self.assertAlmostEqual(figures["of as many times one rank"], 100 * rate / (ranks * one), places=6)
            self.assertGreater(figures["collectives"], 0)
            self.assertLessEqual(figures["communication, of the step"], 100)
        if stages > 1:
            self.assertGreater(figures["messages"], 0)
            self.assertAlmostEqual(figures["bubble, calculated"], 100 * (stages - 1) / (TOKENS / BLOCK + stages - 1))
            self.assertLess(figures["bubble, measured"], figures["communication, of the step"])

    def test_one_process_measures_itself(self):
        self.assertEqual(list(self.measure(1)), [(1, 1, 1)])

    def test_two_ranks_are_replicas_where_nothing_is_named(self):
        self.assertEqual(list(self.measure(2, "bench.batch=[1,2]")), [(1, 1, 1), (2, 1, 1), (1, 1, 2), (2, 1, 2)])

    def test_two_stages_wait_for_messages(self):
        self.assertEqual(list(self.measure(2, "bench.layouts=1x2")), [(1, 1, 1), (1, 2, 1)])

    def test_four_ranks_in_every_layout(self):
        cases = self.measure(4, "bench.layouts=[2x2,1x1,4x1,1x2,2x2]", "distributed.shard_optimizer=true",
                             "bench.batch=3", "train.micro_batch=2")
        self.assertEqual(list(cases), [(1, 1, 3), (2, 2, 3), (4, 1, 3), (1, 2, 3)])

    def assert_refused(self, ranks, message, *overrides):
        done = self.run_tool(ranks, *overrides)
        self.assertEqual(done.returncode, 2, done.stderr)
        told = [line for line in done.stderr.splitlines() if "error: " in line]
        self.assertEqual(len(told), 1, done.stderr)
        self.assertIn(message, told[0])

    def test_layouts_that_cannot_be_are_refused(self):
        self.assert_refused(1, "bench.layouts: 2x1 needs 2 ranks, and there is 1; start with mpirun -np 2",
                            "bench.layouts=2x1")
        self.assert_refused(2, "bench.layouts: 2x2 needs 4 ranks, and there are 2", "bench.layouts=[1x2,2x2]")
        self.assert_refused(2, 'bench.layouts: "2-1" is no layout', "bench.layouts=2-1")
        self.assert_refused(2, "bench.layouts: 1x2: distributed.pipeline", "bench.layouts=1x2",
                            "cache.bptt_blocks=2")


if __name__ == "__main__":
    main()
