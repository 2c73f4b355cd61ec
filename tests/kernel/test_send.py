"""Sending: order, and the fate of what cannot be delivered."""

from __future__ import annotations

import pickle

import pytest

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import (
    DeadLetter,
    DeadLetters,
    Exited,
    Runtime,
    kill,
    receive,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
    trap_exit,
)
from mabeam.telemetry import Bus
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import (
    IDLE,
    Idle,
    acting_as,
    process_of,
    spawn_idle,
    swallow_for_ever,
    wait_for_ever,
)


async def test_messages_between_two_processes_arrive_in_the_order_sent() -> None:
    """Signals that were trapped are in that order, too."""
    probe = Probe.start()

    async def sender() -> None:
        for number in range(100):
            if number % 10 == 9:
                send_exit(probe.pid, Exited(f"signal {number}"))
            else:
                send(probe.pid, number)

    spawn(sender)
    await wait_until_idle()
    found = [getattr(message, "reason", message) for message in probe.messages]
    assert found == [Exited(f"signal {n}") if n % 10 == 9 else n for n in range(100)]


async def test_a_process_can_send_to_itself() -> None:
    """After what is in the mailbox already."""
    probe = Probe.start()

    async def talk() -> None:
        send(self_pid(), 1)
        send(self_pid(), 2)
        send(probe.pid, (await receive(), await receive()))

    spawn(talk)
    assert await probe.next() == (1, 2)


async def test_any_object_can_be_a_message_and_is_not_copied() -> None:
    """None and exceptions too."""
    probe = Probe.start()
    messages = [None, ValueError("x"), [1], object(), probe]
    for message in messages:
        send(probe.pid, message)
    await wait_until_idle()
    assert all(got is sent for got, sent in zip(probe.messages, messages, strict=True))


async def test_a_message_to_a_dead_process_is_a_dead_letter(runtime: Runtime) -> None:
    """It says whom it was for."""
    pid = spawn(lambda: None)
    await wait_until_idle()
    send(pid, "late")
    (letter,) = runtime.dead_letters.latest
    assert (letter.message, letter.why) == ("late", "dead")
    assert f"pid {pid.serial}" in letter.target


async def test_what_is_in_the_mailbox_at_death_becomes_dead_letters(runtime: Runtime) -> None:
    """In their order, and what comes while the end is wound up as well."""
    pid = spawn(swallow_for_ever)
    await wait_until_idle()
    send(pid, 1)
    send(pid, 2)
    send_exit(pid, Exited("end"))
    send(pid, 3)
    assert runtime.dead_letters.counts == {}
    kill(pid)
    await wait_until_idle()
    assert [letter.message for letter in runtime.dead_letters.latest] == [1, 2, 3]
    assert runtime.dead_letters.counts == {"ended": 3}


async def test_a_full_mailbox_makes_dead_letters_and_keeps_what_it_has(runtime: Runtime) -> None:
    """Signals that were trapped are exempt from the limit."""
    small = Idle("small", mailbox_limit=2)
    got: list[object] = []
    process = runtime.kernel.spawn(small, got.append, runtime.root, link=False)
    await wait_until_idle()
    acting_as(process.pid, trap_exit)
    for number in range(4):
        send(process.pid, number)
    send_exit(process.pid, Exited("signal"))
    await wait_until_idle()
    assert [getattr(message, "reason", message) for message in got] == [0, 1, Exited("signal")]
    assert [letter.message for letter in runtime.dead_letters.latest] == [2, 3]
    assert runtime.dead_letters.counts == {"full": 2}


async def test_sending_to_an_unknown_name_raises() -> None:
    """A name of a process that has ended is unknown."""
    with pytest.raises(NoSuchProcess, match="nobody") as caught:
        send("nobody", 1)
    assert caught.value.operation == "send"
    pid = spawn_idle()
    register("somebody", pid)
    send("somebody", 1)
    await wait_until_idle()
    kill(pid)
    with pytest.raises(NoSuchProcess, match="somebody"):
        send("somebody", 2)


async def test_a_pickled_pid_reaches_nobody(runtime: Runtime) -> None:
    """It still says who it was."""
    pid = spawn(wait_for_ever)
    copy = pickle.loads(pickle.dumps(pid))
    assert copy == pid
    assert hash(copy) == hash(pid)
    assert not copy.is_alive
    send(copy, "hello")
    assert runtime.dead_letters.counts == {"dead": 1}


@pytest.mark.parametrize("target", [None, 42, object(), ["name"]], ids=["None", "int", "object", "list"])
async def test_what_leads_to_no_process_is_refused(target: object) -> None:
    """With an error that says what it expected."""
    with pytest.raises(UsageError, match="expected"):
        send(target, 1)  # type: ignore[arg-type]


def test_dead_letters_are_counted_for_ever_and_kept_for_a_while() -> None:
    """The ring holds the latest."""
    letters = DeadLetters(Bus(), capacity=3)
    for number in range(10):
        letters.add("somebody", number, "dead" if number % 2 else "full")
    assert len(letters) == 10
    assert letters.counts == {"dead": 5, "full": 5}
    assert letters.latest == tuple(
        DeadLetter(target="somebody", message=number, why="dead" if number % 2 else "full")
        for number in (7, 8, 9)
    )


async def test_the_ring_of_a_runtime_is_bounded(runtime: Runtime) -> None:
    """A million dead letters would not fill the memory."""
    pid = spawn_idle()
    await wait_until_idle()
    kill(pid)
    for number in range(1_500):
        send(pid, number)
    assert len(runtime.dead_letters) == 1_500
    assert [letter.message for letter in runtime.dead_letters.latest] == list(range(500, 1_500))


async def test_a_process_at_rest_owns_nothing() -> None:
    """No task, no queue, no timer."""
    pid = spawn_idle()
    send(pid, "wake up")
    await wait_until_idle()
    process = process_of(pid)
    assert process.behaviour is IDLE
    assert process.status == 0
    for field in ("mailbox", "activations", "tasks", "timers", "message", "serial", "receivers"):
        assert getattr(process, field) is None, field
