"""Reference counts free what a failed operation leaves behind: the collector is off here."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    DynamicSupervisor,
    GenServer,
    HandlerFailed,
    NoSuchProcess,
    ProcessDied,
    RejectedError,
    StartFailed,
    Supervisor,
    TaskSupervisor,
    get_state,
    handle_call,
    handle_stream,
    kill,
    receive,
    reply_later,
    spawn_link,
)
from tests.otp._servers import begun, for_ever, pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from mabeam import Ref


class Payload:
    """What a caller has in its hands."""


class Failing(GenServer):
    """Fails in each way that a caller can hear of."""

    mailbox_limit = 1
    on_full = "block"

    def __init__(self, payload: Payload | None = None, *, failing: bool = False) -> None:
        if failing:
            try:
                raise KeyError("why")
            except KeyError as error:
                raise ValueError("no") from error

    @handle_call
    def ping(self, payload: Payload) -> str:
        return "pong"

    @handle_call
    def never(self, payload: Payload) -> str:
        return reply_later(lambda _caller: None)

    @handle_call
    async def hangs(self, payload: Payload) -> None:
        await for_ever()

    @handle_call
    def crashes(self, payload: Payload) -> None:
        raise ValueError("crash")

    @handle_call(raises=(KeyError,))
    def declared(self, payload: Payload) -> None:
        raise KeyError("declared")

    @handle_call(raises=(KeyError,))
    async def declared_later(self, payload: Payload) -> None:
        await pause(0.1)
        raise KeyError("declared")

    @handle_call(concurrent=2)
    async def beside(self, payload: Payload) -> None:
        raise KeyError("beside")

    @handle_stream
    async def rows(self, payload: Payload) -> AsyncIterator[int]:
        yield 1
        raise KeyError("row")

    @handle_stream
    async def endless(self) -> AsyncIterator[int]:
        yield 1
        await for_ever()


class FailingInInit(Failing):
    """The same later on."""

    async def init(self) -> None:
        await pause(0.1)
        raise ValueError("no")


def calling(method: Any, timeout: float = 5.0) -> Callable[[Payload], Awaitable[object]]:
    """Call a server of one's own."""

    async def scene(payload: Payload) -> object:
        server = await Failing.child_spec().start()
        try:
            return await server.options(timeout=timeout).call(method, payload)
        finally:
            kill(server)

    return scene


async def call_of_the_dead(payload: Payload) -> object:
    server = await Failing.child_spec().start()
    await server.stop()
    return await server.call(Failing.ping, payload)


async def _busy_server() -> Ref[Failing]:
    server = await Failing.child_spec().start()
    await begun(_fails(server.call(Failing.hangs, Payload())))
    return server


async def _fails(call: Awaitable[object]) -> None:
    with pytest.raises(ProcessDied):
        await call


async def full_mailbox(payload: Payload) -> object:
    server = await _busy_server()
    waiting = await begun(_fails(server.call(Failing.ping, Payload())))
    try:
        return await server.options(timeout=0.1).call(Failing.ping, payload)
    finally:
        kill(server)
        await waiting


async def stop_in_time(payload: Payload) -> None:
    server = await _busy_server()
    try:
        await server.stop(timeout=0.1)
    finally:
        kill(server)


async def stop_of_one_that_is_killed(payload: Payload) -> None:
    server = await _busy_server()
    asyncio.get_running_loop().call_later(0.1, kill, server)
    await server.stop()


async def get_state_of_a_busy_one(payload: Payload) -> object:
    server = await _busy_server()
    try:
        return await get_state(server, timeout=0.1)
    finally:
        kill(server)


async def stream(payload: Payload) -> object:
    server = await Failing.child_spec().start()
    async with server.stream(Failing.rows, payload) as rows:
        return [row async for row in rows]


async def refused_stream(payload: Payload) -> object:
    server = await Failing.child_spec().start()
    async with server.stream(Failing.endless), server.stream(Failing.rows, payload) as rows:
        return [row async for row in rows]


