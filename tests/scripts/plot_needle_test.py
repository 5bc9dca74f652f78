"""scripts/plot_needle.py on cells as lococo-eval writes them. Exit code 4: matplotlib is not
installed."""

import importlib.util
import os
import pathlib
import subprocess
import sys

from counted import main
from folder_case import FolderCase

SCRIPT = pathlib.Path(os.environ["LOCOCO_SOURCE"]) / "scripts" / "plot_needle.py"


def cell(kind, length, depth, trials, correct):
    return {"task": "needle", "kind": kind, "length": length, "depth": depth, "trials": trials,
            "correct": correct}


class Needles(FolderCase):
    def plot(self, *files):
        picture = self.folder / "needle.png"
        done = subprocess.run([sys.executable, SCRIPT, picture, *files], capture_output=True,
                              text=True, check=False)
        return done, picture

    def pixels(self, picture):
        from matplotlib import image
        return image.imread(picture)

    def test_a_panel_for_each_file_and_kind(self):
        grid = [(n, d) for n in (1024, 4096) for d in (0, 50.0, 100.0)]
        files = [
            self.write("h2o.json", {"cells": [cell("digits", n, d, 4, 1) for n, d in grid] +
                                    [cell("words", n, d, 4, 4) for n, d in grid]}),
            self.write("full.json", {"cells": [cell("digits", n, d, 4, 3) for n, d in grid[:4]] +
                                     [cell("digits", 4096, 50.0, 4, 0),
                                      cell("digits", 4096, -1.0, 9, 9),
                                      cell("digits", 4096, None, 9, 9)]})]
        done, picture = self.plot(*files)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines(),
                         ["h2o: digits 25.0 %, words 100.0 %", "full: digits 60.0 %"])
        self.assertEqual(picture.read_bytes()[1:4], b"PNG")
        self.assertLess(picture.stat().st_size, 100_000)

    def test_the_colour_is_the_share_of_right_answers(self):
        shades = []
        for correct in (0, 2, 4):
            path = self.write("one.json", {"cells": [cell("digits", 1024, 50.0, 4, correct)]})
            _, picture = self.plot(path)
            pixels = self.pixels(picture)
            shades.append(pixels[pixels.shape[0] * 2 // 5, pixels.shape[1] // 4, :3].sum())
        self.assertEqual(shades, sorted(shades))
        self.assertGreater(shades[2], shades[0] + 0.5)

    def test_what_is_no_result_is_named_in_one_line(self):
        for name, content, says in (
                ("a.json", "{", "is not JSON, or was cut short"),
                ("b.json", {"results": []}, "is not a file of answers to needles"),
                ("c.json", {"cells": [{"kind": "digits", "trials": "x", "depth": 1}]},
                 "is not a file of answers to needles"),
                ("d.json", {"cells": [cell("digits", 1024, -1.0, 4, 4)]}, "no cell has a depth")):
            done, picture = self.plot(self.write(name, content))
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn(f"{name}: ", done.stderr)
            self.assertIn(f"{says}; give what lococo-eval with eval.task=needle", done.stderr)
            self.assertFalse(picture.exists())
        done, _ = self.plot(self.folder / "gone.json")
        self.assertEqual(done.returncode, 2)
        self.assertIn("gone.json: cannot be read (No such file", done.stderr)

    def test_a_picture_in_no_folder_is_refused_before_anything_is_read(self):
        done = subprocess.run([sys.executable, SCRIPT, self.folder / "no" / "a.png", "gone.json"],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assertIn("there is no folder", done.stderr)


if __name__ == "__main__":
    if importlib.util.find_spec("matplotlib") is None:
        sys.exit(4)
    main()
