"""lococo-train and lococo-eval as stages of a pipeline, on CPUs: what one process computes, whatever the layout.

usage: pipeline_test.py MPIRUN (LOCOCO_BIN names the folder of the tools)
"""

import itertools
import json
import os
import subprocess
import sys

from counted import main
import tiny_files
from training_tool import CONTEXT, SEQUENCES, TUNE_ALL, WHOLE, Training, write_tokens  # skips without its packages

Training.mpirun = sys.argv[1]
Training.layers = 4

# name: (ranks, options)
LAYOUTS = {
    "two stages": (2, {"distributed__pipeline": 2}),
    "three stages": (3, {"distributed__pipeline": 3}),
    "two replicas of two stages": (4, {"distributed__pipeline": 2}),
}
METHODS = {
    "lococo": {},
    "h2o": {"cache__policy": "h2o", "cache__scores": "accumulated", "cache__keys": "unrotated", "tune__conv": "null"},
    # At a rate of 1e-2 rounding alone sets two data-parallel ranks apart by more than the bound.
    "blocks without a cache policy, LoRA alone":
        {"cache__policy": "none", "train__pass": "blockwise", "tune__conv": "null", "tune__embed": "null",
         "tune__norm": "null", "tune__lora": "3e-3"},
}
# Whole sequences: (which layouts, options)
WHOLE_METHODS = {
    "LoRA alone": (LAYOUTS, {**WHOLE, "tune__embed": "null", "tune__norm": "null", "tune__lora": "3e-3"}),
    "s2, LoRA, embedding and norms, recomputed":
        (("three stages",), {**WHOLE, "attention__pattern": "s2", "attention__group_tokens": 24,
                             "train__activation_checkpointing": "true"}),
    "sf, micro-batches of two": (("two stages",), {**WHOLE, "attention__pattern": "sf", "train__micro_batch": 2}),
}


