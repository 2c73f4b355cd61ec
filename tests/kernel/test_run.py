"""``mabeam.run``: whole programs in interpreters of their own, with real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import Runtime, run, wait_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
RESTORED = "handlers restored True"


@contextmanager
def program(*args: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of ``_programs``; it must end within the block, and never hangs for ever."""
    command = [sys.executable, "-m", "tests.kernel._programs", *args]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def _lines_until(running: subprocess.Popen[str], last: str) -> list[str]:
    assert running.stdout is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line.strip())
        if lines[-1] == last:
            return lines
    raise AssertionError(
        f"{last!r} was never said: {lines}\n{running.stderr.read() if running.stderr else ''}"
    )


def _rest(running: subprocess.Popen[str]) -> tuple[list[str], str]:
    output, errors = running.communicate(timeout=30)
    return output.split("\n")[:-1], errors


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)],
    ids=["INT", "TERM"],
)
def test_a_signal_stops_the_program_in_reverse_order(number: signal.Signals, code: int) -> None:
    """First main, then what it started, the latest first; the exit code says which signal it was."""
    with program("waits") as running:
        _lines_until(running, "ready")
        running.send_signal(number)
        lines, _ = _rest(running)
        assert lines == ["main ended", "second ended", "first ended", RESTORED]
        assert running.returncode == code


