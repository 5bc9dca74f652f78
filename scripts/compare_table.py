"""The tables of compare_methods.py."""

import statistics

from intervals import half_width

NOTES = """\
Several seeds: mean and half of Student's 95 % interval. Far: targets whose bigram last occurred more than {far:,} tokens ago.
Share: of the NLL that full attention with LoRA gains over StreamingLLM as it is, at {longest:,} tokens; -: it gains nothing.
Keys: of a layer, at most, slots and a block. Training: as fast as it was beside the others that shared the GPU (--jobs).
Decoding: a token behind {longest:,} others, one text, a GPU of its own."""


def mean_text(values, digits, sign=""):
    """Mean and, of several seeds, half of the interval's width."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    return mean if len(values) < 2 else f"{mean} +- {half_width(values):.{digits}f}"


def markdown(head, rows):
    return "\n".join("| " + " | ".join(cells) + " |" if cells else "|" + "---|" * len(head)
                     for cells in [head, [], *rows])


def columns(rows):
    """(head, text of a method's cell)."""
    setting = rows.setting
    longest = setting.lengths[-1]

    def figure(name, digits, scale=1.0):
        return lambda m: mean_text([scale * v for v in rows.values(m.key, name)], digits)

    def share(part):
        return lambda m: mean_text(rows.shares_kept(m.key, part), 0)

    kinds = ("digits", "multikey", "words", "names")
    return [
        ("method", lambda m: m.label),
        ("seeds", lambda m: str(rows.seeds_run(m.key)) if rows.seeds_run(m.key) else "not run"),
        ("keys", lambda m: f"{2 * setting.slots:,}" if m.has_cache else "all"),
        *[(f"{part}, {n:,}", figure((part, n), 3))
          for part in ("all", "far", "near") for n in setting.lengths],
        ("share kept, all, %", share("all")),
        ("share kept, far, %", share("far")),
        ("passkey, %", figure("passkey", 0)),
        *[(f"{kind}, %", figure(("needle", kind), 0)) for kind in kinds],
        ("RULER, %", figure("ruler", 0)),
        ("training tokens/s", lambda m: median_text(rows.values(m.key, "tokens_per_s"))),
        ("training peak GiB", figure("peak_memory_bytes", 1, 2.0**-30)),
        ("decoding ms/token", figure("decode_ms", 3)),
    ]


def median_text(values):
    return f"{statistics.median(values):,.0f}" if values else "-"


def main_table(rows):
    """A row for each method, also for those that were not run."""
    chosen = columns(rows)
    return markdown([head for head, _ in chosen],
                    [[text(method) for _, text in chosen] for method in rows.methods])


def difference_table(rows):
    """Each method less full attention with LoRA, paired by seed."""
    longest = rows.setting.lengths[-1]
    lines = []
    for method in rows.methods:
        pairs = [rows.differences(method.key, "full", (part, longest)) for part in ("all", "far")]
        if method.key != "full" and pairs[0]:
            lines.append([method.label, str(len(pairs[0])),
                          *[mean_text(values, 4, "+") for values in pairs]])
    return markdown(["less full attention with LoRA, paired by seed", "seeds",
                     f"all, {longest:,}", f"far, {longest:,}"], lines)


def pattern_table(rows):
    """Methods whose training sees less, read densely and as they were trained."""
    longest = rows.setting.lengths[-1]
    lines = []
    for method in rows.methods:
        if not method.has_pattern:
            continue
        cells = [method.label]
        for part in ("all", "far"):
            seen = ("pattern " + part, longest)
            cells += [mean_text(rows.values(method.key, (part, longest)), 3),
                      mean_text(rows.values(method.key, seen), 3),
                      mean_text(rows.differences(method.key, method.key, seen, (part, longest)), 4,
                                "+")]
        lines.append(cells)
    head = [f"{part}, {longest:,}, {how}" for part in ("all", "far")
            for how in ("full attention", "pattern of training", "difference")]
    return markdown(["read as it was trained"] + head, lines)


def tables(rows):
    notes = NOTES.format(far=rows.setting.far, longest=rows.setting.lengths[-1])
    return "\n\n".join([main_table(rows), notes, difference_table(rows), pattern_table(rows)])
