"""Runs of the project's tools for scripts that make tables: logs, results that are kept."""

import concurrent.futures
import pathlib
import subprocess
import time


class Fault(Exception):
    """What the user can mend: one line, exit code 2."""


def run(name, command, folder):
    """Output goes to FOLDER/NAME.log; its last lines are shown when the command fails."""
    log = pathlib.Path(folder) / f"{name}.log"
    began = time.time()
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise Fault(f"{name} failed ({done.returncode}):\n" + log.read_text()[-1500:])
    print(f"{name}: {time.time() - began:.0f} s", flush=True)


def is_trained(folder):
    """Whether a run folder of lococo-train has a checkpoint."""
    return bool(list(pathlib.Path(folder).glob("step-*/state.json")))


def problems_of(jobs):
    """Waits for futures; raises what went wrong in any of them, all together."""
    concurrent.futures.wait(jobs)
    problems = [str(job.exception()) for job in jobs if job.exception()]
    if problems:
        raise Fault("\n".join(problems))
