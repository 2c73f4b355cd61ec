"""The watchdog names whatever blocks the loop while it does. Real loops and threads, since it is about real time."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import selectors
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    ExitReason,
    GenServer,
    Runtime,
    continue_with,
    get_state,
    handle_call,
    in_thread,
    info,
    kill,
    receive,
    send,
    spawn,
)
from mabeam.kernel import Process
from tests.otp._servers import pid_of, process_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.real_time


class Seen(logging.Handler):
    """Lets what blocks go on as soon as it has been reported."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.reported = threading.Event()
        self.gate = threading.Lock()
        self.gate.acquire()
        self.tells: socket.socket | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.reported.set()
        if self.tells is not None:
            self.tells.send(b"!")
        if self.gate.locked():
            self.gate.release()


@pytest.fixture
def seen() -> Any:
    handler = Seen()
    logging.getLogger("mabeam").addHandler(handler)
    yield handler
    logging.getLogger("mabeam").removeHandler(handler)


def block(seen: Seen) -> None:
    """Block until the report has come: it comes while this blocks, or never."""
    assert seen.reported.wait(30), "nobody has noticed"


class Server(GenServer):
    @handle_call
    def inline(self, seen: Seen) -> None:
        block(seen)

    @handle_call
    async def waiting(self, seen: Seen) -> None:
        await in_thread(int)
        block(seen)

    @handle_call
    def until(self, seen: Seen, reports: int) -> None:
        while len(seen.lines) < reports:
            seen.reported.wait(0.01)

    @handle_call
    def holding(self) -> None:
        ctypes.PyDLL(None).usleep(400_000)  # a PyDLL keeps the lock, unlike a CDLL

    @handle_call(concurrent=2)
    async def beside(self, seen: Seen) -> None:
        block(seen)


@pytest.mark.parametrize(
    "handler", [Server.inline, Server.waiting, Server.beside], ids=lambda each: each.__name__
)
async def test_process_handler_and_stack_are_named_while_it_blocks(
    handler: Any, seen: Seen, runtime: Runtime
) -> None:
    server = await Server.child_spec().named("server").start_link()
    durations: list[tuple[float, object]] = []
    runtime.bus.attach(
        lambda _event, numbers, metadata: durations.append((numbers["duration"], metadata["handler"])),
        events=["loop.blocked"],
    )
    await server.options(timeout=60).call(handler, seen)
    await in_thread(int)
    assert runtime.blocked is None  # the loop has gone on, though the watchdog may not have looked again
    (line,) = seen.lines
    first, *stack = line.splitlines()
    assert first.startswith(
        f"the event loop is blocked by Server.{handler.__name__} of Server ('server', pid "
    )
    assert any(place.endswith(f"in Server.{handler.__name__}") for place in stack)
    assert any(place.endswith("in block") for place in stack)
    while not durations:
        await in_thread(int)
    ((seconds, what),) = durations
    assert seconds >= 0.1
    assert what == f"Server.{handler.__name__}"
    assert runtime.kernel.watchdog is not None
    assert runtime.kernel.watchdog.counts[pid_of(server).serial] == 1


