#!/usr/bin/env python3
"""Every method on one base, on equal tokens and seeds: one table.

    scripts/compare_methods.sh --dry-run                     # runs and minutes of one GPU
    scripts/compare_methods.sh books --minutes 9             # goes on where the last call ended
    scripts/compare_methods.sh books --table                 # the table and pictures of what is there

Tunes and evaluates the methods of SETTING (books: the novels' base of 24 M, 4,096 to 32,768 tokens,
three seeds). Every run is one folder and every evaluation one file under --output, by method and seed;
what is there is not done again, and --minutes starts nothing that would end later. The table has a row
for each method, also for those that have not been run.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import statistics
import sys
import time

from compare_table import pictures, table
from tool_runs import Fault, is_trained, problems_of, run

NO_TUNING = ["tune.lora=null", "tune.embed=null", "tune.norm=null"]
NO_CONV = ["tune.conv=null", "tune.normalizer=null"]
STREAMING = ["cache.policy=streaming", *NO_CONV]
H2O = ["cache.policy=h2o", *NO_CONV]


@dataclasses.dataclass(frozen=True)
class Method:
    key: str
    label: str
    config: str  # of configs/, without the setting's prefix
    options: tuple = ()  # of training and evaluation
    trained: bool = True
    reads: tuple = ()  # of evaluation alone
    adapter_of: str = ""  # the method whose weights it reads with; empty: its own


def methods():
    """In the order of the table."""
    return [
        Method("base", "base, positions interpolated", "full", tuple(NO_TUNING), trained=False),
        Method("streaming", "StreamingLLM", "lococo", (*STREAMING, *NO_TUNING), trained=False),
        Method("h2o", "H2O", "lococo", (*H2O, *NO_TUNING), trained=False),
        Method("streaming_tuned", "StreamingLLM, LoRA tuned through it", "lococo", tuple(STREAMING)),
        Method("h2o_tuned", "H2O, LoRA tuned through it", "lococo", tuple(H2O)),
        Method("official", "LoCoCo, the official form", "official"),
        Method("lococo", "LoCoCo, unrotated keys", "lococo"),
        Method("gates", "learned memory, gates alone", "memory", ("tune.lora=null",)),
        Method("memory", "learned memory with LoRA", "memory"),
        Method("windows", "fixed windows", "longlora", ("attention.shift_fraction=0",)),
        Method("longlora", "LongLoRA (S2-Attn)", "longlora"),
        Method("sinklora", "SinkLoRA, a quarter of the heads", "sinklora"),
        Method("sinklora_half", "SinkLoRA, half of the heads", "sinklora",
               ("attention.shift_fraction=1",)),
        Method("sinklora_h2o", "SinkLoRA, H2O at generation", "sinklora", trained=False,
               reads=("attention.pattern=full", "cache.policy=h2o"), adapter_of="sinklora"),
        Method("full", "full attention with LoRA", "full"),
        Method("full_all", "full attention, all weights", "full", (*NO_TUNING, "tune.all=0.001")),
    ]


@dataclasses.dataclass(frozen=True)
class Setting:
    prefix: str  # of its configs
    model: str
    train: str
    validation: str
    lengths: tuple
    tokens: int  # that a training reads
    sequences: int  # of a step
    memory_context: int  # tokens of a sequence that a memory is taught on
    slots: int
    rate: float  # thousand training tokens a second of one H200, for the estimate alone
    eval_rate: float
    eval_tokens: int
    seeds: tuple = (1, 2, 3)
    more: dict = dataclasses.field(default_factory=dict)  # options by config

    def options_of(self, method):
        """Of training and evaluation: equal slots for all that have some, what the setting needs."""
        options = list(self.more.get(method.config, ()))
        if not has_cache(method):
            return options
        options += [f"cache.slots={self.slots}", f"cache.block={self.slots}"]
        if method.config == "memory":
            options += [f"cache.local={self.slots * 3 // 16}", f"teach.slots=[{self.slots}]"]
        elif "h2o" in method.key:
            options += [f"cache.local={self.slots // 2}", "cache.score_decay=1",
                        "cache.score_distance=0"]
        return options

    def context(self, method):
        return self.memory_context if method.config == "memory" else self.lengths[-1]

    def steps(self, method):
        return max(1, round(self.tokens / (self.sequences * self.context(method))))


SETTINGS = {
    "books": Setting(
        prefix="books", model="models/books-24m", train="books/train", validation="books/val",
        lengths=(4096, 8192, 16384, 32768), tokens=40 * 16 * 32768, sequences=16,
        memory_context=4096, slots=512, rate=500.0, eval_rate=900.0, eval_tokens=1310720),
}


def has_cache(method):
    return method.config in ("lococo", "official", "memory") or "cache.policy=h2o" in method.reads


class Comparison:
    def __init__(self, setting, arguments):
        self.setting = setting
        self.arguments = arguments
        self.output = pathlib.Path(arguments.output)
        self.methods = methods()
        self.seeds = tuple(arguments.seeds or setting.seeds)

    def seeds_of(self, method):
        """What is not tuned has one seed."""
        tuned = method.trained or method.adapter_of
        return self.seeds if tuned else self.seeds[:1]

    def folder(self, method, seed):
        return self.output / f"{method.adapter_of or method.key}-{seed}"

    def result(self, method, seed):
        return self.output / f"{method.key}-{seed}.json"

    def common(self, tool, method):
        s = self.setting
        return [str(pathlib.Path(self.arguments.bin) / f"lococo-{tool}"),
                f"configs/{s.prefix}_{method.config}.yaml", f"model.path={s.model}",
                f"data.cache_dir={self.output / 'tokens'}", *method.options,
                *s.options_of(method)]

    def train_command(self, method, seed):
        s = self.setting
        return self.common("train", method) + [
            f"data.train={s.train}", f"data.context_length={s.context(method)}",
            f"train.steps={s.steps(method)}", f"train.sequences_per_step={s.sequences}",
            f"train.seed={seed}", f"train.output={self.folder(method, seed)}",
            *self.arguments.options]

    def eval_command(self, method, seed):
        s = self.setting
        command = self.common("eval", method) + list(method.reads)
        if method.trained or method.adapter_of:
            command.append(f"model.adapter={self.folder(method, seed)}")
            if method.config == "memory":
                command += ["tune.retention=null", "tune.lora=null"]
        return command + [
            f"data.validation={s.validation}", f"data.context_length={s.lengths[-1]}",
            f"eval.lengths={json.dumps(list(s.lengths))}", f"eval.max_tokens={s.eval_tokens}",
            "eval.per_segment=true", f"eval.output={self.result(method, seed)}",
            *self.arguments.options]

    def jobs(self):
        """(method, seed, is training, minutes) of what is missing, trainings before their readers."""
        s = self.setting
        wanted = []
        for method in self.methods:
            for seed in self.seeds_of(method):
                if method.trained and not is_trained(self.folder(method, seed)):
                    wanted.append((method, seed, True, s.tokens / s.rate / 60e3))
                if not self.result(method, seed).exists():
                    minutes = len(s.lengths) * s.eval_tokens / s.eval_rate / 60e3
                    wanted.append((method, seed, False, minutes))
        return wanted

    def do(self, method, seed, training):
        name = f"{method.key}-{seed}-{'train' if training else 'eval'}"
        command = self.train_command if training else self.eval_command
        run(name, command(method, seed), self.output)

    def all(self):
        """Trainings, then evaluations, several at a time, none that would end too late."""
        self.output.mkdir(parents=True, exist_ok=True)
        began = time.time()
        limit = self.arguments.minutes
        for training in (True, False):
            wanted = [job for job in self.jobs() if job[2] == training]
            with concurrent.futures.ThreadPoolExecutor(self.arguments.jobs) as pool:
                problems_of([pool.submit(self.do_in_time, began, limit, job) for job in wanted])

    def do_in_time(self, began, limit, job):
        method, seed, training, minutes = job
        together = minutes * self.arguments.jobs
        if limit and (time.time() - began) / 60 + together > limit:
            return
        if training or not method.trained or is_trained(self.folder(method, seed)):
            if not method.adapter_of or is_trained(self.folder(method, seed)):
                self.do(method, seed, training)

    def rows(self):
        """[(method, [figures of each seed])] for the table; figures: what lococo-eval and
        lococo-train wrote, {} for what was not run."""
        return [(method, [self.figures(method, seed) for seed in self.seeds_of(method)])
                for method in self.methods]

    def figures(self, method, seed):
        result = self.result(method, seed)
        if not result.exists():
            return {}
        figures = {row["length"]: row for row in json.loads(result.read_text())["results"]}
        metrics = self.folder(method, seed) / "metrics.jsonl"
        if method.trained and metrics.exists():
            steps = [json.loads(line) for line in metrics.read_text().splitlines()]
            rates = [step["tokens_per_s"] for step in steps if "tokens_per_s" in step]
            figures["tokens_per_s"] = statistics.median(rates)
            figures["peak_memory_bytes"] = max(step["peak_memory_bytes"] for step in steps
                                               if "peak_memory_bytes" in step)
        figures["keys"] = 2 * self.setting.slots if has_cache(method) else None
        return figures


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", nargs="?", choices=sorted(SETTINGS), default="books")
    parser.add_argument("--output", default="runs/compare", help="folder of runs and results")
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: those of the setting")
    parser.add_argument("--jobs", type=int, default=3, help="runs at a time")
    parser.add_argument("--minutes", type=float, default=0.0, help="of this call; 0: no limit")
    parser.add_argument("--dry-run", action="store_true", help="print what is to do, and end")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--options", nargs="*", default=[], help="further overrides, KEY=VALUE")
    return parser.parse_args(words)


def main(setting=None, words=None):
    arguments = parse_arguments(words)
    setting = setting or SETTINGS[arguments.setting]
    comparison = Comparison(setting, arguments)
    jobs = comparison.jobs()
    minutes = sum(job[3] for job in jobs)
    print(f"{sum(job[2] for job in jobs)} trainings and {sum(not job[2] for job in jobs)} "
          f"evaluations to do: about {minutes:.0f} minutes of one H200", flush=True)
    if arguments.dry_run:
        for method, seed, training, took in jobs:
            print(f"  {method.key:16} seed {seed} {'train' if training else 'eval':5} {took:5.1f} min")
        return
    if not arguments.table:
        for path in (setting.model, setting.train, setting.validation):
            if not pathlib.Path(path).exists():
                raise Fault(f"{path}: no such file or folder")
        comparison.all()
    rows = comparison.rows()
    text = table(rows, setting.lengths)
    comparison.output.mkdir(parents=True, exist_ok=True)
    (comparison.output / "table.md").write_text(text + "\n")
    print(text)
    pictures(rows, setting.lengths, comparison.output)


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        print(f"compare_methods: {fault}", file=sys.stderr)
        sys.exit(2)
