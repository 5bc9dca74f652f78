"""What the tools wrote for compare_methods.py, as rows of figures, and what is made of several."""

import json
import statistics

from tool_runs import is_written

DECODING = "decoding of a token"  # of lococo-bench decode


def read(path):
    return json.loads(path.read_text(encoding="utf-8")) if is_written(path) else {}


def percent_by_kind(cells):
    """{kind: share of right answers}."""
    sums = {}
    for cell in cells:
        correct, trials = sums.get(cell["kind"], (0, 0))
        sums[cell["kind"]] = (correct + cell["correct"], trials + cell["trials"])
    return {kind: 100 * correct / trials for kind, (correct, trials) in sums.items() if trials}


def mean_percent(file):
    by_kind = percent_by_kind(file.get("cells", []))
    return statistics.mean(by_kind.values()) if by_kind else None


def nll_figures(file, prefix=""):
    """{(part, length): NLL}."""
    return {(prefix + part, row["length"]): row[key] for row in file.get("results", [])
            for part, key in (("all", "nll"), ("far", "far_nll"), ("near", "near_nll"))}


def training_figures(metrics):
    if not metrics.exists():
        return {}
    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    figures = {}
    for key, mean in (("tokens_per_s", statistics.median), ("peak_memory_bytes", max)):
        values = [step[key] for step in steps if key in step]
        if values:
            figures[key] = mean(values)
    return figures


def figures_of(comparison, method, seed):
    """By name: ("all" | "far" | "near", length) in nats, "pattern all" and so on beside them;
    "passkey", ("needle", kind), ("needles", slots) and "ruler" in percent; "decode_ms",
    "tokens_per_s", "peak_memory_bytes". What was not measured is missing."""
    files = {reading.name: read(comparison.result(method, seed, reading.name))
             for reading in comparison.readings_of(method, seed)}
    figures = nll_figures(files["nll"]) | nll_figures(files.get("pattern", {}), "pattern ")
    if method.trained:
        figures |= training_figures(comparison.folder(method, seed) / "metrics.jsonl")
    needles = files.get("needle", {})
    figures |= {("needle", kind): value
                for kind, value in percent_by_kind(needles.get("cells", [])).items()}
    figures |= {("needles", int(name.split("-")[1])): mean_percent(file)
                for name, file in files.items() if name.startswith("needle-")}
    figures["needles", comparison.setting.slots] = mean_percent(needles)
    for task in ("passkey", "ruler"):
        figures[task] = mean_percent(files.get(task, {}))
    for case in files.get("decode", {}).get("cases", []):
        figures["decode_ms"] = case["figures"][DECODING]["value"]
    return {name: value for name, value in figures.items() if value is not None}


class Rows:
    """Every method with the figures of each of its seeds: {key: {seed: figures}}."""

    def __init__(self, comparison):
        self.setting = comparison.setting
        self.methods = comparison.methods
        self.figures = {method.key: {seed: figures_of(comparison, method, seed)
                                     for seed in comparison.seeds_of(method)}
                        for method in comparison.methods}

    def seeds_run(self, key):
        return sum(("all", self.setting.lengths[-1]) in one for one in self.figures[key].values())

    def values(self, key, name):
        """Of the seeds that have it."""
        return [one[name] for one in self.figures[key].values() if name in one]

    def mean(self, key, name):
        values = self.values(key, name)
        return statistics.mean(values) if values else None

    def differences(self, key, other, name, other_name=None):
        """`key` less `other`, paired by seed."""
        one, two = self.figures[key], self.figures[other]
        other_name = other_name or name
        return [one[seed][name] - two[seed][other_name] for seed in one
                if seed in two and name in one[seed] and other_name in two[seed]]

    def shares_kept(self, key, part):
        """Percent of what full attention with LoRA gains over untuned streaming, at the longest
        length, of each seed; paired with full attention's seed where that has it. Empty where it
        gains nothing with one of them, as a short base with interpolated positions may: there is
        no share of that."""
        name = (part, self.setting.lengths[-1])
        streaming, full = self.mean("streaming", name), self.mean("full", name)
        if streaming is None or full is None:
            return []
        paired = self.figures["full"]
        shares = []
        for seed, figures in self.figures[key].items():
            gain = streaming - paired.get(seed, {}).get(name, full)
            if gain <= 0:
                return []
            if name in figures:
                shares.append(100 * (streaming - figures[name]) / gain)
        return shares
