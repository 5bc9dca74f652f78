#!/usr/bin/env python3
"""Gathers what lococo-eval wrote for several policies: one table, results.json and context.png.
Or draws what lococo-bench wrote: time per token against context length, slots and batch.

Usage: plot.py FOLDER [POLICY...]         reads FOLDER/POLICY.json, as `eval.output` names it
       plot.py --speed PICTURE FILE...    files of `bench.output` (train-step, prefill, decode) and
                                          of bench_peer.py; a series is a benchmark with a policy

The table and results.json need the standard library only, the pictures need matplotlib.
"""
import collections
import json
import math
import pathlib
import re
import sys

from plot_kit import NO_PICTURE, save, short, show_usage
from script_files import check_output, read_json, taken_for
from tool_runs import Fault, run_as_script

POLICIES = ["base", "full", "streaming", "h2o", "lococo", "memory"]
COMPARED = ["lococo", "memory"]  # with all others, at the longest context
LABELS = {"base": "base, not tuned", "full": "full attention, keeps everything",
          "streaming": "StreamingLLM", "h2o": "H2O", "lococo": "LoCoCo",
          "memory": "taught memory", "retention": "taught memory"}
# Colours that stay apart for colour-blind readers too.
STYLES = {"base": ("#888888", "o", "--"), "full": ("#E69F00", "^", ":"),
          "streaming": ("#56B4E9", "s", "-"), "h2o": ("#009E73", "D", "-"),
          "lococo": ("#D55E00", "o", "-"), "memory": ("#CC79A7", "v", "-")}
GIVE_RESULTS = "give what lococo-eval with eval.task=perplexity wrote to eval.output"
GIVE_SPEED = "give what lococo-bench wrote to bench.output, or bench_peer.py to --output"
KEPT = ["length", "nll", "nll_se", "far_nll", "far_se", "far_targets", "near_nll", "new_nll",
        "segments", "tokens", "tokens_per_s"]


def read_results(folder, policies):
    """{policy: {length: row of lococo-eval}}."""
    results = {}
    for policy in policies:
        path = folder / f"{policy}.json"
        report = read_json(path, GIVE_RESULTS)
        with taken_for("a file of NLL by length", path, GIVE_RESULTS):
            results[policy] = {int(row["length"]): checked(row) for row in report["results"]}
        if not results[policy]:
            raise Fault(f"{path}: has no results; {GIVE_RESULTS}")
    return results


def checked(row):
    """A row whose figures that are drawn or compared are numbers, where they are there."""
    for some in (row, *row.get("per_segment", [])):
        for key in ("nll", "far_nll", "far_targets"):
            if some.get(key) is not None:
                some[key] + 0.0
    return row


def paired_difference(row, other):
    """Mean far NLL of `row` minus that of `other` and its standard error: both scored the same
    targets, so the error is that of the differences, with segments as clusters."""
    pairs = [(a["far_nll"] - b["far_nll"], a["far_targets"])
             for a, b in zip(row["per_segment"], other["per_segment"]) if a["far_targets"]]
    targets = sum(count for _, count in pairs)
    mean = sum(value * count for value, count in pairs) / targets
    squares = sum(((value - mean) * count) ** 2 for value, count in pairs)
    n = len(pairs)
    error = math.sqrt(squares * n / (n - 1)) / targets if n > 1 else math.nan
    return mean, error


def lengths_of(results):
    return sorted({length for rows in results.values() for length in rows})


def cell(row, key):
    value = row.get(key) if row else None
    return f"{value:10.4f}" if value is not None else f"{'-':>10}"


def table(results):
    lengths = lengths_of(results)
    lines = []
    for key, title in (("far_nll", "far repeats"), ("nll", "all targets")):
        lines.append(f"{'nats per token, ' + title:34}" + "".join(f"{n:10}" for n in lengths))
        for policy, rows in results.items():
            cells = "".join(cell(rows.get(length), key) for length in lengths)
            lines.append(f"  {LABELS.get(policy, policy):32}{cells}")
    return "\n".join(lines)


def comparisons(results, compared):
    """How `compared` does against every other at the longest context: mean and standard error of
    the paired differences."""
    longest = lengths_of(results)[-1]
    row = results.get(compared, {}).get(longest)
    lines = []
    for policy, rows in results.items():
        other = rows.get(longest)
        if policy == compared or not row or not other:
            continue
        if not row.get("far_targets") or "per_segment" not in row or "per_segment" not in other:
            continue
        mean, error = paired_difference(row, other)
        lines.append({"policy": policy, "length": longest, "far_nll_difference": mean,
                      "standard_error": error})
    return lines


def spread(values, gap):
    """Where to write the labels of these heights so that no two are closer than `gap`."""
    places = {}
    below = -math.inf
    for value, key in sorted((value, key) for key, value in values.items()):
        below = places[key] = max(value, below + gap)
    return places


def read_speed(path):
    """(series, [{"context", "slots", "batch", "us"}]) of a file; us: microseconds for each token of
    the batch. Cases that failed are left out."""
    report = read_json(path, GIVE_SPEED)
    with taken_for("a file of lococo-bench", path, GIVE_SPEED):
        return speed_of(report)


