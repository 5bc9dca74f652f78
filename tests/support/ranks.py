"""Several ranks of a tool under mpirun, for tests that kill and signal them."""

import os
import signal
import subprocess
import time

BOUND_S = 30  # nothing may outlive a failed rank for longer
START_S = 120  # until a run makes steps on a machine that is busy


def launcher(mpirun, ranks, *options):
    """What stands before a command so that mpirun starts `ranks` of it, on however few cores."""
    return [mpirun, "-np", str(ranks), "--oversubscribe", "--bind-to", "none", *options]


def wait_for(condition, what, seconds=BOUND_S):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def read_of_process(pid, name):
    """A file of /proc as its parts; none once the process has gone."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def ranks_of(marker):
    """Rank -> pid of the processes on whose command line `marker` stands as a whole argument."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if marker not in read_of_process(pid, "cmdline"):
            continue
        for line in read_of_process(pid, "environ"):
            name, _, value = line.partition("=")
            if name == "OMPI_COMM_WORLD_RANK" and is_alive(pid):
                found[int(value)] = int(pid)
    return found


class Run:
    """A tool of `size` ranks that `command` starts; what it writes to stderr lies in a file.

    `marker`: an argument that no other run has. The ranks are found by it, wherever they are started.
    """

    def __init__(self, command, size, marker, log, **options):
        self.size, self.marker, self.log = size, marker, log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=file, start_new_session=True, **options)

    def wait_for_ranks(self):
        """Rank -> pid, or of those that are left where the run has ended."""
        found = {}

        def all_are_there():
            found.update(ranks_of(self.marker))
            return len(found) == self.size or self.process.poll() is not None

        wait_for(all_are_there, f"{self.size} ranks to start", START_S)
        return found

    def wait_until(self, condition, what):
        """Until it is so or the run has ended."""
        wait_for(lambda: condition() or self.process.poll() is not None, what, START_S)

    def end(self):
        """The exit code, and the seconds until neither the launcher nor a rank was left."""
        begin = time.monotonic()
        code = self.process.wait(timeout=BOUND_S)
        wait_for(lambda: not ranks_of(self.marker), "the ranks to end",
                 max(0.0, begin + BOUND_S - time.monotonic()))
        return code, time.monotonic() - begin

    def kill(self):
        """Ends whatever is left."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pid in ranks_of(self.marker).values():  # ranks outlive a launcher that was killed
            os.kill(pid, signal.SIGKILL)

    def lines(self):
        """What it has said, without the rules and empty lines that mpirun draws around its own."""
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if line.strip(" -\n")]

    def lines_with(self, text):
        return [line for line in self.lines() if text in line]
