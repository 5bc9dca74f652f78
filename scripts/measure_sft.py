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
  pairs     tuned on facts put into novels and questions about them (make_sft_records.py): 6,000
            pairs in 6.1 million tokens at 8,192; and, from the weights that the novels gave, 4,500
            in as many tokens at 32,768; asked with sentences, words and texts of the test split

Beside them the untuned model, the same cut to its own 8,192 positions where the fact lies further
back, H2O and LoCoCo behind 512 slots. Everything is one file or folder under --output; what is there
is not made again, and --minutes starts nothing that would end later. The estimate is of H200s.
"""

import argparse
import pathlib
import sys

from job_deal import Deal, cores_of_each, expected_seconds, missing
from measure_sft_plan import SCALE, Plan
from measure_sft_table import table
from tool_runs import Fault


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="novels to test on: a folder or a file")
    parser.add_argument("--train", required=True, help="novels to tune on, others")
    parser.add_argument("--output", default="runs/sft", help="folder of runs and results")
    parser.add_argument("--model", default="models/smollm2-135m")
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--share", type=int, default=1, help="runs at a time on one GPU")
    parser.add_argument("--only", choices=["passkey", "pairs"], help="one of the measurements")
    parser.add_argument("--no-extras", action="store_true",
                        help="without fixed windows, the other SinkLoRA, pairs of the untuned")
    parser.add_argument("--seed", type=int, default=1, help="of the trainings")
    parser.add_argument("--minutes", type=float, default=0.0, help="of this call; 0: no limit")
    parser.add_argument("--dry-run", action="store_true", help="print what is to do, and end")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, KEY=VALUE")
    parser.add_argument("--tune-options", nargs="*", default=[], help="the same of trainings alone")
    return parser.parse_args(words)


def announce(jobs, arguments):
    wanted = missing(jobs)
    seconds = sum(job.seconds for job in wanted if job.on_gpu)
    slots = arguments.gpus * arguments.share
    print(f"{len(wanted)} of {len(jobs)} runs to do: {seconds:.0f} s of one H200, about "
          f"{expected_seconds(jobs, slots) / 60:.1f} minutes of {arguments.gpus}", flush=True)
    if arguments.dry_run:
        for job in wanted:
            extra = ", extra" if job.is_extra else ""
            print(f"  {job.name:24} {job.seconds:4.0f} s{'' if job.on_gpu else ' of CPUs'}{extra}")


def main(words=None, scale=SCALE):
    arguments = parse_arguments(words)
    if arguments.gpus < 1 or arguments.share < 1:
        raise Fault("--gpus and --share are at least 1")
    plan = Plan(arguments, scale, cores_of_each(arguments.gpus * arguments.share))
    jobs = [job for job in plan.jobs() if not (job.is_extra and arguments.no_extras)]
    deal = Deal(plan.output, arguments.gpus, arguments.share, arguments.minutes)
    plan.output.mkdir(parents=True, exist_ok=True)
    if not arguments.table:
        announce(jobs, arguments)
        if arguments.dry_run:
            return
        for path in (arguments.texts, arguments.train, arguments.model):
            if not pathlib.Path(path).exists():
                raise Fault(f"{path}: no such file or folder")
        left = deal.all(jobs)
        if left:
            print("not started: " + ", ".join(left), flush=True)
    text = table(plan)
    (plan.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if deal.problems:
        raise Fault("\n".join(deal.problems))


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        print(f"measure_sft: {fault}", file=sys.stderr)
        sys.exit(2)
