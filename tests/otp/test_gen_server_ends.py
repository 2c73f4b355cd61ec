"""Dead means dead: whatever a handler does, the end that was decided comes."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest

from mabeam import (
    DynamicSupervisor,
    ExitReason,
    GenServer,
    ProcessDied,
    Runtime,
    Supervisor,
    handle_call,
    handle_cast,
    ref,
    whereis,
)
from mabeam.kernel import Crashed, Exited, Killed, Shutdown, kill, self_pid, send_exit, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause, pid_of, process_of

LOG: list[Any] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Stubborn(GenServer):
    """Swallows as many cancellations as told."""

    def __init__(self, *, trap: bool = False) -> None:
        trap_exit(trap)

    @handle_call
    async def swallow(self, times: int) -> None:
        while True:
            try:
                await for_ever()
            except asyncio.CancelledError:
                LOG.append(("cancelled", clock().time()))
                times -= 1
                if times < 0:
                    raise

    @handle_call
    async def clean_up(self, seconds: float) -> None:
        try:
            await for_ever()
        finally:
            LOG.append("cleaning")
            await pause(seconds)
            LOG.append("clean")

    @handle_call
    async def own_task(self) -> None:
        self.owned = asyncio.create_task(self._swallow_for_ever(), name="owned")

    async def _swallow_for_ever(self) -> None:
        while True:
            try:
                await for_ever()
            except asyncio.CancelledError:
                LOG.append("task swallowed")

    @handle_call
    async def kill_me_and_go_on(self) -> None:
        try:
            kill(self_pid())
        finally:
            LOG.append("finally")
        LOG.append("never")

    @handle_call
    async def signal_me_and_swallow(self) -> str:
        try:
            send_exit(self_pid(), Exited("me"))
        except asyncio.CancelledError:
            LOG.append("swallowed")
        return "never an answer"

    @handle_cast
    def note(self, item: object) -> None:
        LOG.append(item)

    def handle_info(self, message: object) -> None:
        LOG.append(message)


async def test_a_trapped_signal_cancels_nothing() -> None:
    """It is a message, taken after the current handler."""
    server = await (await DynamicSupervisor.start_link()).call(
        DynamicSupervisor.start_child, Stubborn.child_spec(trap=True)
    )
    calling = await begun(server.options(timeout=None).call(Stubborn.clean_up, 0.0))
    send_exit(server, Exited("stranger"))
    await clock().advance(10)
    assert LOG == []
    kill(server)
    with pytest.raises(ProcessDied):
        await calling


async def test_an_untrapped_signal_gives_handlers_a_second_to_clean_up() -> None:
    """They wait as they like in that time; the reason is the one decided on."""
    probe = Probe.start()
    server = await Stubborn.child_spec().named("n").start()
    probe.watch(server)
    calling = await begun(server.options(timeout=None).call(Stubborn.clean_up, 0.9))
    send_exit(server, Exited("x"))
    await wait_until_idle()
    assert whereis("n") == pid_of(server)  # it keeps its name while it ends
    assert (await probe.next()).reason == Exited("x")
    assert (LOG, clock().time(), whereis("n")) == (["cleaning", "clean"], 0.9, None)
    with pytest.raises(ProcessDied) as caught:
        await calling
    assert caught.value.reason == Exited("x")


@pytest.mark.parametrize(("method", "frozen"), [(Stubborn.swallow, 1), (Stubborn.clean_up, 0)])
async def test_a_handler_that_does_not_end_in_its_grace_is_cancelled_once_more_and_frozen(
    method: Any, frozen: int, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """What waits again is never stepped again, and reported with its stack; the reason stays."""
    probe = Probe.start()
    server = await Stubborn.child_spec().start()
    probe.watch(server)
    calling = await begun(server.options(timeout=None).call(method, 1000))
    send_exit(server, Exited("x"))
    assert (await probe.next()).reason == Exited("x")
    assert clock().time() == 1.0
    assert runtime.statistics().frozen == frozen
    assert ("frozen" in caplog.text) == bool(frozen)
    with pytest.raises(ProcessDied):
        await calling
    log = list(LOG)
    await clock().advance(10_000)
    assert log == LOG


async def test_a_kill_throws_once_and_freezes_what_waits_again(runtime: Runtime) -> None:
    """No time passes."""
    for method in (Stubborn.swallow, Stubborn.clean_up):
        server = await Stubborn.child_spec().start()
        calling = await begun(server.options(timeout=None).call(method, 5))
        kill(server)
        with pytest.raises(ProcessDied) as caught:
            await calling
        assert caught.value.reason == Killed()
    assert clock().time() == 0.0
    assert LOG == [("cancelled", 0.0), "cleaning"]
    assert runtime.statistics().frozen == 2


@pytest.mark.parametrize("supervisor", [Supervisor, DynamicSupervisor])
async def test_a_handler_that_swallows_two_cancellations_cannot_hold_up_a_stop(supervisor: Any) -> None:
    """The child's shutdown time is all there is."""
    spec = Stubborn.child_spec().options(shutdown=2.0)
    if supervisor is Supervisor:
        top: Any = await Supervisor.start_link([spec.named("child")], strategy="one_for_one")
        child: Any = process_of(top).body._children.by_id["child"].process.pid
    else:
        top = await DynamicSupervisor.start_link()
        child = (await top.call(DynamicSupervisor.start_child, spec.named("child"))).pid
    probe = Probe.start()
    probe.watch(child)
    calling = await begun(ref("child", Stubborn).options(timeout=None).call(Stubborn.swallow, 2))
    await top.stop()
    assert (await probe.next()).reason == Killed()
    assert clock().time() == 2.0
    with pytest.raises(ProcessDied):
        await calling


