#!/usr/bin/env python3
"""The ablation of a learned memory: what is planned, asked of the tools, and made of their figures."""

import json
import pathlib
import sys
import tempfile
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import ablate_memory as ablate  # noqa: E402
from counted import main  # noqa: E402


class AblateMemory(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-ablation-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.ablation = ablate.Ablation(types.SimpleNamespace(
            output=self.folder, bin="bin", model="model", texts="texts", train="train", options=[],
            seeds=[1, 2, 3], jobs=1))

    def write(self, variant, seed, far, correct):
        result = self.ablation.result
        result(variant, seed, "perplexity").write_text(json.dumps({"results": [{"far_nll": far}]}))
        result(variant, seed, "needle").write_text(json.dumps(
            {"cells": [{"correct": correct, "trials": 100}, {"correct": 0, "trials": 100}]}))

    def test_every_variant_has_every_seed_and_a_folder_of_its_own(self):
        folders = {self.ablation.folder(*cell) for cell in self.ablation.cells}
        self.assertEqual(len(folders), 3 * len(ablate.VARIANTS))
        jobs = self.ablation.jobs()
        self.assertEqual(len(jobs), 3 * len(folders))
        trainings = [job.name for job in jobs[:len(folders)]]
        self.assertTrue(all(job.after in trainings for job in jobs[len(folders):]))
        self.assertGreater(min(job.minutes for job in jobs), 0)

    def test_what_is_there_is_not_done_again_and_a_broken_off_training_is(self):
        before = len(self.ablation.jobs())
        self.write(ablate.WHOLE, 1, 2.0, 50)
        for seed, step in ((1, ablate.STEPS), (2, ablate.STEPS - 1)):
            state = self.ablation.folder(ablate.WHOLE, seed) / f"step-{step:08}" / "state.json"
            state.parent.mkdir(parents=True)
            state.write_text("{}")
        self.assertEqual(len(self.ablation.jobs()), before - 3)

    def test_a_variant_changes_the_training_and_its_cache_the_reading(self):
        variant = next(name for name in ablate.VARIANTS if name.startswith("no gate and no teacher"))
        train = self.ablation.train_command(variant, 2)
        for part in ("tune.retention=null", "cache.policy=h2o", "train.seed=2",
                     "train.steps=122", "data.train=train"):
            self.assertIn(part, train)
        read = self.ablation.eval_command(variant, 2, "needle")
        for part in ("cache.policy=h2o", "cache.slots=256", "cache.local=48",
                     "eval.kinds=[digits,multikey,words,names]", "tune.retention=null",
                     f"model.adapter={self.ablation.folder(variant, 2)}"):
            self.assertIn(part, read)

    def test_differences_are_paired_by_seed(self):
        for variant in ablate.VARIANTS:
            for seed in (1, 2, 3):
                off = 0.0 if variant == ablate.WHOLE else 0.5
                self.write(variant, seed, 2.0 + seed + off, 10 * seed)
        table = self.ablation.table()
        self.assertIn("| whole | 4.000 |  | 10 |  |", table)
        self.assertIn("| no LoRA | 4.500 | +0.500 (+- 0.000) | 10 | +0.0 (+- 0.0) |", table)

    def test_an_interval_is_that_of_students_t(self):
        self.assertEqual(ablate.interval([1.0, 2.0, 3.0], 2), "+2.00 (+- 2.48)")
        self.assertEqual(ablate.interval([1.0], 2), "+1.00")


if __name__ == "__main__":
    main()
