"""Programs for the tests of simulations: some right, some with one planted bug each."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import mabeam
from mabeam import (
    GenServer,
    ProcessDied,
    Supervisor,
    TaskSupervisor,
    fault_point,
    handle_call,
    handle_cast,
    in_thread,
    portal,
    receive,
    self_pid,
    send,
    send_after,
    spawn,
    spawn_link,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Account(GenServer):
    """Money."""

    def __init__(self, balance: int = 0) -> None:
        self.balance = balance

    @handle_call
    def read(self) -> int:
        return self.balance

    @handle_call
    def write(self, balance: int) -> None:
        self.balance = balance

    @handle_call
    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @handle_cast
    def deposit_later(self, amount: int) -> None:
        self.balance += amount


async def _open_account() -> mabeam.Ref[Account]:
    await Supervisor.start_link([Account.child_spec().named("ann")], strategy="one_for_one")
    return mabeam.ref("ann", Account)


async def _each(count: int, client: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Run clients at the same time, and wait for all of them."""
    bank = self_pid()

    async def run(number: int) -> None:
        await client(number)
        send(bank, "done")

    for number in range(1, count + 1):
        spawn_link(run, number)
    for _ in range(count):
        await receive()


async def deposits() -> None:
    """Right: each deposit is one call."""
    ann = await _open_account()
    await _each(3, lambda amount: ann.call(Account.deposit, amount))
    assert await ann.call(Account.read) == 6


async def lost_update() -> None:
    """Wrong: reads and writes in two calls."""
    ann = await _open_account()

    async def client(amount: int) -> None:
        balance = await ann.call(Account.read)
        await ann.call(Account.write, balance + amount)

    await _each(3, client)
    assert await ann.call(Account.read) == 6


async def first_come() -> None:
    """Wrong: takes the order of two processes for granted."""
    for word in ("left", "right"):
        spawn(send, self_pid(), word)
    assert [await receive(), await receive()] == ["left", "right"]


async def first_timer() -> None:
    """Wrong: takes the order of two timers for granted."""
    for word in ("left", "right"):
        send_after(1.0, self_pid(), word)
    assert [await receive(), await receive()] == ["left", "right"]


async def cast_then_call() -> None:
    """Right: what one process sends another is taken in its order."""
    ann = await _open_account()

    async def client(amount: int) -> None:
        before = await ann.call(Account.deposit, 0)
        ann.cast(Account.deposit_later, amount)
        assert await ann.call(Account.read) >= before + amount

    await _each(3, client)


async def survivor() -> None:
    """Right: gives every order until it has been taken, whatever happens to the server."""
    ann = await _open_account()

    async def client(amount: int) -> None:
        while True:
            try:
                await ann.call(Account.deposit, amount)
            except (ProcessDied, mabeam.CallTimeout):
                await asyncio.get_running_loop().create_task(_pause())
            else:
                return

    await _each(3, client)


async def _pause() -> None:
    over = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.5, over.set_result, None)
    await over


class Journal(GenServer):
    """Writes in two steps."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    @handle_call
    async def write(self, line: str) -> int:
        self.lines.append(line)
        await fault_point("journal.written")
        self.count += 1
        return self.count


async def half_written() -> None:
    """Wrong: believes that a line is written once."""
    await Supervisor.start_link([Journal.child_spec().named("journal")], strategy="one_for_one")
    journal = mabeam.ref("journal", Journal)
    numbers = []
    for line in "abc":
        try:
            numbers.append(await journal.call(Journal.write, line))
        except ProcessDied:
            numbers.append(await journal.call(Journal.write, line))
    assert numbers == [1, 2, 3]


async def stuck() -> None:
    """Wrong: waits for an answer that comes in one order only."""
    answer = self_pid()

    async def second() -> None:
        try:
            await receive(timeout=0)
        except TimeoutError:
            return
        send(answer, "both")

    other = spawn(second)
    spawn(send, other, "first")
    await receive()


async def drawing() -> None:
    """Draws from the shared generator."""
    account = await Account.start_link()
    await account.call(Account.deposit, random.randrange(1_000_000))  # noqa: TID251  (what a program of a user does)
    send(self_pid(), str(await account.call(Account.read)))
    await receive()


async def threads() -> None:
    """Three threads, one of which asks back."""
    account = await Account.start_link()
    log: list[str] = []

    def work(name: str) -> str:
        if name == "b":
            portal().call(account, Account.deposit, 5)
        log.append(name)
        return name

    async def client(number: int) -> None:
        await in_thread(work, "abc"[number - 1])

    await _each(3, client)
    send(self_pid(), "".join(log))
    await receive()
    await asyncio.to_thread(log.append, "d")
    assert await account.call(Account.read) == 5


async def tasks() -> None:
    """Tasks that fail, and sets of asyncio's own."""
    pool = await TaskSupervisor.start_link()

    async def number(value: int) -> int:
        return value

    begun = [await TaskSupervisor.start_task(pool, number, value) for value in range(4)]
    assert [await task for task in begun] == [0, 1, 2, 3]

    async def wait(word: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            send(self_pid(), word)

    async def fail() -> None:
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            for word in ("one", "two", "three", "four", "five"):
                group.create_task(wait(word))
            group.create_task(fail())
    except* LookupError:
        pass
    for _ in range(5):
        await receive()
