#!/usr/bin/env python3
"""The comparison of methods: what is planned and asked of the tools; and, on a tiny model, all of it:
every method tuned for two steps and evaluated, in a table with every row."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ["LOCOCO_SOURCE"])
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import compare_methods as compare  # noqa: E402
import tiny_files  # noqa: E402
from counted import main  # noqa: E402
from tool_runs import Fault  # noqa: E402

BASE, LENGTHS, SLOTS = 64, (64, 512), 16
TINY = ["model.dtype=float32", "distributed.device=cpu", "distributed.threads=1",
        "train.micro_batch=1", "eval.batch=2", "data.raw_dtype=uint16", "log.tensorboard=false",
        "eval.far=32"]


class CompareMethods(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-compare-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def setting(self):
        tiny_files.make_model(self.folder / "model")
        for name in ("train", "validation"):
            tiny_files.write_tokens(self.folder / f"{name}.bin")
        longer = [f"model.interpolate_to={LENGTHS[-1]}"]
        return compare.Setting(
            prefix="books", model=str(self.folder / "model"), train=str(self.folder / "train.bin"),
            validation=str(self.folder / "validation.bin"), lengths=LENGTHS,
            tokens=2 * 2 * LENGTHS[-1], sequences=2, memory_context=BASE, slots=SLOTS, rate=1.0,
            eval_rate=1.0, eval_tokens=2 * LENGTHS[-1], seeds=(1,),
            more={"memory": ["cache.position_cap=0", "cache.score_distance=2"],
                  "lococo": ["cache.local=4", "cache.score_distance=2"],
                  "longlora": longer, "sinklora": longer})

    def comparison(self, setting, *words):
        words = ["--output", str(self.folder / "out"), *words]
        return compare.Comparison(setting, compare.parse_arguments(words))

    def test_trainings_are_equal_in_tokens(self):
        setting = compare.SETTINGS["books"]
        for method in compare.methods():
            tokens = setting.steps(method) * setting.sequences * setting.context(method)
            self.assertEqual(tokens, setting.tokens, method.key)

    def test_what_is_there_is_not_done_again_and_untuned_rows_have_one_seed(self):
        comparison = self.comparison(compare.SETTINGS["books"])
        jobs = comparison.jobs()
        self.assertEqual(sum(job[0].key == "streaming" for job in jobs), 1)
        self.assertEqual(sum(job[0].key == "memory" for job in jobs), 6)
        method = next(m for m in comparison.methods if m.key == "memory")
        comparison.output.mkdir()
        comparison.result(method, 2).write_text("{}")
        state = comparison.folder(method, 1) / "step-00000040" / "state.json"
        state.parent.mkdir(parents=True)
        state.write_text("{}")
        self.assertEqual(len(comparison.jobs()), len(jobs) - 2)

    def test_a_reader_takes_the_weights_of_its_method(self):
        comparison = self.comparison(compare.SETTINGS["books"])
        method = next(m for m in comparison.methods if m.key == "sinklora_h2o")
        command = comparison.eval_command(method, 3)
        for part in ("attention.pattern=full", "cache.policy=h2o", "cache.slots=512",
                     f"model.adapter={comparison.output / 'sinklora-3'}"):
            self.assertIn(part, command)

    def test_nothing_starts_that_would_end_too_late(self):
        comparison = self.comparison(compare.SETTINGS["books"], "--minutes", "0.001")
        comparison.do = lambda *job: self.fail(f"{job} was started")
        comparison.all()

    def test_a_table_has_every_row_also_of_what_was_not_run(self):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            compare.main(words=["--table", "--output", str(self.folder)])
        text = printed.getvalue()
        for method in compare.methods():
            self.assertIn(f"| {method.label} | not run |", text)

    def test_texts_that_are_not_there_are_named(self):
        setting = compare.dataclasses.replace(compare.SETTINGS["books"], model="no/model")
        with self.assertRaisesRegex(Fault, "no/model: no such file"):
            with contextlib.redirect_stdout(io.StringIO()):
                compare.main(setting, ["--output", str(self.folder / "out")])

    def test_every_method_runs_on_a_tiny_model(self):
        words = ["--output", str(self.folder / "out"), "--bin", os.environ["LOCOCO_BIN"],
                 "--jobs", "2", "--options", *TINY]
        before = os.getcwd()
        os.chdir(ROOT)
        self.addCleanup(os.chdir, before)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            compare.main(self.setting(), words)
        rows = [line for line in printed.getvalue().splitlines() if line.startswith("| ")][1:]
        self.assertEqual(len(rows), len(compare.methods()))
        for row in rows:
            self.assertNotIn("not run", row)
            self.assertNotIn("nan", row)
        trained = json.loads((self.folder / "out" / "full-1.json").read_text())
        self.assertEqual([r["length"] for r in trained["results"]], list(LENGTHS))


if __name__ == "__main__":
    main()
