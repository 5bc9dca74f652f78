"""A small run that has saved, for tests that spoil what it left."""

import json
import os

import tiny_files as tiny
from harness import HostileTest, run


def with_value(text, key, value):
    """A JSON object's text with another value of one member, which may be new."""
    return json.dumps(json.loads(text) | {key: "@"}).replace('"@"', value)


class TrainedTest(HostileTest):
    """`run_folder` holds the run, `trained` its last checkpoint."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        cls.run_folder = cls.path("trained")
        seen = run("train", *cls.tiny.train("train.output=" + cls.run_folder))
        assert seen.code == 0, seen.err
        cls.trained = os.path.join(cls.run_folder, "step-00000002")
