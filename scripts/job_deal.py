"""Jobs that need each other's results, dealt to the GPUs of one machine."""

import concurrent.futures
import dataclasses
import heapq
import os
import pathlib
import time

from tool_runs import Fault, run


@dataclasses.dataclass(frozen=True)
class Job:
    name: str
    command: tuple
    result: pathlib.Path  # the file that is there when it is done
    needs: tuple = ()  # names of jobs
    seconds: float = 0.0  # that it takes, roughly
    on_gpu: bool = True
    is_extra: bool = False  # begins when nothing else can

    def is_done(self):
        return self.result.exists()


def missing(jobs):
    """What is not there yet, in the order in which it should begin: what the longest chain of others
    waits for comes first, extras last."""
    wanted = {job.name: job for job in jobs if not job.is_done()}
    chains = {}

    def chain(name):
        if name not in chains:
            behind = [chain(job.name) for job in wanted.values() if name in job.needs]
            chains[name] = wanted[name].seconds + max(behind, default=0.0)
        return chains[name]

    return sorted(wanted.values(), key=lambda job: (job.is_extra, -chain(job.name)))


def expected_seconds(jobs, slots):
    """Until all are done, on so many GPUs."""
    waiting, running, now, free = missing(jobs), [], 0.0, slots
    while waiting or running:
        unfinished = {job.name for job in waiting} | {name for _, name, _ in running}
        for job in list(waiting):
            if not unfinished & set(job.needs) and (free > 0 or not job.on_gpu):
                waiting.remove(job)
                free -= job.on_gpu
                heapq.heappush(running, (now + job.seconds, job.name, job))
        if not running:
            raise Fault("jobs that wait for each other: " + ", ".join(job.name for job in waiting))
        now, _, job = heapq.heappop(running)
        free += job.on_gpu
    return now


class Deal:
    """Starts each job on a GPU that is free (CUDA_VISIBLE_DEVICES), `share` at a time on one; those
    without need of one at once. What would end after `minutes` is not started, nor what needs
    something that failed; the rest goes on."""

    def __init__(self, folder, gpus, share=1, minutes=0.0):
        self.folder = folder
        self.free = [gpu for _ in range(share) for gpu in range(gpus)]
        self.ends = time.time() + 60 * minutes if minutes else None
        self.running = {}  # future: (job, its GPU or None)
        self.problems = []

    def all(self, jobs):
        """Returns the names of those that were not started."""
        waiting, by_name = missing(jobs), {job.name: job for job in jobs}
        with concurrent.futures.ThreadPoolExecutor(len(self.free) + len(jobs)) as pool:
            while waiting or self.running:
                for job in list(waiting):
                    if self.may_start(job) and all(by_name[need].is_done() for need in job.needs):
                        waiting.remove(job)
                        self.start(pool, job)
                if not self.running:
                    break
                self.collect()
        return [job.name for job in waiting]

    def may_start(self, job):
        in_time = not self.ends or time.time() + job.seconds <= self.ends
        return in_time and bool(self.free or not job.on_gpu)

    def start(self, pool, job):
        gpu = self.free.pop(0) if job.on_gpu else None
        visible = [] if gpu is None else ["env", f"CUDA_VISIBLE_DEVICES={gpu}"]
        done = pool.submit(run, job.name, [*visible, *job.command], self.folder)
        self.running[done] = (job, gpu)

    def collect(self):
        done, _ = concurrent.futures.wait(self.running,
                                          return_when=concurrent.futures.FIRST_COMPLETED)
        for future in done:
            _, gpu = self.running.pop(future)
            if gpu is not None:
                self.free.append(gpu)
            if future.exception():
                self.problems.append(str(future.exception()))


def cores_of_each(count):
    """Threads of each of `count` runs at a time."""
    return max(1, (os.cpu_count() or 1) // max(1, count))
