"""Checkpoints of the stages of a pipeline, on CPUs: what one process would write, and any layout goes on from.

usage: stage_checkpoints_test.py MPIRUN (LOCOCO_BIN names the folder of the tools)
"""

import json
import os
import signal
import subprocess
import sys
import time

from counted import main
from training_tool import TUNE_ALL, WHOLE, Training  # skips without its packages
import numpy

Training.mpirun = sys.argv[1]
Training.layers = 4


class Checkpoints(Training):
    def assert_goes_on(self, layouts, **options):
        """`layouts`: (until which step, ranks, stages)."""
        steps = layouts[-1][0]
        self.train("whole", steps, **options)
        for until, ranks, stages in layouts:
            self.train("moved", until, ranks, distributed__pipeline=stages, **options)
        self.assertEqual([line["step"] for line in self.metrics("moved")], list(range(1, steps + 1)))
        self.assert_close(self.tuned("whole", steps), self.tuned("moved", steps), 1e-3)
        for a, b in zip(self.metrics("whole"), self.metrics("moved"), strict=True):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-3 * a["loss"])

    def test_a_run_goes_on_in_any_layout(self):
        self.assert_goes_on(((2, 1, 1), (4, 2, 1), (6, 2, 2), (8, 4, 2), (9, 3, 3), (10, 1, 1)))

    def test_a_run_of_whole_sequences_goes_on_in_any_layout(self):
        lora = {"tune__embed": "null", "tune__norm": "null", "tune__lora": "3e-3"}
        self.assert_goes_on(((2, 1, 1), (4, 2, 2), (6, 2, 1), (8, 1, 1)), train__pass="full_sequence", **WHOLE, **lora)

    def test_all_weights_go_on_in_any_layout(self):
        self.train("whole", 6, **TUNE_ALL)
        for until, ranks, stages, sharded in ((2, 2, 2, "false"), (4, 4, 2, "true"), (5, 1, 1, "false"), (6, 3, 3, "false")):
            self.train("moved", until, ranks, distributed__pipeline=stages, distributed__shard_optimizer=sharded, **TUNE_ALL)
        files = ("model.safetensors", "lococo.safetensors")
        self.assert_close(self.tensors("whole", 6, *files), self.tensors("moved", 6, *files), 1e-3)

    def test_a_stage_loads_its_own_layers_of_a_base(self):
        self.train("base", 1, **TUNE_ALL)
        options = {"model__path": self.path("base", "step-00000001"), "train__seed": 5}
        self.train("one", 2, **options)
        self.train("stages", 2, 3, distributed__pipeline=3, distributed__stage_layers="[1,1,2]", **options)
        self.assert_close(self.tuned("one", 2), self.tuned("stages", 2), 1e-3)

    def test_stages_resume_bit_for_bit_what_they_left(self):
        self.train("whole", 6, 2, distributed__pipeline=2)
        for until in (3, 6):
            self.train("parts", until, 2, distributed__pipeline=2)
        for file in ("adapter_model.safetensors", "lococo.safetensors", "optimizer.safetensors"):
            one, other = self.tensors("whole", 6, file), self.tensors("parts", 6, file)
            self.assertEqual(one.keys(), other.keys())
            for key in one:
                self.assertTrue(numpy.array_equal(one[key], other[key]), key)

    def test_a_checkpoint_says_the_same_in_every_layout(self):
        """The files of one process: names, shapes, types and what is written about them."""
        self.train("one", 1, **TUNE_ALL)
        self.train("stages", 1, 3, distributed__pipeline=3, **TUNE_ALL)
        folders = [self.path(name, "step-00000001") for name in ("one", "stages")]
        self.assertEqual(*[sorted(os.listdir(folder)) for folder in folders])
        for name in ("model.safetensors", "lococo.safetensors", "optimizer.safetensors"):
            one, other = self.tensors("one", 1, name), self.tensors("stages", 1, name)
            self.assertEqual({k: (v.shape, v.dtype) for k, v in one.items()},
                             {k: (v.shape, v.dtype) for k, v in other.items()})
        states = []
        for folder in folders:
            with open(os.path.join(folder, "state.json"), encoding="utf-8") as file:
                states.append(json.load(file))
        self.assertEqual(states[0]["trainable"], states[1]["trainable"])

    def test_another_run_goes_on_with_its_adapter(self):
        self.train("first", 3, 2, distributed__pipeline=2)
        adapter = {"model__adapter": self.path("first", "step-00000003"), "tune__embed": "null", "tune__norm": "null"}
        self.train("one", 2, **adapter)
        self.train("stages", 2, 2, distributed__pipeline=2, **adapter)
        self.assert_close(self.tuned("one", 2), self.tuned("stages", 2), 1e-3)

    def test_a_signal_saves_and_stops(self):
        process = subprocess.Popen(self.command("stopped", 400, 2, distributed__pipeline=2), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not os.path.isfile(self.path("stopped", "metrics.jsonl")) or len(self.metrics("stopped")) < 3:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGUSR1)
        self.assertNotEqual(process.wait(timeout=60), 0)
        saved = [name for name in os.listdir(self.path("stopped")) if name.startswith("step-")]
        self.assertEqual(len(saved), 1)
        step = int(saved[0].split("-")[1])
        self.train("stopped", step + 2, train__steps=step + 2)
        self.assertEqual(self.metrics("stopped")[-1]["step"], step + 2)


if __name__ == "__main__":
    main()
