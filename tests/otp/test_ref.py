"""Handles: whom they lead to, how long they wait, and how they stop a process."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from mabeam import (
    CallTimeout,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    NoSuchProcess,
    ProcessDied,
    Ref,
    Runtime,
    Supervisor,
    UsageError,
    handle_call,
    ref,
    register,
    spawn,
    unregister,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Shutdown, kill, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pid_of


class Server(GenServer):
    """Answers when it likes."""

    def __init__(self, number: int = 0, *, trap: bool = False) -> None:
        self.number = number
        trap_exit(trap)

    @handle_call
    def read(self) -> int:
        return self.number

    @handle_call
    async def wait(self) -> None:
        await for_ever()


class Failing(Server):
    def terminate(self, reason: ExitReason) -> None:
        raise ValueError("in terminate")


class Hanging(Server):
    async def terminate(self, reason: ExitReason) -> None:
        await for_ever()


# ------------------------------------------------------------------------------------------------- whom


async def test_a_handle_by_name_follows_the_name() -> None:
    """Each call goes to whoever has it then."""
    handle = ref("name", Server)
    first = await Server.child_spec(1).named("name").start()
    assert await handle.call(Server.read) == 1
    await first.stop()
    assert handle.pid is None
    await Server.child_spec(2).named("name").start()
    assert await handle.call(Server.read) == 2


async def test_a_handle_by_process_leads_to_nobody_once_that_has_ended() -> None:
    """Also if there is another one of that name."""
    first = await Server.child_spec(1).named("name").start()
    await first.stop()
    await Server.child_spec(2).named("name").start()
    with pytest.raises(NoSuchProcess):
        await first.call(Server.read)
    assert not pid_of(first).is_alive


async def test_a_name_can_be_given_and_taken_later() -> None:
    """A handle by name cares for the name only."""
    server = await Server.child_spec(5).start()
    handle = ref("later", Server)
    register("later", server)
    assert await handle.call(Server.read) == 5
    unregister("later")
    with pytest.raises(NoSuchProcess):
        await handle.call(Server.read)


async def test_handles_compare_by_address() -> None:
    """Options do not matter."""
    server = await Server.child_spec().named("name").start()
    assert server == server.options(timeout=1.0)
    assert ref("name", Server) == ref("name", Server)
    assert server != ref("name", Server)
    assert len({server, server.options(timeout=2.0), ref("name", Server)}) == 2
    assert "name" in repr(ref("name", Server))


async def test_ref_refuses_what_is_no_class() -> None:
    """The likeliest mistake is to give an instance or to forget the class."""
    with pytest.raises(UsageError, match="Counter"):
        ref("name", "Server")  # type: ignore[arg-type]


async def test_a_handle_leads_back_into_its_own_runtime() -> None:
    """Used from another one, it reaches the process it was made for."""
    server = await Server.child_spec(3).start()
    async with Runtime():
        assert await server.call(Server.read) == 3


def test_outside_of_every_runtime_a_name_leads_nowhere() -> None:
    """The error says what is missing."""

    async def main() -> None:
        with pytest.raises(UsageError, match="Runtime"):
            await ref("name", Server).call(Server.read)

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------- how long


async def test_a_call_waits_5_seconds_unless_said_otherwise() -> None:
    """The error carries what was waited for, and survives pickle."""
    server = await Server.child_spec().start()
    with pytest.raises(CallTimeout) as caught:
        await server.call(Server.wait)
    assert (clock().time(), caught.value.timeout, caught.value.handler) == (5.0, 5.0, "Server.wait")
    assert isinstance(caught.value, TimeoutError)
    assert pickle.loads(pickle.dumps(caught.value)).timeout == 5.0


@pytest.mark.parametrize("timeout", [0, 0.5, 60.0])
async def test_options_say_how_long(timeout: float) -> None:
    """0 gives up as soon as time passes."""
    server = await Server.child_spec().start()
    with pytest.raises(CallTimeout):
        await server.options(timeout=timeout).call(Server.wait)
    assert clock().time() == timeout


async def test_a_call_without_limit_waits_for_ever() -> None:
    """Until the server ends."""
    server = await Server.child_spec().start()
    call = await begun(server.options(timeout=None).call(Server.wait))
    await clock().advance(1e6)
    assert not call.done()
    kill(server)
    with pytest.raises(ProcessDied):
        await call


@pytest.mark.parametrize("timeout", [-1, 10**400, "5", object(), float("nan")])
async def test_a_timeout_that_makes_no_sense_is_refused(timeout: Any) -> None:
    """Where it is written, not when it runs out."""
    with pytest.raises(UsageError, match="timeout"):
        ref("name", Server).options(timeout=timeout)


async def test_a_call_that_times_out_leaves_no_timer_and_no_waiter() -> None:
    """Neither does one that is answered, or cancelled."""
    server = await Server.child_spec().start()
    loop: Any = clock()
    for _ in range(10):
        with pytest.raises(CallTimeout):
            await server.options(timeout=0.1).call(Server.wait)
        call = await begun(server.call(Server.wait))
        call.cancel()
        await asyncio.wait([call])
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]


# ------------------------------------------------------------------------------------------------- stop


@pytest.mark.parametrize(
    "reason", [Normal(), Shutdown(), Shutdown("x"), Exited(1), Killed(), Crashed(ValueError(1))]
)
async def test_stop_returns_when_the_process_has_ended_with_that_reason(reason: ExitReason) -> None:
    """Killed() is an ordinary reason here."""
    probe = Probe.start()
    server = await Server.child_spec().start()
    probe.watch(server)
    await server.stop(reason)
    assert not pid_of(server).is_alive
    assert (await probe.next()).reason == reason


async def test_stop_raises_the_real_reason_when_there_is_another() -> None:
    """With the cause chained, as a call would."""
    server = await Failing.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.stop(Shutdown())
    assert caught.value.operation == "stop"
    assert caught.value.reason == Crashed(ValueError("in terminate"))
    assert isinstance(caught.value.__cause__, ValueError)


async def test_two_stops_get_the_reason_of_the_first() -> None:
    """The second did not end it."""
    server = await Server.child_spec().start()
    first = asyncio.create_task(server.stop(Shutdown(1)))
    second = asyncio.create_task(server.stop(Shutdown(2)))
    await first
    with pytest.raises(ProcessDied) as caught:
        await second
    assert caught.value.reason == Shutdown(1)


async def test_stop_waits_for_what_comes_before_it() -> None:
    """It takes its place in the mailbox; a kill does not."""
    server = await Server.child_spec().start()
    call = await begun(server.options(timeout=None).call(Server.wait))
    stopping = await begun(server.stop())
    assert not stopping.done()
    kill(server)
    with pytest.raises(ProcessDied) as caught:
        await stopping
    assert caught.value.reason == Killed()
    with pytest.raises(ProcessDied):
        await call


async def test_stop_with_a_timeout_gives_up_and_the_end_goes_on() -> None:
    """The process is on its way out."""
    server = await Hanging.child_spec().start()
    with pytest.raises(CallTimeout) as caught:
        await server.stop(timeout=3.0)
    assert (caught.value.timeout, clock().time()) == (3.0, 3.0)
    assert pid_of(server).is_alive
    call = await begun(server.call(Server.read))
    kill(server)
    with pytest.raises(ProcessDied):
        await call


async def test_stop_of_what_is_not_there_raises() -> None:
    """By handle and by name."""
    server = await Server.child_spec().start()
    await server.stop()
    with pytest.raises(NoSuchProcess) as caught:
        await server.stop()
    assert caught.value.operation == "stop"
    with pytest.raises(NoSuchProcess):
        await ref("nobody", Server).stop()


@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Exited("y")])
async def test_stop_works_on_supervisors(reason: ExitReason) -> None:
    """Their children are down when it returns."""
    probe = Probe.start()
    top = await Supervisor.child_spec([Server.child_spec().named("a")], strategy="one_for_one").start()
    dynamic = await DynamicSupervisor.child_spec().start()
    child = await dynamic.call(DynamicSupervisor.start_child, Server.child_spec().named("b"))
    for name in ("a", "b"):
        probe.watch(name)
    await top.stop(reason)
    await dynamic.stop(reason)
    assert not pid_of(child).is_alive
    await wait_until_idle()
    assert [down.reason for down in probe.messages] == [Shutdown(), Shutdown()]


async def test_a_server_stopped_by_its_handle_is_restarted_as_after_any_such_end() -> None:
    """To stop a child for good, ask its supervisor."""
    await Supervisor.start_link([Server.child_spec().named("a")], strategy="one_for_one")
    handle = ref("a", Server)
    before = handle.pid
    await handle.stop()
    await wait_until_idle()
    assert handle.pid not in (None, before)


async def test_a_cancelled_stop_leaves_no_waiter_behind() -> None:
    """The end goes on."""
    server: Ref[Any] = await Hanging.child_spec().start()
    process = pid_of(server)._process
    assert process is not None
    stopping = await begun(server.stop())
    stopping.cancel()
    await asyncio.wait([stopping])
    assert not process.on_death
    kill(server)


async def test_a_caller_may_be_any_code_of_the_loop() -> None:
    """Plain processes and tasks of processes as well."""
    got: list[int] = []
    server = await Server.child_spec(4).start()

    async def ask() -> None:
        got.append(await asyncio.create_task(server.call(Server.read)))

    spawn(ask)
    await wait_until_idle()
    assert got == [4]
