#!/usr/bin/env python3
"""Draws what lococo-eval wrote for needles: share of right answers against the length of the text
and the needle's place in it, a column of panels for each kind of needle, a row for each file.

Usage: plot_needle.py PICTURE FILE...     files of `eval.output`; a row is named by its file

Prints each kind's share over all cells. The picture needs matplotlib.
"""

import collections
import json
import pathlib
import sys

from plot import NO_PICTURE, short


class BadInput(Exception):
    """One readable line."""


def read_grids(path):
    """{kind: {(length, depth): (right answers, trials)}} of a file."""
    try:
        with open(path, encoding="utf-8") as file:
            cells = json.load(file)["cells"]
        grids = collections.defaultdict(dict)
        for cell in cells:
            depth, trials = cell.get("depth"), cell["trials"]
            if depth is None or depth < 0 or trials < 1:
                continue  # drawn at random, or nothing was asked
            place = (int(cell["length"]), float(depth))
            before = grids[cell["kind"] or "needle"].get(place, (0.0, 0))
            grids[cell["kind"] or "needle"][place] = (before[0] + cell["correct"],
                                                      before[1] + trials)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; run lococo-eval with eval.output") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: no file that lococo-eval wrote for needles "
                       f"({type(error).__name__}: {error})") from error
    if not grids:
        raise BadInput(f"{path}: no cell has a depth; run lococo-eval with eval.task=needle and "
                       "eval.depths")
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
    figure.savefig(path)


def main():
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__.strip())
    picture, files = sys.argv[1], sys.argv[2:]
    try:
        results = {pathlib.Path(name).stem: read_grids(name) for name in files}
        if len(results) < len(files):
            raise BadInput("two files have the same name; rows are named by them")
        for name, grids in results.items():
            print(f"{name}: " + ", ".join(f"{kind} {100 * share(grid.values()):.1f} %"
                                          for kind, grid in grids.items()))
        draw(results, picture)
    except BadInput as error:
        print(f"plot_needle: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"plot_needle: {picture}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except ImportError as error:
        sys.exit(NO_PICTURE.format(error))


if __name__ == "__main__":
    main()
