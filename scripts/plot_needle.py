#!/usr/bin/env python3
"""Draws what lococo-eval wrote for needles: share of right answers against the length of the text
and the needle's place in it, a column of panels for each kind of needle, a row for each file.

Usage: plot_needle.py PICTURE FILE...     files of `eval.output`; a row is named by its file

Prints each kind's share over all cells. The picture needs matplotlib.
"""

import collections
import pathlib
import sys

from plot_kit import NO_PICTURE, save, short, show_usage
from script_files import check_output, read_json, taken_for
from tool_runs import Fault, run_as_script

GIVE = "give what lococo-eval with eval.task=needle and eval.depths wrote to eval.output"


def read_grids(path):
    """{kind: {(length, depth): (right answers, trials)}} of a file."""
    report, grids = read_json(path, GIVE), collections.defaultdict(dict)
    with taken_for("a file of answers to needles", path, GIVE):
        for cell in report["cells"]:
            depth, trials = cell.get("depth"), cell["trials"]
            if depth is None or depth < 0 or trials < 1:
                continue  # drawn at random, or nothing was asked
            place = (int(cell["length"]), float(depth))
            before = grids[cell["kind"] or "needle"].get(place, (0.0, 0))
            grids[cell["kind"] or "needle"][place] = (before[0] + cell["correct"],
                                                      before[1] + trials)
    if not grids:
        raise Fault(f"{path}: no cell has a depth; {GIVE}")
    return dict(grids)


def share(cells):
    """Right answers of all trials."""
    return sum(right for right, _ in cells) / sum(trials for _, trials in cells)


def draw_panel(axes, grid, lengths, depths):
    """A square for each length and depth; what was not asked stays empty."""
    shares = [[share([grid[x, y]]) if (x, y) in grid else float("nan") for x in lengths]
              for y in depths]
    # From dark to light, so that it reads in grey and to the colour-blind too.
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(lengths)), [short(length) for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:g} %" for depth in depths])
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if value == value:  # not NaN
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8,
                          color="black" if value > 0.6 else "white")
    return image


def draw(results, path):
    """`results`: {name of the row: grids of read_grids}."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(kind for grids in results.values() for kind in grids))
    places = [place for grids in results.values() for grid in grids.values() for place in grid]
    lengths, depths = (sorted(set(values)) for values in zip(*places))
    size = (1.8 + (0.9 + 0.45 * len(lengths)) * len(kinds),
            0.9 + (0.7 + 0.3 * len(depths)) * len(results))
    figure, panels = pyplot.subplots(len(results), len(kinds), figsize=size, dpi=110, squeeze=False,
                                     sharex=True, sharey=True, layout="constrained")
    for row, (name, grids) in enumerate(results.items()):
        for column, kind in enumerate(kinds):
            axes = panels[row][column]
            image = draw_panel(axes, grids.get(kind, {}), lengths, depths)
            if row == 0:
                axes.set_title(kind)
            if column == 0:
                axes.set_ylabel(name)
    figure.supxlabel("context length in tokens")
    figure.colorbar(image, ax=panels, label="share of right answers; rows: depth of the needle")
    save(figure, path)


def main():
    show_usage(__doc__, least=3)
    picture, files = sys.argv[1], sys.argv[2:]
    check_output(picture, files)
    results = {pathlib.Path(name).stem: read_grids(name) for name in files}
    if len(results) < len(files):
        raise Fault("two files have the same name; rows are named by them")
    for name, grids in results.items():
        print(f"{name}: " + ", ".join(f"{kind} {100 * share(grid.values()):.1f} %"
                                      for kind, grid in grids.items()))
    try:
        draw(results, picture)
    except ImportError as error:
        sys.exit(NO_PICTURE.format(error))


if __name__ == "__main__":
    run_as_script(main)
