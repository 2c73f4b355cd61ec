"""Crash reports: one for each crash, with the traceback, and nothing of it stays alive afterwards."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mabeam._base import Log
from mabeam.errors import HandlerFailed, ProcessDied, StartFailed
from mabeam.kernel import Crashed, Down, Exited, Stop, kill, receive, send_exit, spawn, spawn_monitor, unlink
from mabeam.kernel._reports import crash_report
from mabeam.otp import GenServer, handle_call
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn, process_of, swallow_for_ever, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import Iterator


class Records(logging.Filter):
    """Keeps what is logged as text and lets nothing through: handlers of pytest keep records, and so tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tracebacks: list[str] = []
        self.places: list[tuple[str, str | None, int]] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.texts.append(record.getMessage())
        self.places.append((record.pathname, record.funcName, record.lineno))
        self.tracebacks.append(
            logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        )
        return False


@pytest.fixture
def records() -> Iterator[Records]:
    """The log of mabeam."""
    logger, records = logging.getLogger("mabeam"), Records()
    logger.addFilter(records)
    yield records
    logger.removeFilter(records)


class Local:
    """Something that only a frame holds."""


def _crash(found: list[weakref.ref[Local]]) -> None:
    local = Local()
    found.append(weakref.ref(local))
    raise ValueError("the crash")


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_a_crash_is_reported_once_with_its_traceback(records: Records, *, is_async: bool) -> None:
    """Those it takes along by links are not crashes of their own."""
    found: list[weakref.ref[Local]] = []

    async def asynchronous() -> None:
        await Turn()
        _crash(found)

    async def linked() -> None:
        from mabeam.kernel import spawn_link

        spawn_link(asynchronous) if is_async else spawn_link(_crash, found)
        await receive()

    pid, ref = spawn_monitor(linked)
    assert await receive() == Down(ref, pid, Crashed(ValueError("the crash")))
    assert len(records.texts) == 1
    assert "crashed in" in records.texts[0]
    assert "ValueError('the crash')" in records.texts[0]
    assert "in _crash" in records.tracebacks[0]
    first = records.tracebacks[0].splitlines()[1]
    assert __file__ in first  # the way there through the kernel is nothing that anybody could mend


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_no_frame_outlives_the_report(records: Records, *, is_async: bool) -> None:
    """Though the exception itself is kept by the reason, with its cause and context."""
    found: list[weakref.ref[Local]] = []

    def chained() -> None:
        try:
            _crash(found)
        except ValueError as error:
            raise KeyError("outer") from error

    async def asynchronous() -> None:
        await Turn()
        chained()

    spawn_monitor(asynchronous if is_async else chained)
    down = await receive()
    assert "the crash" in records.tracebacks[0]
    gc.collect()
    assert found[0]() is None
    error = down.reason.exception
    assert error.__traceback__ is None
    assert error.__cause__.__traceback__ is None


async def test_the_place_of_the_record_is_where_it_was_raised(records: Records) -> None:
    """What a log shows as file and line leads to what can be mended, however deep."""
    _, ref = spawn_monitor(_crash, [])
    assert (await receive()).ref == ref
    line = _crash.__code__.co_firstlineno + 3
    assert records.places == [(__file__, "_crash", line)]


async def test_an_end_that_was_raised_nowhere_is_reported_all_the_same(records: Records) -> None:
    """An awaited future may hold an exception that never was raised; but whoever reports one must not fail."""
    process = process_of(spawn(wait_for_ever))
    crash_report(Log("mabeam"), process, ValueError("never raised"), "nowhere")
    assert "crashed in nowhere: ValueError('never raised')" in records.texts[0]
    assert records.places == [("(unknown file)", None, 0)]


async def test_a_log_that_is_switched_off_costs_no_record(records: Records) -> None:
    logger = logging.getLogger("mabeam")
    logger.disabled = True
    try:
        _, ref = spawn_monitor(_crash, [])
        assert (await receive()).ref == ref
    finally:
        logger.disabled = False
    assert records.texts == []


async def test_a_server_crash_names_the_handler_and_keeps_no_frame(records: Records) -> None:
    """The caller has the cause, without its frames."""
    found: list[weakref.ref[Local]] = []

    class Server(GenServer):
        @handle_call
        def work(self) -> None:
            _crash(found)

    server = await Server.start_link()
    pid = server.address()
    assert not isinstance(pid, str)
    unlink(pid)
    with pytest.raises(ProcessDied) as caught:
        await server.call(Server.work)
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(records.texts) == 1
    assert "Server.work" in records.texts[0]
    del caught
    gc.collect()
    assert found[0]() is None


@pytest.mark.parametrize("how", ["kill", "exit", "stop", "exit with a crash"])
async def test_an_end_that_is_no_crash_is_not_reported(records: Records, how: str) -> None:
    """Kills, signals, and ``Stop`` with a reason of its own."""

    async def stop() -> None:
        raise Stop(Exited("x"))

    pid = spawn(stop if how == "stop" else wait_for_ever)
    await wait_until_idle()
    if how == "kill":
        kill(pid)
    elif how != "stop":
        send_exit(pid, Exited("x") if how == "exit" else Crashed(ValueError("elsewhere")))
    await wait_until_idle()
    assert not pid.is_alive
    assert records.texts == []


async def test_what_cannot_be_shown_does_not_spoil_the_report(records: Records) -> None:
    """A message whose repr raises is named by its type."""

    class Shy:
        def __repr__(self) -> str:
            raise ValueError("no repr")

    class Server(GenServer):
        def handle_info(self, message: object, /) -> None:
            raise KeyError("crash")

    from mabeam.kernel import send

    server = await Server.start_link()
    pid = server.address()
    assert not isinstance(pid, str)
    unlink(pid)
    send(pid, Shy())
    await wait_until_idle()
    assert "Shy whose repr raised ValueError" in records.texts[0]