def speed_of(report):
    def setting(section, key):
        block = re.search(rf"^{section}:\n((?:  .*\n)*)", report.get("config", ""), re.MULTILINE)
        value = re.search(rf"^  {key}: (.*)$", block.group(1), re.MULTILINE) if block else None
        return value.group(1) if value else None

    series, policy = report["benchmark"], setting("cache", "policy")
    if policy is not None:
        series += ", full attention" if policy == "none" else ", " + LABELS.get(policy, policy)
    if series.startswith("train-step") and setting("tune", "lora") not in (None, "null"):
        series += ", LoRA"
    slots = int(setting("cache", "slots")) if policy not in (None, "none") else None
    points = []
    for case in report["cases"]:
        rates = [figure["value"] for name, figure in case.get("figures", {}).items()
                 if re.fullmatch("(?!limit)([a-z]+, )?tokens per second", name)]
        rate = rates[0] if rates else case.get("tokens_per_s")
        context = case.get("tokens", case.get("prompt"))
        if rate and context:
            points.append({"context": int(context), "slots": slots, "batch": int(case["batch"]),
                           "us": 1e6 / rate})
    return series, points


def curve(points, axis):
    """The (x, us) along an axis with the two other quantities held: where there are most."""
    groups = collections.defaultdict(dict)
    for point in points:
        if point[axis] is None:
            continue
        others = tuple(point[key] or 0 for key in ("context", "slots", "batch") if key != axis)
        groups[others][point[axis]] = point["us"]
    if not groups:
        return []
    # Of equally long curves the one at the smaller batch, slots and context.
    best = min(groups, key=lambda others: (-len(groups[others]), others[::-1]))
    return sorted(groups[best].items())


def readable_ticks(low, high):
    """1, 1.5, 2, 3, 5 and 7 times powers of ten between low and high."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0 ** decade for decade in decades for step in (1, 1.5, 2, 3, 5, 7)
            if low <= step * 10.0 ** decade <= high]


def draw_speed(series, path):
    """One panel each for context length, slots and batch, both axes logarithmic."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4.4), dpi=90, sharey=True)
    titles = {"context": "context length in tokens", "slots": "slots of the cache",
              "batch": "sequences at a time"}
    for axes, (axis, title) in zip(panels, titles.items()):
        ticks = set()
        for i, (name, points) in enumerate(series.items()):
            line = curve(points, axis)
            if len(line) < 2:
                continue
            ticks.update(x for x, _ in line)
            axes.plot(*zip(*line), "osD^vPX"[i % 7] + "-", color=f"C{i % 10}", label=name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sorted(ticks), [short(x) for x in sorted(ticks)])
        axes.minorticks_off()
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
    marks = readable_ticks(*panels[0].get_ylim())
    panels[0].set_yticks(marks, [f"{mark:g}" for mark in marks])
    panels[0].set_ylabel("microseconds per token")
    handles = {label: handle for axes in panels
               for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4, frameon=False,
                  fontsize=9)
    save(figure, path)


def plot_speed(path, files):
    check_output(path, files)
    series = collections.defaultdict(list)
    for name in files:
        label, points = read_speed(name)
        series[label] += points
    draw_speed(series, path)
    for label, points in series.items():
        for axis in ("context", "slots", "batch"):
            line = curve(points, axis)
            if len(line) > 1:
                print(f"{label}, {axis}: " + ", ".join(f"{x}: {us:.4g} us" for x, us in line))


def draw(results, path):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.8), dpi=130)
    lengths = [n for n in lengths_of(results)
               if any(rows.get(n, {}).get("far_nll") is not None for rows in results.values())]
    ends = {}
    for policy, rows in results.items():
        colour, marker, line = STYLES.get(policy, ("#000000", "x", "-"))
        points = [(n, rows[n]) for n in lengths if rows.get(n, {}).get("far_nll") is not None]
        if not points:
            continue
        xs, ys = [n for n, _ in points], [row["far_nll"] for _, row in points]
        axes.plot(xs, ys, line, color=colour, marker=marker, label=LABELS.get(policy, policy),
                  linewidth=2.6 if policy in COMPARED else 1.7)
        ends[policy] = ys[-1]
    bottom, top = axes.get_ylim()
    for policy, place in spread(ends, (top - bottom) * 0.03).items():
        axes.annotate(f"{ends[policy]:.3f}", (lengths[-1], place), xytext=(7, -3), fontsize=8,
                      color=STYLES.get(policy, ("#000000",))[0], textcoords="offset points")
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths])
    axes.minorticks_off()
    axes.margins(x=0.1)
    axes.set_xlabel("context length in tokens")
    axes.set_ylabel("NLL of far repeats, nats per token (lower is better)")
    axes.set_title("What is remembered of text that has left the window")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    save(figure, path)


def main():
    is_speed = sys.argv[1:2] == ["--speed"]
    show_usage(__doc__, least=4 if is_speed else 2, options=["--speed"])
    if is_speed:
        try:
            return plot_speed(sys.argv[2], sys.argv[3:])
        except ImportError as error:
            sys.exit(NO_PICTURE.format(error))
    folder = pathlib.Path(sys.argv[1])
    results = read_results(folder, sys.argv[2:] or POLICIES)
    check_output(folder / "results.json")
    rows = [{"policy": policy, **{key: row[key] for key in KEPT if key in row}}
            for policy, by_length in results.items() for row in by_length.values()]
    differences = {policy: comparisons(results, policy) for policy in COMPARED}
    with open(folder / "results.json", "w", encoding="utf-8") as out:
        json.dump({"results": rows,
                   **{f"{policy}_minus_policy": lines for policy, lines in differences.items()}},
                  out, indent=1)
        out.write("\n")
    print(table(results))
    for policy, lines in differences.items():
        for entry in lines:
            print(f"{LABELS[policy]} minus {LABELS.get(entry['policy'], entry['policy'])}, far "
                  f"repeats at {entry['length']}: {entry['far_nll_difference']:+.4f} "
                  f"+- {entry['standard_error']:.4f}")
    try:
        draw(results, folder / "context.png")
    except ImportError as error:
        sys.exit(NO_PICTURE.format(error))


if __name__ == "__main__":
    run_as_script(main)
