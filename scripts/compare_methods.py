#!/usr/bin/env python3
"""Every method on one base, on equal tokens and seeds: one table.

    scripts/compare_methods.sh --dry-run                     # runs and minutes of one GPU
    scripts/compare_methods.sh books --minutes 9             # goes on where the last call ended
    scripts/compare_methods.sh smollm2 --gpus 8              # each run on one of them
    scripts/compare_methods.sh books --table                 # the table and pictures of what is there

Tunes and evaluates the methods of SETTING, without a name of each: books, the novels' base of 24 M,
4,096 to 32,768 tokens, three seeds; smollm2, SmolLM2-135M-Instruct, 8,192 to 32,768 tokens, which is
asked questions too (scripts/get_smollm2.sh). Every run is one folder and every evaluation one file under
--output/SETTING, by method and seed; what is there is not done again, what was broken off goes on from
its checkpoint, and --minutes starts nothing that would end later. Decoding is timed last, on a GPU
that nothing else uses. The table has a row for each method, also for those that have not been run.
"""

import argparse
import pathlib
import time

from compare_figures import Rows
from compare_pictures import pictures
from compare_plan import Comparison
from compare_settings import SETTINGS
from compare_table import tables
from tool_runs import (Fault, Queue, add_options_of_runs, check_inputs, check_seeds, run_as_script,
                       show_table, what_is_to_do)


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", nargs="?", choices=sorted(SETTINGS), help="default: all")
    parser.add_argument("--output", default="runs/compare", help="folder of runs and results")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the setting")
    add_options_of_runs(parser, jobs=3)
    parser.add_argument("--minutes", type=float, default=0.0, help="of this call; 0: no limit")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, KEY=VALUE")
    return parser.parse_args(words)


def announce(name, jobs, arguments):
    print(f"{name}: {what_is_to_do(jobs, arguments.gpus)}", flush=True)
    if arguments.dry_run:
        for job in jobs:
            print(f"  {job.name:32} {job.minutes:5.1f} min")


def show(comparison):
    rows = Rows(comparison)
    show_table(comparison.output, tables(rows))
    pictures(rows, comparison.output)


def main(words=None, settings=None):
    arguments = parse_arguments(words)
    check_seeds("--seeds", arguments.seeds or ())
    chosen = settings or {name: SETTINGS[name] for name in SETTINGS
                          if arguments.setting in (None, name)}
    ends, problems = time.time() + 60 * arguments.minutes, []
    runs = not arguments.dry_run and not arguments.table
    for setting in chosen.values() if runs else ():
        check_inputs(setting.model, setting.train, setting.validation)
    for name, setting in chosen.items():
        comparison = Comparison(setting, arguments, pathlib.Path(arguments.output) / name)
        jobs = comparison.jobs()
        announce(name, jobs, arguments)
        if runs:
            # A limit that has passed starts nothing; 0 would be none.
            left = max(1e-9, (ends - time.time()) / 60) if arguments.minutes else 0.0
            problems += Queue(jobs, comparison.output, arguments.gpus, arguments.jobs, left).run()
        if not arguments.dry_run:
            show(comparison)
    if problems:
        raise Fault("\n".join(problems))


if __name__ == "__main__":
    run_as_script(main)
