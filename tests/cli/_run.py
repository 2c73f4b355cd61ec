"""Running the command as a user does: in an OS process of its own, with streams or a terminal of its own."""

import ctypes
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from mabeam.cli import main

MABEAM = str(Path(sys.executable).parent / "mabeam")

#: From linux/prctl.h and linux/capability.h.
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2

#: A module with one finding, major, and one with none.
DROPPED = "import asyncio\nasync def f():\n    asyncio.create_task(f())\n"
GOOD = "x = 1\n"

#: Runs the command with reviews that never end: what a signal meets in the middle.
HANGING = """
import sys, threading
from mabeam.cli import main
from mabeam.review import _team
_team.analyse_file = lambda *_args, **_options: threading.Event().wait()
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """The environment of the tests, without what changes the looks of a terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    return {**kept, **more}


def without_privileges() -> None:
    """Take from root the right to read and write everything, as it is for everybody else. In the child, before exec."""
    if os.geteuid() == 0 and sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def run(*args: str | bytes, cwd: Path, env: dict[str, str] | None = None, privileged: bool = True) -> Done:
    """Run the command to its end; not ``privileged`` means that rights on files hold for root as well."""
    done = subprocess.run(
        [MABEAM, *args],
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        check=False,
        timeout=50,
        preexec_fn=None if privileged else without_privileges,
    )
    return Done(
        code=done.returncode,
        out=done.stdout.decode("utf-8", "surrogateescape"),
        err=done.stderr.decode("utf-8", "surrogateescape"),
    )


def run_here(*args: str, capture: pytest.CaptureFixture[str]) -> Done:
    """Run the command in this OS process: faster, for what is not about streams or signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["mabeam", *args])
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capture.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return Done(code=code, out=captured.out, err=captured.err)


def shell(line: str, cwd: Path) -> Done:
    """Run a line of bash in which ``mabeam`` is the command."""
    path = f"{Path(MABEAM).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd,
        env=environment(PATH=path),
        capture_output=True,
        check=False,
        timeout=50,
    )
    return Done(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


class Terminal:
    """A command on a terminal of a given width."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, columns: int, term: str = "xterm-256color"
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            list(command), cwd=cwd, env=environment(TERM=term), stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, text: str) -> None:
        """Read what it shows until ``text`` has come."""
        while text not in self.seen:
            assert self._read(), f"{text!r} was not shown: {self.seen!r}"

    def finish(self) -> int:
        """Read all the rest, and answer the exit code."""
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(timeout=50)

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when the other end is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)
