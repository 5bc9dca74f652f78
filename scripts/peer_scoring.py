"""What peer_kvpress.py needs beside a model: reading samples, scoring answers as lococo-eval does,
and the table. Standard library only."""

import collections
import json
import math
import re
import string

from intervals import mean_interval, wilson


class BadInput(Exception):
    """One readable line."""


SCORINGS = ("prefix", "contains_all", "contains_any", "choice", "qa")


def read_lines(path):
    """(place, object) of a JSONL file."""
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                place = f"{path}:{number}"
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise BadInput(f"{place}: is not JSON ({error})") from error
                if not isinstance(value, dict):
                    raise BadInput(f"{place}: is not a JSON object")
                yield place, value
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def check_ids(place, key, ids, least=1):
    good = isinstance(ids, list) and len(ids) >= least and all(type(i) is int for i in ids)
    if not good:
        raise BadInput(f"{place}: {key} is not a list of at least {least} token ids")


def read_samples(path):
    """The samples that lococo-eval writes to eval.samples."""
    samples = []
    for place, sample in read_lines(path):
        if sample.get("scoring") not in SCORINGS or not sample.get("task"):
            raise BadInput(f"{place}: task or scoring is missing; is this a file of eval.samples?")
        for key in ("context_ids", "question_ids"):
            check_ids(place, key, sample.get(key))
        if sample["scoring"] == "choice":
            options = sample.get("option_ids")
            if not isinstance(options, list) or len(options) < 2:
                raise BadInput(f"{place}: option_ids is not a list of two options or more")
            if len(sample.get("options") or []) != len(options):
                raise BadInput(f"{place}: options has not one text for each of option_ids")
            for option in options:
                check_ids(place, "option_ids", option)
            if sample.get("correct") not in range(len(options)):
                raise BadInput(f"{place}: correct is none of the {len(options)} options")
        elif sample["scoring"] == "prefix":
            check_ids(place, "answer_ids", sample.get("answer_ids"))
        elif not sample.get("answers"):
            raise BadInput(f"{place}: answers is missing")
        samples.append(sample)
    if not samples:
        raise BadInput(f"{path}: holds no samples")
    return samples


def read_segments(path, targets):
    segments = []
    for place, segment in read_lines(path):
        check_ids(place, "ids", segment.get("ids"), least=targets + 2)
        segments.append(segment["ids"])
    return segments


def cell_of(sample):
    return (sample["task"], sample.get("kind") or "", sample.get("length") or 0,
            sample.get("depth"))


def interleaved(samples):
    """One sample of each cell after the other, so that a run that is cut short has all cells."""
    seen = collections.Counter()
    ranked = []
    for sample in samples:
        cell = cell_of(sample)
        ranked.append((seen[cell], sample))
        seen[cell] += 1
    return [sample for _, sample in sorted(ranked, key=lambda entry: entry[0])]


def compression_ratio(length, kept):
    """The ratio at which int(length * (1 - ratio)) is exactly `kept`."""
    return 0.0 if kept >= length else 1.0 - (kept + 0.5) / length


# --- scoring

def contained(answers, text):
    return [answer.lower() in text.lower() for answer in answers]


def squad_words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def token_f1(text, gold):
    found, wanted = squad_words(text), squad_words(gold)
    common = sum((collections.Counter(found) & collections.Counter(wanted)).values())
    if not found or not wanted:
        return float(found == wanted)
    return 2.0 * common / (len(found) + len(wanted))


def choice_scores(sample, log_likelihoods):
    """By the sum, and by the sum per byte of the option."""
    per_byte = [value / max(1, len(text.encode()))
                for value, text in zip(log_likelihoods, sample["options"])]

    def right(values):
        return float(values.index(max(values)) == sample["correct"])
    return {"accuracy": right(log_likelihoods), "accuracy_norm": right(per_byte)}


def scores_of(sample, ids=(), text="", log_likelihoods=()):
    """{figure: value in [0, 1]} of an answer, the main one first."""
    kind = sample["scoring"]
    if kind == "choice":
        return choice_scores(sample, list(log_likelihoods))
    if kind == "prefix":
        wanted = sample["answer_ids"]
        return {"accuracy": float(list(ids[:len(wanted)]) == wanted)}
    if kind == "qa":
        return {"f1": max(token_f1(text, gold) for gold in sample["answers"])}
    hits = contained(sample["answers"], text)
    return {"match": float(any(hits)) if kind == "contains_any" else sum(hits) / len(hits)}