class Rude:
    """A message that answers for nothing."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"nobody asks for {name}")


class Raw(GenServer):
    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def handle_info(self, message: object, /) -> None:
        block(self.seen)


async def test_a_message_of_users_is_asked_for_nothing(seen: Seen, runtime: Runtime) -> None:
    """The watchdog would end by what it raises, and see nothing from then on."""
    server = await Raw.start_link(seen)
    send(server, Rude())
    await get_state(server, timeout=60)
    assert seen.lines[0].startswith("the event loop is blocked by Raw.handle_info of Raw (pid ")


async def test_what_holds_the_lock_of_the_interpreter_is_named_when_it_lets_go(
    seen: Seen, runtime: Runtime
) -> None:
    """The watchdog is a thread, too, and stood still meanwhile; there would be nothing to be seen at its next look.

    No other thread wants the lock here: it might get it first.
    """
    server = await Server.start_link()
    await server.options(timeout=60).call(Server.holding)
    while not seen.lines:
        await in_thread(int)
    assert seen.lines[0].startswith("the event loop is blocked by Server.holding of Server (pid ")
    assert "in Server.holding" in seen.lines[0].splitlines()[-1]
    assert runtime.kernel.watchdog is not None
    assert runtime.kernel.watchdog.counts[pid_of(server).serial] == 1


async def test_it_is_counted_against_that_process_and_not_against_one_of_another_runtime(
    seen: Seen, runtime: Runtime
) -> None:
    """Two Runtimes of one loop number their processes alike, and the watchdogs of both see it."""
    server = await Server.start_link()
    async with Runtime():
        innocent = spawn(receive)
        assert innocent.serial == pid_of(server).serial
        await server.options(timeout=60).call(Server.until, seen, 2)
        assert info(innocent).blocked == 0
        kill(innocent)
    assert info(server).blocked == 1


async def test_a_plain_process_is_named(seen: Seen) -> None:
    spawn(block, seen)
    while not seen.lines:
        await in_thread(int)
    assert seen.lines[0].startswith("the event loop is blocked by block of block (pid ")


async def test_code_of_ours_is_shown_where_no_code_of_users_is_at_work(seen: Seen, runtime: Runtime) -> None:
    """Not the line of the program that has started the loop."""
    runtime.kernel.loop.call_soon(_block_as_ours(seen))
    while not seen.lines:
        await in_thread(int)
    (place,) = seen.lines[0].splitlines()[1:]
    assert place.endswith("in block_as_ours")


def _block_as_ours(seen: Seen, parameter: str = "") -> Callable[..., None]:
    names: dict[str, Any] = {"__name__": "mabeam.kernel._made_up", "block": seen.gate.acquire}
    code = f"def block_as_ours({parameter}):\n    assert block(timeout=30)"
    exec(code, names)  # a frame that looks like one of ours
    made: Callable[..., None] = names["block_as_ours"]
    return made


async def test_what_code_of_ours_works_on_is_not_taken_for_whose_code_it_is(
    seen: Seen, runtime: Runtime
) -> None:
    """Who floods somebody else with casts is named, not the one who gets them."""
    server = await Server.start_link()
    cast = _block_as_ours(seen, "process")
    spawn(lambda: cast(process_of(server)))
    while not seen.lines:
        await in_thread(int)
    assert seen.lines[0].splitlines()[0].startswith("the event loop is blocked by ")
    assert "Server" not in seen.lines[0]


async def test_a_process_that_is_only_being_made_is_not_taken_for_the_one_that_blocks(
    seen: Seen, runtime: Runtime
) -> None:
    """The watchdog looks from its thread at any moment, also while the fields of a process are being set."""
    make = _block_as_ours(seen, "process")
    runtime.kernel.loop.call_soon(make, Process.__new__(Process))
    while not seen.lines:
        await in_thread(int)
    assert seen.lines[0].startswith("the event loop is blocked by code of no process at ")


class _Unshowable(str):
    __slots__ = ()

    def __repr__(self) -> str:
        raise ValueError("cannot be shown")


async def test_a_name_that_cannot_be_shown_is_reported_by_its_type(seen: Seen) -> None:
    server = await Server.child_spec().named(_Unshowable("first")).start_link()
    await server.options(timeout=60).call(Server.until, seen, 1)
    assert "by Server.until of Server (<_Unshowable whose repr raised ValueError>, pid " in seen.lines[0]


async def test_it_goes_on_watching_when_it_cannot_say_what_it_has_found(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await Server.start_link()
    with monkeypatch.context() as patch:
        patch.setattr("mabeam.kernel._watchdog.handler_of", None)
        await server.options(timeout=60).call(Server.until, seen, 1)
    assert seen.lines[0] == "mabeam: the watchdog could not say what blocks the loop"
    await server.options(timeout=60).call(Server.until, seen, 2)
    assert seen.lines[1].startswith("the event loop is blocked by Server.until of Server (pid ")


async def test_code_that_belongs_to_no_process_has_a_stack(seen: Seen) -> None:
    """The block of a Runtime, say, or a callback."""
    block(seen)
    assert "by code of no process at " in seen.lines[0]
    assert "in block" in seen.lines[0]


@pytest.mark.real_time(loop="uvloop")
async def test_a_callback_without_a_frame_is_found_in_uvloop_though_it_looks_idle(
    seen: Seen, runtime: Runtime
) -> None:
    pytest.importorskip("uvloop")
    watchdog = runtime.kernel.watchdog
    assert watchdog is not None
    while watchdog._entry is None:  # it has looked at this loop for the first time
        await in_thread(int)
    runtime.kernel.loop.call_soon(seen.gate.acquire)  # held by the test, until a report has come
    while not seen.lines:
        await in_thread(int)
    assert seen.lines[0].startswith(
        "the event loop is blocked by a function that is not Python of no process, for "
    )
    assert seen.lines[0].splitlines()[1:] == []


async def test_an_idle_loop_is_not_woken(runtime: Runtime) -> None:
    """It is seen to wait; nothing is asked of it."""
    asked: list[Callable[..., object]] = []
    loop = runtime.kernel.loop
    original = loop.call_soon_threadsafe
    watchdog = runtime.kernel.watchdog
    assert watchdog is not None

    def spy(callback: Callable[..., object], *args: Any, **options: Any) -> Any:
        if callback == watchdog._answer:
            asked.append(callback)
        return original(callback, *args, **options)

    loop.call_soon_threadsafe = spy  # type: ignore[assignment]  # to see who wakes it
    try:
        await in_thread(threading.Event().wait, 0.3)
    finally:
        del loop.call_soon_threadsafe
    assert not asked


async def test_there_may_be_none() -> None:
    before = threading.active_count()
    async with Runtime(blocked_after=None) as quiet:
        assert quiet.kernel.watchdog is None
        assert quiet.blocked is None
        assert threading.active_count() == before
    async with Runtime(blocked_after=5.0):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


class Everywhere(GenServer):
    """Blocks in one of its callbacks."""

    def __init__(self, seen: Seen, where: str) -> None:
        self.seen, self.where = seen, where
        self.block_in("__init__")

    def block_in(self, where: str) -> None:
        if self.where == where:
            block(self.seen)

    async def lifespan(self) -> AsyncGenerator[None, None]:
        self.block_in("lifespan")
        yield

    def handle_info(self, message: object) -> None:
        self.block_in("handle_info")

    @handle_call
    def go_on(self) -> None:
        continue_with(None)

    def handle_continue(self, argument: object) -> None:
        self.block_in("handle_continue")

    @handle_call
    async def later(self) -> None:
        asyncio.get_running_loop().call_soon(self.block_in, "later")

    def terminate(self, reason: ExitReason) -> None:
        self.block_in("terminate")


@pytest.mark.parametrize(
    "where", ["__init__", "lifespan", "handle_info", "handle_continue", "terminate", "later"]
)
async def test_every_callback_is_called_by_its_name(where: str, seen: Seen) -> None:
    """One that a library, or asyncio itself, calls back later belongs to the process that asked for it."""
    server = await Everywhere.start_link(seen, where)
    send(pid_of(server), "a message")
    await server.call(Everywhere.go_on)
    await server.call(Everywhere.later)
    await in_thread(int)
    await server.stop(timeout=None)
    (line,) = seen.lines
    assert line.startswith(f"the event loop is blocked by Everywhere.{where} of Everywhere (pid ")


class Arming(GenServer):
    """Has something called back, and is at another message then."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.is_over = asyncio.get_running_loop().create_future()

    @handle_call
    def arm(self) -> None:
        asyncio.get_running_loop().call_later(0.01, self.go_off)

    @handle_call
    async def innocent(self) -> None:
        await self.is_over

    def go_off(self) -> None:
        block(self.seen)
        self.is_over.set_result(None)


