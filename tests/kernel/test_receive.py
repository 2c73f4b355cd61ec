"""Receiving: the next message, the one that matches, or none in time; and no message is ever lost."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import (
    Crashed,
    Down,
    Match,
    kill,
    receive,
    self_pid,
    send,
    send_after,
    spawn,
    spawn_monitor,
)
from mabeam.otp import GenServer, handle_call
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import never, process_of, reason_of, wait_for_ever

if TYPE_CHECKING:
    from mabeam.kernel import Runtime


def _now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("waits_first", [False, True], ids=["there already", "to come"])
@pytest.mark.parametrize(
    ("match", "taken", "left"),
    [
        (None, [1, "two", 3.0], []),
        (str, ["two"], [1, 3.0]),
        ((float, int), [1, 3.0], ["two"]),
        (lambda message: message == 3.0, [3.0], [1, "two"]),
    ],
    ids=["any", "class", "classes", "predicate"],
)
async def test_receive_takes_what_matches_and_leaves_the_rest_in_order(
    match: Match | None, taken: list[object], left: list[object], *, waits_first: bool
) -> None:
    """Whether it is there already or has to be waited for."""
    got: list[object] = []
    rest: list[object] = []

    async def body() -> None:
        got.extend([await receive(match) for _ in taken])
        await receive(lambda message: message == "rest")
        rest.extend([await receive() for _ in left])

    pid = spawn(body)
    if waits_first:
        await wait_until_idle()
    for message in (1, "two", 3.0, "rest" if match is not str else "two", "rest"):
        send(pid, message)
    await wait_until_idle()
    expected_left = [*left, "two"] if match is str else left
    assert got == taken
    assert rest == expected_left[: len(left)]


async def test_receive_waits_no_longer_than_it_was_told() -> None:
    """And takes nothing then."""

    async def body() -> None:
        with pytest.raises(TimeoutError):
            await receive(int, timeout=2.5)
        send(probe.pid, (_now(), await receive(timeout=0)))

    probe = Probe.start()
    pid = spawn(body)
    send(pid, "other")
    assert await probe.next() == (2.5, "other")


async def test_a_timeout_of_zero_only_looks() -> None:
    """It finds what is there."""
    with pytest.raises(TimeoutError):
        await receive(timeout=0)
    send(self_pid(), "here")
    assert await receive(timeout=0) == "here"
    assert _now() == 0.0


@pytest.mark.parametrize("timeout", [math.nan, "1", object()], ids=["nan", "str", "object"])
async def test_a_timeout_that_is_no_time_is_refused(timeout: Any) -> None:
    """A NaN would spoil the order of all timers of the loop."""
    with pytest.raises(UsageError, match="seconds"):
        await receive(timeout=timeout)


async def test_a_message_that_comes_at_the_last_moment_is_not_lost() -> None:
    """It was sent before the time was over: at the same time, but first."""
    send_after(1, self_pid(), "just in time")
    assert await receive(timeout=1) == "just in time"


async def test_a_message_that_a_cancelled_receive_was_given_keeps_its_place() -> None:
    """One sender's messages are taken in the order sent, whatever became of a wait in between."""
    loop = asyncio.get_running_loop()
    got: list[object] = []

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None

        def is_word(message: object) -> bool:
            if isinstance(message, str):
                loop.call_soon(task.cancel)
            return isinstance(message, str)

        try:
            await receive(is_word)
        except asyncio.CancelledError:
            task.uncancel()
            got.extend([await receive() for _ in range(3)])

    pid = spawn(body)
    await wait_until_idle()
    for message in (1, "two", 3):
        send(pid, message)
    await wait_until_idle()
    assert got == [1, "two", 3]


async def test_a_cancelled_receive_loses_no_message() -> None:
    """Even one that had been handed over already when the cancellation came."""
    loop = asyncio.get_running_loop()
    got: list[object] = []

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel_after_the_hand_over(_message: object) -> bool:
            loop.call_soon(task.cancel)
            return True

        try:
            await receive(cancel_after_the_hand_over)
        except asyncio.CancelledError:
            task.uncancel()
            got.extend([await receive(), await receive()])

    pid = spawn(body)
    await wait_until_idle()
    send(pid, "first")
    send(pid, "second")
    await wait_until_idle()
    assert got == ["first", "second"]


async def test_a_receive_under_a_timeout_block_loses_no_message() -> None:
    """The cancellation and the message come in the same turn."""

    async def body() -> None:
        try:
            async with asyncio.timeout(1):
                await receive()
        except TimeoutError:
            send(probe.pid, await receive(timeout=0))

    probe = Probe.start()
    pid = spawn(body)
    await wait_until_idle()
    loop = asyncio.get_running_loop()
    loop.call_at(1.0, send, pid, "same moment")
    assert await probe.next() == "same moment"


async def test_what_a_killed_receive_was_given_is_a_dead_letter(runtime: Runtime) -> None:
    """Handed over, and never seen by the code."""
    pid = spawn(wait_for_ever)
    await wait_until_idle()
    kill(pid)
    send(pid, "handed over")
    await wait_until_idle()
    assert [letter.message for letter in runtime.dead_letters.latest] == ["handed over"]