async def task(payload: Payload) -> object:
    async def fails(payload: Payload) -> None:
        raise KeyError("task")

    tasks = await TaskSupervisor.child_spec().start()
    return await (await TaskSupervisor.start_task_nolink(tasks, fails, payload))


async def start(payload: Payload) -> object:
    return await Failing.child_spec(payload, failing=True).start()


async def start_that_fails_later(payload: Payload) -> object:
    return await FailingInInit.child_spec(payload).start()


async def start_of_a_tree(payload: Payload) -> object:
    return await Supervisor.start_link([Failing.child_spec(payload, failing=True)], strategy="one_for_one")


async def start_child(payload: Payload) -> object:
    supervisor = await Supervisor.child_spec([], strategy="one_for_one").start()
    return await supervisor.call(Supervisor.start_child, Failing.child_spec(payload, failing=True))


async def start_dynamic_child(payload: Payload) -> object:
    supervisor = await DynamicSupervisor.child_spec().start()
    return await supervisor.call(DynamicSupervisor.start_child, FailingInInit.child_spec(payload))


async def receive_in_time(payload: Payload) -> object:
    return await receive(timeout=0.1)


SCENES: dict[str, tuple[Any, type[Exception] | None]] = {
    "call": (calling(Failing.ping), None),
    "call of the dead": (call_of_the_dead, NoSuchProcess),
    "call that is not answered": (calling(Failing.never, 0.1), CallTimeout),
    "call that hangs": (calling(Failing.hangs, 0.1), CallTimeout),
    "call that crashes its server": (calling(Failing.crashes), ProcessDied),
    "declared error": (calling(Failing.declared), KeyError),
    "declared error of an async handler": (calling(Failing.declared_later), KeyError),
    "error of a concurrent handler": (calling(Failing.beside), HandlerFailed),
    "call of a full mailbox": (full_mailbox, RejectedError),
    "stop": (stop_in_time, CallTimeout),
    "stop of one that is killed": (stop_of_one_that_is_killed, ProcessDied),
    "get_state": (get_state_of_a_busy_one, CallTimeout),
    "stream": (stream, HandlerFailed),
    "stream that is refused": (refused_stream, RejectedError),
    "task": (task, ProcessDied),
    "start": (start, StartFailed),
    "start that fails later": (start_that_fails_later, StartFailed),
    "start of a tree": (start_of_a_tree, StartFailed),
    "start_child": (start_child, StartFailed),
    "start_child of a dynamic one": (start_dynamic_child, StartFailed),
    "receive": (receive_in_time, TimeoutError),
}


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """Nor a log: what was reported is kept by pytest, traceback and all."""
    logging.disable()
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("name", SCENES)
async def test_an_operation_leaves_no_cycle_that_holds_what_its_caller_had(name: str) -> None:
    """Neither the argument nor the caller's frame, in which it is, too."""
    scene, expected = SCENES[name]
    told: list[type[BaseException] | None] = []

    async def operation() -> weakref.ref[Payload]:
        payload = Payload()
        try:
            await scene(payload)
        except Exception as error:
            told.append(type(error))
        else:
            told.append(None)
        return weakref.ref(payload)

    kept: list[Any] = []

    async def caller() -> None:
        kept.append(await operation())
        await for_ever()

    process = spawn_link(caller)
    await pause(10)
    assert told == [expected]
    assert kept[0]() is None
    kill(process)


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize("name", ["declared error of an async handler", "call that hangs", "receive"])
async def test_who_catches_an_error_and_ends_leaves_no_cycle(name: str) -> None:
    """The future that has failed leads to the error, and this to the frames that it was raised in."""
    scene, _expected = SCENES[name]
    kept: list[weakref.ref[Payload]] = []

    async def process() -> None:
        payload = Payload()
        kept.append(weakref.ref(payload))
        with contextlib.suppress(Exception):
            await scene(payload)

    spawn_link(process)
    await pause(10)
    assert kept[0]() is None
