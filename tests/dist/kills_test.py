"""kill -9 of a random rank at random moments of a run of three, or of a pipeline: all end at once, and the run goes on.

usage: kills_test.py MPIRUN [--kills N] [--seed N] [--device cuda]

LOCOCO_BIN names the folder of the tools. On GPUs, by hand, two of them are enough.
"""

import argparse
import os
import signal
import time

from counted import main
from runs import broken_checkpoint, checkpoints, read_metrics
from training_ranks import TrainingRanks

EVERY = 2  # steps between checkpoints, so that kills fall into steps and into saves
STEPS_A_KILL = 12  # more than a run makes between two kills
EARLY = 0.25  # share of the kills that come before the first checkpoint of a start
LATEST = 2.0  # the others come so many intervals after it, at most
KILLS, DEVICE = 20, "cpu"


def newest(output):
    """The name of the last checkpoint, or nothing."""
    names = os.listdir(output) if os.path.isdir(output) else []
    return max((name for name in names if name.startswith("step-")), default="")


class KilledRanks(TrainingRanks):
    """Against one run that nobody kills and whose optimizer is whole on every rank."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.steps = STEPS_A_KILL * KILLS
        cls.whole = os.path.join(cls.folder, "whole")
        begin = time.monotonic()
        run = cls.start_sharded(cls.whole, "false")
        run.wait_until(lambda: newest(cls.whole), "a checkpoint")
        saved = time.monotonic()
        cls.finish(run)
        cls.until_saved = saved - begin
        cls.interval = (time.monotonic() - saved) * EVERY / cls.steps

    @classmethod
    def start_sharded(cls, output, sharded):
        return cls.start(output, f"train.steps={cls.steps}", f"checkpoint.every={EVERY}",
                         f"distributed.shard_optimizer={sharded}", f"distributed.device={DEVICE}")

    @classmethod
    def undisturbed(cls, sharded):
        """The folder of a run that nobody kills and whose bits are those wanted. On GPUs a divided optimizer adds the
        gradient's norm up in another order."""
        if DEVICE == "cpu" or sharded == "false":
            return cls.whole
        output = cls.whole + "-sharded"
        cls.finish(cls.start_sharded(output, sharded))
        return output

    @staticmethod
    def finish(run):
        if run.process.wait(timeout=300) != 0:
            raise AssertionError("\n".join(run.lines()))

    def kill_one(self, output, sharded):
        """Starts the run or goes on with it, and kills a rank: the seconds until all were gone, and from which
        checkpoint it had gone on; "" when it was killed before it said so."""
        before, victim = newest(output), self.choice.randrange(self.ranks)
        early, moment = self.choice.random() < EARLY, self.choice.random()
        run = self.start_sharded(output, sharded)
        pids = run.wait_for_ranks()
        if not early:
            run.wait_until(lambda: newest(output) != before, "a checkpoint")
        time.sleep(moment * (self.until_saved if early else LATEST * self.interval))
        self.assertIsNone(run.process.poll(), f"the run ended by itself, --seed {self.seed}\n{run.lines()}")
        os.kill(pids[victim], signal.SIGKILL)
        code, seconds = run.end()
        lines = run.lines()
        told = [line for line in run.lines_with(f"process rank {victim} ") if "signal 9 (Killed)" in line]
        print(f"{'early' if early else 'later'}, saved {newest(output) or 'nothing'}: all gone after "
              f"{seconds:.1f} s, code {code}: {'; '.join(told)}")
        self.assertEqual(code, 128 + signal.SIGKILL, lines)
        self.assertEqual(len(told), 1, lines)
        if newest(output):
            self.assertEqual(broken_checkpoint(output), "", f"--seed {self.seed}")
        return seconds, self.where_it_went_on(run, output, before)

    def where_it_went_on(self, run, output, last):
        """The checkpoint from which a run says that it went on, which must be the last; "": it had not said so."""
        told = [line.split("resuming from ")[1] for line in run.lines_with("resuming from ")]
        if told:
            self.assertEqual(told, [f"{output}/{last} at step {int(last.removeprefix('step-'))}"])
        return last if told else ""

    def check(self, name, sharded):
        output = os.path.join(self.folder, name)
        kills = [self.kill_one(output, sharded) for _ in range(KILLS)]
        last = newest(output)
        run = self.start_sharded(output, sharded)
        self.finish(run)
        starts = [checkpoint for _, checkpoint in kills[1:]] + [self.where_it_went_on(run, output, last)]
        print(f"{KILLS} kills, --seed {self.seed}: all gone after {max(seconds for seconds, _ in kills):.1f} s at "
              f"most; {sum(map(bool, starts))} of the {KILLS} starts behind them went on from the last checkpoint, "
              "the others were killed before they said so")
        self.assertEqual(starts[-1], last)
        whole = self.undisturbed(sharded)
        self.assertEqual([line["step"] for line in read_metrics(whole)], list(range(1, self.steps + 1)))
        self.assertEqual(read_metrics(output), read_metrics(whole), f"--seed {self.seed}")
        self.assertEqual(checkpoints(output), checkpoints(whole), f"--seed {self.seed}")

    def test_all_end_and_the_run_goes_on_to_the_same_bits(self):
        self.check("killed", "false")

    def test_the_same_with_a_part_of_the_optimizer_on_each_rank(self):
        self.check("sharded", "true")


class KilledStages(KilledRanks):
    """Two replicas of two stages; on GPUs one."""

    ranks, options = 4, ("distributed.pipeline=2",)
    test_the_same_with_a_part_of_the_optimizer_on_each_rank = None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mpirun")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", default=DEVICE)
    options = parser.parse_args()
    TrainingRanks.mpirun, TrainingRanks.seed = options.mpirun, options.seed
    KILLS, DEVICE = options.kills, options.device
    if DEVICE == "cuda":
        KilledRanks.ranks = KilledStages.ranks = 2
    main()
