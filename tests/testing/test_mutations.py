"""What was sent must not be changed afterwards; simulations see it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    GenServer,
    StateMachine,
    become,
    handle_call,
    handle_cast,
    receive,
    self_pid,
    send,
    spawn,
    state,
)
from mabeam.testing import MutationError, SimulationFailed, simulate


class Ledger(GenServer):
    """Some of its handlers are careful, some are not."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @handle_call
    def add(self, lines: list[str]) -> int:
        self.lines = [*self.lines, *lines]
        return len(self.lines)

    @handle_call
    def drain(self, lines: list[str]) -> int:
        count = len(lines)
        lines.clear()
        return count

    @handle_call
    async def drain_slowly(self, lines: list[str], *, rest: dict[str, int]) -> None:
        await asyncio.get_running_loop().create_task(_pause())
        rest.clear()

    @handle_call(concurrent=2)
    async def drain_beside(self, lines: list[str]) -> None:
        await asyncio.get_running_loop().create_task(_pause())
        lines.clear()

    @handle_cast
    def keep(self, lines: list[str]) -> None:
        self.lines = lines

    @handle_call
    def read(self) -> list[str]:
        return self.lines

    @handle_call
    def copy(self) -> list[str]:
        return list(self.lines)

    @handle_call
    def append(self, line: str) -> None:
        self.lines.append(line)


async def _pause() -> None:
    """Let a turn go by."""


def _found(program: Any, **options: Any) -> MutationError:
    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=range(20), **options)
    error = caught.value.error
    assert isinstance(error, MutationError)
    return error


@pytest.mark.parametrize(
    ("method", "options", "change"),
    [
        (Ledger.drain, {}, "argument lines has lost [0], by the handler that it was sent to"),
        (
            Ledger.drain_slowly,
            {"rest": {"a": 1}},
            "argument rest has lost ['a'], by the handler that it was sent to",
        ),
        (Ledger.drain_beside, {}, "argument lines has lost [0], by the handler that it was sent to"),
    ],
)
def test_a_handler_that_changes_its_argument_is_found(
    method: Any, options: dict[str, Any], change: str
) -> None:
    """Handed off or from the mailbox, at once or later; with whom, whose and what."""

    async def program() -> None:
        ledger = await Ledger.child_spec().named("ledger").start()
        await ledger.call(method, ["a", "b"], **options)

    error = _found(program)
    assert error.change == change
    assert error.sender == "program <1>"
    assert error.receiver == "Ledger 'ledger' <2>"
    assert error.what == method.__qualname__
    assert "Send a copy" in str(error)


def test_a_sender_that_changes_what_is_still_on_its_way_is_found() -> None:
    """Before the receiver has taken it."""

    async def program() -> None:
        ledger = await Ledger.start_link()
        lines = ["a"]
        ledger.cast(Ledger.keep, lines)
        lines.append("b")
        await ledger.call(Ledger.copy)

    assert _found(program).change == "argument lines has got [1] = 'b', before the message was taken"


def test_a_raw_message_is_looked_at_as_well() -> None:
    """Between two plain processes."""

    async def child() -> None:
        assert await receive() == {"a": 1}

    async def program() -> None:
        message = {"a": 1}
        pid = spawn(child)
        send(pid, message)
        message["a"] = 2
        send(self_pid(), "go on")
        await receive()
        await receive(timeout=0.1)

    error = _found(program, tolerate=(TimeoutError,))
    assert error.change == "the message['a'] was 1 and is 2, before the message was taken"
    assert error.what == "dict"


def test_a_server_that_changes_what_it_has_answered_is_found() -> None:
    """The caller has the very list that the server goes on with."""

    async def program() -> None:
        ledger = await Ledger.start_link()
        await ledger.call(Ledger.add, ["a"])
        seen = await ledger.call(Ledger.read)
        await ledger.call(Ledger.append, "b")
        assert seen

    error = _found(program)
    assert error.change == "the answer has got [1] = 'b'"
    assert error.what == "Ledger.append changed what Ledger.read had returned"


class _Answers:
    """What servers and machines have in common here."""

    items: list[int]

    @handle_call
    def plain(self) -> list[int]:
        return self.items

    @handle_call
    async def slow(self) -> list[int]:
        await asyncio.get_running_loop().create_task(_pause())
        return self.items

    @handle_call(concurrent=2)
    async def beside(self) -> list[int]:
        return self.items

    @handle_call(thread=True)
    def blocking(self) -> list[int]:
        return self.items

    @handle_call
    async def slow_copy(self) -> list[int]:
        await asyncio.get_running_loop().create_task(_pause())
        return list(self.items)

    @handle_call
    def add(self) -> None:
        self.items.append(1)

    def handle_info(self, message: object) -> None:
        self.items.append(2)


class Server(_Answers, GenServer):
    """A server."""

    def __init__(self) -> None:
        self.items = []


class Machine(_Answers, StateMachine):
    """A machine with one state."""

    def __init__(self) -> None:
        self.items = []
        become(self.only)

    @state
    def only(self) -> None:
        """It stays there."""


@pytest.mark.parametrize("kind", [Server, Machine])
@pytest.mark.parametrize("by", ["call", "info"])
@pytest.mark.parametrize("what", ["plain", "slow", "beside", "blocking"])
def test_answers_of_every_kind_of_handler_are_looked_at(kind: Any, by: str, what: str) -> None:
    """A change by what is handled next is found, whatever it is."""

    async def program() -> None:
        server = await kind.start_link()
        assert await server.call(getattr(kind, what)) == []
        if by == "call":
            await server.call(kind.add)
        else:
            send(server, "add")
            await server.call(kind.slow_copy)

    changed = _found(program)
    assert changed.change.startswith("the answer")
    assert changed.what.endswith(f"changed what {kind.__name__}.{what} had returned")


@pytest.mark.parametrize("kind", [Server, Machine])
def test_a_caller_may_change_an_answer_that_is_its_own(kind: Any) -> None:
    """A copy belongs to whoever got it, also while the server is at work."""

    async def reader(server: Any, parent: Any) -> None:
        for _ in range(3):
            for method in (kind.slow_copy, kind.slow_copy):
                (await server.call(method)).append("mine")
            await server.call(kind.add)
        send(parent, "done")

    async def program() -> None:
        server = await kind.start_link()
        for _ in range(2):
            spawn(reader, server, self_pid())
        for _ in range(2):
            await receive()

    simulate(program, seeds=50)


def test_careful_programs_pass() -> None:
    """Copies may be changed, and so may an answer by the one who got it."""

    async def program() -> None:
        ledger = await Ledger.start_link()
        lines = ["a"]
        await ledger.call(Ledger.add, lines)
        lines.append("b")
        copy = await ledger.call(Ledger.copy)
        copy.append("c")
        await ledger.call(Ledger.append, "d")
        assert await ledger.call(Ledger.copy) == ["a", "d"]

    assert simulate(program, seeds=range(20)).uncompared == 0


def test_the_check_can_be_turned_off() -> None:
    """For programs that share on purpose."""

    async def program() -> None:
        ledger = await Ledger.start_link()
        await ledger.call(Ledger.drain, ["a"])

    assert simulate(program, seeds=range(5), check_mutation=False).seeds == 5


def test_what_cannot_be_compared_is_counted() -> None:
    """It is no failure."""

    async def program() -> None:
        ledger = await Ledger.start_link()
        lines: Any = [memoryview(b"a")]
        await ledger.call(Ledger.add, lines)

    assert simulate(program, seeds=range(5)).uncompared >= 5
