#!/usr/bin/env python3
"""The comparison of methods: what is planned, asked of the tools, and made of their figures; and, on
tiny models, all of it: every method tuned for two steps and evaluated, in a table with every row."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(os.environ["LOCOCO_SOURCE"])
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import compare_methods as compare  # noqa: E402
import tiny_files  # noqa: E402
from compare_figures import Rows  # noqa: E402
from compare_pictures import is_out_of_sight  # noqa: E402
from compare_plan import Comparison, Reading  # noqa: E402
from compare_settings import SETTINGS, Questions, methods  # noqa: E402
from compare_table import difference_table, main_table, pattern_table, tables  # noqa: E402
from counted import main  # noqa: E402
from tool_runs import Fault  # noqa: E402

SLOTS, ONCE = 16, {"passkey": 1, "needle": 1, "ruler": 1}
TINY = ["model.dtype=float32", "distributed.device=cpu", "distributed.threads=1",
        "train.micro_batch=1", "eval.batch=2", "log.tensorboard=false", "eval.far=32",
        "bench.repeat=1", "train.warmup_steps=0"]
KEYS = [method.key for method in methods()]
# One of each config and of each way to read, for what takes ten runs a method.
FEW = ("base", "streaming", "streaming_tuned", "official", "lococo", "memory", "longlora", "sinklora",
       "sinklora_h2o", "full")


def method_of(key):
    return next(method for method in methods() if method.key == key)


class CompareMethods(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-compare-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def comparison(self, name="books", *words):
        return Comparison(SETTINGS[name], compare.parse_arguments([name, *words]), self.folder)

    def write(self, comparison, key, seed, reading, value):
        comparison.result(method_of(key), seed, reading).write_text(json.dumps(value))

    def write_nll(self, comparison, key, seed, value, reading="nll"):
        rows = [{"length": n, "nll": value, "far_nll": value - 1, "near_nll": value - 2}
                for n in comparison.setting.lengths]
        self.write(comparison, key, seed, reading, {"results": rows})

    def test_trainings_are_equal_in_tokens_and_lora(self):
        for setting in SETTINGS.values():
            for method in methods():
                tokens = setting.steps(method) * setting.sequences * setting.context(method)
                self.assertEqual(tokens, setting.tokens, method.key)
        self.assertLess(SETTINGS["smollm2"].tokens, 6e6)
        for name, rate, rank in (("books", "0.002", 8), ("smollm2", "0.0007", 16)):
            self.assertEqual(set(self.lora_of(name)), {(rate, rank, 2 * rank)})

    def lora_of(self, name):
        """(rate, rank, alpha) of each method that tunes LoRA, from its config and overrides."""
        for method in methods():
            if not method.trained or method.key in ("gates", "full_all"):
                continue
            command = self.comparison(name).train_command(method, 1)
            text = (ROOT / command[1]).read_text(encoding="utf-8")
            found = {}
            for key in ("lora", "lora_rank", "lora_alpha"):
                given = [w.split("=")[1] for w in command if w.startswith(f"tune.{key}=")]
                written = [w.rstrip(",}") for w in text.split(f"{key}: ")[1:2]]
                found[key] = (given or [w.split()[0].rstrip(",}") for w in written] or [""])[-1]
            rate = str(float(found["lora"]))
            yield rate, int(found["lora_rank"] or 8), int(found["lora_alpha"] or 16)

    def test_headline_rows_have_three_seeds_and_untuned_rows_one(self):
        books, smollm2 = SETTINGS["books"], SETTINGS["smollm2"]
        self.assertEqual(books.seeds_of(method_of("gates")), (1, 2, 3))
        self.assertEqual(books.seeds_of(method_of("h2o")), (1,))
        three = {key for key in KEYS if len(smollm2.seeds_of(method_of(key))) == 3}
        self.assertEqual(three, {"memory", "longlora", "sinklora", "full", "streaming_tuned"})
        self.assertEqual(smollm2.seeds_of(method_of("full"), [7]), (7,))

    def test_readings_are_those_that_say_something(self):
        def names(setting, key, seed=1):
            readings = self.comparison(setting).readings_of(method_of(key), seed)
            return [reading.name for reading in readings]
        self.assertEqual(names("books", "full"), ["nll", "decode"])
        self.assertEqual(names("books", "longlora", 2), ["nll", "pattern"])
        asked = ["nll", "passkey", "needle", "ruler"]
        self.assertEqual(names("smollm2", "memory"), asked + ["needle-128", "needle-256", "decode"])
        self.assertEqual(names("smollm2", "memory", 2), asked)
        self.assertEqual(names("smollm2", "lococo"), asked + ["decode"])

    def test_trainings_come_first_then_their_readers_then_what_is_timed(self):
        jobs = self.comparison("smollm2").jobs()
        kinds = [0 if job.trains else 2 if job.alone else 1 for job in jobs]
        self.assertEqual(kinds, sorted(kinds))
        names = {job.name for job in jobs}
        self.assertEqual(len(names), len(jobs))
        self.assertTrue(all(names.issuperset(job.after) for job in jobs))
        reader = next(job for job in jobs if job.name == "sinklora_h2o-1-needle")
        self.assertEqual(reader.after, ("sinklora-1-train",))
        self.assertEqual(sum(job.alone for job in jobs), len(KEYS))

    def test_what_is_there_is_not_done_again_but_halves_of_it_are(self):
        comparison = self.comparison()
        before = {job.name for job in comparison.jobs()}
        self.write_nll(comparison, "memory", 2, 3.0)
        comparison.result(method_of("memory"), 3, "nll").write_text('{"results": [')
        for seed, step in ((1, 320), (2, 319)):
            state = self.folder / f"memory-{seed}" / f"step-{step:08}" / "state.json"
            state.parent.mkdir(parents=True)
            state.write_text("{}")
        after = {job.name for job in comparison.jobs()}
        self.assertEqual(before - after, {"memory-2-nll", "memory-1-train"})

    def test_commands_ask_for_what_the_row_says(self):
        comparison = self.comparison("smollm2")
        read = comparison.read_command(method_of("sinklora_h2o"), 1, Reading("needle-128", 128))
        for part in ("attention.pattern=full", "cache.policy=h2o", "cache.slots=128",
                     f"model.adapter={self.folder / 'sinklora-1'}", "eval.task=needle",
                     "eval.lengths=[8192]", "eval.kinds=[digits,multikey,words,names]",
                     f"eval.output={self.folder / 'sinklora_h2o-1-needle-128.json'}"):
            self.assertIn(part, read)
        pattern = comparison.read_command(method_of("windows"), 1, Reading("pattern"))
        for part in ("eval.pattern=training", "eval.lengths=[32768]", "eval.far=1024",
                     "attention.shift_fraction=0"):
            self.assertIn(part, pattern)
        timed = comparison.read_command(method_of("base"), 1, Reading("decode"))
        self.assertEqual(timed[1:3], ["decode", "configs/smollm2_full.yaml"])
        self.assertFalse(any(part.startswith("model.adapter") for part in timed))
        train = comparison.train_command(method_of("streaming_tuned"), 3)
        for part in ("train.seed=3", "train.steps=45", "data.lesson_share=0.55",
                     "tune.embed=0.0001", "cache.policy=streaming"):
            self.assertIn(part, train)
        untuned = comparison.read_command(method_of("streaming"), 1, Reading("nll"))
        self.assertGreater(untuned.index("tune.embed=null"), untuned.index("tune.embed=0.0001"))

    def test_a_table_has_every_row_also_of_what_was_not_run(self):
        for name in SETTINGS:
            lines = main_table(Rows(self.comparison(name))).splitlines()
            self.assertEqual(len(lines), 2 + len(KEYS))
            self.assertEqual(len({line.count("|") for line in lines}), 1)
            for line in lines[2:]:
                self.assertIn("| not run |", line)

    def test_shares_and_differences_are_paired_by_seed(self):
        comparison = self.comparison()
        self.write_nll(comparison, "streaming", 1, 5.0)
        for seed in (1, 2, 3):
            self.write_nll(comparison, "full", seed, 4.0 + 0.1 * seed)
            self.write_nll(comparison, "memory", seed, 4.5 + 0.05 * seed)
        self.write_nll(comparison, "windows", 1, 4.5)
        rows = Rows(comparison)
        self.assertEqual([round(v) for v in rows.shares_kept("memory", "all")], [50, 50, 50])
        text = difference_table(rows)
        self.assertIn("| learned memory with LoRA | 3 | +0.4000 +- 0.1241 |", text)
        self.assertIn("| fixed windows | 1 | +0.4000 | +0.4000 |", text)
        self.assertNotIn("| full attention with LoRA |", text)
        self.assertIn("| learned memory with LoRA | 3 | 1,024 |", main_table(rows))

    def test_there_is_no_share_where_full_attention_gains_nothing(self):
        comparison = self.comparison()
        for key, nll in (("streaming", 3.8), ("full", 4.0), ("memory", 3.9)):
            self.write_nll(comparison, key, 1, nll)
        rows = Rows(comparison)
        self.assertEqual(rows.shares_kept("memory", "all"), [])
        self.assertIn("-: it gains nothing", tables(rows))

    def test_answers_speed_and_patterns_have_their_columns(self):
        comparison = self.comparison("smollm2")
        cells = [{"kind": kind, "correct": right, "trials": 50}
                 for kind, right in (("digits", 50), ("words", 10))]
        for seed in (1, 2, 3):
            self.write_nll(comparison, "longlora", seed, 4.0)
            self.write_nll(comparison, "longlora", seed, 4.25, "pattern")
            self.write(comparison, "longlora", seed, "needle", {"cells": cells})
        self.write(comparison, "longlora", 1, "decode", {"cases": [
            {"figures": {"decoding of a token": {"value": 1.5}}}]})
        rows = Rows(comparison)
        line = next(line for line in main_table(rows).splitlines() if "LongLoRA" in line)
        self.assertIn("| 100 +- 0 | - | 20 +- 0 | - | - |", line)
        self.assertTrue(line.endswith("| 1.500 |"), line)
        self.assertEqual(rows.mean("longlora", ("needles", 512)), 60)
        self.assertIn("| LongLoRA (S2-Attn) | 4.000 +- 0.000 | 4.250 +- 0.000 | +0.2500 +- 0.0000 |",
                      pattern_table(rows))

    def test_a_line_far_above_all_others_is_left_out_of_the_picture(self):
        others = [[3.99, 3.98], [3.83, 3.84], [3.9, 3.9]]
        self.assertTrue(is_out_of_sight([4.85, 4.84], others))
        self.assertFalse(is_out_of_sight([4.15, 4.14], others))
        self.assertFalse(is_out_of_sight([3.0, 2.9], others))
        self.assertFalse(is_out_of_sight([4.85, 4.84], others[:2]))

    def test_a_dry_run_says_what_both_settings_take(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            compare.main(["--dry-run", "--gpus", "8", "--output", str(self.folder)])
        text = printed.getvalue()
        self.assertRegex(text, r"books: 36 trainings and 70 evaluations .* minutes of 8 H200")
        self.assertRegex(text, r"smollm2: 22 trainings and \d+ evaluations .* minutes of 8 H200")

    def test_texts_that_are_not_there_are_named(self):
        setting = dataclasses.replace(SETTINGS["books"], model="no/model")
        with self.assertRaisesRegex(Fault, "no/model: no such file"):
            with contextlib.redirect_stdout(io.StringIO()):
                compare.main(["--output", str(self.folder / "out")], {"books": setting})

    def test_seeds_that_cannot_be_run_are_refused_in_one_line(self):
        for seeds, says in (("-1", "--seeds -1: is out of range"), ("2 2", "--seeds 2: is given twice")):
            done = subprocess.run([sys.executable, compare.__file__, "--dry-run", "--output",
                                   self.folder, "--seeds", *seeds.split()], capture_output=True,
                                  text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, f"^compare_methods: {says}; .*\n$")

    def run_tiny(self, name, setting, keys, *options):
        """The rows of the first table; a second call finds nothing to do."""
        words = ["--output", str(self.folder), "--bin", os.environ["LOCOCO_BIN"], "--jobs", "2",
                 "--options", *TINY, *options]
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            compare.main(words, {name: setting})
        text = (self.folder / name / "table.md").read_text(encoding="utf-8")
        self.assertIn(text, printed.getvalue())
        rows = [line for line in text.split("\n\n")[0].splitlines()[2:]]
        self.assertEqual(len(rows), len(keys))
        for row in rows:
            self.assertNotIn("not run", row)
            self.assertNotIn("nan", row)
            self.assertNotRegex(row, r"\| - \|$")
        self.assertEqual(len(text.split("\n\n")[2].splitlines()), 2 + len(keys) - 1)
        self.assertEqual(Comparison(setting, compare.parse_arguments(words),
                                    self.folder / name).jobs(), [])
        return rows

    def test_every_method_runs_on_a_tiny_model(self):
        tiny_files.make_model(self.folder / "model")
        for split in ("train", "validation"):
            tiny_files.write_tokens(self.folder / f"{split}.bin")
        longer = ["model.interpolate_to=512"]
        self.run_tiny("books", dataclasses.replace(
            SETTINGS["books"], model=str(self.folder / "model"),
            train=str(self.folder / "train.bin"), validation=str(self.folder / "validation.bin"),
            lengths=(64, 512), tokens=2 * 2 * 512, sequences=2, memory_context=64, slots=SLOTS,
            eval_tokens=2 * 512, seeds=(1,), new_tokens=4,
            more={"memory": ["cache.position_cap=0", "cache.score_distance=2"],
                  "lococo": ["cache.local=4", "cache.score_distance=2"],
                  "longlora": longer, "sinklora": longer}), KEYS, "data.raw_dtype=uint16")

    def test_questions_and_lessons_run_on_a_tiny_model_with_a_tokenizer(self):
        tokenizer = tiny_files.make_tokenizer(str(self.folder))
        if not tokenizer:
            self.skipTest("spm_train is missing: install the package 'sentencepiece'")
        tiny_files.make_model(self.folder / "model", max_position_embeddings=2048)
        shutil.copy(tokenizer, self.folder / "model" / "tokenizer.model")
        for number, split in enumerate(("train", "validation")):
            (self.folder / f"{split}.txt").write_text(tiny_files.novel(number), encoding="utf-8")
        setting = SETTINGS["smollm2"]
        small = ("cache.score_distance=2",)
        few = mock.patch("compare_plan.methods", lambda: [method_of(key) for key in FEW])
        few.start()
        self.addCleanup(few.stop)
        rows = self.run_tiny("smollm2", dataclasses.replace(
            setting, model=str(self.folder / "model"), train=str(self.folder / "train.txt"),
            validation=str(self.folder / "validation.txt"), lengths=(512, 2048),
            tokens=2 * 2 * 2048, sequences=2, memory_context=2048, slots=4 * SLOTS,
            eval_tokens=2 * 2048, headline=(), new_tokens=4,
            questions=Questions(2048, ONCE, fewer_slots=(2 * SLOTS,)),
            more={"memory": (*setting.more["memory"], *small, "cache.position_cap=0",
                             "data.lesson_length=0"),
                  "lococo": (*setting.more["lococo"], *small, "cache.local=4")}), FEW)
        for row in rows:
            untuned = any(f"| {method.label} |" in row for method in methods() if not method.trained)
            self.assertEqual(row.count("| - "), 2 * untuned, row)


if __name__ == "__main__":
    main()
