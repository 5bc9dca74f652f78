"""Runs the tools on hostile input and judges how they answer.

A mistake of the user, however wild, is refused: exit code 2 and exactly one line on stderr that
begins "lococo-TOOL: error: ". Log lines may stand before it, nothing after it.
"""

import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

BIN = os.environ["LOCOCO_BIN"]
TIMEOUT_S = 20
MEMORY_BYTES = 4 << 30  # no tiny model needs as much; a test must not take the machine down
AT_ONCE = 2
PAGE_BYTES = resource.getpagesize()

resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the tools inherit it: some cases crash old ones


@dataclass
class Seen:
    """How a tool ended. `fate` names what the harness had to stop it for, or is empty."""

    code: int
    out: str
    err: str
    seconds: float
    fate: str = ""

    def summary(self):
        if self.fate:
            return self.fate
        ending = f"signal {signal.Signals(-self.code).name}" if self.code < 0 else f"exit {self.code}"
        lines = self.err.strip().splitlines()
        return f"{ending}: {lines[-1][:200] if lines else self.out.strip()[-80:]}"


def command_of(tool, arguments):
    return [os.path.join(BIN, "lococo-" + tool), *map(str, arguments)]


def start(tool, *arguments, address_space=0, **options):
    """A tool in a process group of its own, one thread, nothing on standard input."""
    command = command_of(tool, arguments)
    if address_space:
        command = ["sh", "-c", f'ulimit -v {address_space >> 10}; exec "$0" "$@"', *command]
    environment = dict(os.environ, OMP_NUM_THREADS="1", LC_ALL="C.UTF-8")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, text=True,
                            errors="replace", env=environment, **options)


def kill(process):
    """Ends the whole group; safe when it is gone already."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def resident_bytes(process):
    try:
        with open(f"/proc/{process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):
        return 0


def watch(process, timeout):
    """Waits for the end and collects what was printed; stops what hangs or eats the memory."""
    begin, fate = time.monotonic(), ""
    while True:
        try:
            out, err = process.communicate(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if time.monotonic() - begin > timeout:
                fate = f"hung: no end within {timeout} s"
            elif resident_bytes(process) > MEMORY_BYTES:
                fate = f"took more than {MEMORY_BYTES >> 30} GiB of memory"
            if fate:
                kill(process)
    return Seen(process.returncode, out or "", err or "", time.monotonic() - begin, fate)


def run(tool, *arguments, timeout=TIMEOUT_S, **options):
    process = start(tool, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        return watch(process, timeout)
    finally:
        kill(process)


def why_not_refused(tool, seen, mentions=()):
    """What is wrong with a refusal; empty when it is as it should be."""
    if seen.fate:
        return seen.fate
    prefix = f"lococo-{tool}: error: "
    lines = seen.err.rstrip("\n").splitlines()
    errors = [line for line in lines if line.startswith(prefix)]
    if seen.code != 2:
        return f"exit code {seen.code} instead of 2"
    if len(errors) != 1:
        return f"{len(errors)} error lines instead of one"
    if lines[-1] != errors[0]:
        return "something stands after the error line"
    if "(internal" in seen.err:
        return "is called internal"
    if mentions and not any(word in errors[0] for word in mentions):
        return f"the line names none of {', '.join(mentions)}"
    return ""


def why_not_well(seen):
    if seen.fate:
        return seen.fate
    return "" if seen.code == 0 else f"exit code {seen.code} instead of 0"


@dataclass
class Case:
    """One call of a tool. `answer` is "refused", "works" or "either" (never a crash)."""

    name: str
    tool: str
    arguments: list
    answer: str = "refused"
    mentions: tuple = ()  # the error line holds at least one of these
    timeout: float = TIMEOUT_S
    address_space: int = 0
    seconds: float = 0  # how soon it must have ended; 0: any time before the timeout
    after: object = None  # called with Seen; returns a complaint or ""

    def judge(self, seen):
        refusal = why_not_refused(self.tool, seen, self.mentions)
        if self.answer == "works" or (self.answer == "either" and seen.code == 0):
            refusal = why_not_well(seen)
        if not refusal and self.seconds and seen.seconds > self.seconds:
            refusal = f"took {seen.seconds:.1f} s"
        return refusal or (self.after(seen) if self.after else "") or ""


class HostileTest(unittest.TestCase):
    """A test case with a folder of its own and tables of cases."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="lococo-hostile-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    @classmethod
    def path(cls, *parts):
        return os.path.join(cls.folder, *map(str, parts))

    def report(self, name, seen, complaint):
        """One line of what was seen for each case, whatever the outcome."""
        mark = "FAIL" if complaint else "ok"
        because = f"  <- {complaint}" if complaint else ""
        # One write for a line: two threads report.
        sys.stdout.write(f"{mark:5}{name}  [{seen.seconds:.1f} s]  {seen.summary()}{because}\n")

    def check(self, cases):
        """Runs a table of cases, two at a time, and fails once with everything that is wrong."""
        def answer(case):
            seen = run(case.tool, *case.arguments, timeout=case.timeout,
                       address_space=case.address_space)
            complaint = case.judge(seen)
            self.report(case.name, seen, complaint)
            return f"{case.name}: {complaint}; {seen.summary()}" if complaint else ""

        with ThreadPoolExecutor(AT_ONCE) as pool:
            complaints = [text for text in pool.map(answer, cases) if text]
        if complaints:
            self.fail("\n" + "\n".join(complaints))


def make_special(path, kind):
    """A folder, FIFO, socket or character device; False where that is not permitted."""
    try:
        if kind == "folder":
            os.mkdir(path)
        elif kind == "FIFO":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path)
        else:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # the null device, under our name
    except PermissionError:
        return False
    return True


def slug(text):
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")
