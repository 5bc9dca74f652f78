#!/usr/bin/env python3
"""Every cache policy of a real model on the same texts and questions: one table.

    scripts/get_smollm2.sh
    scripts/real_model_table.py --texts test_novels --train train_novels --output runs/smollm2 --dry-run
    scripts/real_model_table.py --texts test_novels --train train_novels --output runs/smollm2
    ... --memory runs/smollm2_memory   # a learned memory (scripts/tune_smollm2_memory.sh) beside them

Runs lococo-train for the tuned rows and lococo-eval for all, several at a time, and prints how many
minutes of one GPU that takes before it begins. What is there already is not run again. NLL, passkey,
needles of each kind, RULER and many-shot prompts at 4,096 tokens with 128, 256 and 512 slots, and at
8,192 tokens with 512.
"""

import argparse
import json
import math
import pathlib

from tool_runs import (Job, add_options_of_runs, check_inputs, is_trained,
                       is_written, run_all, run_as_script, show_table)

SLOTS = [128, 256, 512]
LONGER = 8192
POLICIES = ["streaming", "h2o", "lococo", "lococo_tuned"]
LABELS = {"none": "full attention", "streaming": "StreamingLLM", "h2o": "H2O",
          "lococo": "LoCoCo, untuned", "lococo_tuned": "LoCoCo, convolutions tuned",
          "memory": "learned memory"}
# Questions of each kind and length. Many-shot prompts have lengths of their own.
TRIALS = {"passkey": 100, "needle": 100, "ruler": 50, "many_shot": 50}
KINDS = {"passkey": 1, "needle": 5, "ruler": 8, "many_shot": 1}
MANY_SHOT = [1500, 2500, 3500]
SEGMENTS = 48
LAST = 128  # targets
# Thousand tokens a second of one H200 that five runs share, for the estimate alone: measured with
# SmolLM2-135M, loading included.
RATE = {"eval": 330.0, "train": 250.0}
TRAIN_STEPS, STEP_TOKENS = 100, 16 * 4096


def local_of(policy, slots):
    return slots * 3 // 16 if policy == "memory" else slots * 3 // 8


def cache_options(policy, slots):
    """Overrides of the policy's config."""
    if policy == "none":
        return ["cache.policy=none", "tune.conv=null", "tune.normalizer=null", "cache.distill=0"]
    options = [f"cache.slots={slots}", f"cache.block={slots}",
               f"cache.local={local_of(policy, slots)}"]
    if policy == "memory":
        options += ["tune.retention=null", "tune.lora=null"]
    if policy in ("streaming", "h2o"):
        options += [f"cache.policy={policy}", "tune.conv=null", "tune.normalizer=null",
                    "cache.distill=0"]
    return options


def conditions(policies):
    """(policy, slots, length) of each row."""
    rows = [("none", 0, 4096)]
    rows += [(policy, slots, 4096) for slots in SLOTS for policy in policies]
    rows += [("none", 0, LONGER)] + [(policy, 512, LONGER) for policy in policies]
    return rows


def lengths_of(task, length):
    return MANY_SHOT if task == "many_shot" else [length]


def tasks_of(length):
    return ["perplexity", "passkey", "needle", "ruler"] + (["many_shot"] if length == 4096 else [])


def tokens_of(task, length):
    if task == "perplexity":
        return SEGMENTS * length
    return TRIALS[task] * KINDS[task] * sum(lengths_of(task, length))


def name_of(policy, slots, length, task):
    return f"{policy}-{slots}-{length}-{task}"


