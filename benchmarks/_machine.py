"""What the figures were taken on: a ratio travels, a microsecond does not."""

from __future__ import annotations

import gc
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

__all__ = ("CpuWatch", "describe", "version_of")


def describe(directory: Path) -> dict[str, str]:
    """Machine, system, interpreter, and the disk under ``directory``; no names of hosts, people or folders."""
    bare = _bare_commit(directory)
    return {
        "revision": _revision(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{_memory() / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "uvloop": version_of("uvloop") or "not installed",
        "garbage collector": f"{'on' if gc.isenabled() else 'off'}, thresholds {gc.get_threshold()}",
        "file system": _file_system(directory),
        "bare fsynced commit": f"{bare * 1e6:.0f} us" + (" (too quick to be true)" if bare < 50e-6 else ""),
        "load at the start": f"{os.getloadavg()[0]:.2f}",
    }


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


class CpuWatch:
    """How many cores were busy with something else, from one look to the next."""

    def __init__(self) -> None:
        """Begin now."""
        self._since = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def others(self) -> float | None:
        """Cores that were busy with something else since the last look, on average; unknown outside of Linux."""
        now, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
        elapsed, self._since = now - self._since, now
        if busy is None or self._busy is None:
            return None
        spent = (busy - self._busy) - (own - self._own)
        self._busy, self._own = busy, own
        return max(0.0, spent / elapsed)


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _revision() -> str:
    """Which commit is measured; ``MABEAM_BENCH_REVISION`` says it for a tree that is no checkout."""
    given = os.environ.get("MABEAM_BENCH_REVISION")
    git = shutil.which("git")
    if given is not None or git is None:
        return given or "unknown"
    root = Path(__file__).resolve().parents[1]
    asked = [
        subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False).stdout
        for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--", "src"))
    ]
    return (asked[0].strip() or "unknown") + (
        ", with changes that are not committed" if asked[1].strip() else ""
    )


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    elif sys.platform == "darwin":
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _file_system(directory: Path) -> str:
    """The type of the file system that ``directory`` is on."""
    if sys.platform != "linux":
        return "unknown"
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    resolved = directory.resolve()
    under = [(len(point), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(under)[1] if under else "unknown"


def _bare_commit(directory: Path, commits: int = 50) -> float:
    """Seconds for one row in one transaction that is on the disk when it is over: SQLite, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value TEXT)")
        seconds = []
        for _ in range(commits):
            began = time.perf_counter()
            connection.execute("INSERT INTO rows (value) VALUES ('x')")
            seconds.append(time.perf_counter() - began)
        connection.close()
    return statistics.median(seconds)
