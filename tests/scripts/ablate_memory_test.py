#!/usr/bin/env python3
"""The ablation of a learned memory: what is planned, asked of the tools, and made of their figures."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import ablate_memory as ablate  # noqa: E402
from counted import main  # noqa: E402
from tool_runs import Fault  # noqa: E402

NO_LORA = "no-LoRA"
READ = ablate.slug(next(iter(ablate.READS)))


class AblateMemory(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-ablation-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.ablation = self.of()

    def words(self, *words):
        return ["--texts", "texts", "--train", "train", "--model", "model", "--output",
                str(self.folder), *words]

    def of(self, *words):
        return ablate.Ablation(ablate.parse_arguments(self.words(*words)))

    def write(self, variant, seed, far, correct):
        result = self.ablation.result
        result(variant, seed, "perplexity").write_text(json.dumps({"results": [{"far_nll": far}]}))
        result(variant, seed, "needle").write_text(json.dumps(
            {"cells": [{"correct": correct, "trials": 100}, {"correct": 0, "trials": 100}]}))

    def train(self, variant, seed, step=ablate.STEPS):
        state = self.ablation.folder(variant, seed) / f"step-{step:08}" / "state.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")

    def test_every_variant_has_every_seed_and_a_folder_of_its_own_or_reads_the_whole_s(self):
        folders = {self.ablation.folder(*cell) for cell in self.ablation.cells}
        self.assertEqual(len(folders), 3 * len(ablate.VARIANTS))
        jobs = self.ablation.jobs()
        readings = [job for job in jobs if not job.trains]
        self.assertEqual(len(readings), 2 * 3 * (len(ablate.VARIANTS) + len(ablate.READS)))
        trainings = {job.name for job in jobs if job.trains}
        self.assertEqual(len(trainings), len(folders))
        for job in readings:
            self.assertEqual(len(trainings.intersection(job.after)), 1)
        after = {job.name: job.after for job in readings}
        self.assertEqual(after[f"{READ}-2-needle"], ("whole-2-train",))
        self.assertGreater(min(job.minutes for job in jobs), 0)

    def test_what_is_there_is_not_done_again_and_a_broken_off_training_is(self):
        before = len(self.ablation.jobs())
        self.write(ablate.WHOLE, 1, 2.0, 50)
        self.train(ablate.WHOLE, 1)
        self.train(ablate.WHOLE, 2, ablate.STEPS - 1)
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
        for variant in self.ablation.variants:
            for seed in (1, 2, 3):
                off = 0.0 if variant == ablate.WHOLE else 0.5
                self.write(variant, seed, 2.0 + seed + off, 10 * seed)
        table = self.ablation.table()
        self.assertIn("| whole | 4.000 |  | 10 |  |", table)
        self.assertIn("| no LoRA | 4.500 | +0.500 (+- 0.000) | 10 | +0.0 (+- 0.0) |", table)

    def test_names_that_are_no_runs_are_told_before_anything_is_run(self):
        with self.assertRaisesRegex(Fault, "--variants lora: no such run; there are whole no-gate"):
            self.of("--variants", "whole", "lora").check()
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "ablate_memory.py"),
             *self.words("--variants", "lora")], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_seeds_that_cannot_be_run_are_refused(self):
        for seeds in (("-1",), ("1", "1")):
            with self.assertRaisesRegex(Fault, "--seeds -?1: is"):
                ablate.main(self.words("--dry-run", "--seeds", *seeds))

    def test_the_whole_may_be_left_out_where_its_results_are_there(self):
        some = self.of("--variants", NO_LORA, "--seeds", "1", "2")
        self.write(ablate.WHOLE, 1, 2.0, 50)
        with self.assertRaisesRegex(Fault, "without whole, .*whole-2-perplexity.json is not there"):
            some.check()
        self.write(ablate.WHOLE, 2, 2.0, 50)
        some.check()
        self.of("--variants", "whole", NO_LORA).check()

    def test_what_reads_the_whole_s_weights_asks_for_them(self):
        some = self.of("--variants", READ, "--seeds", "1")
        self.write(ablate.WHOLE, 1, 2.0, 50)
        with self.assertRaisesRegex(Fault, "whole-1 is not there"):
            some.check()
        self.train(ablate.WHOLE, 1)
        some.check()

    def test_an_interval_is_that_of_students_t(self):
        self.assertEqual(ablate.interval([1.0, 2.0, 3.0], 2), "+2.00 (+- 2.48)")
        self.assertEqual(ablate.interval([1.0], 2), "+1.00")


if __name__ == "__main__":
    main()
