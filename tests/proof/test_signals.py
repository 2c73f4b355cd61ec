"""Real programs, stopped by real signals at hundreds of moments: they end in order, with the right code, and wholly."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = 200
COMPLAINTS = (
    "destroyed but it is pending",
    "Exception ignored",
    "internal error",
    "never awaited",
    "never retrieved",
    "Fatal Python error",
    "RuntimeError",
)
"""What must not be in the error output, whatever was cut off."""


def _code(number: signal.Signals) -> int:
    """How a shell sees a program that was ended by it, when Python has run its handler."""
    return 128 + signal.SIGTERM if number is signal.SIGTERM else -signal.SIGINT


class Watched:
    """A program, and what it has said."""

    def __init__(self, way: str) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "ignore::DeprecationWarning",
                "-m",
                "tests.proof._signalled",
                way,
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def read(self, count: int) -> None:
        """Wait until it has said so many lines more, or has ended."""
        assert self.process.stdout is not None
        for _ in range(count):
            line = self.process.stdout.readline()
            if not line:
                return
            self.lines.append(line.strip())

    def read_until(self, word: str) -> None:
        """Wait until it has said something."""
        while word not in self.lines and self.process.poll() is None:
            self.read(1)

    def finish(self) -> str:
        """Wait for its end, and for that of every OS process of it: they all hold its output. Answers its error output."""
        output, errors = self.process.communicate(timeout=30)
        self.lines += output.split("\n")
        return errors

    def clean_up(self) -> None:
        """End whatever a failed test has left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.parametrize("number", range(PROGRAMS))
def test_a_program_ends_whenever_it_is_told_to(number: int) -> None:
    """One signal stops it in order, a second one at once; nothing of it remains, and nobody complains."""
    chance = random.Random(number)
    way = chance.choice(("waits", "works", "traps"))
    signals = [chance.choice((signal.SIGINT, signal.SIGTERM)) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
    watched = Watched(way)
    try:
        watched.read_until("main")
        watched.read(chance.randrange(60))
        was_up = "up" in watched.lines
        for index, each in enumerate(signals):
            if index:
                watched.read(chance.choice((0, 0, 1, 3, 8)))
            if watched.process.poll() is None:
                watched.process.send_signal(each)
        errors = watched.finish()
    finally:
        watched.clean_up()
    story = f"{way}, {signals}: {watched.lines[-12:]}\n{errors}"
    assert not [text for text in COMPLAINTS if text in errors], story
    assert "left" in watched.lines, story
    returned = f"returned {way}" in watched.lines
    first = _code(signals[0])
    if len(signals) == 1:
        # One that waits for the request returns; it does not wait yet while it starts its tree.
        assert returned == (way != "works") or (way == "waits" and not was_up), story
        assert watched.process.returncode == (0 if returned else first), story
        assert "closed" in watched.lines or "helper" not in watched.lines, story
    else:
        # One that comes when the program has been left already is not mabeam's any more.
        late = {*([0] if returned else []), *(-each for each in signals[1:]), *map(_code, signals[1:])}
        assert watched.process.returncode in {first, *late}, story