# --- figures

def summarize(results):
    """`results`: (policy, kept, sample, scores) -> the cells of lococo-eval's eval.output, with the
    policy, its number of keys and the task in each. Fractional scores (RULER's mean share of
    answers, F1) get the normal interval of their mean."""
    groups = collections.defaultdict(list)
    for policy, kept, sample, scores in results:
        for metric, value in scores.items():
            groups[(policy, kept, *cell_of(sample), metric)].append(value)
    rows = []
    for (policy, kept, task, kind, length, depth, metric), values in groups.items():
        mean, low, high = mean_interval(values)
        if all(value in (0.0, 1.0) for value in values):
            low, high = wilson(mean, len(values))
        rows.append({"policy": policy, "kept": kept, "task": task, "kind": kind, "length": length,
                     "depth": depth, "metric": metric, "trials": len(values),
                     "correct": sum(values), "mean": mean, "low": low, "high": high})
    return rows


def summarize_nll(results):
    """`results`: (policy, kept, NLL of a segment). Each row keeps them, to be paired with another's."""
    groups = collections.defaultdict(list)
    for policy, kept, nll in results:
        groups[(policy, kept)].append(nll)
    rows = []
    for (policy, kept), values in groups.items():
        mean, low, high = mean_interval(values)
        rows.append({"policy": policy, "kept": kept, "segments": len(values), "nll": mean,
                     "low": low, "high": high, "nlls": values})
    return rows


def column_of(row):
    name = f"{row['task']} {row['kind']}".strip()
    return f"{name} {row['length']}" if row["length"] else name


def pooled(rows):
    """Mean, half of the interval's width and trials of cells that differ in their depth."""
    trials = sum(row["trials"] for row in rows)
    halves = [row["trials"] * (row["high"] - row["low"]) / 2 for row in rows]
    return (sum(row["correct"] for row in rows) / trials,
            math.sqrt(sum(half * half for half in halves)) / trials, trials)


def table(report):
    """Markdown: a line for each policy and number of keys, a column for each task, kind and length
    (its main figure, all depths together) in percent; NLL in nats."""
    main, lines = {}, collections.defaultdict(lambda: collections.defaultdict(list))
    for row in report["cells"]:
        column = column_of(row)
        if main.setdefault(column, row["metric"]) == row["metric"]:
            lines[(row["policy"], row["kept"])][column].append(row)
    for row in report["nll"]:
        lines[(row["policy"], row["kept"])]["NLL"].append(row)
    columns = [*main, *(["NLL"] if report["nll"] else [])]

    def cell(column, rows):
        if not rows:
            return ""
        if column == "NLL":
            return f"{rows[0]['nll']:.3f} ± {(rows[0]['high'] - rows[0]['low']) / 2:.3f}"
        mean, half, trials = pooled(rows)
        return f"{100 * mean:.0f} ± {100 * half:.0f} ({trials})"
    text = ["| policy | keys | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for (policy, kept), line in lines.items():
        cells = " | ".join(cell(column, line.get(column)) for column in columns)
        text.append(f"| {policy} | {kept or 'all'} | {cells} |")
    return "\n".join(text)


def with_policy(report):
    """A report's cells; those of lococo-eval name policy, slots and task once for all."""
    if "policy" not in report:
        return report["cells"]
    is_full = report["policy"] == "none"
    shared = {"policy": "full, ours" if is_full else report["policy"] + ", ours",
              "kept": None if is_full else report["slots"], "task": report["task"]}
    return [shared | cell for cell in report["cells"]]


def merged(paths):
    """The figures of several outputs, of peer_kvpress.py and of lococo-eval, in their order."""
    whole = {"cells": [], "nll": [], "notes": []}
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
            whole["cells"] += with_policy(report)
            whole["nll"] += report.get("nll", [])
            whole["notes"] += [n for n in report.get("notes", []) if n not in whole["notes"]]
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: is no output of peer_kvpress.py or of lococo-eval's tasks "
                           f"({type(error).__name__}: {error})") from error
    return whole