@pytest.mark.parametrize("error", [asyncio.CancelledError("own"), GeneratorExit("own"), BaseException("own")])
async def test_even_strange_exceptions_are_crashes(records: Records, error: Any) -> None:
    """A ``CancelledError`` that code raises by itself is its crash."""

    async def body() -> None:
        await Turn()
        raise error

    pid, ref = spawn_monitor(body)
    assert await receive() == Down(ref, pid, Crashed(error))
    assert len(records.texts) == 1


class _FullDisk(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("no space left")


@pytest.fixture
def full_disk(capsys: pytest.CaptureFixture[str]) -> Any:
    handler = _FullDisk()
    logging.getLogger("mabeam").addHandler(handler)
    yield capsys
    logging.getLogger("mabeam").removeHandler(handler)


class _Fragile(GenServer):
    @handle_call
    def at_once(self) -> None:
        raise ValueError("at once")

    @handle_call
    async def later(self) -> None:
        raise ValueError("later")


@pytest.mark.parametrize("method", [_Fragile.at_once, _Fragile.later])
async def test_a_log_that_raises_keeps_no_process_from_ending(method: Any, full_disk: Any) -> None:
    """It would otherwise go on in a state that its handler has half made, or be stuck for ever."""
    server = await _Fragile.child_spec().start()
    with pytest.raises(ProcessDied):
        await server.call(method)
    assert server.pid is not None
    assert not server.pid.is_alive
    told = full_disk.readouterr().err
    assert "OSError: no space left" in told
    assert "crashed in _Fragile." in told.splitlines()[-1]


async def test_a_log_that_raises_keeps_no_kill_from_its_end(full_disk: Any) -> None:
    pid, ref = spawn_monitor(swallow_for_ever)
    await wait_until_idle()
    kill(pid)
    assert (await receive()).ref == ref
    assert "was left behind (frozen)" in full_disk.readouterr().err


async def test_what_a_log_raises_is_not_told_when_nobody_wants_to_know(
    full_disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    Log("mabeam").error("lost %s", "words")
    assert full_disk.readouterr().err == ""


async def test_a_message_of_ours_is_logged_from_where_it_was_written(records: Records) -> None:
    Log("mabeam").error("here")
    line = test_a_message_of_ours_is_logged_from_where_it_was_written.__code__.co_firstlineno + 1
    assert records.places == [(__file__, "test_a_message_of_ours_is_logged_from_where_it_was_written", line)]


@dataclass(frozen=True)
class Frozen(Exception):
    """Refuses to be changed, its traceback included."""

    amount: int


class Hiding(Exception):
    """Has words of its own for what every exception has."""

    @property
    def __cause__(self) -> NoReturn:  # type: ignore[override]  # what is wrong
        raise RuntimeError("no cause")


def _with_cause(error: Exception) -> Exception:
    outer = KeyError("outer")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [Frozen(1), Hiding("hiding"), _with_cause(Frozen(1)), ExceptionGroup("group", [Frozen(1)])],
    ids=["frozen", "hiding", "cause", "group"],
)
@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_an_exception_that_refuses_to_be_changed_ends_its_process_as_any_other(
    error: Exception, records: Records, *, is_async: bool
) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        await Turn()
        raise error

    pid, ref = spawn_monitor(fail_later if is_async else fail)
    assert await receive() == Down(ref, pid, Crashed(error))
    assert len(records.texts) == 1
    assert error.__traceback__ is None


async def test_a_factory_of_log_records_that_raises_holds_up_no_death(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def factory(*_args: object, **_options: object) -> NoReturn:
        raise RuntimeError("no record")

    monkeypatch.setattr(logging, "_logRecordFactory", factory)
    pid, ref = spawn_monitor(_crash, [])
    assert await receive() == Down(ref, pid, Crashed(ValueError("the crash")))
    assert "RuntimeError: no record" in capsys.readouterr().err


class Relay(GenServer):
    """Asks the next of those that it is given."""

    @handle_call
    async def plain(self, rest: tuple[Any, ...]) -> None:
        if not rest:
            raise ValueError("disk 'a' is \"full\"")
        await rest[0].call(Relay.plain, rest[1:])

    @handle_call(concurrent=2)
    async def beside(self, rest: tuple[Any, ...]) -> None:
        if not rest:
            raise ValueError("disk 'a' is \"full\"")
        await rest[0].call(Relay.beside, rest[1:])


class Nest(GenServer):
    """Starts the next within its own start."""

    def __init__(self, depth: int) -> None:
        self.depth = depth

    async def init(self) -> None:
        if not self.depth:
            raise ValueError("disk 'a' is \"full\"")
        await Nest.start_link(self.depth - 1)


async def test_what_is_said_of_a_crash_that_came_a_long_way_does_not_grow_with_each_step(
    records: Records,
) -> None:
    first, *rest = [await Relay.child_spec().start() for _ in range(40)]
    with pytest.raises(ProcessDied) as died:
        await first.call(Relay.plain, tuple(rest))
    assert len(str(died.value)) < 1_200
    first, *rest = [await Relay.child_spec().start() for _ in range(40)]
    with pytest.raises(HandlerFailed) as failed:
        await first.call(Relay.beside, tuple(rest))
    assert len(str(failed.value)) < 1_200
    with pytest.raises(StartFailed) as start:
        await Nest.child_spec(20).start()
    assert len(str(start.value)) < 1_200
    assert all(len(text) < 2_500 for text in records.texts)
    cause: BaseException | None = died.value
    while cause is not None and not isinstance(cause, ValueError):
        cause = cause.__cause__
    assert cause is not None
