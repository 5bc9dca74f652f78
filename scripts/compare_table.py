"""The table and pictures of compare_methods.py. Pictures need matplotlib."""

import statistics
import sys

from intervals import half_width

NO_PICTURE = "compare_methods: no pictures: {}; install matplotlib (scripts/requirements.txt)"


def mean_text(values, digits):
    """Mean and, of several seeds, half of the interval's width."""
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} +- {half_width(values):.{digits}f}"


def of(figures, length, key):
    return figures.get(length, {}).get(key)


def means(rows, key, length, part):
    """The mean over seeds of the method `key`; None where it was not run."""
    for method, seeds in rows:
        values = [of(figures, length, part) for figures in seeds]
        values = [value for value in values if value is not None]
        if method.key == key and values:
            return statistics.mean(values)
    return None


def share_kept(rows, seeds, length):
    """Of what full attention with LoRA gains over the base, by seed."""
    base, full = means(rows, "base", length, "nll"), means(rows, "full", length, "nll")
    if base is None or full is None or base == full:
        return []
    return [100 * (base - value) / (base - full)
            for value in (of(figures, length, "nll") for figures in seeds) if value is not None]


def table(rows, lengths):
    """A row for each method: [(method, [figures of a seed])]."""
    longest = lengths[-1]
    head = ["method", "seeds", "keys", *[f"{n:,}" for n in lengths], f"far, {longest:,}",
            f"near, {longest:,}", "share of full attention's gain", "training tokens/s",
            "peak GiB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method, seeds in rows:
        run = [figures for figures in seeds if figures]
        keys = {figures.get("keys") for figures in run}
        cells = [method.label, str(len(run)) if run else "not run",
                 "all" if keys == {None} else "-" if not keys else f"{max(keys):,}"]
        cells += [mean_text([of(f, n, "nll") for f in run], 3) for n in lengths]
        cells += [mean_text([of(f, longest, part) for f in run], 3)
                  for part in ("far_nll", "near_nll")]
        share = share_kept(rows, run, longest)
        cells.append(f"{statistics.mean(share):.0f} %" if share else "-")
        rates = [f["tokens_per_s"] for f in run if "tokens_per_s" in f]
        cells.append(f"{statistics.median(rates):,.0f}" if rates else "-")
        peaks = [f["peak_memory_bytes"] for f in run if "peak_memory_bytes" in f]
        cells.append(f"{max(peaks) / 2**30:.1f}" if peaks else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pictures(rows, lengths, folder):
    """length.png and .svg: NLL over length. cost.png and .svg: far repeats over training speed."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        print(NO_PICTURE.format(error), file=sys.stderr)
        return
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for number, (method, _) in enumerate(rows):
        values = [means(rows, method.key, n, "nll") for n in lengths]
        if None in values:
            continue
        axes.plot(lengths, values, marker="os^Dv<>"[number % 7], label=method.label)
    axes.set(xscale="log", xlabel="tokens", ylabel="NLL, nats per token")
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths])
    axes.minorticks_off()
    if axes.lines:
        axes.legend(fontsize=7)
    save(figure, folder, "length")
    figure, axes = pyplot.subplots(figsize=(9, 6))
    for method, seeds in rows:
        rates = [f["tokens_per_s"] for f in seeds if "tokens_per_s" in f]
        far = means(rows, method.key, lengths[-1], "far_nll")
        if not rates or far is None:
            continue
        axes.scatter(statistics.median(rates), far)
        axes.annotate(method.label, (statistics.median(rates), far), fontsize=7)
    axes.set(xscale="log", xlabel="training tokens per second",
             ylabel=f"NLL of far repeats at {lengths[-1]:,} tokens")
    save(figure, folder, "cost")
    pyplot.close("all")


def save(figure, folder, name):
    figure.tight_layout()
    for kind in ("png", "svg"):
        figure.savefig(folder / f"{name}.{kind}", dpi=150)
