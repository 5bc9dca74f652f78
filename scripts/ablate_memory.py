#!/usr/bin/env python3
"""What each part of a learned memory is worth: short equal trainings without it, several seeds.

    scripts/get_smollm2.sh
    scripts/ablate_memory.py --texts test_novels --train train_novels --output runs/ablation --dry-run
    scripts/ablate_memory.py --texts test_novels --train train_novels --output runs/ablation

Every variant of configs/smollm2_memory.yaml is taught on the same sequences for 122 steps (2 million
tokens) and read with 256 slots. The metrics were named before any run: the NLL of far repeats, and the
mean share of needles found (digits, several keys, words, names). Differences are from the whole recipe,
paired by seed, with a 95 % interval of Student's t over the seeds. What is there already is not run again.
"""

import argparse
import json
import pathlib
import statistics

from intervals import half_width
from tool_runs import (Fault, Job, add_options_of_runs, check_inputs, check_seeds, is_trained,
                       is_written, run_all, run_as_script, show_table)

STEPS, SLOTS, LENGTH, SEGMENTS = 122, 256, 4096, 48
# Short sequences, so that two million tokens hold enough of them.
SHORT = [f"data.context_length={LENGTH}", f"data.lesson_length={LENGTH}", "data.lesson_share=0.55",
         "train.micro_batch=4", "teach.answer_weight=0.3", "cache.position_cap=3500"]
KINDS = ["digits", "multikey", "words", "names"]
TRIALS = 100
# Tokens that each reads.
TASKS = {"perplexity": SEGMENTS * LENGTH, "needle": TRIALS * len(KINDS) * LENGTH}
WHOLE = "whole"
# What a variant leaves out, and how.
VARIANTS = {
    WHOLE: [],
    "no gate and no teacher: H2O, LoRA tuned through it": [
        "cache.policy=h2o", "tune.retention=null", "data.lesson_share=0"],
    "no mass: the gate's score alone": ["cache.alone_fraction=1"],
    "no share by score alone: one ranking": ["cache.alone_fraction=0"],
    "no LoRA": ["tune.lora=null"],
    "no lessons": ["data.lesson_share=0"],
    "no truth in answers": ["teach.answer_truth=0"],
    "soft to the end": ["teach.final_temperature=0.5"],
}
# What reads the whole recipe's weights in another way: options of the evaluation.
READS = {"no places of the text: the slots' numbers, in reading alone": [
    "cache.positions=slot", "cache.position_cap=0"]}
# Thousand tokens a second of one H200 that four runs share, for the estimate alone.
RATE = {"train": 60.0, "eval": 300.0}


def slug(variant):
    return "".join(c if c.isalnum() else "-" for c in variant.split(":")[0])


