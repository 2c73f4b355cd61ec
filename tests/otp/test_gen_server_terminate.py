"""When terminate runs, with which reason, and what it can do to the end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    DynamicSupervisor,
    ExitReason,
    GenServer,
    ProcessDied,
    Runtime,
    Stop,
    Supervisor,
    handle_call,
    handle_cast,
    stop_self,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Shutdown, kill, self_pid, send_exit, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import clock, for_ever, pid_of, process_of

LOG: list[Any] = []

if TYPE_CHECKING:
    from collections.abc import Awaitable


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Plain(GenServer):
    """Notes why it ends; traps exits if it is told to."""

    def __init__(self, *, trap: bool = False) -> None:
        trap_exit(trap)

    @handle_call
    def act(self, what: str) -> str:
        if what == "raise":
            raise ValueError("x")
        if what == "Stop":
            raise Stop(Exited(1))
        stop_self(Shutdown("self"))
        return "bye"

    @handle_cast
    async def hang(self) -> None:
        try:
            await for_ever()
        finally:
            LOG.append("handler over")

    def handle_info(self, message: object) -> None:
        LOG.append(("info", message))

    def terminate(self, reason: ExitReason) -> Awaitable[None] | None:
        LOG.append(reason)
        return None


class Slow(Plain):
    async def terminate(self, reason: ExitReason) -> None:
        await wait_until_idle()
        LOG.append(reason)


class Parent(GenServer):
    """Starts children and ends as told."""

    @handle_call
    async def adopt(self, spec: Any) -> Any:
        return await spec.start_link()

    @handle_call
    def exit_child(self, child: Any, reason: ExitReason) -> None:
        send_exit(child, reason)

    @handle_call
    def read(self) -> str:
        return "alive"


@pytest.mark.parametrize("cls", [Plain, Slow])
@pytest.mark.parametrize(
    ("what", "reason"), [("raise", Crashed(ValueError("x"))), ("Stop", Exited(1)), ("self", Shutdown("self"))]
)
async def test_it_runs_when_a_handler_ends_the_server(cls: Any, what: str, reason: ExitReason) -> None:
    """With the reason of that end, which is the reason of the exit."""
    probe = Probe.start()
    server = await cls.child_spec().start()
    probe.watch(server)
    if what == "self":
        assert await server.call(Plain.act, what) == "bye"
    else:
        with pytest.raises(ProcessDied) as caught:
            await server.call(Plain.act, what)
        assert caught.value.reason == reason
    assert (await probe.next()).reason == reason
    assert [reason] == LOG


@pytest.mark.parametrize("cls", [Plain, Slow])
@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("x"), Exited(2)])
async def test_it_runs_at_stop(cls: Any, reason: ExitReason) -> None:
    """Trapping or not."""
    for trap in (False, True):
        server = await cls.child_spec(trap=trap).start()
        await server.stop(reason)
    assert [reason, reason] == LOG


@pytest.mark.parametrize("reason", [Shutdown(), Exited(3), Normal(), Killed()])
async def test_the_end_of_the_parent_ends_a_trapping_server_with_terminate(reason: ExitReason) -> None:
    """Whatever the reason; it never reaches handle_info."""
    probe = Probe.start()
    parent = await Parent.child_spec().start()
    child = await parent.call(Parent.adopt, Plain.child_spec(trap=True))
    probe.watch(child)
    await parent.stop(reason)
    assert (await probe.next()).reason == reason
    assert [reason] == LOG


async def test_a_normal_exit_signal_of_the_parent_ends_a_trapping_server_only() -> None:
    """One that does not trap never sees it."""
    parent = await Parent.child_spec().start()
    trapping = await parent.call(Parent.adopt, Plain.child_spec(trap=True))
    other = await parent.call(Parent.adopt, Plain.child_spec())
    await parent.call(Parent.exit_child, trapping, Normal())
    await parent.call(Parent.exit_child, other, Normal())
    await wait_until_idle()
    assert (pid_of(trapping).is_alive, pid_of(other).is_alive) == (False, True)
    assert [Normal()] == LOG


async def test_it_does_not_run_after_an_untrapped_signal_or_a_kill() -> None:
    """Handlers in progress are cancelled all the same."""
    probe = Probe.start()
    for end in ("signal", "kill"):
        server = await Plain.child_spec().start()
        probe.watch(server)
        server.cast(Plain.hang)
        await wait_until_idle()
        if end == "signal":
            send_exit(server, Exited("x"))
        else:
            kill(server)
        assert (await probe.next()).reason == (Exited("x") if end == "signal" else Killed())
    assert LOG == ["handler over", "handler over"]


async def test_a_killed_parent_does_not_spare_it_a_trapping_child() -> None:
    """The child hears Killed() as an ordinary reason and terminates."""
    probe = Probe.start()
    parent = await Parent.child_spec().start()
    child = await parent.call(Parent.adopt, Plain.child_spec(trap=True))
    probe.watch(child)
    kill(parent)
    assert (await probe.next()).reason == Killed()
    assert [Killed()] == LOG


async def test_a_trapped_signal_of_a_stranger_is_a_message() -> None:
    """It ends nothing."""
    server = await (await Parent.child_spec().start()).call(Parent.adopt, Plain.child_spec(trap=True))
    send_exit(server, Exited("stranger"))
    await wait_until_idle()
    ((_, message),) = LOG
    assert (message.pid, message.reason) == (self_pid(), Exited("stranger"))
    assert pid_of(server).is_alive


class Raising(Plain):
    def terminate(self, reason: ExitReason) -> None:
        raise LookupError("in terminate")


class RaisingSlowly(Plain):
    async def terminate(self, reason: ExitReason) -> None:
        await wait_until_idle()
        raise LookupError("in terminate")


class Stopping(Plain):
    def terminate(self, reason: ExitReason) -> None:
        raise Stop(Exited("in terminate"))


class Signalling(Plain):
    def terminate(self, reason: ExitReason) -> None:
        send_exit(self_pid(), Exited("to myself"))
        LOG.append("never")


class SignallingSlowly(Plain):
    async def terminate(self, reason: ExitReason) -> None:
        await wait_until_idle()
        send_exit(self_pid(), Exited("to myself"))
        LOG.append("never")


@pytest.mark.parametrize(
    ("cls", "reason"),
    [
        (Raising, Crashed(LookupError("in terminate"))),
        (RaisingSlowly, Crashed(LookupError("in terminate"))),
        (Stopping, Exited("in terminate")),
        (Signalling, Exited("to myself")),
        (SignallingSlowly, Exited("to myself")),
    ],
)
async def test_what_it_raises_replaces_the_reason(cls: Any, reason: ExitReason) -> None:
    """An exit signal to itself does, too, and ends it where it is."""
    for how in ("stop", "crash"):
        server = await cls.child_spec().start()
        with pytest.raises(ProcessDied) as caught:
            if how == "stop":
                await server.stop()
            else:
                await server.call(Plain.act, "raise")
        assert caught.value.reason == reason
    assert LOG == []


class Hanging(Plain):
    async def terminate(self, reason: ExitReason) -> None:
        LOG.append(clock().time())
        await for_ever()


class Swallowing(Plain):
    async def terminate(self, reason: ExitReason) -> None:
        LOG.append(clock().time())
        while True:
            try:
                await for_ever()
            except asyncio.CancelledError:
                LOG.append("swallowed")


@pytest.mark.parametrize("cls", [Hanging, Swallowing])
async def test_one_that_hangs_is_killed_when_the_shutdown_time_is_over(cls: Any, runtime: Runtime) -> None:
    """Whether it swallows its cancellation or not."""
    probe = Probe.start()
    top = await Supervisor.start_link(
        [cls.child_spec(trap=True).named("child").options(shutdown=2.0)], strategy="one_for_one"
    )
    probe.watch("child")
    await top.stop()
    assert (await probe.next()).reason == Killed()
    assert clock().time() == 2.0
    assert LOG[0] == 0.0
    assert runtime.statistics().frozen == (cls is Swallowing)


async def test_it_has_no_limit_of_its_own() -> None:
    """Whoever waits for a stop decides how long; the end goes on after a timeout."""
    server = await Hanging.child_spec().start()
    with pytest.raises(TimeoutError):
        await server.stop(timeout=100.0)
    assert clock().time() == 100.0
    assert pid_of(server).is_alive
    kill(server)
    await wait_until_idle()
    assert not pid_of(server).is_alive


async def test_messages_sent_while_it_runs_are_not_taken() -> None:
    """A caller is told when the server is dead."""
    probe = Probe.start()
    server = await Slow.child_spec().start()
    probe.watch(server)
    stopping = asyncio.create_task(server.stop(Shutdown("x")))
    calling = asyncio.create_task(server.call(Plain.act, "self"))
    await stopping
    with pytest.raises(ProcessDied) as caught:
        await calling
    assert caught.value.reason == Shutdown("x")


async def test_it_may_use_other_processes() -> None:
    """It is ordinary code of a process that still lives, and has its name."""
    parent = await Parent.child_spec().start()

    class Polite(GenServer):
        async def terminate(self, reason: ExitReason) -> None:
            LOG.append(await parent.call(Parent.read))
            child = await DynamicSupervisor.start_link()
            await child.stop()
            LOG.append("done")

    server = await Polite.child_spec().named("polite").start()
    await server.stop()
    assert LOG == ["alive", "done"]


@pytest.mark.simulate(False, reason="a simulation remembers what was answered")
async def test_the_last_answer_is_not_kept_by_the_dead() -> None:
    class Big:
        pass

    class Stops(GenServer):
        @handle_call
        def last(self) -> Big:
            stop_self(Normal())
            return Big()

    server = await Stops.child_spec().start()
    seen = weakref.ref(await server.call(Stops.last))
    gc.collect()
    assert seen() is None
    assert not process_of(server).is_alive
