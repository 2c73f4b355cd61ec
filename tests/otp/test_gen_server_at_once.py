"""A message for an idle server that a task is made for is taken in the turn of its sender: nothing shows it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    GenServer,
    HandlerFailed,
    ProcessDied,
    Runtime,
    UsageError,
    handle_call,
    handle_cast,
    kill,
    link,
    spawn,
    trace,
    trap_exit,
)
from mabeam.kernel import Crashed, current_kernel
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn
from tests.otp._servers import begun, pause, pid_of

if TYPE_CHECKING:
    from mabeam import Ref

pytestmark = pytest.mark.simulate(False, reason="it brings a chooser of its own")


class InOrder:
    """Chooses what happens without a chooser, so that every message goes through the mailbox and the run queue."""

    def choose(self, kind: str, count: int) -> int:
        """The first, but never at once."""
        assert count > 1
        return int(kind == "hand_off")


class Worker(GenServer):
    """Handlers of all kinds that do not run in the scheduler."""

    mailbox_limit = 8

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    @handle_cast
    def note(self, item: object) -> None:
        self.log.append(item)

    @handle_call
    async def work(self, item: object, seconds: float = 0.0) -> object:
        self.log.append(("begins", item))
        if seconds:
            await pause(seconds)
        self.log.append(("ends", item))
        return item

    @handle_call(concurrent=2)
    async def beside(self, item: object) -> object:
        self.log.append(("beside", item))
        await pause(1.0)
        if item == "bad":
            raise ValueError(item)
        return item

    @handle_call(thread=True)
    def aside(self, item: object) -> object:
        self.log.append(("in a thread", item))
        return item

    @handle_call
    async def crash(self) -> None:
        raise ValueError("as told")


async def _one_after_the_other(worker: Ref[Worker], log: list[Any]) -> None:
    for item in range(3):
        log.append(await worker.call(Worker.work, item))
        log.append(await worker.call(Worker.aside, item))
        log.append(await worker.call(Worker.beside, item))


async def _behind_a_cast(worker: Ref[Worker], log: list[Any]) -> None:
    worker.cast(Worker.note, "first")
    log.append(await worker.call(Worker.work, "second"))


async def _all_together(worker: Ref[Worker], log: list[Any]) -> None:
    calls = [worker.call(Worker.work, item, 0.5) for item in range(4)]
    calls += [worker.call(Worker.beside, item) for item in ("a", "bad", "c")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    log.extend(repr(each.__cause__) if isinstance(each, HandlerFailed) else each for each in results)


async def _one_that_does_not_begin(worker: Ref[Worker], log: list[Any]) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        await worker.call(Worker.work)  # type: ignore[call-overload]  # what is tested
    log.append(await worker.call(Worker.work, "goes on"))


async def _one_that_crashes(worker: Ref[Worker], log: list[Any]) -> None:
    with pytest.raises(ProcessDied) as caught:
        await worker.call(Worker.crash)
    assert caught.value.reason == Crashed(ValueError("as told"))
    log.append(repr(caught.value.__cause__))


async def _one_that_is_given_up(worker: Ref[Worker], log: list[Any]) -> None:
    with pytest.raises(CallTimeout):
        await worker.options(timeout=0.5).call(Worker.work, "slow", 1.0)
    log.append("gave up")
    await pause(1.0)


async def _one_that_is_cancelled_before_it_begins(worker: Ref[Worker], log: list[Any]) -> None:
    task = asyncio.ensure_future(worker.call(Worker.work, "x", 1.0))
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await pause(2.0)
    log.append("cancelled")


async def _one_that_is_killed_meanwhile(worker: Ref[Worker], log: list[Any]) -> None:
    slow, next_ = worker.call(Worker.work, "slow", 1.0), worker.call(Worker.beside, "next")
    calls = [await begun(slow), await begun(next_)]
    kill(worker)
    log.extend(map(repr, await asyncio.gather(*calls, return_exceptions=True)))
    log.append(pid_of(worker).is_alive)


async def _one_that_is_killed_as_soon_as_it_was_asked(worker: Ref[Worker], log: list[Any]) -> None:
    call = asyncio.create_task(worker.call(Worker.work, "never ends", 1.0))
    await Turn()
    kill(worker)
    log.extend(map(repr, await asyncio.gather(call, return_exceptions=True)))


async def _one_that_is_linked(worker: Ref[Worker], log: list[Any]) -> None:
    """Its end is heard of by a caller that is linked to it, and ends it unless that traps exits."""

    async def ask(other: Ref[Worker], *, traps: bool) -> None:
        trap_exit(traps)
        link(other)
        try:
            log.append(await other.call(Worker.work, "linked"))
            await other.call(Worker.crash)
        finally:
            log.append(("traps" if traps else "ends", repr(sys.exc_info()[1])))

    for each, traps in ((worker, True), (await Worker.child_spec(log).start(), False)):
        pid = spawn(ask, each, traps=traps)
        await wait_until_idle()
        log += [pid.is_alive, pid_of(each).is_alive]


async def _too_many_at_once(worker: Ref[Worker], log: list[Any]) -> None:
    calls = [await begun(worker.call(Worker.work, "busy", 1.0))]
    for item in range(7):
        worker.cast(Worker.note, item)
    calls += [await begun(worker.call(Worker.work, item)) for item in range(3)]
    log.extend(map(repr, await asyncio.gather(*calls, return_exceptions=True)))
    log.append(current_kernel().dead_letters.counts)


async def _one_that_is_traced(worker: Ref[Worker], log: list[Any]) -> None:
    with trace(worker, lambda event: log.append((event.kind, repr(event.message), repr(event.value)))):
        await _one_after_the_other(worker, log)
        await _one_that_crashes(worker, log)


PROGRAMS = (
    _one_after_the_other,
    _behind_a_cast,
    _all_together,
    _one_that_does_not_begin,
    _one_that_crashes,
    _one_that_is_given_up,
    _one_that_is_cancelled_before_it_begins,
    _one_that_is_killed_meanwhile,
    _one_that_is_killed_as_soon_as_it_was_asked,
    _one_that_is_linked,
    _too_many_at_once,
    _one_that_is_traced,
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__.strip("_"))
async def test_what_is_taken_at_once_does_what_the_mailbox_would_have_done(program: Any) -> None:
    """The same log, at the same moments."""
    logs: list[list[Any]] = []
    loop = asyncio.get_running_loop()
    for chooser in (None, InOrder()):
        log: list[Any] = []
        async with Runtime(chooser=chooser):
            began = loop.time()
            worker = await Worker.child_spec(log).start()
            await program(worker, log)
            await wait_until_idle()
            log.append(loop.time() - began)
        logs.append(log)
    assert logs[0] == logs[1]
