"""lococo-train on two hosts that a host file names.

usage: hosts_test.py MPIRUN      (LOCOCO_BIN names the folder of the tools)
"""

import os
import pathlib
import signal
import sys
import tempfile
import unittest

from counted import main
from ranks import Run, launcher
from runs import broken_checkpoint, checkpoints, read_metrics
import tiny_files as tiny
from two_hosts import HOSTS, TwoHosts

MPIRUN = sys.argv[1]
SLOTS = (2, 1)  # ranks of each host
STEPS = 30  # more than are made until a test has seen three and acts
STALL_S = 4
# A host that says nothing for so many seconds, and does not answer when it is asked, is lost.
LISTEN = {"time": 3, "intvl": 2, "probes": 3}


class Hosts(unittest.TestCase):
    """A model, a text and a run of three ranks on one host, which two hosts are to repeat to the bit. Token files
    lie on the disk of each host."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="lococo-hosts-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        try:
            cls.hosts = TwoHosts(cls.folder)
        except unittest.SkipTest as reason:
            cls.hosts, cls.why_not = None, str(reason)
            return
        cls.addClassCleanup(cls.hosts.remove)
        cls.tiny = tiny.Tiny(str(cls.folder))
        tiny.write_json(cls.folder / "model" / "tokenizer.json", tiny.bpe_tokenizer())
        cls.text = tiny.write_text(cls.folder / "novel.txt", tiny.novel(seed=3))
        os.mkdir(cls.folder / "cache")
        cls.finish(cls.start("one", lambda *tool: [*launcher(MPIRUN, sum(SLOTS)), *tool], sum(SLOTS),
                             f"data.cache_dir={cls.folder / 'cache'}"))

    def setUp(self):
        if self.hosts is None:
            self.skipTest(self.why_not)

    @classmethod
    def start(cls, name, launch, ranks, *overrides):
        output = f"train.output={cls.folder / name}"
        tool = os.path.join(os.environ["LOCOCO_BIN"], "lococo-train")
        arguments = cls.tiny.train(f"data.train={cls.text}", "data.raw_dtype=none", output, f"train.steps={STEPS}",
                                   "train.sequences_per_step=6", "log.every=1000000", *overrides)
        run = Run(launch(tool, *arguments), ranks, output, str(cls.folder / (name + ".log")))
        cls.addClassCleanup(run.kill)
        return run

    def on_two_hosts(self, name, *overrides, slots=SLOTS, options=()):
        return self.start(name, lambda *tool: self.hosts.command(MPIRUN, slots, *tool, options=options), sum(slots),
                          f"data.cache_dir={self.hosts.disk}", *overrides)

    def in_its_loop(self, name, *overrides, options=()):
        """A run of two hosts that has made some steps, and the pids of its ranks."""
        run = self.on_two_hosts(name, *overrides, options=options)
        pids = run.wait_for_ranks()
        run.wait_until(lambda: len(read_metrics(self.folder / name)) > 2, "steps")
        self.assertIsNone(run.process.poll(), run.lines())
        return run, pids

    @staticmethod
    def finish(run):
        if run.process.wait(timeout=200) != 0:
            raise AssertionError("\n".join(run.lines()))

    def last_checkpoint(self, name):
        return checkpoints(self.folder / name)[f"step-{STEPS:08d}"]

    def assert_repeats(self, name):
        self.assertEqual([line["step"] for line in read_metrics(self.folder / "one")], list(range(1, STEPS + 1)))
        self.assertEqual(read_metrics(self.folder / name), read_metrics(self.folder / "one"))
        self.assertTrue(self.last_checkpoint(name) == self.last_checkpoint("one"))

    def test_they_train_what_one_host_does_bit_for_bit(self):
        for sharded in ("false", "true"):
            name = "sharded-" + sharded
            run = self.on_two_hosts(name, f"distributed.shard_optimizer={sharded}")
            networks = {rank: os.readlink(f"/proc/{pid}/ns/net") for rank, pid in run.wait_for_ranks().items()}
            self.assertEqual(networks[0], networks[1])
            self.assertNotEqual(networks[0], networks[2])
            self.finish(run)
            self.assert_repeats(name)
        made = [list(pathlib.Path(self.hosts.disk_of(host)).glob("*.tokens")) for host in HOSTS]
        self.assertEqual([len(files) for files in made], [1, 1], "each host has tokenised for itself")
        self.assertEqual(made[0][0].read_bytes(), made[1][0].read_bytes())

    def test_one_rank_of_a_host_tokenises(self):
        pathlib.Path(self.hosts.disk_of("host-a"), "folder").mkdir()
        pathlib.Path(self.hosts.disk_of("host-b"), "folder").touch()  # where a folder would have to be
        run = self.on_two_hosts("refused", f"data.cache_dir={self.hosts.disk}/folder", slots=(2, 2))
        self.assertEqual(run.end()[0], 2)
        told = run.lines_with("error: rank ")
        self.assertEqual(len(told), 1, run.lines())
        self.assertIn("error: rank 2: ", told[0])

    def test_a_killed_rank_ends_the_ranks_of_both_and_the_run_goes_on(self):
        run, pids = self.in_its_loop("killed", "checkpoint.every=2")
        os.kill(pids[2], signal.SIGKILL)
        code, seconds = run.end()
        print(f"a rank of host-b killed: all gone after {seconds:.1f} s, code {code}")
        self.assertEqual(code, 128 + signal.SIGKILL)
        told = [line for line in run.lines_with("process rank 2 ") if "on node host-b exited on signal 9" in line]
        self.assertEqual(len(told), 1, run.lines())
        self.assertEqual(broken_checkpoint(self.folder / "killed"), "")
        self.finish(self.on_two_hosts("killed", "checkpoint.every=2"))
        self.assert_repeats("killed")

    def test_a_stopped_rank_ends_the_ranks_of_both_and_is_named(self):
        for victim in (2, 0):
            with self.subTest(victim):
                run, pids = self.in_its_loop(f"stalled-{victim}", f"distributed.timeout_s={STALL_S}", "train.steps=100000")
                os.kill(pids[victim], signal.SIGSTOP)
                code, seconds = run.end()
                told = run.lines_with(" has waited ")
                print(f"rank {victim} stopped: all gone after {seconds:.1f} s, code {code}: {told}")
                self.assertNotEqual(code, 0)
                self.assertEqual(len(told), 1, run.lines())
                self.assertIn(f" for rank {victim}, of which nothing was heard for ", told[0])

    def test_sigusr1_to_mpirun_saves_and_stops_both(self):
        run, _ = self.in_its_loop("stopped")
        run.process.send_signal(signal.SIGUSR1)
        self.assertEqual(run.end()[0], 128 + signal.SIGTERM)
        saved = int(run.lines_with("saved ")[-1].rsplit("-", 1)[1])
        self.assertLess(saved, STEPS)
        self.assertEqual(len(read_metrics(self.folder / "stopped")), saved)
        self.finish(self.on_two_hosts("stopped"))
        self.assert_repeats("stopped")

    def test_a_host_that_falls_silent_ends_the_run_when_mpirun_was_told_to_listen(self):
        options = []
        for name, value in LISTEN.items():
            options += ["--mca", f"oob_tcp_keepalive_{name}", str(value)]
        run, _ = self.in_its_loop("silent", "train.steps=100000", options=options)
        self.addCleanup(self.hosts.join)
        self.hosts.cut()
        code, seconds = run.end()
        print(f"the wire cut: all gone after {seconds:.1f} s, code {code}")
        self.assertNotEqual(code, 0)
        self.assertEqual(len(run.lines_with("lost communication with a remote daemon")), 1, run.lines())


if __name__ == "__main__":
    main()
