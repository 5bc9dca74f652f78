"""What every rank finds is told by one of them, in one line.

usage: told_once_test.py MPIRUN      (LOCOCO_BIN names the folder of the tools)
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from counted import main
from ranks import launcher
import tiny_files as tiny

MPIRUN = sys.argv[1]
RANKS = 2
LAYOUTS = {"replicas": (), "stages": (f"distributed.pipeline={RANKS}",)}


class ToldOnce(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-told-once-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.tiny = tiny.Tiny(self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run_tool(self, before, tool, *arguments, **options):
        command = [*before, os.path.join(os.environ["LOCOCO_BIN"], tool), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)

    def assert_refused(self, message, tool, *arguments, before=()):
        """In each layout; `arguments` as the tool alone would take them, `before`: what starts it on each rank."""
        for layout, options in LAYOUTS.items():
            done = self.run_tool([*launcher(MPIRUN, RANKS), *before], tool, *arguments, *options)
            with self.subTest(tool=tool, layout=layout):
                told = [line for line in done.stderr.splitlines() if "error: " in line]
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(told), 1, done.stderr)
                self.assertIn(message, told[0])

    def hosts(self):
        """A folder for each rank, and what starts a rank in its own."""
        folders = [self.path(f"host-{rank}") for rank in range(RANKS)]
        for folder in folders:
            os.mkdir(folder)
        return folders, ["sh", "-c", f'cd {self.path("host-")}$OMPI_COMM_WORLD_RANK && exec "$@"', "sh"]

    def overflowing_model(self):
        """Every weight is a number, their products are not."""
        model = tiny.make_model(self.path("huge"), poison={"model.norm.weight": 1e30, "lm_head.weight": 1e30})
        tiny.write_json(os.path.join(model, "tokenizer.json"), tiny.bpe_tokenizer())
        return model

    def test_a_model_that_is_none(self):
        weightless = self.path("weightless")
        os.mkdir(weightless)
        shutil.copy(os.path.join(self.tiny.model, "config.json"), weightless)
        narrow = tiny.make_model(self.path("narrow"))
        tiny.write_json(os.path.join(narrow, "config.json"), tiny.model_config(hidden_size=2 * tiny.HIDDEN))
        for model, message in (("/nowhere", "/nowhere: there is no such folder"),
                               (weightless, "holds neither model.safetensors nor"),
                               (narrow, "tensors of another shape")):
            self.assert_refused(message, "lococo-train", *self.tiny.train(f"model.path={model}"))
            self.assert_refused(message, "lococo-eval", *self.tiny.eval(f"model.path={model}"))

    def test_a_config_that_is_none(self):
        self.assert_refused("cache.slots", "lococo-train", *self.tiny.train("cache.slots=0"))

    def test_a_checkpoint_that_one_host_does_not_have(self):
        """As on hosts that share no disk: each rank has a folder of its own."""
        hosts, at_home = self.hosts()
        arguments = self.tiny.train("train.output=run")
        self.assertEqual(self.run_tool([], "lococo-train", *arguments, cwd=hosts[0]).returncode, 0)
        arguments.append("train.steps=3")
        told = "run/step-00000002: rank 0 goes on from this checkpoint, rank 1 sees "
        self.assert_refused(told + "none there", "lococo-train", *arguments, before=at_home)
        other = [*self.tiny.train("train.output=run"), "tune.lora=2e-3"]
        self.assertEqual(self.run_tool([], "lococo-train", *other, cwd=hosts[1]).returncode, 0)
        self.assert_refused(told + "another there", "lococo-train", *arguments, before=at_home)
        shutil.copytree(os.path.join(hosts[0], "run"), os.path.join(hosts[1], "run"), dirs_exist_ok=True)
        done = self.run_tool([*launcher(MPIRUN, RANKS), *at_home], "lococo-train", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_text_that_one_host_cannot_read_ends_no_stage(self):
        hosts, at_home = self.hosts()
        tiny.write_json(os.path.join(self.tiny.model, "tokenizer.json"), tiny.bpe_tokenizer())
        told = "no evaluation after training: another rank could not open data.validation"
        for reads, fails in (hosts, hosts[::-1]):
            tiny.write_text(os.path.join(reads, "val.txt"), "the sand and the sea\n" * 40)
            tiny.write_bytes(os.path.join(fails, "val.txt"), b"the \xff sea" * 40)
            run = self.path("run-" + os.path.basename(fails))
            arguments = self.tiny.train(f"train.output={run}", "data.validation=[val.txt]", *LAYOUTS["stages"])
            done = self.run_tool([*launcher(MPIRUN, RANKS), *at_home], "lococo-train", *arguments)
            with self.subTest(fails=fails):
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(told if fails == hosts[1] else "no evaluation after training: val.txt", done.stderr)

    def test_tools_of_one_process(self):
        config, base = self.tiny.config, f"model.path={self.tiny.model}"
        untuned = ("cache.policy=none", "tune.conv=null", "tune.lora=null")
        export = [config, base, *untuned, f"export.output={self.path('exported')}"]
        self.assert_refused("lococo-export runs as one process; start it without mpirun", "lococo-export", *export)
        self.assertFalse(os.path.exists(self.path("exported")))
        self.assert_refused("lococo-bench train-step runs as one process", "lococo-bench", "train-step", config, base,
                            *untuned)
        text = tiny.write_text(self.path("text.txt"), "the sand and the sea\n")
        self.assert_refused("lococo-prepare runs as one process", "lococo-prepare", f"data.train={text}",
                            f"data.tokenizer={self.tiny.model}/tokenizer.json")
        done = self.run_tool([], "lococo-export", *export, "distributed.pipeline=2")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("distributed.pipeline: 2, but lococo-export runs in one process", done.stderr)

    def test_a_checkpoint_of_another_run(self):
        arguments = self.tiny.train()
        self.assertEqual(self.run_tool([], "lococo-train", *arguments).returncode, 0)
        self.assert_refused("step-00000002: belongs to another run: tune.lora is 0.001 there and 0.002 here",
                            "lococo-train", *arguments, "tune.lora=2e-3", "train.steps=3")

    def test_a_gradient_that_overflows(self):
        """The loss is a number, and so is each part of its gradient."""
        steep = tiny.make_model(self.path("steep"), poison={"lm_head.weight": 1e25})
        self.assert_refused("the gradient of step 1 is not finite", "lococo-train",
                            *self.tiny.train(f"model.path={steep}"))

    def test_texts_that_overflow(self):
        self.assert_refused("is not finite", "lococo-eval", *self.tiny.eval(f"model.path={self.overflowing_model()}"))

    def test_answers_that_overflow(self):
        records = tiny.write_text(self.path("records.jsonl"),
                                  json.dumps({"instruction": "the sand", "output": "sand"}) + "\n")
        self.assert_refused("the NLL of the answer of", "lococo-eval", *self.tiny.eval(
            f"model.path={self.overflowing_model()}", "data.validation=[]", f"data.validation_records={records}",
            "data.template=plain", "data.raw_dtype=none"))


if __name__ == "__main__":
    main()