class Layouts(Training):
    def gradients_of_first_step(self, name, ranks, **options):
        """After one step the optimizer's first moment is the clipped mean gradient times 1 - beta1."""
        self.train(name, 1, ranks, **options)
        state = self.tensors(name, 1, "optimizer.safetensors")
        return {key: value for key, value in state.items() if key.endswith(".m")}

    def assert_same_training(self, one, other):
        """Two runs of 20 steps."""
        names = [name for name in os.listdir(self.path(one, "step-00000020")) if name.endswith(".safetensors")]
        self.assertEqual(sorted(names), sorted(name for name in os.listdir(self.path(other, "step-00000020"))
                                               if name.endswith(".safetensors")))
        weights = [name for name in names if name != "optimizer.safetensors"]
        self.assert_close(self.tensors(one, 20, *weights), self.tensors(other, 20, *weights), 1e-3)
        here, there = self.metrics(one), self.metrics(other)
        self.assertEqual([line["tokens"] for line in there], [CONTEXT * SEQUENCES * (i + 1) for i in range(20)])
        for a, b in zip(here, there, strict=True):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-3 * a["loss"])
            self.assertAlmostEqual(a["grad_norm"], b["grad_norm"], delta=2e-2 * a["grad_norm"])

    def assert_layouts_train_alike(self, method, layouts, options):
        want = self.gradients_of_first_step(f"{method} first", 1, **options)
        self.train(f"{method} run", 20, **options)
        loss = [line["loss"] for line in self.metrics(f"{method} run")]
        self.assertLess(loss[-1], loss[0] - 0.1)
        for layout in layouts:
            ranks, split = LAYOUTS[layout]
            with self.subTest(method=method, layout=layout):
                got = self.gradients_of_first_step(f"{method} first, {layout}", ranks, **options, **split)
                self.assertEqual(got.keys(), want.keys())
                self.assert_close(want, got, 1e-6)
                self.train(f"{method} run, {layout}", 20, ranks, **options, **split)
                self.assert_same_training(f"{method} run", f"{method} run, {layout}")

    def test_every_layout_trains_what_one_process_does(self):
        for method, options in METHODS.items():
            self.assert_layouts_train_alike(method, LAYOUTS, options)

    def test_whole_sequences_train_what_one_process_does(self):
        for method, (layouts, options) in WHOLE_METHODS.items():
            self.assert_layouts_train_alike(method, layouts, options)

    def test_too_few_whole_sequences_for_the_stages_are_told_of(self):
        for micro_batch, warned in ((4, True), (2, False)):
            options = {**WHOLE, "train__micro_batch": micro_batch}
            done = subprocess.run(self.command(f"by {micro_batch}", 1, 2, distributed__pipeline=2, **options),
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual("1 at a time of each replica on their way through 2 stages" in done.stderr, warned, done.stderr)

    def test_normalizers_of_every_stage_are_watched(self):
        told = []
        for stages in (1, 2):
            done = subprocess.run(self.command(f"{stages}", 1, stages, distributed__pipeline=stages, tune__normalizer=3),
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            told.append([line.split("warn: ")[1] for line in done.stderr.splitlines() if "have left [0, 1]" in line])
        self.assertEqual(len(told[0]), 1)
        self.assertEqual(told[0], told[1])

    def test_all_weights_with_a_sharded_optimizer(self):
        self.train("one", 20, **TUNE_ALL)
        for layout, (ranks, split) in LAYOUTS.items():
            for sharded in ("false", "true"):
                with self.subTest(layout=layout, sharded=sharded):
                    name = f"{layout} {sharded}"
                    self.train(name, 20, ranks, distributed__shard_optimizer=sharded, **TUNE_ALL, **split)
                    self.assert_same_training("one", name)

    def test_micro_batches_of_several_sizes(self):
        for name, method in (("blocks", {}), ("whole", WHOLE)):
            options = {**method, "train__micro_batch": 3, "train__sequences_per_step": 4}
            self.train(f"one, {name}", 4, **options)
            self.train(f"stages, {name}", 4, 2, distributed__pipeline=2, **options)
            self.assert_close(self.tuned(f"one, {name}", 4), self.tuned(f"stages, {name}", 4), 1e-3)


class Evaluation(Training):
    def setUp(self):
        super().setUp()
        write_tokens(self.path("validation.bin"), seed=8)
        self.options = {"data__validation": self.path("validation.bin"), "eval__lengths": "[64,129]",
                        "eval__max_tokens": 2000, "eval__batch": 3}

    def evaluate(self, name, ranks, **options):
        overrides = [f"{key.replace('__', '.')}={value}" for key, value in {**self.options, **options}.items()]
        command = self.tool("lococo-eval", ranks, f"model.adapter={self.path('run', 'step-00000004')}",
                            f"eval.output={self.path(name)}", f"eval.per_token={self.path(name + '.bin')}",
                            *overrides)
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def test_stages_evaluate_what_one_process_does(self):
        self.train("run", 4, 2, distributed__pipeline=2)
        want = self.evaluate("one.json", 1)
        for layout, (ranks, split) in LAYOUTS.items():
            with self.subTest(layout=layout):
                got = self.evaluate(f"{ranks}.json", ranks, **split)
                self.assertEqual(len(got["results"]), 2)
                for a, b in zip(want["results"], got["results"], strict=True):
                    self.assertAlmostEqual(a["nll"], b["nll"], delta=1e-5)
                    self.assertEqual(a["segments"], b["segments"])

    def test_stages_evaluate_whole_sequences(self):
        self.train("run", 4, 2, distributed__pipeline=2, **WHOLE)
        patterns = {"full": {}, "s2": {"eval__pattern": "training", "attention__pattern": "s2",
                                       "attention__group_tokens": 32}}
        for pattern, options in patterns.items():
            options = {**options, "cache__policy": "none", "tune__conv": "null"}
            want = self.evaluate(f"one {pattern}.json", 1, **options)
            for layout, (ranks, split) in LAYOUTS.items():
                with self.subTest(layout=layout, pattern=pattern):
                    got = self.evaluate(f"{ranks} {pattern}.json", ranks, **options, **split)
                    for a, b in zip(want["results"], got["results"], strict=True):
                        self.assertAlmostEqual(a["nll"], b["nll"], delta=1e-5)

    def test_a_training_evaluates_on_its_stages(self):
        for method, options in (("blocks", {}), ("whole", WHOLE)):
            lines = []
            for ranks, stages in ((1, 1), (4, 2)):
                name = f"{method} {ranks}"
                self.train(name, 4, ranks, distributed__pipeline=stages, eval__every=2, **self.options, **options)
                with open(self.path(name, "evaluation.jsonl"), encoding="ascii") as file:
                    lines.append([json.loads(line) for line in file])
            self.assertEqual(len(lines[0]), 2)
            for a, b in zip(*lines, strict=True):
                self.assertEqual(a.keys(), b.keys())
                for key in a:
                    self.assertAlmostEqual(a[key], b[key], delta=1e-3)

    def test_after_training_the_stages_evaluate_together(self):
        options = {**self.options, "log__level": "info"}
        done = subprocess.run(self.command("run", 3, 2, distributed__pipeline=2, **options), capture_output=True,
                              text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("evaluation after training", done.stderr)
        self.assertIn("pipeline of 2 stages, 1 replica: layers 0 to 1, 2 to 3", done.stderr)


class Records(Training):
    """Answers of instructions alone are trained, rows have lengths of their own, documents share rows."""

    def test_stages_train_on_records_what_one_process_does(self):
        model = tiny_files.make_model(self.path("model"))
        tiny_files.write_json(os.path.join(model, "tokenizer.json"), tiny_files.bpe_tokenizer())
        lines = "".join(json.dumps({"instruction": f"the sand of number {n}" * (1 + n % 3), "output": f"sand {n}"}) + "\n"
                        for n in range(12))
        records = tiny_files.write_text(self.path("records.jsonl"), lines)
        for packing, whole in itertools.product(("false", "true"), (False, True)):
            options = {"data__train": "[]", "data__records": records, "data__template": "plain", "data__packing": packing,
                       "data__validation_records": records, "data__context_length": 128, "model__path": model,
                       "eval__every": 2, **(WHOLE if whole else {}), "train__micro_batch": 2}
            names = [f"{who} {packing} {whole}" for who in ("one", "stages")]
            self.train(names[0], 4, **options)
            self.train(names[1], 4, 2, distributed__pipeline=2, **options)
            self.assert_close(self.tuned(names[0], 4), self.tuned(names[1], 4), 1e-3)
            answers = []
            for name in names:
                with open(self.path(name, "evaluation.jsonl"), encoding="ascii") as file:
                    answers.append([json.loads(line)["answer_nll"] for line in file])
            self.assertEqual(len(answers[0]), 2)
            for a, b in zip(*answers, strict=True):
                self.assertAlmostEqual(a, b, delta=1e-3)


class Refusals(Training):
    def refusal(self, ranks, *flags, **options):
        done = subprocess.run([*self.command("refused", 1, ranks, **options), *flags], capture_output=True, text=True,
                              timeout=120)
        lines = [line for line in done.stderr.splitlines() if "error: " in line]
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertFalse(os.path.exists(self.path("refused", "metrics.jsonl")))
        return lines[0]

    def test_what_stages_cannot_do_is_refused_in_one_line(self):
        two = {"distributed__pipeline": 2}
        self.assertIn("2 stages need a multiple of 2 ranks, and there are 3", self.refusal(3, **two))
        self.assertIn("there is 1; start with mpirun -np 2", self.refusal(1, **two))
        self.assertIn("5 stages are more than the model's 4 layers", self.refusal(1, "--dry-run", distributed__pipeline=5))
        self.assertIn("distributed.stage_layers: are 5 together, and the model has 4 layers",
                      self.refusal(1, "--dry-run", distributed__pipeline=2, distributed__stage_layers="[2,3]"))
        self.assertIn("use cache.bptt_blocks 1", self.refusal(1, cache__bptt_blocks=2, **two))
        taught = {"cache__policy": "retention", "cache__scores": "accumulated", "cache__keys": "unrotated",
                  "cache__positions": "text", "teach__slots": "[16]", "tune__retention": "1e-2", "tune__conv": "null",
                  "tune__lora": "null", "tune__embed": "null", "tune__norm": "null"}
        self.assertIn("teach with distributed.pipeline 1", self.refusal(1, **taught, **two))

    def test_a_dry_run_tells_the_stages_and_the_memory_of_the_largest(self):
        done = subprocess.run([*self.command("dry", 1, distributed__pipeline=2), "--dry-run"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("pipeline of 2 stages: layers 0 to 1, 2 to 3", done.stdout)
        self.assertIn("stage 0 needs the most memory, with 2 blocks in flight", done.stdout)


if __name__ == "__main__":
    main()
