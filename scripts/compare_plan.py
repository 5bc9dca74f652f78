"""The runs of compare_methods.py: what is asked of the tools, where results lie, what is missing."""

import dataclasses
import json
import pathlib

from compare_settings import methods
from tool_runs import Job, is_trained, is_written

ASKED = ("passkey", "needle", "ruler")


@dataclasses.dataclass(frozen=True)
class Reading:
    """One result of a method and seed: NLL at every length, the NLL of the longest as training sees
    it (pattern), questions of a task, needles in fewer slots (needle-128), or decoding in time."""
    name: str
    slots: int | None = None  # None: those of the setting

    @property
    def task(self):
        return self.name.split("-")[0]


class Comparison:
    def __init__(self, setting, arguments, folder):
        self.setting = setting
        self.arguments = arguments
        self.output = pathlib.Path(folder)
        self.methods = methods()

    def seeds_of(self, method):
        return self.setting.seeds_of(method, self.arguments.seeds or ())

    def readings_of(self, method, seed):
        """In the order in which they are made; what one seed tells is asked of the first."""
        names = [Reading("nll")]
        if method.has_pattern:
            names.append(Reading("pattern"))
        first = seed == self.seeds_of(method)[0]
        asked = self.setting.questions
        if asked:
            names += [Reading(task) for task in ASKED]
            if first and method.has_any_slots:
                names += [Reading(f"needle-{n}", n) for n in asked.fewer_slots]
        return names + ([Reading("decode")] if first else [])

    def folder(self, method, seed):
        """Of the training whose weights it reads with."""
        return self.output / f"{method.weights}-{seed}"

    def result(self, method, seed, reading):
        return self.output / f"{method.key}-{seed}-{reading}.json"

    def common(self, tool, method, slots=None):
        s = self.setting
        return [*tool, f"configs/{s.prefix}_{method.config}.yaml", f"model.path={s.model}",
                f"data.cache_dir={self.output / 'tokens'}", *s.options_of(method, slots)]

    def tool(self, name):
        return str(pathlib.Path(self.arguments.bin) / f"lococo-{name}")

    def train_command(self, method, seed):
        s = self.setting
        return self.common([self.tool("train")], method) + [
            f"data.train={s.train}", "data.validation=[]", f"data.context_length={s.context(method)}",
            f"train.steps={s.steps(method)}", f"train.sequences_per_step={s.sequences}",
            f"train.seed={seed}", f"train.output={self.folder(method, seed)}", *s.training,
            *self.arguments.options]

    def read_command(self, method, seed, reading):
        """Nothing is tuned; what only tuning or another method needs is said to be off."""
        is_bench = reading.task == "decode"
        tool = [self.tool("bench"), "decode"] if is_bench else [self.tool("eval")]
        command = self.common(tool, method, reading.slots) + list(method.reads)
        if method.weights:
            command.append(f"model.adapter={self.folder(method, seed)}")
            if method.config == "memory":
                command += ["tune.retention=null", "tune.lora=null"]
        longest = self.setting.lengths[-1]
        command += ["data.lesson_share=0", f"data.context_length={longest}"]
        path = self.result(method, seed, reading.name)
        if is_bench:
            command += [f"bench.contexts=[{longest}]", f"bench.output={path}",
                        f"bench.new_tokens={self.setting.new_tokens}", "bench.batch=[1]"]
        else:
            command += [f"data.validation={self.setting.validation}", f"eval.output={path}",
                        *self.evaluation(reading)]
        return command + self.arguments.options

    def evaluation(self, reading):
        s = self.setting
        if reading.task in ASKED:
            asked = s.questions
            words = [f"eval.task={reading.task}", f"eval.lengths=[{asked.length}]",
                     f"eval.trials={asked.trials[reading.task]}",
                     f"eval.batch={max(1, asked.tokens_at_once // asked.length)}"]
            is_needle = reading.task == "needle"
            return words + ([f"eval.kinds=[{','.join(asked.kinds)}]"] if is_needle else [])
        lengths = s.lengths[-1:] if reading.task == "pattern" else s.lengths
        words = [f"eval.lengths={json.dumps(list(lengths))}", f"eval.max_tokens={s.eval_tokens}",
                 f"eval.far={s.far}", "eval.per_segment=true"]
        return words + (["eval.pattern=training"] if reading.task == "pattern" else [])

    def minutes(self, reading):
        s = self.setting
        if reading.task in ASKED:
            tokens = s.questions.tokens(reading.task)
        elif reading.task == "decode":
            tokens = s.lengths[-1] + 4 * s.new_tokens
        else:
            tokens = s.eval_tokens * (1 if reading.task == "pattern" else len(s.lengths))
        return s.rates.start + tokens / s.rates.read / 60e3

    def jobs(self):
        """What is missing: trainings, first seeds first, then what is read with them, then what
        needs a GPU of its own."""
        cells = sorted(((method, seed) for method in self.methods for seed in self.seeds_of(method)),
                       key=lambda cell: cell[1])
        trainings = [self.training(*cell) for cell in cells if self.lacks_training(*cell)]
        readings = [self.reading(*cell, reading) for cell in cells
                    for reading in self.readings_of(*cell)
                    if not is_written(self.result(*cell, reading.name))]
        return trainings + sorted(readings, key=lambda job: job.alone)

    def lacks_training(self, method, seed):
        steps = self.setting.steps(method)
        return method.trained and not is_trained(self.folder(method, seed), steps)

    def training(self, method, seed):
        minutes = self.setting.rates.start + self.setting.tokens / self.setting.rates.train / 60e3
        return Job(f"{method.key}-{seed}-train", tuple(self.train_command(method, seed)), minutes,
                   trains=True)

    def reading(self, method, seed, reading):
        return Job(f"{method.key}-{seed}-{reading.name}",
                   tuple(self.read_command(method, seed, reading)), self.minutes(reading),
                   after=(f"{method.weights}-{seed}-train",) if method.weights else (),
                   alone=reading.task == "decode")
