#!/usr/bin/env python3
"""The table of a real model: what is planned, asked of the tools, and made of their figures."""

import json
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import real_model_table as table  # noqa: E402
from counted import main  # noqa: E402


def runner(folder, **changes):
    arguments = {"output": folder, "bin": "bin", "model": "model", "texts": "texts",
                 "train": "train", "options": [], "tokens_at_once": 65536, "trials": 0,
                 "policies": None, "memory": None}
    return table.Runner(types.SimpleNamespace(**{**arguments, **changes}))


def cell(kind, correct, trials, metric="accuracy"):
    return {"kind": kind, "metric": metric, "correct": correct, "trials": trials, "low": 0.1,
            "high": 0.9}


class RealModelTable(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-table-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_every_policy_stands_at_every_number_of_slots(self):
        rows = table.conditions(table.POLICIES)
        self.assertEqual(len(rows), len(set(rows)))
        for slots in table.SLOTS:
            self.assertEqual({p for p, s, n in rows if s == slots and n == 4096},
                             set(table.POLICIES))
        self.assertIn(("none", 0, 4096), rows)
        self.assertIn(("lococo_tuned", 512, table.LONGER), rows)

    def test_what_is_there_is_not_done_again(self):
        run = runner(self.folder)
        before = run.jobs()
        self.assertEqual([job.name for job in before if job.trains],
                         [f"train-{slots}" for slots in table.SLOTS])
        run.result("h2o", 256, 4096, "needle").write_text("{}")
        for slots, step in ((128, 100), (256, 99)):  # the latter was broken off
            state = self.folder / f"tuned-{slots}" / f"step-{step:08}" / "state.json"
            state.parent.mkdir(parents=True)
            state.write_text("{}")
        after = run.jobs()
        self.assertEqual({job.name for job in before} - {job.name for job in after},
                         {"train-128", "h2o-256-4096-needle"})
        self.assertGreater(min(job.minutes for job in after), 0)

    def test_commands_ask_for_what_the_row_says(self):
        run = runner(self.folder, options=["data.add_eos=false"])
        command = run.eval_command("h2o", 256, 4096, "ruler")
        for part in ("cache.policy=h2o", "cache.slots=256", "cache.block=256", "cache.local=96",
                     "eval.task=ruler", "eval.lengths=[4096]", "eval.trials=50", "eval.batch=16",
                     "tune.conv=null", "data.add_eos=false"):
            self.assertIn(part, command)
        tuned = run.eval_command("lococo_tuned", 512, 8192, "perplexity")
        self.assertIn(f"model.adapter={self.folder / 'tuned-512'}", tuned)
        self.assertIn("eval.max_tokens=393216", tuned)
        self.assertNotIn("cache.policy=lococo_tuned", tuned)
        self.assertIn("cache.policy=none", run.eval_command("none", 0, 4096, "passkey"))
        self.assertIn(f"train.output={self.folder / 'tuned-128'}", run.train_command(128))

    def test_a_learned_memory_has_rows_of_its_own_config(self):
        run = runner(self.folder, policies=["h2o"], memory="runs/memory")
        self.assertEqual({p for p, _, _ in run.rows}, {"none", "h2o", "memory"})
        self.assertFalse(any(job.trains for job in run.jobs()))
        command = run.eval_command("memory", 512, 4096, "needle")
        for part in ("configs/smollm2_memory.yaml", "model.adapter=runs/memory", "cache.slots=512",
                     "cache.local=96", "tune.retention=null", "tune.lora=null"):
            self.assertIn(part, command)
        self.assertEqual(runner(self.folder, policies=[]).rows,
                         [("none", 0, 4096), ("none", 0, table.LONGER)])

    def test_figures_are_means_over_trials(self):
        cells = [cell("digits", 10, 50), cell("digits", 30, 50), cell("words", 0, 50)]
        self.assertEqual(table.percent(cells, kind="digits"), "40 [10, 90]")
        self.assertEqual(table.percent(cells, kind="names"), "-")
        self.assertEqual(table.ruler_mean(cells), "20")
        path = self.folder / "nll.jsonl"
        path.write_text("".join(json.dumps({"nll": [9.0] * 10 + [value] * table.LAST}) + "\n"
                                for value in (1.0, 2.0)))
        self.assertEqual(table.last_nll(path), "1.500")

    def test_a_table_has_a_row_for_each_condition_even_before_any_result(self):
        lines = table.table(runner(self.folder)).splitlines()
        self.assertEqual(len(lines), 2 + len(table.conditions(table.POLICIES)))
        self.assertEqual(len({line.count("|") for line in lines}), 1)


if __name__ == "__main__":
    main()
