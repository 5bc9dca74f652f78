#!/usr/bin/env python3
"""Compares evaluations of the same segments: paired differences with bootstrap intervals.

Every file was written by lococo-eval with eval.output and eval.per_segment=true. Differences are
FIRST minus each other file: negative means that the first is better. Segments are drawn with
replacement (as pairs, all targets of a segment together), so that the interval says how much the
choice of segments matters. With --gap STREAMING FULL the share of the gap between these two that
the first file closes on far repeats is printed too.

    .venv/bin/python scripts/compare.py lococo.json streaming.json h2o.json --gap streaming.json full.json
"""

import argparse
import sys

try:
    import numpy
except ImportError:
    sys.exit("compare: numpy is missing; run .venv/bin/python scripts/compare.py")

from script_files import read_json, taken_for
from tool_runs import Fault, run_as_script

GIVE = "give what lococo-eval with eval.per_segment=true wrote to eval.output"
KINDS = {"all": ("nll", None), "far": ("far_nll", "far_targets")}


def load(path, length):
    """{segment: {kind: (sum of NLL, targets)}} of one length."""
    report = read_json(path, GIVE)
    with taken_for("a file of NLL by length", path, GIVE):
        results = {int(result["length"]): result for result in report["results"]}
        chosen = [result for n, result in results.items() if length in (None, n)]
        if len(chosen) != 1:
            raise Fault(f"{path}: holds lengths {list(results)}; choose one with --length")
        segments = dict(map(segment_of, chosen[0].get("per_segment", [])))
    if not segments:
        raise Fault(f"{path}: has no figures of single segments; {GIVE}")
    return segments


def segment_of(row):
    """(segment, {kind: (sum of NLL, targets)})."""
    targets = {"all": sum(row[f"{part}_targets"] for part in ("far", "near", "new")),
               "far": row["far_targets"]}
    return (row["source"], row["document"], row["begin"]), {
        kind: (float(row[value] or 0.0) * targets[kind], targets[kind])
        for kind, (value, _) in KINDS.items()}


def load_other(path, first, options):
    """Of the same segments as the first file."""
    other = load(path, options.length)
    if set(other) != set(first):
        raise Fault(f"{path}: was evaluated on other segments than {options.first}; evaluate both "
                    "with the same texts and eval.* options")
    return other


def pooled(segments, keys, kind):
    """Arrays of NLL sums and target counts in the order of `keys`."""
    pairs = numpy.array([segments[key][kind] for key in keys])
    return pairs[:, 0], pairs[:, 1]


def bootstrap(statistic, count, draws, seed):
    """95 % interval of statistic(indices) over resampled segments."""
    generator = numpy.random.default_rng(seed)
    values = [statistic(generator.integers(0, count, count)) for _ in range(draws)]
    return numpy.percentile(values, [2.5, 97.5])


def difference(first, other, keys, kind, draws, seed):
    """Mean difference of the pooled NLL, and its interval."""
    sums, counts = pooled(first, keys, kind)
    other_sums, _ = pooled(other, keys, kind)
    gaps = sums - other_sums

    def mean(indices):
        return gaps[indices].sum() / counts[indices].sum()

    everything = numpy.arange(len(keys))
    return mean(everything), bootstrap(mean, len(keys), draws, seed)


def gap_closed(first, streaming, full, keys, draws, seed):
    """(streaming - first) / (streaming - full) on far repeats, and its interval."""
    sums = [pooled(segments, keys, "far")[0] for segments in (first, streaming, full)]

    def share(indices):
        mine, worst, best = (values[indices].sum() for values in sums)
        return (worst - mine) / (worst - best)

    return share(numpy.arange(len(keys))), bootstrap(share, len(keys), draws, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("first", help="JSON of the one that is judged")
    parser.add_argument("others", nargs="*", help="JSON of those it is compared with")
    parser.add_argument("--gap", nargs=2, metavar=("STREAMING", "FULL"))
    parser.add_argument("--length", type=int, help="needed where a file holds several lengths")
    parser.add_argument("--draws", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.others and not options.gap:
        raise Fault("give a second file, or --gap")

    first = load(options.first, options.length)
    keys = sorted(first)
    print(f"{options.first}: {len(keys)} segments")
    for path in options.others:
        other = load_other(path, first, options)
        for kind in KINDS:
            if not any(first[key][kind][1] for key in keys):
                print(f"  minus {path}, {kind:4} no such targets in these segments")
                continue
            mean, (low, high) = difference(first, other, keys, kind, options.draws, options.seed)
            verdict = "better" if high < 0 else "worse" if low > 0 else "no difference"
            print(f"  minus {path}, {kind:4} {mean:+.4f}  [{low:+.4f}, {high:+.4f}]  {verdict}")
    if options.gap:
        streaming, full = (load_other(path, first, options) for path in options.gap)
        mean, (low, high) = gap_closed(first, streaming, full, keys, options.draws, options.seed)
        print(f"  share of the gap on far repeats  {100 * mean:.1f} %  "
              f"[{100 * low:.1f}, {100 * high:.1f}]")


if __name__ == "__main__":
    run_as_script(main)
