"""Token files that change under a run which has them mapped."""

import os
import subprocess
import time

from counted import main
import tiny_files as tiny
from harness import HostileTest, kill, start, watch, why_not_refused

TOKENS = 2_000_000  # far more than a run has read when the file changes
WAIT_S = 20


class MappedFiles(HostileTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tiny = tiny.Tiny(cls.folder)
        with open(cls.tiny.tokens, "rb") as file:
            cls.content = file.read() * (TOKENS // 4000)

    def spoil_while_training(self, name, spoil):
        """Starts a run without end, spoils its token file after the first steps, judges the end."""
        data = tiny.write_bytes(self.path(name + ".bin"), self.content)
        output = self.path(name)
        process = start("train", *self.tiny.train("data.train=" + data, "train.output=" + output,
                                                  "train.steps=1000000", "log.level=warn"),
                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(kill, process)
        metrics, deadline = os.path.join(output, "metrics.jsonl"), time.monotonic() + WAIT_S
        while not (os.path.exists(metrics) and os.path.getsize(metrics) > 0):
            self.assertLess(time.monotonic(), deadline, "no step was made")
            self.assertIsNone(process.poll(), "the run ended before its file was spoiled")
            time.sleep(0.02)
        spoil(data)
        seen = watch(process, WAIT_S)
        complaint = why_not_refused("train", seen, mentions=(data,))
        self.report(f"a token file {name} while it is mapped", seen, complaint)
        self.assertFalse(complaint, seen.summary())

    def test_truncated_to_nothing(self):
        self.spoil_while_training("truncated to nothing", lambda path: os.truncate(path, 0))

    def test_truncated_to_its_half(self):
        self.spoil_while_training("truncated to its half",
                                  lambda path: os.truncate(path, len(self.content) // 2))

    def test_overwritten_in_place(self):
        def overwrite(path):
            with open(path, "r+b") as file:
                file.write(b"\xff" * len(self.content))
        self.spoil_while_training("overwritten", overwrite)


if __name__ == "__main__":
    main()
