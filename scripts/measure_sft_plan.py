"""What scripts/measure_sft.py tunes and asks: its runs as jobs."""

import dataclasses
import json
import pathlib
import sys

from measure_sft_sizes import (EXTRAS, HAYS, KINDS, PATTERNS, SCALE, SCORES, TRAIN_KINDS, TUNE)
from tool_runs import Job, chains_of, is_trained, is_written

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Run(Job):
    result: pathlib.Path = pathlib.Path()  # there when it is done; a training's folder
    steps: int = 0  # of a training
    is_extra: bool = False  # begins when nothing else can

    def is_done(self):
        if self.trains:
            return is_trained(self.result, self.steps)
        is_json = self.result.suffix == ".json"
        return is_written(self.result) if is_json else self.result.exists()


# Thousand tokens a second of one H200, and seconds to begin: for the estimate alone.
RATES = {"train": 120.0, "train long full": 50.0, "train long": 100.0, "train blocks": 60.0,
         "eval": 300.0, "eval long": 200.0, "eval blocks": 150.0}
BEGIN = {"train": 10.0, "eval": 7.0, "cpu": 12.0}


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table of pairs, which is read with weights of a training, or untuned."""
    key: str
    label: str
    tuned: dict  # length: name of the training; "": none
    options: dict = dataclasses.field(default_factory=dict)  # by length
    is_extra: bool = False


class Plan:
    def __init__(self, arguments, scale=SCALE, threads=1):
        self.arguments, self.scale, self.threads = arguments, scale, threads
        self.output = pathlib.Path(arguments.output)

    # --- where things are

    def records_file(self, records):
        # With their number: a folder of another plan holds others.
        return self.output / f"pairs-{records.name}-{records.documents}.jsonl"

    def result(self, name):
        return self.output / f"{name}.json"

    # --- commands

    def tool(self, tool, config, *options):
        return (str(pathlib.Path(self.arguments.bin) / f"lococo-{tool}"), f"configs/{config}.yaml",
                f"model.path={self.arguments.model}", f"data.cache_dir={self.output / 'tokens'}",
                f"distributed.threads={self.threads}", *options)

    def training(self, name, config, steps, length, rows, options, needs, kind, is_extra=False):
        at_once = max(1, min(rows, self.scale.train_at_once // length))
        command = self.tool(
            "train", config, *TUNE, f"data.context_length={length}", f"train.steps={steps}",
            f"train.sequences_per_step={rows}", f"train.micro_batch={at_once}",
            f"train.warmup_steps={steps // 10}", "train.activation_checkpointing=false",
            f"train.seed={self.arguments.seed}", "checkpoint.every=0",
            f"train.output={self.output / name}", *options, *self.arguments.options,
            *self.arguments.tune_options)
        seconds = BEGIN["train"] + steps * rows * length / RATES[kind] / 1e3
        return Run(name, command, seconds / 60, after=tuple(needs), trains=True,
                   result=self.output / name, steps=steps, is_extra=is_extra)

    def reading(self, name, tuned, lengths, options, questions, kind, is_extra=False):
        batch = max(1, self.scale.eval_at_once // max(lengths))
        adapter = (f"model.adapter={self.output / tuned}",) if tuned else ()
        command = self.tool(
            "eval", "smollm2_sft", *adapter, f"data.validation={self.arguments.texts}",
            f"eval.lengths={json.dumps(list(lengths))}", f"eval.batch={batch}",
            f"eval.output={self.result(name)}", *options, *self.arguments.options)
        seconds = BEGIN["eval"] + questions * sum(lengths) / RATES[kind] / 1e3
        return Run(name, command, seconds / 60, after=(tuned,) if tuned else (),
                   result=self.result(name), is_extra=is_extra)

    # --- texts

    def texts(self):
        command = self.tool("prepare", "smollm2_longlora", f"data.train={self.arguments.train}",
                            "data.validation=[]", "distributed.threads=0", *self.arguments.options)
        # Its result is a folder of files whose names are the tool's.
        mark = self.output / "tokens.done"
        shell = ("sh", "-c", '"$@" && touch "$0"', str(mark), *command)
        return self.preparation("tokens", shell, mark)

    def preparation(self, name, command, result, needs=()):
        return Run(name, command, BEGIN["cpu"] / 60, after=tuple(needs), on_cpus=True,
                   result=result)

    def records(self):
        jobs = []
        for seed, records in enumerate(self.scale.records, start=11):
            samples = self.output / f"samples-{records.name}-{records.documents}.jsonl"
            # A few more than it takes: some meet their own words in a document and are left out.
            trials = -(-records.documents * records.questions * 51 // 50 // len(TRAIN_KINDS)) + 2
            ask = self.tool(
                "eval", "smollm2_sft", "eval.task=needle", "eval.split=train",
                f"eval.kinds=[{','.join(TRAIN_KINDS)}]", f"data.validation={self.arguments.train}",
                f"eval.lengths=[{records.piece}]", f"eval.trials={trials}", f"eval.seed={seed}",
                "eval.answerer=oracle", "generate.chat_template=none", "distributed.device=cpu",
                "eval.batch=64", f"eval.samples={samples}", *self.arguments.options)
            make = (sys.executable, str(HERE / "make_sft_records.py"), str(samples), "--tokenizer",
                    str(pathlib.Path(self.arguments.model) / "tokenizer.json"), "--pieces",
                    str(records.questions), "--seed", str(seed), "--most", str(records.documents),
                    "--output", str(self.records_file(records)))
            jobs += [self.preparation(f"samples-{records.name}", ask, samples),
                     self.preparation(f"pairs-{records.name}", make, self.records_file(records),
                                      needs=[f"samples-{records.name}"])]
        return jobs

    # --- passkeys after tuning on novels

    def novels(self, pattern):
        s = self.scale
        kind = "train long full" if pattern == "full" else "train long"
        return self.training(
            f"novels-{pattern}", "smollm2_longlora", s.novel_steps, s.long, s.long_rows,
            [f"data.train={self.arguments.train}", *self.longer(), *PATTERNS[pattern]], ["tokens"],
            kind, pattern in EXTRAS)

    def longer(self):
        if self.arguments.scaling == "linear":
            return [f"model.interpolate_to={self.scale.long}"]
        factor = self.scale.long / self.scale.base
        return ["model.interpolate_to=0", f"model.rope_scaling={{rope_type: yarn, factor: {factor}, "
                f"original_max_position_embeddings: {self.scale.base}}}"]

    def passkeys(self, pattern):
        """Of weights that a pattern was tuned with; "": of the untuned model."""
        tuned, key = (f"novels-{pattern}", pattern) if pattern else ("", "base")
        return [self.reading(f"passkey-{key}-{hay}", tuned, self.scale.lengths,
                             ["eval.task=passkey", f"eval.hay={hay}", *self.longer(),
                              f"eval.trials={self.scale.passkeys}"], self.scale.passkeys,
                             "eval long", pattern in EXTRAS) for hay in HAYS]

    # --- pairs

    def records_named(self, name):
        return next(records for records in self.scale.records if records.name == name)

    def tokens_of(self, documents):
        return sum(self.records_named(name).length * count for name, count in documents)

    def record_options(self, documents):
        sources = ", ".join(f"{{path: {self.records_file(self.records_named(name))}, "
                            f"weight: {count}}}" for name, count in documents)
        return [f"data.records=[{sources}]", "data.on_too_long=drop"]

    def pairs(self, pattern, is_long):
        """At `base` from the model itself, at `long` from what novels made of it."""
        s = self.scale
        documents = s.long_documents if is_long else s.base_documents
        length, rows = (s.long, s.long_rows) if is_long else (s.base, s.rows)
        steps = max(1, self.tokens_of(documents) // (rows * length))
        options = [*self.record_options(documents), *PATTERNS[pattern]]
        needs = [f"pairs-{name}" for name, _ in documents]
        kind = "train"
        if is_long:
            options += [f"model.adapter={self.output / f'novels-{pattern}'}", *self.longer()]
            needs.append(f"novels-{pattern}")
            kind = "train long full" if pattern == "full" else "train long"
        name = f"{'long' if is_long else 'pairs'}-{pattern}"
        return self.training(name, "smollm2_sft", steps, length, rows, options, needs, kind,
                             pattern in EXTRAS)

    def cache(self, policy, slots=0, more=""):
        slots = slots or self.scale.slots
        return (f"cache={{policy: {policy}, slots: {slots}, block: {self.scale.block}, "
                f"local: {slots * 3 // 8}, {SCORES}{more}}}")

    def lococo(self):
        return self.cache("lococo", more=", keep_fraction: 0.625, kernel_size: 9, init: fan_in, "
                          "normalizer_per_head: true, normalizer_range: unit, normalizer_init: 0.2, "
                          "boundary_targets: true, first_block_gradient: true")

    def lococo_pairs(self):
        """Through a cache, on half as many rows: it is slower."""
        s = self.scale
        steps = max(1, self.tokens_of(s.base_documents) // (2 * s.rows * s.base))
        options = [*self.record_options(s.base_documents), self.lococo(), "tune.conv=1e-2",
                   "tune.normalizer=5e-2"]
        return self.training("pairs-lococo", "smollm2_sft", steps, s.base, s.rows, options,
                             [f"pairs-{name}" for name, _ in s.base_documents], "train blocks")

    def rows(self):
        s = self.scale
        longer = {s.long: self.longer()}
        window = self.cache("streaming", slots=s.base - s.block)
        h2o, lococo = self.cache("h2o"), self.lococo()
        both = {"s2": "LongLoRA", "sf": "SinkLoRA, a quarter of the heads"}
        rows = [
            Row("base", "not tuned; longer: positions interpolated", {s.base: "", s.long: ""},
                longer, is_extra=True),
            Row("window", "not tuned, cut to its own context, facts before it",
                {s.long: ""}, {s.long: [window, f"eval.distance={s.base}"]}),
            Row("full", "full attention", {s.base: "pairs-full", s.long: "long-full"}, longer)]
        rows += [Row(key, label, {s.base: f"pairs-{key}", s.long: f"long-{key}"}, longer)
                 for key, label in both.items()]
        return rows + [
            Row("sf1", "SinkLoRA, half of the heads", {s.base: "pairs-sf1"}, is_extra=True),
            Row("full-h2o", f"full attention, read with H2O {s.slots}", {s.base: "pairs-full"},
                {s.base: [h2o]}),
            Row("sf-h2o", f"SinkLoRA, read with H2O {s.slots}", {s.base: "pairs-sf"},
                {s.base: [h2o]}),
            Row("lococo", f"LoCoCo {s.slots}", {s.base: "pairs-lococo"}, {s.base: [lococo]})]

    def needle(self, row, length):
        options = row.options.get(length, [])
        in_blocks = any(option.startswith("cache=") for option in options)
        kind = "eval blocks" if in_blocks else "eval long" if length > self.scale.base else "eval"
        return self.reading(
            f"needle-{row.key}-{length}", row.tuned[length], [length],
            ["eval.task=needle", f"eval.kinds=[{','.join(KINDS)}]",
             f"eval.trials={self.scale.trials}", *options], self.scale.trials * len(KINDS), kind,
            row.is_extra)

    # --- all

    def jobs(self):
        only = self.arguments.only
        jobs = [self.texts()] + [self.novels(pattern) for pattern in PATTERNS
                                 if only != "pairs" or pattern not in EXTRAS]
        if only != "pairs":
            jobs += [job for pattern in ("", *PATTERNS) for job in self.passkeys(pattern)]
        if only != "passkey":
            jobs += self.records()
            jobs += [self.pairs(pattern, is_long=False) for pattern in ("full", "s2", "sf", "sf1")]
            jobs += [self.pairs(pattern, is_long=True) for pattern in ("full", "s2", "sf")]
            jobs.append(self.lococo_pairs())
            jobs += [self.needle(row, length) for row in self.rows() for length in row.tuned]
        return jobs

    def missing(self):
        """In the order in which it should begin: what the longest chain of others waits for comes
        first, extras last."""
        jobs = [job for job in self.jobs()
                if not job.is_done() and not (job.is_extra and self.arguments.no_extras)]
        chains = chains_of(jobs)
        return sorted(jobs, key=lambda job: (job.is_extra, -chains[job.name]))