async def test_a_predicate_that_raises_is_a_crash_of_its_own_process(runtime: Runtime) -> None:
    """The sender does not see it, and the message stays in the mailbox."""

    def stumble(message: Any) -> bool:
        return bool(message.no_such_attribute)

    async def body() -> None:
        await receive(stumble)

    pid, ref = spawn_monitor(body)
    await wait_until_idle()
    send(pid, "harmless")
    down = await receive()
    assert (down.ref, down.pid) == (ref, pid)
    assert isinstance(down.reason, Crashed)
    assert isinstance(down.reason.exception, AttributeError)
    assert [letter.message for letter in runtime.dead_letters.latest] == ["harmless"]


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("change", ["send", "flush"])
async def test_a_predicate_only_looks(change: str, wanted: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    """One that changes the mailbox is refused, and the message stays where it is."""
    from mabeam.kernel import demonitor, monitor

    victim = spawn(wait_for_ever)
    ref = monitor(victim)
    kill(victim)
    await wait_until_idle()
    send(self_pid(), "mail")

    def match(message: object) -> bool:
        if message == "mail" and change == "send":
            send(self_pid(), "another")
        else:
            demonitor(ref, flush=True)
        return wanted

    with pytest.raises(UsageError, match=r"match.* sent one to its own process.*it only looks"):
        await receive(match)
    assert await receive(lambda message: message == "mail", timeout=0) == "mail"


async def test_what_a_predicate_raised_after_a_change_is_the_cause_of_the_error() -> None:
    """Somebody has to mend both."""

    def match(_message: object) -> bool:
        send(self_pid(), "more")
        raise RuntimeError("its own")

    send(self_pid(), "mail")
    with pytest.raises(UsageError, match="has sent one to its own process") as caught:
        await receive(match)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert str(caught.value.__cause__) == "its own"


async def test_what_a_predicate_raises_is_not_taken_for_a_change() -> None:
    def match(_message: object) -> bool:
        raise RuntimeError("its own")

    send(self_pid(), "mail")
    with pytest.raises(RuntimeError, match="its own"):
        await receive(match)


async def test_a_predicate_that_cannot_be_shown_does_not_disturb_who_sends() -> None:
    class Shy:
        def __call__(self, _message: object) -> bool:
            raise StopIteration

        def __repr__(self) -> str:
            raise ValueError("no repr")

    pid = spawn(receive, Shy())
    await wait_until_idle()
    send(pid, "mail")
    await wait_until_idle()
    assert "Shy whose repr raised ValueError> raised StopIteration()" in repr(reason_of(pid))


async def test_a_predicate_that_raises_does_not_disturb_a_death() -> None:
    """All who watch are told, though one of them stumbles over its Down."""

    def stumble(_message: Any) -> bool:
        raise StopIteration("no")

    async def body() -> None:
        from mabeam.kernel import monitor

        monitor(victim)
        await receive(stumble)

    victim = spawn(wait_for_ever)
    stumbler = spawn(body)
    await wait_until_idle()
    probe = Probe.start()
    ref = probe.watch(victim)
    kill(victim)
    assert (await probe.wait_for(Down)).ref is ref
    await wait_until_idle()
    assert isinstance(reason_of(stumbler), Crashed)


async def test_a_predicate_runs_as_the_process_that_waits() -> None:
    """Not as the one that sends."""
    seen: list[object] = []

    def look(_message: object) -> bool:
        seen.append(self_pid())
        return True

    async def body() -> None:
        await receive(look)

    pid = spawn(body)
    await wait_until_idle()
    send(pid, "look")
    await wait_until_idle()
    assert seen == [pid]


async def test_receive_in_a_task_of_a_process_is_a_mistake() -> None:
    """The mailbox belongs to the function of the process."""
    errors: list[str] = []

    async def in_a_task() -> None:
        try:
            await receive()
        except UsageError as error:
            errors.append(str(error))

    async def body() -> None:
        await asyncio.create_task(in_a_task())

    spawn(body)
    await wait_until_idle()
    assert len(errors) == 1
    assert "plain process" in errors[0]


async def test_receive_in_a_server_is_a_mistake() -> None:
    """It has ``handle_info``."""

    class Server(GenServer):
        @handle_call(raises=(UsageError,))
        async def take(self) -> Any:
            return await receive()

    server = await Server.start_link()
    with pytest.raises(UsageError, match="handle_info"):
        await server.call(Server.take)


async def test_a_process_that_does_not_wait_leaves_no_receiver_behind() -> None:
    """Whatever ended the wait."""

    async def body() -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await receive(timeout=1)
        await never()

    pid = spawn(body)
    send_after(5, self_pid(), "after it")
    await receive()
    assert process_of(pid).receivers is None
    assert process_of(pid).timers is None


async def test_a_process_that_always_finds_a_message_gives_others_their_turn() -> None:
    """One that sends to itself for ever never waits, and still starves nobody."""
    turns: list[int] = []

    async def busy() -> None:
        count = 0
        while not done:
            send(self_pid(), count)
            count = await receive() + 1
        turns.append(count)

    done: list[bool] = []
    pid = spawn(busy)
    other = Probe.start()
    send(other.pid, "hello")
    assert await other.next() == "hello"
    asyncio.get_running_loop().call_soon(done.append, True)
    await wait_until_idle()
    assert not pid.is_alive
    assert turns


async def test_a_process_that_only_looks_gives_others_their_turn() -> None:
    """Polling is a bad habit, but no reason to stop the world."""
    done: list[bool] = []

    async def poll() -> None:
        while not done:
            try:
                await receive(timeout=0)
            except TimeoutError:
                continue

    pid = spawn(poll)
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(done.append, True))
    await wait_until_idle()
    assert not pid.is_alive
