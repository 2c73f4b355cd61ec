"""Selective receive by itself: who gets a message, what stays, and what is left when a wait ends."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from mabeam.kernel._mailbox import Receiver, offer, offer_again, remove_matching, take_matching
from mabeam.kernel._process import RECEIVING, SUSPENDED
from tests.kernel._scenes import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from mabeam.kernel import Process


class Bare:
    """What selective receive knows of a process."""

    def __init__(self, *messages: object, yields: bool = False) -> None:
        self.mailbox: deque[Any] | None = deque(messages) if messages else None
        self.receivers: list[Receiver] | None = None
        self.status = 0
        self.taken: list[object] = []
        self.kernel = SimpleNamespace(
            loop=asyncio.get_running_loop(),
            scheduler=SimpleNamespace(must_yield=lambda: yields),
        )
        self.behaviour = SimpleNamespace(
            observers=[SimpleNamespace(took=lambda _process, message: self.taken.append(message))]
        )


def bare(*messages: object, yields: bool = False) -> Any:
    """One of them."""
    return Bare(*messages, yields=yields)


def anything(_message: object) -> bool:
    return True


def even(message: Any) -> bool:
    return isinstance(message, int) and message % 2 == 0


def waiting(process: Any, match: Callable[[Any], bool]) -> asyncio.Future[Any]:
    """One who waits."""
    receiver = Receiver(match, asyncio.get_running_loop().create_future())
    process.receivers = [*(process.receivers or ()), receiver]
    process.status |= RECEIVING
    return receiver.future


def step(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine waits for first."""
    return coroutine.send(None)


async def test_a_message_goes_to_the_first_who_accepts_it() -> None:
    """Once; those who have their answer, and those who have given up, are passed over."""
    process = bare()
    assert offer(process, 1) is False
    gone, one, two, all_ = (waiting(process, match) for match in (anything, even, even, anything))
    gone.cancel()
    assert offer(process, 2) is True
    assert offer(process, 3) is True
    assert offer(process, 5) is False
    assert offer(process, 4) is True
    assert (one.result(), all_.result(), two.result()) == (2, 3, 4)
    assert offer(process, 6) is False


async def test_nobody_who_has_an_answer_is_asked_again() -> None:
    """Asking runs code of users."""
    process, asked = bare(), list[object]()

    def note(message: object) -> bool:
        asked.append(message)
        return True

    future = waiting(process, note)
    assert offer(process, 1) is True
    assert offer(process, 2) is False
    assert (asked, future.result()) == ([1], 1)


async def test_what_a_predicate_raises_is_raised_in_the_receiver() -> None:
    """The message goes on to the next one. What a future would refuse is told as an error that it takes."""
    process = bare()

    def fail(message: type[BaseException]) -> NoReturn:
        raise message

    first = waiting(process, fail)
    second = waiting(process, anything)
    assert offer(process, LookupError) is True
    assert isinstance(first.exception(), LookupError)
    assert second.result() is LookupError
    third = waiting(process, fail)
    assert offer(process, StopIteration) is False
    assert isinstance(third.exception(), RuntimeError)
    assert "StopIteration" in str(third.exception())


async def test_a_predicate_that_ends_its_own_wait_gets_nothing() -> None:
    """Whether it returns or raises; the message is for somebody else."""
    process = bare()

    def give_up(_message: object) -> bool:
        process.receivers[0].future.cancel()
        return True

    def give_up_and_fail(_message: object) -> NoReturn:
        process.receivers[1].future.cancel()
        raise ValueError

    one, two = waiting(process, give_up), waiting(process, give_up_and_fail)
    last = waiting(process, anything)
    assert offer(process, 1) is True
    assert one.cancelled()
    assert two.cancelled()
    assert last.result() == 1


async def test_what_matches_is_removed_and_the_rest_stays_in_order() -> None:
    """A mailbox without messages is none at all."""
    process = bare(1, 2, 3, 4, 5)
    mailbox = process.mailbox
    assert remove_matching(process, even) == [2, 4]
    assert process.mailbox is mailbox
    assert list(mailbox) == [1, 3, 5]
    assert remove_matching(process, even) == []
    assert process.mailbox is mailbox
    assert remove_matching(process, anything) == [1, 3, 5]
    assert process.mailbox is None
    assert remove_matching(process, anything) == []


async def test_what_came_while_it_was_suspended_is_offered_in_order() -> None:
    """And leaves the mailbox when somebody takes it: that very message, not one that looks like it."""
    process = bare(1, [2], 3, [2], 4)
    second = process.mailbox[1]
    one, two = waiting(process, lambda message: message == [2]), waiting(process, even)
    offer_again(process)
    assert (one.result(), two.result()) == (second, 4)
    assert one.result() is second
    assert list(process.mailbox) == [1, 3, [2]]
    offer_again(bare())
    idle = bare(1)
    waiting(idle, anything)
    idle.status = 0  # nobody waits any more, whatever the list says
    offer_again(idle)
    assert list(idle.mailbox) == [1]
    lonely = bare(1)
    last = waiting(lonely, anything)
    offer_again(lonely)
    assert (last.result(), lonely.mailbox) == (1, None)
    empty = bare()
    waits_on = waiting(empty, anything)
    offer_again(empty)
    assert not waits_on.done()


