"""What the operating system knows about us: OS processes that we started, sockets that are open.

Read from ``/proc`` on Linux; elsewhere from ``/dev/fd`` and ``ps``. Looking reaps nothing and closes nothing.
"""

from __future__ import annotations

import os
import stat
import subprocess  # noqa: TID251  (macOS has no other way to list children without a C library)
import sys
from pathlib import Path

__all__ = ("child_processes", "open_sockets")


def child_processes() -> dict[int, str]:
    """List the OS processes that this one started and has not reaped.

    Guarantees:
        Only looks: an ended child stays to be reaped by its owner, and is listed until then.

    Returns:
        What each is called, by pid. It may have ended in the meantime.
    """
    own = os.getpid()
    if sys.platform != "linux":
        return _children_by_ps(own)
    try:
        # One file per thread: a child is listed under the thread that started it.
        lists = [path.read_text() for path in Path(f"/proc/{own}/task").glob("*/children")]
    except OSError:
        lists = []
    if not lists:
        # Kernels may be built without these files; then every process is asked who its parent is.
        return {pid: name for pid, parent, name in _all_processes() if parent == own}
    return {int(pid): _name_of(int(pid)) for line in lists for pid in line.split()}


def open_sockets() -> dict[int, str]:
    """List the open file descriptors that are sockets.

    Returns:
        What the operating system calls each (unique as long as the socket lives), by descriptor.
    """
    directory = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    found: dict[int, str] = {}
    for entry in Path(directory).iterdir():
        descriptor = int(entry.name)
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue  # the descriptor of the listing itself, closed by now
        if stat.S_ISSOCK(status.st_mode):
            found[descriptor] = f"socket:[{status.st_dev}:{status.st_ino}]"
    return found


def _all_processes() -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue  # ended while we looked
        # "pid (name) state parent ...": the name may hold spaces and brackets, so it is cut out by the last one.
        head, _, tail = text.rpartition(")")
        pid, _, name = head.partition(" (")
        found.append((int(pid), int(tail.split()[1]), name))
    return found


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "(ended)"


def _children_by_ps(own: int) -> dict[int, str]:
    with subprocess.Popen(
        ["/bin/ps", "-ax", "-o", "pid=,ppid=,comm="], stdout=subprocess.PIPE, text=True
    ) as listing:
        lines = listing.communicate()[0].splitlines()
    fields = [line.split(None, 2) for line in lines]
    # The ps that we ask is a child of ours itself while it looks.
    return {int(pid): name for pid, parent, name in fields if int(parent) == own and int(pid) != listing.pid}
