#!/usr/bin/env python3
"""Supervised fine-tuning and attention patterns on a small real model: what is answered afterwards.

    scripts/get_smollm2.sh
    scripts/measure_sft.py --texts test_novels --train train_novels --output runs/sft --dry-run
    scripts/measure_sft.py --texts test_novels --train train_novels --output runs/sft --gpus 4
    scripts/measure_sft.py --texts test_novels --train train_novels --output runs/sft --table

Two measurements on SmolLM2-135M-Instruct, each tuned with full attention, LongLoRA's segments and
both readings of SinkLoRA, LoRA with embedding and norms, and read with full attention:

  passkey   tuned on novels alone for 6.3 million tokens at 32,768, positions interpolated; keys
            behind novels and in LongLoRA's own prompts, 8,192 to 32,768 tokens
  pairs     tuned on facts put into novels and questions about them (make_sft_records.py): 9,500
            pairs in 9.7 million tokens at 8,192; and, from the weights that the novels gave, 8,600
            in 10.3 million at 32,768; asked with sentences, words and texts of the test split

Beside them the untuned model, the same cut to its own 8,192 positions where the fact lies further
back, H2O and LoCoCo behind 512 slots. Everything is one file or folder under --output; what is there
is not made again, and --minutes starts nothing that would end later. The estimate is of H200s.
"""

import argparse
import os

from measure_sft_plan import Plan
from measure_sft_sizes import SCALE
from measure_sft_table import table
from tool_runs import (Fault, Queue, add_options_of_runs, check_inputs, check_seeds, run_as_script,
                       show_table, what_is_to_do)


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="novels to test on: a folder or a file")
    parser.add_argument("--train", required=True, help="novels to tune on, others")
    parser.add_argument("--output", default="runs/sft", help="folder of runs and results")
    parser.add_argument("--model", default="models/smollm2-135m")
    add_options_of_runs(parser, jobs=1)
    parser.add_argument("--only", choices=["passkey", "pairs"], help="one of the measurements")
    parser.add_argument("--no-extras", action="store_true",
                        help="without fixed windows, the other SinkLoRA, pairs of the untuned")
    parser.add_argument("--scaling", choices=["linear", "yarn"], default="linear",
                        help="of positions beyond the model's own; another --output for each")
    parser.add_argument("--seed", type=int, default=1, help="of the trainings")
    parser.add_argument("--minutes", type=float, default=0.0, help="of this call; 0: no limit")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, KEY=VALUE")
    parser.add_argument("--tune-options", nargs="*", default=[], help="the same of trainings alone")
    return parser.parse_args(words)


def announce(jobs, arguments):
    print(what_is_to_do(jobs, arguments.gpus), flush=True)
    if arguments.dry_run:
        for job in jobs:
            notes = (" of CPUs" if job.on_cpus else "") + (", extra" if job.is_extra else "")
            print(f"  {job.name:24} {job.minutes:5.1f} min{notes}")


def threads_of_each(runs):
    return max(1, (os.cpu_count() or 1) // max(1, runs))


def run_missing(plan, arguments):
    """Returns what went wrong."""
    check_inputs(arguments.texts, arguments.train, arguments.model)
    jobs = plan.missing()
    announce(jobs, arguments)
    if arguments.dry_run:
        return []
    queue = Queue(jobs, plan.output, arguments.gpus, arguments.jobs, arguments.minutes)
    problems = queue.run()
    if queue.not_started():
        print("not started: " + ", ".join(queue.not_started()), flush=True)
    return problems


def main(words=None, scale=SCALE):
    arguments = parse_arguments(words)
    check_seeds("--seed", [arguments.seed])
    plan = Plan(arguments, scale, threads_of_each(arguments.gpus * arguments.jobs))
    problems = [] if arguments.table else run_missing(plan, arguments)
    if arguments.dry_run:
        return
    show_table(plan.output, table(plan))
    if problems:
        raise Fault("\n".join(problems))


if __name__ == "__main__":
    run_as_script(main)