async def test_what_is_there_is_taken_at_once() -> None:
    """Without waiting for anything, and observers are told."""
    process = bare(1, 2, 3)
    with pytest.raises(StopIteration) as ended:
        step(take_matching(process, even, None))
    assert ended.value.value == 2
    assert (list(process.mailbox), process.taken, process.receivers) == ([1, 3], [2], None)
    process = bare(2)
    with pytest.raises(StopIteration):
        step(take_matching(process, even, None))
    assert process.mailbox is None


@pytest.mark.parametrize("timeout", [0, 0.0, -1])
async def test_a_timeout_of_nothing_looks_and_does_not_wait(timeout: float) -> None:
    """Not even for the others to have their turn."""
    process = bare(1)
    with pytest.raises(TimeoutError):
        step(take_matching(process, even, timeout))
    assert (list(process.mailbox), process.receivers, process.status) == ([1], None, 0)


async def test_one_that_looks_too_often_lets_the_others_have_their_turn_first() -> None:
    """Whether or not there is something for it."""
    taking = take_matching(cast("Process", bare(2, yields=True)), even, None)
    assert step(taking) is None
    with pytest.raises(StopIteration):
        step(taking)


async def test_one_that_is_suspended_takes_nothing_that_is_there() -> None:
    """It waits."""
    process = bare(2)
    process.status = SUSPENDED
    taking = take_matching(process, even, None)
    assert isinstance(step(taking), asyncio.Future)
    assert (list(process.mailbox), process.status) == ([2], SUSPENDED | RECEIVING)
    taking.close()


async def test_who_gives_up_while_it_is_told_puts_back_what_it_waited_for() -> None:
    """To its place: behind what came before it, before what came after it."""
    loop = asyncio.get_running_loop()
    process, slow = bare(1, 3), loop.create_future()
    process.behaviour.observers = [SimpleNamespace(took=lambda *_: slow)]
    taking = loop.create_task(take_matching(process, even, None))
    await Turn()
    assert offer(process, 2)
    process.mailbox.append(5)
    await Turn()
    assert list(process.mailbox) == [1, 3, 5]
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert list(process.mailbox) == [1, 3, 2, 5]


async def test_a_wait_leaves_nothing_behind() -> None:
    """Neither receiver nor mark nor timer; another one who waits keeps his."""
    loop = asyncio.get_running_loop()
    process = bare()
    first = loop.create_task(take_matching(process, even, 5.0))
    second = loop.create_task(take_matching(process, anything, None))
    await Turn()
    assert (len(process.receivers), process.status) == (2, RECEIVING)
    assert offer(process, 2)
    assert await first == 2
    assert (len(process.receivers), process.status, process.taken) == (1, RECEIVING, [2])
    assert offer(process, 3)
    assert await second == 3
    assert (process.receivers, process.status, process.taken) == (None, 0, [2, 3])
    timers = [handle for handle in loop._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]  # asyncio's own
    assert timers == []


async def test_a_wait_that_is_too_long_ends_with_a_timeout() -> None:
    """At its time; the other marks of the process stay as they are."""
    loop = asyncio.get_running_loop()
    process = bare()
    process.status = SUSPENDED
    began = loop.time()
    with pytest.raises(TimeoutError):
        await take_matching(process, even, 2.5)
    assert loop.time() - began == 2.5
    assert (process.receivers, process.status, process.taken) == (None, SUSPENDED, [])


async def test_a_cancelled_wait_gives_back_what_it_was_just_given() -> None:
    """And nothing, when that was an error, or nothing yet."""
    loop = asyncio.get_running_loop()
    for give, returned in (
        (lambda process: offer(process, 2), [2]),
        (lambda process: None, []),
        (lambda process: process.receivers[0].future.set_exception(LookupError()), []),
        (lambda process: process.receivers[0].future.cancel(), []),
    ):
        process = bare()
        taking = take_matching(process, even, None)
        waits_on = step(taking)
        give(process)
        cancellation = asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError) as raised:
            taking.throw(cancellation)
        assert raised.value is cancellation
        assert list(process.mailbox or ()) == returned
        assert (process.receivers, process.status) == (None, 0)
        assert waits_on.done() or not returned
    assert loop.is_running()


async def test_what_is_given_back_goes_to_another_who_waits_or_to_its_place() -> None:
    """Behind what had come before it, in front of what has come since; a suspended process keeps it."""
    for status, other, left, got in (
        (0, None, [1, 2, 4], []),
        (0, even, [1, 4], [2]),
        (SUSPENDED, even, [1, 2, 4], []),
    ):
        process = bare(1)
        taking = take_matching(process, even, None)
        step(taking)
        assert offer(process, 2)
        process.mailbox.append(4)
        waits = waiting(process, other) if other is not None else None
        process.status |= status
        with pytest.raises(asyncio.CancelledError):
            taking.throw(asyncio.CancelledError())
        assert list(process.mailbox) == left
        assert [waits.result() for _ in got if waits is not None] == got
        assert waits is None or waits.done() == bool(got)


async def test_a_wait_that_outlives_its_process_ends_all_the_same() -> None:
    """The dead have no receivers any more."""
    process = bare()
    taking = take_matching(process, even, None)
    step(taking)
    process.receivers = None
    with pytest.raises(asyncio.CancelledError):
        taking.throw(asyncio.CancelledError())
    assert process.status == 0
