"""Two hosts on this machine: network namespaces that a wire joins, each with its own name and its own disk.

They share processes and files, but for the folder `disk`, and nothing else: MPI finds no shared memory between them.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import unittest

HOSTS = {"host-a": "10.77.0.1", "host-b": "10.77.0.2"}
WIRE = "wire"

# What ssh would do: a command on a host, with nothing of this environment.
ENTER = """#!/bin/sh
# usage: enter HOST COMMAND...
host=$1
shift
exec env -i PATH="$PATH" HOME="$HOME" ip netns exec {prefix}"$host" unshare --mount --uts sh -ec '
hostname "$0"
mount --bind {folder}/hosts /etc/hosts
mount --bind {folder}/disk-of-"$0" {folder}/disk
exec sh -c "$1"' "$host" "$*"
"""


def ip(*arguments):
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


class TwoHosts:
    """`folder` holds what belongs to them. Skips the test where this machine lets nobody make them."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.prefix = f"lococo-{os.getpid()}-"
        self.enter = os.path.join(self.folder, "enter")
        self.host_file = os.path.join(self.folder, "hostfile")
        self.disk = os.path.join(self.folder, "disk")  # what a host sees there is its own
        for host in HOSTS:
            os.mkdir(self.disk_of(host))
        os.mkdir(self.disk)
        self.write("hosts", "127.0.0.1 localhost\n" + "".join(f"{HOSTS[host]} {host}\n" for host in HOSTS))
        self.write("enter", ENTER.format(prefix=self.prefix, folder=shlex.quote(self.folder)))
        os.chmod(self.enter, 0o755)
        if shutil.which("ip") is None or shutil.which("unshare") is None:
            raise unittest.SkipTest("two hosts need ip (Debian: iproute2) and unshare")
        try:
            self.connect()
        except subprocess.CalledProcessError as error:
            self.remove()
            raise unittest.SkipTest(f"network namespaces may not be made here: {error.stderr.strip()}") from error

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(text)

    def disk_of(self, host):
        return os.path.join(self.folder, "disk-of-" + host)

    def namespace(self, host):
        return self.prefix + host

    def connect(self):
        first, second = map(self.namespace, HOSTS)
        for host in HOSTS:
            ip("netns", "add", self.namespace(host))
        ip("-n", first, "link", "add", WIRE, "type", "veth", "peer", "name", WIRE, "netns", second)
        for host, address in HOSTS.items():
            space = self.namespace(host)
            ip("-n", space, "address", "add", address + "/24", "dev", WIRE)
            ip("-n", space, "link", "set", "lo", "up")
        self.join()
        for host in HOSTS:
            subprocess.run([self.enter, host, "true"], capture_output=True, text=True, check=True)

    def cut(self):
        """From now on nothing that one host sends reaches the other, and neither is told."""
        for host in HOSTS:
            ip("-n", self.namespace(host), "link", "set", WIRE, "down")

    def join(self):
        for host in HOSTS:
            ip("-n", self.namespace(host), "link", "set", WIRE, "up")

    def remove(self):
        """With whatever still runs there."""
        for space in map(self.namespace, HOSTS):  # one that was never made is no reason to stop
            left = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
            for pid in left.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", space], capture_output=True, check=False)

    def command(self, mpirun, slots, *arguments, options=()):
        """`arguments` on as many ranks of each host as `slots` says. Becomes mpirun itself, on the first host."""
        self.write("hostfile", "".join(f"{host} slots={count}\n" for host, count in zip(HOSTS, slots)))
        line = ["env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", mpirun,
                "-np", str(sum(slots)), "--hostfile", self.host_file, "--bind-to", "none",
                "--mca", "plm_rsh_agent", self.enter, *options, *arguments]
        return [self.enter, next(iter(HOSTS)), shlex.join(["exec", *line])]
