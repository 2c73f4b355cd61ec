"""What becomes of messages that a full mailbox has no room for: the four policies."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from mabeam import (
    CallCycle,
    GenServer,
    NoSuchProcess,
    OnFull,
    ProcessDied,
    Ref,
    RejectedError,
    Runtime,
    TaskSupervisor,
    UsageError,
    code_change,
    handle_call,
    handle_cast,
    kill,
    limit_mailbox,
    receive,
    ref,
    resume,
    self_pid,
    send,
    spawn,
    suspend,
    trap_exit,
    unlink,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, clock, pause, pid_of, process_of, state_of


class Small(GenServer):
    """Room for two, and a handler that holds it up."""

    mailbox_limit: ClassVar[int] = 2

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.got: list[object] = []

    @handle_call
    async def hold(self) -> None:
        await self.gate.wait()

    @handle_call
    def ask(self, item: object) -> object:
        self.got.append(item)
        return item

    @handle_cast
    def put(self, item: object) -> None:
        self.got.append(item)

    def handle_info(self, message: object) -> None:
        self.got.append(message)


class Rejecting(Small):
    on_full = "reject"


class Blocking(Small):
    on_full = "block"


class DroppingOldest(Small):
    on_full = "drop_oldest"


class DroppingNewest(Small):
    on_full = "drop_newest"


async def held(server: type[Small]) -> tuple[Ref[Any], asyncio.Task[None]]:
    """One that is busy, with an empty mailbox."""
    started: Ref[Any] = await server.start_link()
    return started, await begun(started.options(timeout=None).call(Small.hold))


async def let_go(server: Ref[Any]) -> list[object]:
    """Have it work on everything; what it got."""
    state_of(server).gate.set()
    await wait_until_idle()
    got: list[object] = state_of(server).got
    return got


@pytest.mark.parametrize("server", [Rejecting, DroppingNewest])
async def test_the_newest_is_turned_away(server: type[Small], runtime: Runtime) -> None:
    """A call is told at once; a cast and a raw message become dead letters, and their senders never know."""
    small, holding = await held(server)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    small.cast(Small.put, "lost cast")
    send(pid_of(small), "lost message")
    with pytest.raises(RejectedError, match=r"the mailbox of .* is full"):
        await small.call(Small.ask, 3)
    with pytest.raises(RejectedError):
        await small.cast_wait(Small.put, 3)
    assert await let_go(small) == [1, 2]
    assert runtime.dead_letters.counts == {"full": 2}
    await holding


async def test_the_oldest_makes_room(runtime: Runtime) -> None:
    """Its caller is told; casts and raw messages that are dropped become dead letters."""
    small, holding = await held(DroppingOldest)
    oldest = await begun(small.call(Small.ask, "oldest"))
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    with pytest.raises(RejectedError, match="dropped for a newer message"):
        await oldest
    asking = await begun(small.call(Small.ask, 3))
    await small.cast_wait(Small.put, 4)
    send(pid_of(small), 5)
    with pytest.raises(RejectedError):
        await asking
    assert await let_go(small) == [4, 5]
    assert runtime.dead_letters.counts == {"full": 2}
    await holding


async def test_callers_wait_for_room_in_the_order_in_which_they_came(runtime: Runtime) -> None:
    """``cast_wait`` as well; ``cast`` and ``send`` never wait."""
    small, holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    waiting = [
        await begun(small.call(Small.ask, 3)),
        await begun(small.cast_wait(Small.put, 4)),
        await begun(small.call(Small.ask, 5)),
    ]
    small.cast(Small.put, "lost")
    send(pid_of(small), "lost")
    assert not any(task.done() for task in waiting)
    assert await let_go(small) == [1, 2, 3, 4, 5]
    assert list(await asyncio.gather(*waiting)) == [3, None, 5]
    assert runtime.dead_letters.counts == {"full": 2}
    await holding


async def test_waiting_for_room_ends_with_the_timeout_and_leaves_nothing_behind() -> None:
    """The wait for room and the wait for the answer share one timeout."""
    small, _holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    begun_at = clock().time()
    with pytest.raises(RejectedError, match=r"no room came free within 1\.5 s"):
        await small.options(timeout=1.5).call(Small.ask, "late")
    with pytest.raises(RejectedError):
        await small.options(timeout=0.5).cast_wait(Small.put, "late")
    assert clock().time() - begun_at == 2.0
    assert await let_go(small) == [1, 2]


async def test_one_who_is_cancelled_while_it_waits_for_room_has_sent_nothing() -> None:
    small, _holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    cancelled = await begun(small.call(Small.ask, "cancelled"))
    behind = await begun(small.call(Small.ask, 3))
    cancelled.cancel()
    assert await let_go(small) == [1, 2, 3]
    assert await behind == 3


async def test_one_who_is_cancelled_in_the_moment_when_it_is_let_in_has_sent_nothing() -> None:
    small, holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    waiting = await begun(small.cast_wait(Small.put, "cancelled"))
    behind = await begun(small.cast_wait(Small.put, 3))
    mailbox = process_of(small).mailbox
    assert mailbox is not None
    mailbox.popleft()  # as its process would; nobody else has a turn until the cancellation
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await behind
    assert await let_go(small) == [2, 3]
    await holding


async def test_those_who_gave_up_are_not_kept() -> None:
    """A server that hangs would collect their messages without a limit."""
    small, _holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    for item in range(10):
        with pytest.raises(RejectedError):
            await small.options(timeout=0.1).cast_wait(Small.put, item)
        cancelled = await begun(small.cast_wait(Small.put, item))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    mailbox: Any = process_of(small).mailbox
    assert len(mailbox.waiting) == 0
    assert await let_go(small) == [1, 2]


class Pooling(Small):
    """Those who wait for a place among concurrent handlers do so apart from the mailbox."""

    @handle_call(concurrent=1)
    async def work(self, item: object) -> object:
        await self.gate.wait()
        self.got.append(item)
        return item


class PoolingBlocking(Pooling):
    on_full = "block"


class PoolingDroppingOldest(Pooling):
    on_full = "drop_oldest"


@pytest.mark.parametrize(
    ("server", "done"),
    [(Pooling, [0, 1, 2]), (PoolingBlocking, [0, 1, 2, 3, 4]), (PoolingDroppingOldest, [0, 3, 4])],
)
async def test_the_policy_holds_for_places_among_concurrent_handlers(
    server: type[Pooling], done: list[int]
) -> None:
    pooling = await server.start_link()
    calls = [await begun(pooling.call(Pooling.work, number)) for number in range(5)]
    await wait_until_idle()
    assert await let_go(pooling) == done
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [each for each in answers if not isinstance(each, RejectedError)] == done


async def test_whoever_gives_up_before_there_was_room_for_it_is_not_kept_and_has_asked_for_nothing() -> None:
    pooling = await PoolingBlocking.start_link()
    first = [await begun(pooling.call(Pooling.work, number)) for number in range(3)]
    await wait_until_idle()
    for number in range(100):
        call = await begun(pooling.call(Pooling.work, number))
        await wait_until_idle()
        call.cancel()
        await asyncio.wait([call])
    waiting = process_of(pooling).extra.waiting
    assert sum(len(each) for each in waiting.values()) <= 4
    last = await begun(pooling.call(Pooling.work, "last"))
    await wait_until_idle()
    got = await let_go(pooling)
    assert got[:3] == [0, 1, 2]
    assert got[-1] == "last"
    assert await asyncio.gather(*first, last) == [0, 1, 2, "last"]


async def test_a_limit_that_is_raised_lets_those_in_who_wait() -> None:
    """Before anybody who comes later."""

    class Larger(Blocking):
        mailbox_limit = 4

    small = await Blocking.start_link()
    await suspend(small)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    waiting = await begun(small.cast_wait(Small.put, 3))
    await code_change(small, Larger)
    small.cast(Small.put, 4)
    await waiting
    await resume(small)
    await wait_until_idle()
    assert state_of(small).got == [1, 2, 3, 4]


class Changed(Blocking):
    @handle_call
    def ask(self, item: object) -> object:
        return "changed", item


async def test_those_who_wait_for_room_are_handled_by_the_new_code() -> None:
    small = await Blocking.start_link()
    await suspend(small)
    waiting = [await begun(small.call(Small.ask, number)) for number in range(5)]
    await code_change(small, Changed)
    await resume(small)
    assert await asyncio.gather(*waiting) == [("changed", number) for number in range(5)]


async def test_those_who_wait_for_room_are_told_when_the_new_code_does_not_answer_them() -> None:
    class Other(GenServer):
        mailbox_limit = 2

    small = await Blocking.start_link()
    await suspend(small)
    waiting: list[asyncio.Task[Any]] = [await begun(small.call(Small.ask, number)) for number in range(3)]
    waiting.append(await begun(small.cast_wait(Small.put, 3)))
    await code_change(small, Other)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in answers] == [UsageError] * 4
    assert process_of(small).mailbox is None


async def test_those_who_wait_for_room_hear_of_the_death() -> None:
    small, holding = await held(Blocking)
    small.cast(Small.put, 1)
    small.cast(Small.put, 2)
    tasks = [await begun(small.call(Small.ask, 3)), await begun(small.cast_wait(Small.put, 4))]

    unlink(small)
    kill(small)
    for task in (*tasks, holding):
        with pytest.raises(ProcessDied):
            await task
    with pytest.raises(NoSuchProcess):
        await small.cast_wait(Small.put, 5)


async def test_waiting_for_room_can_close_a_cycle() -> None:
    """The server that would make room waits for the one that asks for it."""

    class Full(Small):
        on_full = "block"

        @handle_call
        async def ask_other(self, other: Ref[Any]) -> object:
            return await other.call(Asker.fill, ref("full", Full))

    class Asker(GenServer):
        @handle_call(raises=(CallCycle,))
        async def fill(self, full: Ref[Any]) -> None:
            for item in range(3):
                await full.cast_wait(Small.put, item)

    full = await Full.child_spec().named("full").start_link()
    asker = await Asker.start_link()

    trap_exit()
    unlink(full)
    with pytest.raises(ProcessDied) as caught:
        await full.call(Full.ask_other, asker)
    assert isinstance(caught.value.__cause__, CallCycle)


async def test_signals_and_requests_to_stop_always_fit() -> None:
    """Otherwise a flooded server could not be ended."""
    small, holding = await held(DroppingOldest)
    for item in range(5):
        small.cast(Small.put, item)
    stopping = await begun(small.stop())
    for item in range(5, 8):
        small.cast(Small.put, item)
    state_of(small).gate.set()
    await stopping
    await holding


async def test_a_plain_process_limits_its_own_mailbox(runtime: Runtime) -> None:
    got: list[object] = []

    async def reader() -> None:
        limit_mailbox(2, on_full="drop_oldest")
        await pause(1.0)
        while True:
            got.append(await receive())

    pid = spawn(reader)
    await wait_until_idle()
    for item in range(5):
        send(pid, item)
    await pause(2.0)
    assert got == [3, 4]
    assert runtime.dead_letters.counts == {"full": 3}


def fast() -> str:
    """What a task comes to."""
    return "value"


class Delegating(GenServer):
    """Awaits its task only after a while."""

    mailbox_limit: ClassVar[int] = 2
    on_full: ClassVar[OnFull] = "drop_oldest"

    @handle_call
    async def delegate(self) -> str:
        task = await TaskSupervisor.start_task_nolink("tasks", fast)
        await pause(1.0)
        return await task

    @handle_cast
    def tick(self) -> None: ...


async def test_the_value_of_a_task_is_not_dropped_for_others() -> None:
    """Like its ``Down`` it came in past the limit, and its owner still waits for it."""
    await TaskSupervisor.child_spec().named("tasks").start()
    server = await Delegating.child_spec().start()
    answer = await begun(server.call(Delegating.delegate))
    for _ in range(5):
        server.cast(Delegating.tick)
    assert await answer == "value"

    async def plain() -> str:
        limit_mailbox(2, on_full="drop_oldest")
        task = await TaskSupervisor.start_task_nolink("tasks", fast)
        for _ in range(5):
            send(self_pid(), "tick")
        await pause(1.0)
        for _ in range(5):
            send(self_pid(), "tick")
        return await task

    assert await plain() == "value"


async def test_a_message_that_somebody_waits_for_needs_no_room() -> None:
    """A full mailbox of others must not keep out the one message that would go on."""
    got: list[object] = []

    async def choosy() -> None:
        limit_mailbox(1)
        got.append(await receive(str))

    pid = spawn(choosy)
    await wait_until_idle()
    send(pid, 1)
    send(pid, 2)
    send(pid, "wanted")
    await wait_until_idle()
    assert got == ["wanted"]


def test_wrong_options_are_found_when_the_class_is_defined() -> None:
    with pytest.raises(UsageError) as caught:

        class Wrong(GenServer):
            mailbox_limit = 0
            on_full = "explode"  # type: ignore[assignment]  # what is refused

    assert len(caught.value.problems) == 2


async def test_a_server_limits_its_mailbox_by_its_class() -> None:
    class Server(GenServer):
        def __init__(self) -> None:
            limit_mailbox(3)

    with pytest.raises(Exception, match="mailbox_limit"):
        await Server.start_link()
