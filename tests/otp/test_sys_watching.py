"""``trace`` and ``statistics``: what is counted as what, and who may watch."""

from __future__ import annotations

import asyncio

import pytest

from mabeam import (
    GenServer,
    Postpone,
    StateMachine,
    UsageError,
    become,
    get_state,
    handle_call,
    handle_cast,
    in_thread,
    state,
    statistics,
    trace,
    unlink,
)
from tests.otp._servers import begun, pause, process_of


class Counter(GenServer):
    """Any server."""


class Shy(StateMachine):
    """Postpones until it is told to be bold."""

    def __init__(self) -> None:
        become(self.shy)

    @state
    def shy(self) -> None: ...

    @state
    async def bold(self) -> None:
        await pause(1.0)

    @handle_call
    async def speak(self, word: str) -> str:
        await pause(2.0)
        return word

    @shy.on(speak)
    def speak_later(self, word: str) -> str:
        raise Postpone

    @handle_cast
    def dare(self) -> None:
        become(self.bold)


async def test_what_is_postponed_has_not_failed() -> None:
    """It is counted as what it is, and again when it is handled, with the time that this takes."""
    shy = await Shy.start_link()
    statistics(shy, True)
    speaking = await begun(shy.call(Shy.speak, "oh"))
    seen = statistics(shy)
    assert seen is not None
    assert (seen.messages_in, seen.finished, seen.failed, seen.postponed) == (1, 0, 0, 1)
    shy.cast(Shy.dare)
    assert await speaking == "oh"
    seen = statistics(shy)
    assert seen is not None
    assert (seen.messages_in, seen.finished, seen.failed, seen.postponed) == (3, 3, 0, 1)
    assert (seen.busy, seen.longest) == (3.0, 2.0)


async def test_the_looks_of_others_are_messages_that_no_handler_ends() -> None:
    counter = await Counter.start_link()
    statistics(counter, True)
    await get_state(counter)
    seen = statistics(counter, False)
    assert seen is not None
    assert (seen.messages_in, seen.finished) == (1, 0)


@pytest.mark.real_time
async def test_a_thread_cannot_watch() -> None:
    """It may read what has been counted."""
    counter = await Counter.start_link()
    tracing = trace(counter, print)
    for watch, wrong in (
        (lambda: trace(counter, print), r"portal\.run\(trace"),
        (lambda: statistics(counter, True), r"portal\.run\(statistics"),
        (lambda: statistics(counter, False), r"portal\.run\(statistics"),
        (tracing.stop, r"portal\.run\(trace\.stop"),
    ):
        for run in (asyncio.to_thread, in_thread):
            with pytest.raises(UsageError, match=wrong):
                await run(watch)
    assert await in_thread(statistics, counter) is None
    tracing.stop()
    assert process_of(counter).behaviour is Counter.__mabeam_behaviour__


async def test_a_trace_of_a_process_that_has_ended_can_be_stopped() -> None:
    counter = await Counter.start_link()
    unlink(counter)
    with trace(counter, print):
        await counter.stop()
