"""A lock between processes: fair, owned, and given up by the dead."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallCycle,
    GenServer,
    Lock,
    Ref,
    Runtime,
    UsageError,
    handle_call,
    kill,
    receive,
    ref,
    send,
    spawn,
    why,
)
from mabeam.kernel import Turn
from mabeam.testing import wait_until_idle
from tests.kernel._why_scenes import asker, kinds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def hold(lock: Lock, name: str, got: list[str]) -> None:
    """Hold it until told to let go."""
    async with lock:
        got.append(name)
        await receive()


async def test_first_come_first_served() -> None:
    lock, got = Lock(), list[str]()
    pids = [spawn(hold, lock, name, got) for name in "abc"]
    await wait_until_idle()
    assert lock.holder == pids[0]
    for pid in pids:
        send(pid, "go")
        await wait_until_idle()
    assert got == ["a", "b", "c"]
    assert lock.holder is None
    assert repr(lock) == "<Lock 'lock', free, 0 waiting>"


@pytest.mark.parametrize("victim", [0, 1], ids=["who holds it", "who waits"])
async def test_a_kill_loses_nothing(victim: int) -> None:
    lock, got = Lock(), list[str]()
    pids = [spawn(hold, lock, name, got) for name in "abc"]
    await wait_until_idle()
    kill(pids[victim])
    await wait_until_idle()
    for pid in pids:
        if pid.is_alive:
            send(pid, "go")
            await wait_until_idle()
    assert got == (["a", "b", "c"] if victim == 0 else ["a", "c"])
    assert lock.holder is None


async def test_it_is_entered_once() -> None:
    """Waiting for oneself would be for ever."""
    lock = Lock("printer")

    async def twice() -> None:
        async with lock:
            with pytest.raises(UsageError, match="holds the printer already"):
                await lock.__aenter__()

    spawn(twice)
    await wait_until_idle()
    assert lock.holder is None


async def test_handlers_of_one_server_keep_each_other_out() -> None:
    lock, order = Lock(), list[str]()

    class Server(GenServer):
        @handle_call(concurrent=2)
        async def work(self, name: str) -> None:
            async with lock:
                order.append(f"{name} in")
                await self.turn()
                order.append(f"{name} out")

        async def turn(self) -> None:
            await ref("other", Other).call(Other.slow)

    class Other(GenServer):
        @handle_call
        async def slow(self) -> None:
            return None

    await Other.child_spec().named("other").start_link()
    server = await Server.start_link()
    for name in "ab":
        spawn(server.call, Server.work, name)
    await wait_until_idle()
    assert order == ["a in", "a out", "b in", "b out"]


async def test_a_cycle_of_a_lock_and_a_call_is_refused() -> None:
    """Who holds the lock waits for who wants it."""
    lock = Lock()

    class Holder(GenServer):
        @handle_call
        async def hold_and_ask(self, other: Ref[Wants]) -> str:
            async with lock:
                return await other.call(Wants.take)

    class Wants(GenServer):
        @handle_call
        async def take(self) -> str:
            try:
                async with lock:
                    return "taken"
            except CallCycle:
                return "refused"

    holder, wants = await Holder.start_link(), await Wants.start_link()
    assert await holder.call(Holder.hold_and_ask, wants) == "refused"
    assert await wants.call(Wants.take) == "taken"


class _Keeps(GenServer):
    """Enters the lock in one handler and leaves it in another."""

    def __init__(self, lock: Lock) -> None:
        self.lock = lock
        self.stack = contextlib.AsyncExitStack()

    @handle_call
    async def begin(self) -> None:
        await self.stack.enter_async_context(self.lock)

    @handle_call
    async def finish(self) -> None:
        await self.stack.aclose()

    @handle_call(concurrent=1)
    async def finish_when(self, gate: asyncio.Event) -> None:
        await gate.wait()
        await self.stack.aclose()

    @handle_call
    async def ask(self, other: Ref[_Wants]) -> str:
        return await other.call(_Wants.take)

    @handle_call
    async def want_it_oneself(self) -> str:
        return await _take(self.lock)


class _KeepsForLife(_Keeps):
    """Has it for as long as it lives."""

    async def lifespan(self) -> AsyncGenerator[None]:
        async with self.lock:
            yield

    @handle_call
    async def begin(self) -> None:
        """It has begun."""


class _Wants(GenServer):
    def __init__(self, lock: Lock) -> None:
        self.lock = lock

    @handle_call
    async def take(self) -> str:
        return await _take(self.lock)


async def _take(lock: Lock) -> str:
    try:
        async with lock:
            return "taken"
    except CallCycle:
        return "refused"


async def test_another_handler_of_the_holder_may_give_it_up() -> None:
    lock = Lock()
    server = await _Keeps.start_link(lock)
    await server.call(_Keeps.begin)
    assert lock.holder == server.pid
    await lock.__aexit__(None, None, None)  # by somebody else
    assert lock.holder == server.pid
    await server.call(_Keeps.finish)
    assert lock.holder is None


@pytest.mark.parametrize("keeps", [_Keeps, _KeepsForLife], ids=["handler", "lifespan"])
async def test_who_waits_for_a_lock_that_is_kept_waits_for_its_process(keeps: Any) -> None:
    """The code that took it has returned, or rests: it is what the process does that matters."""
    lock = Lock("printer")
    keeper = await keeps.start_link(lock)
    await keeper.call(keeps.begin)
    wants = await _Wants.start_link(lock)
    start = asker(wants, _Wants.take)
    await wait_until_idle()
    assert kinds(why(start)) == ["call", "lock", "empty_mailbox"]
    assert why(start).root.pid == keeper.pid
    kill(start)
    kill(wants)


@pytest.mark.parametrize("keeps", [_Keeps, _KeepsForLife], ids=["handler", "lifespan"])
async def test_a_cycle_of_a_lock_that_is_kept_and_a_call_is_refused(keeps: Any) -> None:
    """While the handler waits, no other can begin that would give the lock up."""
    lock = Lock("printer")
    keeper, wants = await keeps.start_link(lock), await _Wants.start_link(lock)
    await keeper.call(keeps.begin)
    assert await keeper.call(keeps.ask, wants) == "refused"
    assert await keeper.call(keeps.want_it_oneself) == "refused"


@pytest.mark.parametrize("method", [_Keeps.ask, _Keeps.want_it_oneself])
async def test_a_lock_that_other_code_may_give_up_is_waited_for(method: Any) -> None:
    """Code that runs beside the one that waits."""
    lock, gate = Lock("printer"), asyncio.Event()
    keeper, wants = await _Keeps.start_link(lock), await _Wants.start_link(lock)
    await keeper.call(_Keeps.begin)
    beside = asker(keeper, _Keeps.finish_when, gate)
    await wait_until_idle()
    answers: list[str] = []

    async def ask() -> None:
        answers.append(await keeper.call(method, *([wants] if method == _Keeps.ask else [])))

    spawn(ask)
    await wait_until_idle()
    assert answers == []
    gate.set()
    await wait_until_idle()
    assert answers == ["taken"]
    assert not beside.is_alive


class Compared(asyncio.Future[None]):
    """A future that counts how often somebody looked whether it is another one."""

    count = 0
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        type(self).count += 1
        return self is other


async def test_who_gives_up_leaves_a_long_queue_without_a_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest first, each of them would go past all others, and the loop would stand still."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "create_future", lambda: Compared(loop=loop))
    lock, got = Lock(), list[str]()
    pids = [spawn(hold, lock, str(number), got) for number in range(100)]
    await wait_until_idle()
    Compared.count = 0
    for pid in reversed(pids[1:]):
        kill(pid)
    await wait_until_idle()
    assert repr(lock).endswith(", 0 waiting>")
    assert Compared.count < 200
    kill(pids[0])
    await wait_until_idle()


async def test_tasks_of_a_runtime_s_block_wait_for_each_other() -> None:
    """They all run for the root; each is code of its own."""
    lock, log = Lock("printer"), list[str]()

    async def work(name: str) -> None:
        async with lock:
            log.append(f"{name} begins")
            await Turn()
            log.append(f"{name} ends")
            with pytest.raises(UsageError, match="holds the printer already"):
                await lock.__aenter__()

    async with Runtime():
        await asyncio.gather(work("first"), work("second"))
    assert log == ["first begins", "first ends", "second begins", "second ends"]
    assert lock.holder is None
