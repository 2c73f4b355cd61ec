"""Links: what an exit signal does on arrival, and who is linked with whom."""

from __future__ import annotations

import itertools

import pytest

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import (
    Crashed,
    Exited,
    ExitReason,
    ExitSignal,
    Killed,
    NoProcess,
    Normal,
    Runtime,
    Shutdown,
    Stop,
    are_linked,
    kill,
    link,
    receive,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
    spawn_link,
    trap_exit,
    unlink,
)
from mabeam.kernel._links import verdict
from mabeam.otp import GenServer
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import (
    acting_as,
    assert_nothing_is_held,
    process_of,
    reason_of,
    spawn_idle,
    spawn_two,
    trap_and_wait,
    wait_for_ever,
)

REASONS = [
    Normal(),
    Shutdown(),
    Shutdown("detail"),
    Killed(),
    NoProcess(),
    Crashed(ValueError("x")),
    Exited(1),
]
ABNORMAL = REASONS[1:]


@pytest.mark.parametrize("reason", REASONS, ids=repr)
@pytest.mark.parametrize("from_itself", [False, True], ids=["from another", "from itself"])
@pytest.mark.parametrize("traps", [False, True], ids=["not trapping", "trapping"])
def test_the_verdict_on_a_signal(reason: ExitReason, *, traps: bool, from_itself: bool) -> None:
    """OTP's table: trapping makes a message of it; ``normal`` is ignored but from itself; the rest ends the receiver."""
    if traps:
        expected = "deliver"
    elif reason == Normal():
        expected = "end" if from_itself else "ignore"
    else:
        expected = "end"
    assert verdict(reason, traps=traps, from_itself=from_itself) == expected


async def _end_with(reason: ExitReason) -> None:
    await receive()
    raise Stop(reason)


@pytest.mark.parametrize("reason", ABNORMAL, ids=repr)
async def test_an_abnormal_end_ends_the_linked_one_with_the_same_reason(reason: ExitReason) -> None:
    """``Shutdown`` is abnormal to links."""
    ending, linked = spawn(_end_with, reason), spawn(wait_for_ever)
    acting_as(linked, link, ending)
    send(ending, "now")
    await wait_until_idle()
    assert reason_of(ending) == reason
    assert reason_of(linked) == reason


async def test_a_normal_end_leaves_the_linked_one_alone() -> None:
    """And cuts the link."""
    ending, linked = spawn(_end_with, Normal()), spawn(wait_for_ever)
    acting_as(linked, link, ending)
    send(ending, "now")
    await wait_until_idle()
    assert not ending.is_alive
    assert linked.is_alive
    assert not process_of(linked).links


@pytest.mark.parametrize("reason", REASONS, ids=repr)
async def test_who_traps_gets_any_end_as_a_message(reason: ExitReason) -> None:
    """Once, and lives on."""
    probe, ending = Probe.start(), spawn(_end_with, reason)
    probe.link(ending)
    send(ending, "now")
    await wait_until_idle()
    assert probe.messages == (ExitSignal(ending, reason),)


async def test_death_spreads_over_links_as_far_as_nobody_traps() -> None:
    """Transitively, and in both directions."""
    chain = [spawn(wait_for_ever) for _ in range(10)]
    for left, right in itertools.pairwise(chain):
        acting_as(left, link, right)
    bystander, trapping = spawn(wait_for_ever), spawn(trap_and_wait)
    await wait_until_idle()
    acting_as(trapping, link, chain[0])
    acting_as(bystander, link, trapping)
    send_exit(chain[5], Exited("spread"))
    await wait_until_idle()
    assert [reason_of(pid) for pid in chain] == [Exited("spread")] * 10
    assert trapping.is_alive
    assert bystander.is_alive
    for pid in chain:
        assert_nothing_is_held(pid)


async def test_a_killed_process_tells_its_links_killed() -> None:
    """Which they can trap: only ``kill`` itself cannot be."""
    victim, trapping, linked = spawn(wait_for_ever), Probe.start(), spawn(wait_for_ever)
    trapping.link(victim)
    acting_as(linked, link, victim)
    kill(victim)
    assert await trapping.next() == ExitSignal(victim, Killed())
    await wait_until_idle()
    assert reason_of(linked) == Killed()


async def test_a_cycle_of_links_dies_as_a_whole() -> None:
    """Each is told once."""
    ring = [spawn(wait_for_ever) for _ in range(5)]
    for left, right in zip(ring, [*ring[1:], ring[0]], strict=True):
        acting_as(left, link, right)
    kill(ring[2])
    await wait_until_idle()
    assert [reason_of(pid) for pid in ring] == [Killed()] * 5