class Ablation:
    def __init__(self, arguments):
        self.arguments = arguments
        self.output = pathlib.Path(arguments.output)
        self.variants = [variant for variant in [*VARIANTS, *READS]
                         if not arguments.variants or slug(variant) in arguments.variants]
        self.cells = [(variant, seed) for variant in self.variants for seed in arguments.seeds]

    def check(self):
        """That the table can be made of what is chosen and what is there already."""
        names = [slug(variant) for variant in [*VARIANTS, *READS]]
        unknown = [name for name in self.arguments.variants or () if name not in names]
        if unknown:
            raise Fault(f"--variants {' '.join(unknown)}: no such run; there are {' '.join(names)}")
        if WHOLE in self.variants:
            return
        for seed in self.arguments.seeds:
            missing = [path for path in (self.result(WHOLE, seed, task) for task in TASKS)
                       if not is_written(path)]
            if set(self.variants) & set(READS) and not is_trained(self.folder(WHOLE, seed), STEPS):
                missing.append(self.folder(WHOLE, seed))
            if missing:
                raise Fault(f"--variants without {WHOLE}, from which the others differ, and "
                            f"{missing[0]} is not there; name {WHOLE} too")

    def name(self, variant, seed):
        return f"{slug(variant)}-{seed}"

    def folder(self, variant, seed):
        return self.output / self.name(WHOLE if variant in READS else variant, seed)

    def result(self, variant, seed, task):
        return self.output / f"{self.name(variant, seed)}-{task}.json"

    def common(self, tool, variant, recipe=()):
        taught = VARIANTS.get(variant, [])
        cache = [option for option in taught if option.startswith("cache.")]
        options = cache + READS.get(variant, []) if tool == "eval" else taught
        return [str(pathlib.Path(self.arguments.bin) / f"lococo-{tool}"),
                "configs/smollm2_memory.yaml", f"model.path={self.arguments.model}",
                f"data.cache_dir={self.output / 'tokens'}", *recipe, *options, *self.arguments.options]

    def train_command(self, variant, seed):
        return self.common("train", variant, SHORT) + [
            f"data.train={self.arguments.train}", f"train.steps={STEPS}", f"train.seed={seed}",
            f"train.output={self.folder(variant, seed)}"]

    def eval_command(self, variant, seed, task):
        command = self.common("eval", variant) + [
            f"model.adapter={self.folder(variant, seed)}",
            f"data.validation={self.arguments.texts}", "data.lesson_share=0",
            "tune.retention=null", "tune.lora=null", f"cache.slots={SLOTS}", f"cache.block={SLOTS}",
            f"cache.local={SLOTS * 3 // 16}", f"eval.lengths=[{LENGTH}]", "eval.batch=32",
            f"eval.task={task}", f"eval.output={self.result(variant, seed, task)}"]
        if task == "perplexity":
            return command + [f"eval.max_tokens={SEGMENTS * LENGTH}",
                              "eval.segments_per_document=8"]
        return command + [f"eval.trials={TRIALS}", f"eval.kinds=[{','.join(KINDS)}]"]

    def jobs(self):
        """What is missing, trainings first."""
        trainings = [Job(f"{self.name(*cell)}-train", tuple(self.train_command(*cell)),
                         STEPS * 4 * LENGTH / RATE["train"] / 60e3, trains=True)
                     for cell in self.cells
                     if cell[0] in VARIANTS and not is_trained(self.folder(*cell), STEPS)]
        return trainings + [
            Job(f"{self.name(*cell)}-{task}", tuple(self.eval_command(*cell, task)),
                tokens / RATE["eval"] / 60e3, after=(f"{self.folder(*cell).name}-train",))
            for cell in self.cells for task, tokens in TASKS.items()
            if not is_written(self.result(*cell, task))]

    def figures(self, variant, seed):
        """(far NLL, share of needles in percent)."""
        nll = json.loads(self.result(variant, seed, "perplexity").read_text())["results"][0]
        cells = json.loads(self.result(variant, seed, "needle").read_text())["cells"]
        found = sum(cell["correct"] for cell in cells) / sum(cell["trials"] for cell in cells)
        return nll["far_nll"], 100 * found

    def table(self):
        lines = ["| | far repeats | less the whole | needles | less the whole |",
                 "|---|---|---|---|---|"]
        whole = [self.figures(WHOLE, seed) for seed in self.arguments.seeds]
        for variant in self.variants:
            here = [self.figures(variant, seed) for seed in self.arguments.seeds]
            columns = []
            for i, digits in ((0, 3), (1, 0)):
                columns.append(f"{statistics.mean(row[i] for row in here):.{digits}f}")
                pairs = [a[i] - b[i] for a, b in zip(here, whole)]
                columns.append("" if variant == WHOLE else interval(pairs, max(digits, 1)))
            lines.append(f"| {variant} | " + " | ".join(columns) + " |")
        return "\n".join(lines)


def interval(values, digits):
    """Mean and half of the interval's width; one value alone has none."""
    mean = f"{statistics.mean(values):+.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} (+- {half_width(values):.{digits}f})"


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="novels to test on: a folder or a file")
    parser.add_argument("--train", required=True, help="novels to teach on, others")
    parser.add_argument("--output", required=True, help="folder of runs and results")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", metavar="NAME",
                        help="of the runs' names, the whole among them unless its results are "
                        "there; default: all")
    parser.add_argument("--model", default="models/smollm2-135m")
    add_options_of_runs(parser, jobs=4)
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, KEY=VALUE")
    return parser.parse_args(words)


def main(words=None):
    arguments = parse_arguments(words)
    check_seeds("--seeds", arguments.seeds)
    ablation = Ablation(arguments)
    ablation.check()
    check_inputs(arguments.texts, arguments.train, arguments.model)
    jobs = ablation.jobs()
    if run_all(jobs, ablation.output, arguments):
        show_table(ablation.output, ablation.table())


if __name__ == "__main__":
    run_as_script(main)
