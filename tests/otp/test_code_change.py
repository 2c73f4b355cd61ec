"""``code_change`` and what goes on meanwhile: messages that wait, postponed events, concurrent handlers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mabeam import (
    GenServer,
    Postpone,
    StateMachine,
    UsageError,
    become,
    code_change,
    handle_call,
    handle_cast,
    send,
    spawn,
    state,
    why,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, pause, pid_of, state_of

if TYPE_CHECKING:
    from mabeam.kernel import Runtime


class Gate(StateMachine):
    """Postpones all that comes while it is shut."""

    def __init__(self) -> None:
        self.log: list[object] = []
        become(self.shut)

    @state
    def shut(self) -> None: ...

    @state
    def opened(self) -> None: ...

    @handle_call
    def enter(self, who: str) -> str:
        return f"{who} is in"

    @shut.on(enter)
    def enter_later(self, who: str) -> str:
        raise Postpone

    @handle_call
    def leave(self) -> str:
        return "left"

    @shut.on(leave)
    def leave_later(self) -> str:
        raise Postpone

    @handle_cast
    def ring(self) -> None:
        self.log.append("ring")

    @shut.on(ring)
    def ring_later(self) -> None:
        raise Postpone

    @handle_cast
    def open(self) -> None:
        become(self.opened)

    @shut.handle_info(str)
    def knock(self, message: str) -> None:
        raise Postpone

    def handle_info(self, message: object) -> None:
        self.log.append(message)


class Other(StateMachine):
    """Has the states of a gate, answers some of its events, and takes one of its calls for a cast."""

    log: list[object]

    @state
    def shut(self) -> None: ...

    @state
    def opened(self) -> None: ...

    @handle_call
    def enter(self, who: str) -> str:
        return f"{who} is in the other one"

    @handle_cast
    def leave(self) -> None:
        self.log.append("leave")

    @handle_cast
    def open(self) -> None:
        become(self.opened)

    def handle_info(self, message: object) -> None:
        self.log.append(("other", message))


async def test_what_is_postponed_is_handled_by_the_new_class(runtime: Runtime) -> None:
    """Or refused at once, by kind as by name; a call must not be run as a cast."""
    gate = await Gate.start_link()
    entering = await begun(gate.call(Gate.enter, "ann"))
    leaving = await begun(gate.call(Gate.leave))
    gate.cast(Gate.ring)
    send(pid_of(gate), "knock")
    await wait_until_idle()
    other = await code_change(gate, Other)
    with pytest.raises(UsageError, match=r"Gate\.leave is no handler of Other .* since its code was changed"):
        await leaving
    assert [letter.why for letter in runtime.dead_letters.latest] == ["not_understood"]
    assert not entering.done()
    other.cast(Other.open)
    assert await entering == "ann is in the other one"
    assert state_of(other).log == [("other", "knock")]


class Press(GenServer):
    """Prints one sheet at a time."""

    def __init__(self) -> None:
        self.printing = self.most = 0

    @handle_call(concurrent=1)
    async def run(self, seconds: float) -> str:
        return await self.print(seconds)

    async def print(self, seconds: float) -> str:
        self.printing += 1
        self.most = max(self.most, self.printing)
        await pause(seconds)
        self.printing -= 1
        return type(self).__name__


class SamePress(Press):
    """Does it in its own way."""

    @handle_call(concurrent=1)
    async def run(self, seconds: float) -> str:
        return "same " + await self.print(seconds)


class BigPress(Press):
    """Prints two."""

    @handle_call(concurrent=2)
    async def run(self, seconds: float) -> str:
        return "big " + await self.print(seconds)


class NoPress(GenServer):
    """Prints nothing."""


async def test_handlers_in_progress_keep_their_places_when_another_method_stands_for_theirs() -> None:
    """However often the code is changed: ``concurrent=1`` is one at a time."""
    press = await Press.start_link()
    running = [await begun(press.call(Press.run, 1.0)) for _ in range(3)]
    await code_change(press, SamePress)
    running += [await begun(press.call(Press.run, 1.0))]
    await pause(1.5)
    await code_change(press, Press)
    await code_change(press, SamePress)
    assert await asyncio.gather(*running) == ["SamePress", *["same SamePress"] * 3]
    assert state_of(press).most == 1


@pytest.mark.parametrize(("first", "second", "most"), [(Press, BigPress, 2), (BigPress, Press, 1)])
async def test_a_change_of_how_many_may_run_counts_those_that_do(
    first: type[Press], second: type[Press], most: int
) -> None:
    """More begin when there is room by the new number."""
    press = await first.start_link()
    running = [await begun(press.call(Press.run, 0.5)) for _ in range(6)]
    await code_change(press, second)
    state_of(press).most = 0
    await wait_until_idle()
    assert state_of(press).printing == 2
    await asyncio.gather(*running)
    assert state_of(press).most == most


async def test_who_waits_for_a_place_is_kept_by_those_who_began_before_the_change() -> None:
    press = await Press.start_link()

    async def ask() -> None:
        await press.call(Press.run, 1.0)

    running = await begun(press.call(Press.run, 1.0))
    waiting = spawn(ask)
    await wait_until_idle()
    await code_change(press, SamePress)
    await wait_until_idle()
    assert "of which as many run as may: 1" in str(why(waiting))
    await running


async def test_a_class_without_the_handler_lets_those_end_that_run() -> None:
    press = await Press.start_link()
    running = await begun(press.call(Press.run, 1.0))
    waiting = await begun(press.call(Press.run, 1.0))
    await code_change(press, NoPress)
    with pytest.raises(UsageError, match="since its code was changed"):
        await waiting
    await code_change(press, SamePress)
    again = await begun(press.call(Press.run, 1.0))
    assert state_of(press).printing == 1
    assert await running == "SamePress"
    assert await again == "same SamePress"
