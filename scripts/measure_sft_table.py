"""The tables of scripts/measure_sft.py, from the files that its runs left; what was not run stays empty."""

import json
import statistics

from intervals import wilson
from measure_sft_sizes import HAYS, KINDS, PATTERNS

LABELS = {"base": "not tuned, positions interpolated", "full": "full attention",
          "s2": "LongLoRA (S2-Attn)", "sf": "SinkLoRA, a quarter of the heads",
          "sf1": "SinkLoRA, half of the heads", "windows": "fixed windows"}


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []


def share(cells):
    """"48 of 50, 96 [87, 99]", "" of no cell."""
    if not cells:
        return ""
    right, trials = (sum(cell[key] for cell in cells) for key in ("correct", "trials"))
    low, high = wilson(right / trials, trials)
    return f"{right:.0f} of {trials}, {100 * right / trials:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def points(cells, others):
    """Percent of `cells` less that of `others`."""
    if not cells or not others:
        return ""
    ratio = [sum(cell["correct"] for cell in some) / sum(cell["trials"] for cell in some)
             for some in (cells, others)]
    return f"{100 * (ratio[0] - ratio[1]):+.1f}"


def line(*fields):
    return "| " + " | ".join(fields) + " |"


def head(*fields):
    return [line(*fields), "|" + "---|" * len(fields)]


def passkeys(plan):
    lengths = plan.scale.lengths
    rows = head("tuned with", "keys behind", *(f"{length:,}" for length in lengths),
                "less full attention, all lengths")
    for key in ("base", *PATTERNS):
        for hay, label in HAYS.items():
            cells = cells_of(plan.result(f"passkey-{key}-{hay}"))
            full = cells_of(plan.result(f"passkey-full-{hay}"))
            shown = [share([cell for cell in cells if cell["length"] == length])
                     for length in lengths]
            rows.append(line(LABELS[key], label, *shown,
                             "" if key == "full" else points(cells, full)))
    return rows


def pairs(plan):
    rows = head("tuned with", "tokens", *KINDS, "all", "less full attention")
    for row in plan.rows():
        for length in row.tuned:
            cells = cells_of(plan.result(f"needle-{row.key}-{length}"))
            full = cells_of(plan.result(f"needle-full-{length}"))
            shown = [share([cell for cell in cells if cell["kind"] == kind]) for kind in KINDS]
            rows.append(line(row.label, f"{length:,}", *shown, share(cells),
                             "" if row.key == "full" else points(cells, full)))
    return rows


def trainings(plan):
    """Speed, memory, records and what is left of the loss, of what lococo-train wrote."""
    rows = head("training", "steps", "thousand tokens/s", "GiB", "pairs' documents, dropped",
                "last loss")
    for job in plan.jobs():
        metrics = plan.output / job.name / "metrics.jsonl"
        if not metrics.exists():
            continue
        steps = [json.loads(text) for text in metrics.read_text(encoding="utf-8").splitlines()]
        steps = [step for step in steps if "tokens_per_s" in step]
        if not steps:
            continue
        rate = statistics.median(step["tokens_per_s"] for step in steps)
        memory = max(step.get("peak_memory_bytes", 0) for step in steps)
        read = steps[-1].get("records")
        records = "" if read is None else f"{read:,}, {steps[-1].get('records_dropped', 0):,}"
        loss = statistics.mean(step["loss"] for step in steps[-10:])
        rows.append(line(job.name, str(steps[-1]["step"]), f"{rate / 1e3:.0f}",
                         f"{memory / 2**30:.1f}", records, f"{loss:.3f}"))
    return rows


def table(plan):
    parts = [("Keys found after tuning on novels alone", passkeys),
             ("Questions about facts that are answered exactly", pairs), ("Trainings", trainings)]
    return "\n\n".join("\n".join([title + ":", ""] + make(plan)) for title, make in parts)