async def test_links_are_symmetric_and_single() -> None:
    """Linking twice, from either side, makes one link; cutting it once cuts it."""
    one, other = spawn_two()
    acting_as(one, link, other)
    acting_as(other, link, one)
    assert process_of(one).links == (process_of(other),)
    acting_as(other, unlink, one)
    acting_as(other, unlink, one)
    assert not are_linked(process_of(one), process_of(other))
    kill(one)
    await wait_until_idle()
    assert other.is_alive


async def test_a_link_to_itself_changes_nothing() -> None:
    """As in OTP."""
    pid = spawn(wait_for_ever)
    acting_as(pid, link, pid)
    assert not process_of(pid).links
    acting_as(pid, unlink, pid)
    assert pid.is_alive


async def test_many_links_are_kept_in_the_order_of_linking() -> None:
    """Few and many are stored differently, and behave the same."""
    hub, others = spawn_idle(), [spawn_idle() for _ in range(10)]
    for other in others:
        acting_as(hub, link, other)
    acting_as(hub, unlink, others[3])
    acting_as(hub, unlink, others[0])
    acting_as(hub, link, others[3])
    expected = [process_of(others[index]) for index in (1, 2, 4, 5, 6, 7, 8, 9, 3)]
    assert list(process_of(hub).links) == expected
    await wait_until_idle()
    kill(hub)
    assert [other.is_alive for other in others] == [index == 0 for index in range(10)]


async def test_linking_to_the_dead_raises_and_says_so() -> None:
    """When the caller does not trap."""
    errors: list[NoSuchProcess] = []
    dead = spawn(lambda: None)

    async def body() -> None:
        try:
            link(dead)
        except NoSuchProcess as error:
            errors.append(error)

    spawn(body)
    await wait_until_idle()
    assert [(error.operation, error.pid) for error in errors] == [("link", dead)]


@pytest.mark.parametrize("handle", ["pid", "ref"])
async def test_who_traps_and_links_to_the_dead_gets_a_signal(handle: str) -> None:
    """``NoProcess``, as a message, however the dead one is addressed."""

    class Server(GenServer):
        pass

    ref = await Server.start_link()
    pid = ref.address()
    assert not isinstance(pid, str)
    unlink(pid)
    await ref.stop()
    probe = Probe.start()
    probe.link(ref if handle == "ref" else pid)
    assert await probe.next() == ExitSignal(pid, NoProcess())  # type: ignore[arg-type]  # a Pid, see above


async def test_linking_to_a_name_that_leads_nowhere_raises() -> None:
    """Trapping or not: there is no pid that a signal could come from."""
    probe = Probe.start()
    with pytest.raises(NoSuchProcess, match="nobody"):
        probe.link("nobody")


async def test_links_can_be_made_and_cut_by_name() -> None:
    """To the process that has it now."""
    pid, probe = spawn(wait_for_ever), Probe.start()
    register("server", pid)
    probe.link("server")
    assert are_linked(probe._process, process_of(pid))
    probe.unlink("server")
    assert not are_linked(probe._process, process_of(pid))
    unlink("nobody")


async def test_unlinking_leaves_a_signal_that_has_arrived() -> None:
    """It is a message already."""
    got: list[object] = []

    async def body() -> None:
        trap_exit()
        other = spawn_link(lambda: None)
        await receive(str)
        unlink(other)
        got.append(await receive(timeout=0))

    pid = spawn(body)
    await wait_until_idle()
    send(pid, "go on")
    await wait_until_idle()
    assert len(got) == 1
    assert isinstance(got[0], ExitSignal)


async def test_a_process_whose_end_is_decided_cannot_be_linked_any_more() -> None:
    """Its code may still run, but the signal that ends it came before the link."""

    async def slow() -> None:
        try:
            await receive()
        finally:
            await receive(str)

    ending, probe = spawn(slow), Probe.start()
    await wait_until_idle()
    send_exit(ending, Exited("slowly"))
    probe.link(ending)
    assert await probe.next() == ExitSignal(ending, NoProcess())


async def test_processes_of_two_runtimes_cannot_be_linked() -> None:
    """Nor be watched from the other: a signal has to stay in its own Runtime."""
    from mabeam.kernel import monitor

    here = self_pid()
    async with Runtime():
        with pytest.raises(UsageError, match="another Runtime"):
            link(here)
        with pytest.raises(UsageError, match="another Runtime"):
            monitor(here)