async def test_a_task_of_its_own_ends_with_the_server(runtime: Runtime) -> None:
    """Also one that swallows its cancellation."""
    server = await Stubborn.child_spec().start()
    await server.call(Stubborn.own_task)
    await wait_until_idle()
    await server.stop()
    assert LOG[0] == "task swallowed"
    assert clock().time() == 1.0
    assert runtime.statistics().frozen == 1


async def test_a_server_that_kills_itself_does_not_go_on() -> None:
    """Neither through a finally nor after it."""
    server = await Stubborn.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Stubborn.kill_me_and_go_on)
    assert caught.value.reason == Killed()
    assert LOG == ["finally"]


async def test_a_server_that_signals_itself_has_decided_its_end() -> None:
    """Swallowing the cancellation does not bring it back, and its answer counts for nothing."""
    server = await Stubborn.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Stubborn.signal_me_and_swallow)
    assert caught.value.reason == Exited("me")


async def test_no_message_is_taken_once_the_end_is_decided(runtime: Runtime) -> None:
    """Casts become dead letters, callers are told when it is dead."""
    server = await Stubborn.child_spec().start()
    first = await begun(server.options(timeout=None).call(Stubborn.clean_up, 0.5))
    send_exit(server, Shutdown("x"))
    server.cast(Stubborn.note, "too late")
    second = await begun(server.call(Stubborn.clean_up, 0.0))
    assert not second.done()
    with pytest.raises(ProcessDied) as caught:
        await first
    assert caught.value.reason == Shutdown("x")
    with pytest.raises(ProcessDied):
        await second
    assert clock().time() == 0.5
    assert "too late" not in LOG
    assert runtime.dead_letters.counts == {"ended": 1}


async def test_a_dead_server_holds_neither_its_state_nor_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What remains of it is a pid with a reason."""
    caplog.set_level(logging.CRITICAL, logger="mabeam")  # the report itself would keep the traceback

    class Heavy:
        pass

    class Holder(GenServer):
        def __init__(self) -> None:
            self.heavy = Heavy()
            held.append(weakref.ref(self.heavy))

        @handle_call
        def crash(self) -> None:
            local = self.heavy
            raise ValueError(id(local))

    held: list[Any] = []
    server = await Holder.child_spec().start()
    try:
        await server.call(Holder.crash)
    except ProcessDied as error:
        reason: ExitReason = error.reason
        assert isinstance(reason, Crashed)
    gc.collect()
    assert held[0]() is None