async def test_a_callback_of_a_plain_handler_is_called_by_its_own_name(seen: Seen) -> None:
    """Not by the handler that its server happens to be at."""
    server = await Arming.start_link(seen)
    await server.call(Arming.arm)
    await server.options(timeout=None).call(Arming.innocent)
    (line,) = seen.lines
    assert line.startswith("the event loop is blocked by Arming.go_off of Arming (pid ")


class Selects(GenServer):
    """Waits as ``subprocess.run`` does: with a selector of its own, until somebody has told of it."""

    @handle_call
    def until_told(self, seen: Seen) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, selectors.DefaultSelector() as selector:
            seen.tells = theirs
            selector.register(ours, selectors.EVENT_READ)
            selector.select()
            seen.tells = None


@pytest.mark.parametrize("loop", [pytest.param(None, marks=pytest.mark.real_time(loop="uvloop")), "asyncio"])
async def test_not_every_selector_is_the_loop_s(loop: str | None, seen: Seen, runtime: Runtime) -> None:
    server = await Selects.child_spec().start()
    await server.options(timeout=60).call(Selects.until_told, seen)
    assert seen.lines[0].startswith("the event loop is blocked by Selects.until_told of Selects (pid ")
    assert info(server).blocked == 1


async def test_what_could_not_be_seen_is_told_without_a_name(seen: Seen, runtime: Runtime) -> None:
    """The loop was asked, then something held the lock, and the loop has answered since."""
    watchdog = runtime.kernel.watchdog
    assert watchdog is not None
    told: list[Any] = []
    with runtime.bus.attach(
        lambda _event, measured, _metadata: told.append(measured), events=["loop.blocked"]
    ):
        await in_thread(watchdog._report_missed, 10.375, 10.0)
        while not told:
            await in_thread(int)
    assert seen.lines[0].startswith(
        "the event loop was blocked for 0.38 s by code that held the interpreter's lock"
    )
    assert told == [{"duration": 0.375}]
    assert runtime.blocked is None


async def test_a_log_that_waits_for_the_loop_does_not_keep_it_from_ending() -> None:
    """It takes the one second that it is given; the thread ends when the log lets go of it."""
    gate = threading.Lock()
    gate.acquire()

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with gate:
                pass

    handler = Waits()
    logging.getLogger("mabeam").addHandler(handler)
    try:
        async with Runtime() as runtime:
            watchdog = runtime.kernel.watchdog
            assert watchdog is not None
            while watchdog._blocked is None:
                pass  # it is on its way to the log by then
    finally:
        logging.getLogger("mabeam").removeHandler(handler)
    assert watchdog._thread.is_alive()
    gate.release()
    await in_thread(watchdog._thread.join)