@pytest.mark.parametrize("how", ["", "_at_the_runtime"], ids=["function", "method"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_main_that_waits_for_the_stop_decides_what_comes_next(number: signal.Signals, how: str) -> None:
    """Its value is returned, and the exit code is its own."""
    with program(f"waits_stopped{how}") as running:
        _lines_until(running, "ready")
        running.send_signal(number)
        lines, _ = _rest(running)
        assert lines == ["asked to stop", "second ended", "first ended", "returned 'value'", RESTORED]
        assert running.returncode == 0


def test_a_main_that_traps_gets_the_stop_as_a_signal() -> None:
    """And may return."""
    with program("traps") as running:
        _lines_until(running, "ready")
        running.send_signal(signal.SIGTERM)
        assert _rest(running)[0] == ["returned 'trapped Shutdown(detail=None)'", RESTORED]


def test_a_second_signal_kills_everything() -> None:
    """Also what swallows its cancellation; nobody's time is waited for."""
    with program("hangs") as running:
        _lines_until(running, "ready")
        running.send_signal(signal.SIGINT)
        _lines_until(running, "swallowed")
        running.send_signal(signal.SIGTERM)
        lines, _ = _rest(running)
        assert lines[-1] == RESTORED
        assert "first ended" in lines
        assert running.returncode == -signal.SIGINT


def test_a_second_signal_ends_a_handler_that_blocks_the_loop() -> None:
    """It is raised in the very code that blocks, and everything is killed, what swallows its cancellation included."""
    with program("blocks", "SIGTERM", "SIGINT") as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["blocks", "second ended", "first ended", "swallowed", "main ended", RESTORED], (
            errors
        )
        assert running.returncode == 128 + signal.SIGTERM


def test_what_main_returned_does_not_hide_that_the_rest_was_cut_off() -> None:
    """A program that was killed while it stopped has not ended well."""
    with program("hangs_at_the_end") as running:
        _lines_until(running, "ready")
        running.send_signal(signal.SIGTERM)
        _lines_until(running, "swallowed")
        running.send_signal(signal.SIGTERM)
        lines, _ = _rest(running)
        assert lines[-1] == RESTORED
        assert running.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("later", ["", "_later", "_call"], ids=["def", "async def", "at once"])
@pytest.mark.parametrize(("how", "code"), [("exit", 7), ("interrupt", -signal.SIGINT)])
def test_a_handler_can_end_the_program(how: str, code: int, later: str) -> None:
    """``SystemExit`` and ``KeyboardInterrupt`` stop the Runtime in order, and are raised by ``run``."""
    with program("exits", how + later) as running:
        lines, errors = _rest(running)
        # Called at once, main is told that the server has died, and has nothing to wait for any more.
        assert [line for line in lines[1:] if line != "main ended"] == [
            "second ended",
            "first ended",
            RESTORED,
        ], errors
        assert running.returncode == code, errors
        assert "never retrieved" not in errors


@pytest.mark.parametrize("how", ["def", "async def"])
def test_terminate_can_end_the_program(how: str) -> None:
    """As a handler can; the process that raises it ends in order before that."""
    with program("exits_at_an_end", how) as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["main ended", "second ended", "first ended", RESTORED], errors
        assert running.returncode == 7, errors
        assert "never retrieved" not in errors


def test_a_main_that_ends_the_program_has_nothing_to_explain() -> None:
    """``sys.exit`` is as quiet in it as it is in any program."""
    with program("exits_itself") as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["second ended", "first ended", RESTORED], errors
        assert running.returncode == 7
        assert errors == ""


def test_a_main_that_was_ended_by_a_link_is_an_error() -> None:
    """``ProcessDied``, after everything has been stopped."""
    with program("ended_by_link") as running:
        lines, _ = _rest(running)
        assert lines[1:] == [
            "second ended",
            "first ended",
            "ProcessDied Exited(value='by a link')",
            RESTORED,
        ]


def test_what_main_raises_is_raised() -> None:
    """After everything has been stopped; it is not reported as a crash as well."""
    with program("crashes") as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["second ended", "first ended", "KeyError 'main crashed'", RESTORED]
        assert errors == ""


def test_run_returns_what_main_returns() -> None:
    """With its arguments; and the loop is gone afterwards."""

    async def main(one: int, *, two: int) -> int:
        return one + two

    assert run(main, 1, two=2) == 3
    assert Runtime(max_threads=1).run(main, 3, two=4) == 7


def test_what_is_no_async_function_is_refused() -> None:
    """A coroutine that was made already, say."""

    async def main() -> None:
        return None

    with pytest.raises(UsageError, match=r"right:  mabeam\.run\(.*main, \.\.\.\)"):
        run(main())  # type: ignore[arg-type]  # what is refused
    with pytest.raises(UsageError, match="got 42"):
        run(42)  # type: ignore[arg-type]  # what is refused


def test_waiting_for_the_stop_needs_a_process() -> None:
    """Or the Runtime itself."""
    waiting = wait_stopped()
    with pytest.raises(UsageError, match="running process"):
        waiting.send(None)


_BETWEEN = """
import asyncio, os, signal
from mabeam.kernel._stop_signals import StopSignals

class Loop(asyncio.SelectorEventLoop):
    def remove_signal_handler(self, number):
        super().remove_signal_handler(number)
        os.kill(os.getpid(), number)  # the worst moment: Python's own handler is in place, which ends the program
        return True

seen = []
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, lambda number, _: seen.append(number))
loop = Loop()
with StopSignals(lambda: None).handled_in(loop):
    pass
loop.close()
print(sorted(seen))
"""


def test_a_signal_that_comes_while_the_handlers_are_restored_goes_to_the_one_that_was_there_before() -> None:
    """It neither ends the program, which handles it, nor is it lost."""
    done = subprocess.run(
        [sys.executable, "-c", _BETWEEN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{[signal.SIGINT.value, signal.SIGTERM.value]}\n"), (
        done.stderr
    )


def test_who_calls_what_ends_the_program_cannot_keep_it_alive() -> None:
    """However the handler ran: what it raised is not raised in its caller."""
    with program("goes_on_after_an_exit") as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["caught ProcessDied", "main ended", RESTORED], errors
        assert running.returncode == 7


def test_a_second_exit_on_the_way_out_cuts_nobody_off() -> None:
    """The rest has its time all the same, and the first is what the program ends with."""
    with program("exits_twice") as running:
        lines, errors = _rest(running)
        assert lines[1:] == ["main ended", "exits ended", "patient ended", RESTORED], errors
        assert running.returncode == 7
