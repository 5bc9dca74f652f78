#!/usr/bin/env python3
"""Gathers what lococo-eval wrote for several policies: one table, results.json and context.png.

Usage: plot.py FOLDER [POLICY...]   (reads FOLDER/POLICY.json, as `eval.output` names it)

The table and results.json need the standard library only, the picture needs matplotlib.
"""
import json
import math
import pathlib
import sys

POLICIES = ["base", "full", "streaming", "h2o", "lococo"]
LABELS = {"base": "base, not tuned", "full": "full attention, keeps everything",
          "streaming": "StreamingLLM", "h2o": "H2O", "lococo": "LoCoCo"}
# Colours that stay apart for colour-blind readers too.
STYLES = {"base": ("#888888", "o", "--"), "full": ("#E69F00", "^", ":"),
          "streaming": ("#56B4E9", "s", "-"), "h2o": ("#009E73", "D", "-"),
          "lococo": ("#D55E00", "o", "-")}
KEPT = ["length", "nll", "nll_se", "far_nll", "far_se", "far_targets", "near_nll", "new_nll",
        "segments", "tokens", "tokens_per_s"]


def read_results(folder, policies):
    """{policy: {length: row of lococo-eval}}."""
    results = {}
    for policy in policies:
        with open(folder / f"{policy}.json", encoding="utf-8") as file:
            rows = json.load(file)["results"]
        results[policy] = {row["length"]: row for row in rows}
    return results


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


def comparisons(results):
    """What the figures at the longest context say about LoCoCo, with errors of paired differences."""
    longest = lengths_of(results)[-1]
    lines = []
    for policy, rows in results.items():
        if policy == "lococo" or "lococo" not in results:
            continue
        row, other = results["lococo"].get(longest), rows.get(longest)
        if not row or not other or not row["far_targets"] or "per_segment" not in other:
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
                  linewidth=2.6 if policy == "lococo" else 1.7)
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
    figure.savefig(path)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    folder = pathlib.Path(sys.argv[1])
    try:
        results = read_results(folder, sys.argv[2:] or POLICIES)
    except OSError as error:
        sys.exit(f"plot: {error.filename}: {error.strerror}; run lococo-eval with eval.output")
    rows = [{"policy": policy, **{key: row[key] for key in KEPT if key in row}}
            for policy, by_length in results.items() for row in by_length.values()]
    differences = comparisons(results)
    with open(folder / "results.json", "w", encoding="utf-8") as out:
        json.dump({"results": rows, "lococo_minus_policy": differences}, out, indent=1)
        out.write("\n")
    print(table(results))
    for entry in differences:
        print(f"LoCoCo minus {LABELS.get(entry['policy'], entry['policy'])}, far repeats at "
              f"{entry['length']}: {entry['far_nll_difference']:+.4f} "
              f"+- {entry['standard_error']:.4f}")
    try:
        draw(results, folder / "context.png")
    except ImportError as error:
        sys.exit(f"plot: no picture: {error}; install matplotlib (scripts/requirements.txt, or the "
                 "package python3-matplotlib)")


if __name__ == "__main__":
    main()
