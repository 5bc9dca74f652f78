#!/usr/bin/env python3
"""The queue of runs that scripts share: order, GPUs, what waits, what fails, what is ended."""

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
import tool_runs  # noqa: E402
from counted import main  # noqa: E402
from tool_runs import Fault, Job, Queue  # noqa: E402

# Writes begin, end and GPU of a run of SECONDS.
RECORDED = """import json, os, sys, time
began = time.time()
time.sleep(float(sys.argv[2]))
gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
json.dump({"began": began, "ended": time.time(), "gpu": gpu}, open(sys.argv[1], "w"))
"""
# Writes down what it is told, for a while after the first time; its child must end with it. The
# child says when they have begun: a signal that came before it was there would not reach it.
TOLD = """trap 'echo told >> "$0"' TERM INT HUP
sh -c 'echo begun > "$0"; exec sleep 60.25' "$0" &
wait $!
wait $!
sleep 0.3
"""


DEAF = """trap '' TERM
echo begun > "$0"
while sleep 0.1; do :; done
"""


class ToolRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lococo-runs-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def job(self, name, seconds=0.05, minutes=1.0, **more):
        command = (sys.executable, "-c", RECORDED, str(self.folder / f"{name}.json"), str(seconds))
        return Job(name, command, minutes, **more)

    def run_all(self, jobs, **options):
        return self.run_queue(Queue(jobs, self.folder, **options))

    def run_queue(self, queue):
        with contextlib.redirect_stdout(io.StringIO()):
            problems = queue.run()
        return problems, {path.stem: json.loads(path.read_text())
                          for path in self.folder.glob("*.json")}

    def test_runs_are_dealt_to_gpus_in_turn_and_each_has_so_many_at_a_time(self):
        jobs = [self.job(f"r{i}", seconds=1.0) for i in range(5)]
        with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "4,6,7"}):
            _, done = self.run_all(jobs, gpus=2, per_gpu=2)
        self.assertEqual([done[f"r{i}"]["gpu"] for i in range(4)], ["4", "6", "4", "6"])
        self.assertGreaterEqual(done["r4"]["began"], min(done[f"r{i}"]["ended"] for i in range(4)))

    def test_one_gpu_is_left_as_it_is_and_too_few_are_said_to_be(self):
        with mock.patch.dict(os.environ):
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            _, done = self.run_all([self.job("only")])
            self.assertIsNone(done["only"]["gpu"])
            self.assertEqual(tool_runs.gpu_names(3), ["0", "1", "2"])
            os.environ["CUDA_VISIBLE_DEVICES"] = "5"
            with self.assertRaisesRegex(Fault, "--gpus 2: CUDA_VISIBLE_DEVICES names 1"):
                tool_runs.gpu_names(2)

    def test_a_reader_waits_for_its_training_alone(self):
        jobs = [self.job("short"), self.job("long", seconds=1.5), self.job("reads", after=("short",)),
                self.job("free", after=("done before",))]
        _, done = self.run_all(jobs, per_gpu=2)
        self.assertGreaterEqual(done["reads"]["began"], done["short"]["ended"])
        self.assertLess(done["reads"]["began"], done["long"]["ended"])
        self.assertIn("free", done)

    def test_what_measures_time_has_its_gpu_alone(self):
        jobs = [self.job("a", seconds=0.4), self.job("timed", alone=True, seconds=0.4),
                self.job("b", seconds=0.4, after=("timed",))]
        _, done = self.run_all(jobs, per_gpu=3)
        self.assertGreaterEqual(done["timed"]["began"], done["a"]["ended"])
        self.assertGreaterEqual(done["b"]["began"], done["timed"]["ended"])

    def test_what_needs_no_gpu_waits_for_none(self):
        jobs = [self.job("on gpu", seconds=1.0), self.job("next"), self.job("cpus", on_cpus=True),
                self.job("more", on_cpus=True, after=("cpus",))]
        _, done = self.run_all(jobs)
        self.assertLess(done["more"]["began"], done["on gpu"]["ended"])
        self.assertGreaterEqual(done["more"]["began"], done["cpus"]["ended"])
        self.assertGreaterEqual(done["next"]["began"], done["on gpu"]["ended"])

    def test_what_fails_is_told_at_the_end_and_its_readers_are_not_started(self):
        broken = Job("broken", (sys.executable, "-c", "raise SystemExit('no such text')"), 1.0)
        queue = Queue([broken, self.job("other"), self.job("reader", after=("other", "broken")),
                       self.job("its reader", after=("reader",))], self.folder)
        problems, done = self.run_queue(queue)
        self.assertEqual(len(problems), 1)
        self.assertEqual(queue.not_started(), ["reader", "its reader"])
        self.assertRegex(problems[0], r"broken failed \(1\):\nno such text")
        self.assertEqual(set(done), {"other"})
        with self.assertRaisesRegex(Fault, "gone: .*No such file"):
            self.run_all([Job("gone", ("no/such/tool",), 1.0)])

    def test_nothing_starts_that_would_end_too_late(self):
        jobs = [self.job("long", minutes=5.0), self.job("reads", minutes=0.1, after=("long",)),
                self.job("short", minutes=0.1), self.job("shared", minutes=0.6)]
        queue = Queue(jobs, self.folder, per_gpu=2, minutes=1.0)
        problems, done = self.run_queue(queue)
        self.assertEqual((problems, set(done)), ([], {"short"}))
        self.assertEqual(queue.not_started(), ["long", "reads", "shared"])

    def script_with_job(self, shell, begun, stderr):
        """A script whose only job runs such lines of a shell, which write the file `begun` first."""
        script = (f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
                  "from tool_runs import Job, Queue\n"
                  f"job = Job('its job', ('sh', '-c', {shell!r}, {str(begun)!r}), 1.0)\n"
                  f"Queue([job], {str(self.folder)!r}).run()\n")
        process = subprocess.Popen([sys.executable, "-c", script], stderr=stderr,
                                   start_new_session=True)
        ends = time.time() + 20
        while not begun.exists() and time.time() < ends:
            time.sleep(0.05)
        return process

    def test_jobs_end_with_the_script_and_are_told_once(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2)):
            told = self.folder / f"told-{code}"
            process = self.script_with_job(TOLD, told, subprocess.DEVNULL)
            os.killpg(process.pid, number)  # as Ctrl-C and a terminal that goes do
            began = time.time()
            self.assertEqual(process.wait(timeout=20), code)
            self.assertLess(time.time() - began, 10)
            self.assertEqual(told.read_text().split(), ["begun", "told"])

    def test_who_tells_twice_does_not_wait(self):
        process = self.script_with_job(DEAF, self.folder / "begun", subprocess.PIPE)
        with process, process.stderr:
            process.terminate()
            self.assertEqual(process.stderr.readline(), b"waiting for its job to end\n")
            self.assertIsNone(process.poll())
            process.terminate()
            self.assertEqual(process.wait(timeout=20), 143)

    def test_half_of_a_result_or_a_training_is_none(self):
        path = self.folder / "result.json"
        self.assertFalse(tool_runs.is_written(path))
        path.write_text('{"results": [')
        self.assertFalse(tool_runs.is_written(path))
        path.write_text('{"results": []}')
        self.assertTrue(tool_runs.is_written(path))
        state = self.folder / "run" / "step-00000007" / "state.json"
        state.parent.mkdir(parents=True)
        self.assertFalse(tool_runs.is_trained(self.folder / "run", 7))
        state.write_text("{}")
        self.assertTrue(tool_runs.is_trained(self.folder / "run", 7))
        self.assertFalse(tool_runs.is_trained(self.folder / "run", 8))

    def test_minutes_are_divided_by_gpus_and_a_chain_is_not(self):
        jobs = [self.job("a", minutes=6.0, trains=True), self.job("b", minutes=2.0)]
        self.assertEqual(tool_runs.what_is_to_do(jobs, 1),
                         "1 trainings and 1 evaluations to do: about 8 minutes of one H200")
        self.assertIn("about 4 minutes of 2 H200", tool_runs.what_is_to_do(jobs[1:] * 4, 2))
        jobs += [self.job("c", minutes=3.0, after=("a",)), self.job("d", on_cpus=True)]
        self.assertEqual(tool_runs.chains_of(jobs), {"a": 9.0, "b": 2.0, "c": 3.0, "d": 1.0})
        self.assertIn("1 preparations on CPUs: about 9 minutes of 4 H200",
                      tool_runs.what_is_to_do(jobs, 4))
        self.assertIn("about 11 minutes of one H200", tool_runs.what_is_to_do(jobs, 1))

    def test_seeds_that_the_tools_refuse_and_those_given_twice_are_refused(self):
        tool_runs.check_seeds("--seeds", [3, 0, 2**64 - 1])
        for seeds, says in (([1, -1], "--seeds -1: is out of range; use an integer from 0"),
                            ([2**64], f"--seeds {2**64}: is out of range"),
                            ([2, 1, 2], "--seeds 2: is given twice")):
            with self.assertRaisesRegex(Fault, says):
                tool_runs.check_seeds("--seeds", seeds)


if __name__ == "__main__":
    main()
