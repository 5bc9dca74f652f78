"""The pictures of compare_methods.py; they need matplotlib."""

import statistics
import sys

NO_PICTURE = "compare_methods: no pictures: {}; install matplotlib (scripts/requirements.txt)"
MARKERS = "os^Dv<>P"


def pictures(rows, folder):
    """length: NLL over length. cost: far repeats over training speed. slots: needles over slots,
    where any were asked. PNG and SVG."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        print(NO_PICTURE.format(error), file=sys.stderr)
        return
    for name, draw in (("length", draw_length), ("cost", draw_cost), ("slots", draw_slots)):
        figure, axes = pyplot.subplots(figsize=(10, 6))
        if draw(axes, rows):
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
            axes.grid(alpha=0.3)
            for kind in ("png", "svg"):
                figure.savefig(folder / f"{name}.{kind}", dpi=150, bbox_inches="tight")
        pyplot.close(figure)


def style(number):
    """Sixteen lines: eight markers, whole and dashed."""
    return {"marker": MARKERS[number % len(MARKERS)],
            "linestyle": "-" if number < len(MARKERS) else "--"}


def set_ticks(axes, values):
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{n:,}" for n in values])
    axes.minorticks_off()


def is_out_of_sight(values, others):
    """Whether a line lies further above all others than these lie apart: beside it they would be
    one."""
    if len(others) < 3:
        return False
    every = [value for line in others for value in line]
    return min(values) - max(every) > max(every) - min(every) > 0


def draw_length(axes, rows):
    """Whether there was something to draw, as all of these."""
    lengths = rows.setting.lengths
    lines = {method.key: [rows.mean(method.key, ("all", n)) for n in lengths]
             for method in rows.methods}
    lines = {key: values for key, values in lines.items() if None not in values}
    for number, method in enumerate(rows.methods):
        values = lines.get(method.key)
        if values is None:
            continue
        if is_out_of_sight(values, [line for key, line in lines.items() if key != method.key]):
            axes.plot([], [], label=f"{method.label}: {values[-1]:.3f}, above", **style(number))
        else:
            axes.plot(lengths, values, label=method.label, **style(number))
    axes.set(xlabel="tokens", ylabel="NLL, nats per token")
    set_ticks(axes, lengths)
    return bool(lines)


def draw_cost(axes, rows):
    longest, drawn = rows.setting.lengths[-1], False
    for number, method in enumerate(rows.methods):
        rates = rows.values(method.key, "tokens_per_s")
        far = rows.mean(method.key, ("far", longest))
        if rates and far is not None:
            axes.scatter(statistics.median(rates), far, marker=MARKERS[number % len(MARKERS)],
                         label=method.label)
            drawn = True
    axes.set(xscale="log", xlabel="training tokens per second",
             ylabel=f"NLL of far repeats at {longest:,} tokens")
    return drawn


def draw_slots(axes, rows):
    """Mean over the kinds of needles; what keeps everything is a level line."""
    setting = rows.setting
    if setting.questions is None:
        return False
    slots = sorted({*setting.questions.fewer_slots, setting.slots})
    for number, method in enumerate(rows.methods):
        points = [(n, rows.mean(method.key, ("needles", n))) for n in slots]
        points = [point for point in points if point[1] is not None]
        if not points:
            continue
        if method.has_cache:
            axes.plot(*zip(*points), label=method.label, **style(number))
        else:
            axes.axhline(points[-1][1], linestyle=":", color=f"C{number % 10}", label=method.label)
    axes.set(xlabel="slots", ylabel=f"needles found at {setting.questions.length:,} tokens, %",
             ylim=(-2, 102))
    set_ticks(axes, slots)
    return bool(axes.lines)
