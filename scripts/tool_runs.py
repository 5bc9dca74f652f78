"""Runs of the project's tools for scripts that make tables: logs, results that are kept, several GPUs."""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time


class Fault(Exception):
    """What the user can mend: one line, exit code 2."""


def run_as_script(main):
    """Calls main(), and ends the script at a Fault."""
    try:
        main()
    except Fault as fault:
        print(f"{pathlib.Path(sys.argv[0]).stem}: {fault}", file=sys.stderr)
        sys.exit(2)


def check_inputs(*paths):
    for path in paths:
        if not pathlib.Path(path).exists():
            raise Fault(f"{path}: no such file or folder")


def check_seeds(option, seeds):
    """That the tools take them, and that no two runs have one name."""
    for i, seed in enumerate(seeds):
        if not 0 <= seed < 2**64:
            raise Fault(f"{option} {seed}: is out of range; use an integer from 0 to {2**64 - 1}")
        if seed in seeds[:i]:
            raise Fault(f"{option} {seed}: is given twice; give each seed once")


def show_table(folder, text):
    """Prints it, and keeps it in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)


def problem_of(name, code, log):
    return f"{name} failed ({code}):\n" + log.read_text(encoding="utf-8", errors="replace")[-1500:]


def is_trained(folder, steps):
    """Whether a run folder of lococo-train has a checkpoint of that step or a later one: a run that
    was told to stop leaves one before its last step, from which the next run goes on."""
    return any(int(state.parent.name.removeprefix("step-")) >= steps
               for state in pathlib.Path(folder).glob("step-*/state.json"))


def is_written(path):
    """Whether a tool's JSON file is there, and whole."""
    try:
        return isinstance(json.loads(pathlib.Path(path).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


@dataclasses.dataclass(frozen=True)
class Job:
    name: str  # of its log
    command: tuple
    minutes: float  # of a GPU that nothing else uses, for the estimate alone
    after: tuple = ()  # names of jobs whose output it reads; it waits for those that are to be done
    alone: bool = False  # on its GPU: what measures time
    on_cpus: bool = False  # needs no GPU: waits for none
    trains: bool = False


def chains_of(jobs):
    """{name: minutes until all that waits for it is done, if nothing else kept it waiting}."""
    chains = {}

    def chain(job):
        if job.name not in chains:
            behind = [chain(other) for other in jobs if job.name in other.after]
            chains[job.name] = job.minutes + max(behind, default=0.0)
        return chains[job.name]

    return {job.name: chain(job) for job in jobs}


def minutes_of(jobs, gpus):
    """At least so many: a chain of jobs does not get shorter by more GPUs."""
    on_gpus = sum(job.minutes for job in jobs if not job.on_cpus)
    return max(on_gpus / gpus, *chains_of(jobs).values(), 0.0)


def what_is_to_do(jobs, gpus):
    """One line."""
    trainings, on_cpus = (sum(getattr(job, key) for job in jobs) for key in ("trains", "on_cpus"))
    return (f"{trainings} trainings and {len(jobs) - trainings - on_cpus} evaluations to do"
            f"{f', {on_cpus} preparations on CPUs' if on_cpus else ''}: about "
            f"{minutes_of(jobs, gpus):.0f} minutes of "
            f"{'one H200' if gpus == 1 else f'{gpus} H200'}")


def run_all(jobs, output, arguments):
    """Says what is to do and does it, unless for a dry run; whether it was done. Raises Fault when
    a job failed."""
    print(what_is_to_do(jobs, arguments.gpus), flush=True)
    if arguments.dry_run:
        return False
    problems = Queue(jobs, output, arguments.gpus, arguments.jobs).run()
    if problems:
        raise Fault("\n".join(problems))
    return True


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return int(text)


def add_options_of_runs(parser, jobs):
    parser.add_argument("--bin", default="build/release/bin", help="folder of the tools")
    parser.add_argument("--gpus", type=at_least_one, default=1,
                        help="number of GPUs that runs are dealt to")
    parser.add_argument("--jobs", type=at_least_one, default=jobs,
                        help="runs at a time on each of them")
    parser.add_argument("--dry-run", action="store_true", help="print what is to do, and end")


def gpu_names(count):
    """CUDA_VISIBLE_DEVICES of each GPU; None for the only one: as it is."""
    if count == 1:
        return [None]
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(i) for i in range(count)]
    if len(names) < count:
        raise Fault(f"--gpus {count}: CUDA_VISIBLE_DEVICES names {len(names)}, {given}")
    return names[:count]


@dataclasses.dataclass
class Running:
    job: Job
    gpu: int
    process: subprocess.Popen
    began: float


class Queue:
    """Jobs in their order on several GPUs: the first one that need not wait goes to the GPU with
    the fewest, the next to the next. With `minutes` nothing starts that would end later than that
    after the queue was made. Jobs that fail do not keep others from running."""

    def __init__(self, jobs, folder, gpus=1, per_gpu=1, minutes=0.0):
        self.waiting = list(jobs)
        self.folder = pathlib.Path(folder)
        self.gpus = gpu_names(gpus)
        self.per_gpu = per_gpu
        self.ends = time.time() + 60 * minutes if minutes else None
        self.running, self.problems, self.dropped = [], [], []

    def run(self):
        """Returns what went wrong, a text for each job that failed. Ends its jobs when it is ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with signals_kept() as told:
            try:
                while not told and (self.start_what_can() or self.running):
                    time.sleep(0.1)
                    self.collect()
            finally:
                self.stop(told)
        return self.problems

    def not_started(self):
        """Names: for want of time, or since what they read could not be made."""
        return [job.name for job in self.dropped + self.waiting]

    def start_what_can(self):
        """Whether something was started."""
        started = False
        for job in list(self.waiting):
            loads = self.loads()
            gpu = loads.index(min(loads))
            if loads[gpu] + self.weight(job) <= self.per_gpu and self.is_ready(job):
                self.waiting.remove(job)
                self.start(job, gpu)
                started = True
        return started

    def loads(self):
        return [sum(self.weight(r.job) for r in self.running if r.gpu == gpu)
                for gpu in range(len(self.gpus))]

    def weight(self, job):
        return 0 if job.on_cpus else self.per_gpu if job.alone else 1

    def is_ready(self, job):
        unfinished = {r.job.name for r in self.running} | {other.name for other in self.waiting}
        if unfinished & set(job.after):
            return False
        # Those that share a GPU slow each other down.
        minutes = job.minutes * (1 if job.alone or job.on_cpus else self.per_gpu)
        return self.ends is None or time.time() + 60 * minutes <= self.ends

    def start(self, job, gpu):
        environment = dict(os.environ)
        if self.gpus[gpu] is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[gpu]
        # In a session of its own: Ctrl-C would tell it to end beside stop(), and what is told twice
        # does not write its checkpoint.
        with open(self.folder / f"{job.name}.log", "w", encoding="utf-8") as log:
            try:
                process = subprocess.Popen(job.command, stdout=log, stderr=subprocess.STDOUT,
                                           env=environment, start_new_session=True)
            except OSError as error:
                raise Fault(f"{job.name}: {error}") from error
        self.running.append(Running(job, gpu, process, time.time()))

    def collect(self):
        for done in [r for r in self.running if r.process.poll() is not None]:
            self.running.remove(done)
            name, code = done.job.name, done.process.returncode
            if code == 0:
                print(f"{name}: {time.time() - done.began:.0f} s", flush=True)
                continue
            self.problems.append(problem_of(name, code, self.folder / f"{name}.log"))
            self.drop_readers(name)

    def drop_readers(self, name):
        """What was to read the output of a job that failed is not started, nor what reads that."""
        readers = [job for job in self.waiting if name in job.after]
        self.waiting = [job for job in self.waiting if name not in job.after]
        self.dropped += readers
        for job in readers:
            self.drop_readers(job.name)

    def stop(self, told):
        """lococo-train writes a checkpoint when it is told to end. Who tells this script once more
        does not wait for it."""
        heard = len(told)
        self.signal_all(signal.SIGTERM)
        if self.running:
            with contextlib.suppress(OSError):  # of a terminal that has gone
                print(f"waiting for {', '.join(r.job.name for r in self.running)} to end",
                      file=sys.stderr)
        while any(r.process.poll() is None for r in self.running):
            time.sleep(0.05)
            if len(told) > heard:
                self.signal_all(signal.SIGKILL)

    def signal_all(self, number):
        for r in self.running:
            if r.process.poll() is None:
                os.killpg(r.process.pid, number)


@contextlib.contextmanager
def signals_kept():
    """A list of the signals to end that come meanwhile; the script ends by the first at the end.
    A handler that raises could do so between a job's start and its place in the list of those to
    be stopped, and the job would outlive the script."""
    told = []
    chosen = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) != signal.SIG_IGN]  # as nohup leaves it
    before = {number: signal.signal(number, lambda number, _: told.append(number))
              for number in chosen}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        if told[0] == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + told[0])
