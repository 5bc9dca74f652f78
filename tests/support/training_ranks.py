"""lococo-train on several ranks whose processes a test stops or kills, at moments that a seed repeats."""

import os
import random
import tempfile
import unittest

from ranks import Run, launcher
import tiny_files as tiny


class TrainingRanks(unittest.TestCase):
    """`mpirun` has to be set before; without a `seed` the moments are new ones each time."""

    mpirun, seed = "mpirun", None
    ranks, options = 3, ()

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="lococo-ranks-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = temporary.name
        cls.tiny = tiny.Tiny(cls.folder)
        if cls.seed is None:
            cls.seed = random.randrange(1 << 30)
        cls.choice = random.Random(cls.seed)

    @classmethod
    def start(cls, output, *overrides):
        arguments = cls.tiny.train(f"train.output={output}", "train.sequences_per_step=6", "log.every=1000000",
                                   *overrides, *cls.options)
        tool = os.path.join(os.environ["LOCOCO_BIN"], "lococo-train")
        run = Run([*launcher(cls.mpirun, cls.ranks), tool, *arguments], cls.ranks, f"train.output={output}",
                  output + ".log", env=dict(os.environ, OMP_NUM_THREADS="1"))
        cls.addClassCleanup(run.kill)
        return run