class Runner:
    def __init__(self, arguments):
        self.arguments = arguments
        self.output = pathlib.Path(arguments.output)
        self.bin = pathlib.Path(arguments.bin)
        chosen = POLICIES if arguments.policies is None else arguments.policies
        self.rows = conditions(chosen + (["memory"] if arguments.memory else []))
        self.tuned_slots = SLOTS if "lococo_tuned" in chosen else []

    def adapter(self, slots):
        return self.output / f"tuned-{slots}"

    def common(self, policy, slots):
        name = "memory" if policy == "memory" else "lococo"
        config = f"configs/smollm2_{name}.yaml"
        options = [config, f"model.path={self.arguments.model}",
                   f"data.cache_dir={self.output / 'tokens'}", *cache_options(policy, slots)]
        return options + (self.arguments.options or [])

    def train_command(self, slots):
        return [str(self.bin / "lococo-train"), *self.common("lococo_tuned", slots),
                f"data.train={self.arguments.train}", f"train.steps={TRAIN_STEPS}",
                f"train.output={self.adapter(slots)}"]

    def eval_command(self, policy, slots, length, task):
        command = [str(self.bin / "lococo-eval"), *self.common(policy, slots),
                   f"data.validation={self.arguments.texts}", f"eval.task={task}",
                   f"eval.output={self.result(policy, slots, length, task)}",
                   f"eval.batch={self.batch(length)}"]
        command += [f"eval.lengths={json.dumps(lengths_of(task, length))}"]
        if policy == "memory":
            command += [f"model.adapter={self.arguments.memory}"]
        if policy == "lococo_tuned":
            command += [f"model.adapter={self.adapter(slots)}", "tune.conv=null",
                        "tune.normalizer=null", "cache.distill=0"]
        if task == "perplexity":
            return command + [f"eval.max_tokens={SEGMENTS * length}", "eval.per_segment=true",
                              f"eval.segments_per_document={math.ceil(SEGMENTS / 6)}",
                              f"eval.per_token={self.nll_file(policy, slots, length)}"]
        return command + [f"eval.trials={self.arguments.trials or TRIALS[task]}"]

    def batch(self, length):
        return max(1, self.arguments.tokens_at_once // length)

    def result(self, policy, slots, length, task):
        return self.output / (name_of(policy, slots, length, task) + ".json")

    def nll_file(self, policy, slots, length):
        return self.output / (name_of(policy, slots, length, "nll") + ".jsonl")

    def jobs(self):
        """What is missing, trainings first; rows that need none run meanwhile."""
        trainings = [Job(f"train-{slots}", tuple(self.train_command(slots)),
                         TRAIN_STEPS * STEP_TOKENS / RATE["train"] / 60e3, trains=True)
                     for slots in self.tuned_slots if not is_trained(self.adapter(slots), TRAIN_STEPS)]
        readings = [self.reading(row, task) for row in self.rows for task in tasks_of(row[2])
                    if not is_written(self.result(*row, task))]
        return trainings + sorted(readings, key=lambda job: bool(job.after))

    def reading(self, row, task):
        policy, slots, length = row
        return Job(name_of(*row, task), tuple(self.eval_command(*row, task)),
                   tokens_of(task, length) / RATE["eval"] / 60e3,
                   after=(f"train-{slots}",) if policy == "lococo_tuned" else ())


def percent(cells, metric=None, kind=None):
    """Mean and half of the interval's width over all cells of a kind, in percent."""
    chosen = [c for c in cells if (kind is None or c["kind"] == kind)
              and (metric is None or c["metric"] == metric)]
    trials = sum(c["trials"] for c in chosen)
    if not trials:
        return "-"
    mean = sum(c["correct"] for c in chosen) / trials
    low = sum(c["low"] * c["trials"] for c in chosen) / trials
    high = sum(c["high"] * c["trials"] for c in chosen) / trials
    return f"{100 * mean:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def last_nll(path):
    """Mean NLL of each segment's last targets, which peer_kvpress.py measures too."""
    if not path.exists():
        return "-"
    with open(path, encoding="utf-8") as file:
        tails = [json.loads(line)["nll"][-LAST:] for line in file]
    return f"{sum(map(sum, tails)) / (LAST * len(tails)):.3f}"


def ruler_mean(cells):
    kinds = sorted({c["kind"] for c in cells})
    means = [sum(c["correct"] for c in cells if c["kind"] == k) /
             sum(c["trials"] for c in cells if c["kind"] == k) for k in kinds]
    return f"{100 * sum(means) / len(means):.0f}" if means else "-"


def table(runner):
    kinds = ["digits", "multikey", "words", "names", "paraphrase"]
    lines = ["| tokens | slots | policy | all | far | near | new | last 128 | passkey | " +
             " | ".join(kinds) + " | RULER | many-shot |", "|" + "---|" * (11 + len(kinds))]
    for policy, slots, length in runner.rows:
        read = {}
        for task in tasks_of(length):
            path = runner.result(policy, slots, length, task)
            read[task] = json.loads(path.read_text()) if path.exists() else None
        nll = read["perplexity"]["results"][0] if read["perplexity"] else {}
        cells = {task: (read[task] or {}).get("cells", []) for task in read if task != "perplexity"}
        figures = [f"{nll[key]:.3f}" if key in nll else "-"
                   for key in ("nll", "far_nll", "near_nll", "new_nll")]
        figures += [last_nll(runner.nll_file(policy, slots, length)), percent(cells["passkey"])]
        figures += [percent(cells["needle"], kind=kind) for kind in kinds]
        figures += [ruler_mean(cells["ruler"]),
                    percent(cells.get("many_shot", []), metric="accuracy")]
        lines.append(f"| {length:,} | {slots or 'all'} | {LABELS[policy]} | " + " | ".join(figures) +
                     " |")
    return "\n".join(lines)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="novels to test on: a folder or a file")
    parser.add_argument("--train", required=True, help="novels to tune on, others")
    parser.add_argument("--output", required=True, help="folder of results")
    parser.add_argument("--policies", nargs="*", choices=POLICIES, help="rows; default: all, no name: none")
    parser.add_argument("--memory", help="folder of a learned memory: its rows too")
    parser.add_argument("--model", default="models/smollm2-135m")
    add_options_of_runs(parser, jobs=4)
    parser.add_argument("--tokens-at-once", type=int, default=131072, help="of a batch of prompts")
    parser.add_argument("--trials", type=int, default=0, help="questions of a kind; 0: as published")
    parser.add_argument("options", nargs="*", help="further overrides, KEY=VALUE")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    runner = Runner(arguments)
    check_inputs(arguments.texts, arguments.train, arguments.model)
    jobs = runner.jobs()
    if run_all(jobs, runner.output, arguments):
        show_table(runner.output, table(runner))


if __name__ == "__main__":
    run_as_script(main)
