"""What happens to registrations when processes end, the registry's own included."""

from collections.abc import Iterator
from typing import Any

import pytest

from mabeam.errors import NoSuchProcess, StartFailed
from mabeam.kernel import (
    Crashed,
    Down,
    ExitReason,
    ExitSignal,
    Killed,
    Normal,
    Pid,
    Runtime,
    Shutdown,
    current_kernel,
    kill,
    link,
    self_pid,
    send_exit,
    spawn,
    unlink,
    whereis,
)
from mabeam.otp import (
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Registry,
    RegistryRef,
    RegistryStatistics,
    Supervisor,
    ref,
)
from mabeam.telemetry import Bus
from mabeam.testing import Probe, wait_until_idle
from tests.otp._actors import Actor, actor, do, pid_of, process_of, register, registry

pytestmark = pytest.mark.mabeam


async def test_all_entries_go_with_their_process_whatever_the_reason() -> None:
    r = await registry("unique")
    normal, killed, crashed = await actor(), await actor(), await actor()
    await register(normal, r, "k", "k2")
    await register(killed, r, "j")
    await register(crashed, r, "i")

    await normal.stop()
    assert r.count() == 2
    kill(pid_of(killed))
    await wait_until_idle()
    assert r.count() == 1
    crashed.cast(Actor.crash, ValueError("boom"))
    await wait_until_idle()
    assert r.entries() == []

    again = await actor()
    await do(again, lambda: r.register("k", 9))
    assert r.lookup("k") == [(again.pid, 9)]


async def test_an_entry_is_gone_before_anybody_hears_of_the_end() -> None:
    """One step: the entry, then the exit event, then links and monitors."""
    r, a = await registry("unique"), await actor()
    await do(a, lambda: r.register("k", 1))
    pid = pid_of(a)
    seen: list[object] = []
    context = process_of(r.pid).own_context()

    def heard(event: str, measurements: object, metadata: object) -> None:
        seen.append((event, context.copy().run(r.lookup, "k"), pid.is_alive))

    current_kernel().bus.attach(heard, events=["process.exited", "registry.unregistered"])
    probe = Probe.start()
    probe.watch(pid)
    kill(pid)
    assert isinstance(await probe.next(), Down)
    assert seen == [("registry.unregistered", [], False), ("process.exited", [], False)]


async def test_a_process_that_is_ending_keeps_its_keys_until_it_is_dead() -> None:
    r = await registry("unique")
    seen: list[object] = []

    class Ends(Actor):
        def terminate(self, reason: object, /) -> None:
            seen.append(r.keys())
            r.register("in terminate")
            seen.append(r.count())

    a = await Ends.child_spec().start()
    await do(a, lambda: r.register("k"))
    await a.stop()
    assert seen == [["k"], 2]
    assert r.count() == 0


async def test_a_failed_start_leaves_no_registration() -> None:
    r = await registry("unique")

    class Fails(GenServer):
        def __init__(self) -> None:
            r.register("k")
            raise ValueError("no")

    with pytest.raises(StartFailed):
        await Fails.child_spec().start()
    assert r.entries() == []


async def test_a_thousand_that_register_and_die_leave_nothing() -> None:
    r = await registry("duplicate")
    server, kernel = process_of(r.pid), current_kernel()
    links, processes = tuple(server.links), len(kernel.table)

    def register_thrice() -> None:
        for key in ("k", "k", "j"):
            r.register(key, object())

    for _ in range(500):
        spawn(register_thrice)  # ends by itself
        a = await actor()
        await do(a, register_thrice)
        kill(pid_of(a))
        await wait_until_idle()
    assert r.entries() == []
    assert r.statistics() == RegistryStatistics(entries=0, keys=0, processes=0)
    assert tuple(server.links) == links
    assert (server.watchers, server.monitors, server.mailbox) == (None, None, None)
    assert list(server.registrations or ()) == [server.body.registrations]
    assert server.body.registrations._linked_before == {}
    assert len(kernel.table) == processes
    assert len(kernel.dead_letters) == 0


async def test_a_process_without_keys_carries_nothing_of_the_registry() -> None:
    r, a = await registry("unique"), await actor()
    process, server = process_of(a), process_of(r.pid)
    await register(a, r, "k", "j")
    assert server in process.links
    await do(a, lambda: r.unregister("k"))
    assert server in process.links
    await do(a, lambda: r.unregister("j"))
    assert server not in process.links
    assert process not in server.links
    assert not process.registrations


# ------------------------------------------------------------------------------------------------- links


async def test_a_process_that_traps_exits_sees_nothing_of_its_link_with_the_registry() -> None:
    r, a = await registry("unique"), await actor(traps=True)
    await do(a, lambda: r.register("k", 1))
    await do(a, lambda: r.unregister("k"))
    await do(a, lambda: r.register("j", 1))
    other = await actor()
    await do(other, lambda: r.register("i"))
    kill(pid_of(other))
    await wait_until_idle()
    assert await a.call(Actor.received) == []
    await a.stop()
    assert r.count() == 0


async def test_ends_of_registered_processes_do_not_disturb_the_registry() -> None:
    """Not even a message of it arrives there."""
    r = await registry("unique")
    server = process_of(r.pid)
    a = await actor()
    await do(a, lambda: r.register("k"))
    server.trap_exit = False  # so that any signal would end it
    a.cast(Actor.crash, ValueError("boom"))
    await wait_until_idle()
    assert server.is_alive
    assert server.mailbox is None
    assert r.entries() == []


async def test_a_crash_of_the_registry_takes_registered_processes_along() -> None:
    r, a, free = await registry("unique"), await actor(), await actor()
    trapping = await actor(traps=True)
    await register(a, r, "k")
    await register(trapping, r, "j")
    await register(free, r, "i")
    await do(free, lambda: r.unregister("i"))
    pid = r.pid
    assert pid is not None
    unlink(pid)
    probe = Probe.start()
    a_pid = pid_of(a)
    watch = probe.watch(a_pid)
    kill(pid)
    assert await probe.next() == Down(watch, a_pid, Killed())
    assert await free.call(Actor.received) == []
    assert await trapping.call(Actor.received) == [ExitSignal(pid, Killed())]
    assert not process_of(trapping).registrations
    assert not process_of(trapping).links


@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Crashed(ValueError("x"))])
async def test_an_orderly_end_of_the_registry_shuts_down_who_is_registered(reason: ExitReason) -> None:
    """Elixir's rule: they end with Shutdown(), whatever the reason, and who traps exits is told that, once."""
    server = await Registry.child_spec(keys="unique").start()
    r = Registry.at(server)
    a, trapping, free = await actor(), await actor(traps=True), await actor()
    await register(a, r, "k", "k2")
    await register(trapping, r, "j", "j2")
    await register(free, r, "i")
    await do(free, lambda: r.unregister("i"))
    a_pid, registry_pid = pid_of(a), server.pid
    assert registry_pid is not None
    probe = Probe.start()
    watch = probe.watch(a_pid)
    await server.stop(reason)
    assert await probe.next() == Down(watch, a_pid, Shutdown())
    assert await trapping.call(Actor.received) == [ExitSignal(registry_pid, Shutdown())]
    assert await free.call(Actor.received) == []
    assert not process_of(trapping).registrations
    assert not process_of(trapping).links


async def test_who_was_linked_with_the_registry_before_is_told_by_that_link_only() -> None:
    """Its supervisor, for one, that is registered with it: a signal before the registry's end would mislead it."""
    r, a = await registry("unique"), await actor(traps=True)
    pid = r.pid
    assert pid is not None
    await do(a, lambda: link(pid))
    await register(a, r, "k")
    await ref(pid, Registry).stop()
    assert await a.call(Actor.received) == [ExitSignal(pid, Normal())]
    assert not process_of(a).registrations


async def test_a_registry_that_is_stopped_is_started_again_with_those_who_were_registered() -> None:
    """Nobody runs on where nobody finds it."""
    sessions: RegistryRef[str, None] = Registry.at("sessions")

    class Session(GenServer):
        def __init__(self) -> None:
            sessions.register("ann")

    await Supervisor.start_link(
        [Registry.child_spec(keys="unique").named("sessions"), Session.child_spec().named("ann's")],
        strategy="one_for_one",
    )
    before = whereis("ann's")
    await ref("sessions", Registry).stop()
    await wait_until_idle()
    after = whereis("ann's")
    assert after not in {before, None}
    assert sessions.lookup("ann") == [(after, None)]


async def test_a_registry_that_has_ended_leaves_nothing_on_those_who_live_on() -> None:
    a = await actor(traps=True)
    for _ in range(10):
        server = await Registry.start_link(keys="unique")
        r = Registry.at(server)
        await register(a, r, "k")
        await server.stop(Normal())
    assert not process_of(a).registrations
    assert not process_of(a).links


async def test_links_of_users_with_a_registry_do_not_end_it() -> None:
    r, a = await registry("unique"), await actor()
    pid = r.pid
    assert pid is not None
    await do(a, lambda: link(pid))
    a.cast(Actor.crash, ValueError("boom"))
    await wait_until_idle()
    spawn(send_exit, pid, Crashed(ValueError("stranger")))
    spawn(send_exit, pid, Shutdown())
    await wait_until_idle()
    assert pid.is_alive


async def test_a_registry_ends_with_its_parent_even_if_that_is_registered() -> None:
    """The link between a registry and whoever started it is not cut when the starter takes its keys back."""

    async def start() -> None:
        mine = Registry.at(await Registry.start_link(keys="unique"))
        mine.register("k")
        mine.unregister("k")
        mine.register("j")
        started.append(mine.pid)

    started: list[Pid | None] = []
    probe = Probe.start()
    parent = spawn(start)
    await wait_until_idle()
    assert not parent.is_alive
    assert len(started) == 1
    assert started[0] is not None
    assert not started[0].is_alive
    assert probe.messages == ()


async def test_the_program_itself_can_register() -> None:
    agents = Registry.at("agents")
    async with Runtime():
        await Supervisor.start_link(
            [Registry.child_spec(keys="unique").named("agents")], strategy="one_for_one"
        )
        agents.register("main", "program")
        assert agents.values("main") == ["program"]


# ------------------------------------------------------------------------------------------------- restarts


class Member(GenServer):
    """Registers itself when it starts."""

    def __init__(self, agents: RegistryRef[str, int], key: str) -> None:
        agents.register(key, 1)


async def test_after_a_crash_of_the_registry_everybody_is_registered_again_for_one_restart() -> None:
    """Under rest_for_one with the registry first, however many were registered."""
    agents: RegistryRef[str, int] = Registry.at("agents")
    children: list[ChildSpec[object]] = [Registry.child_spec(keys="unique").named("agents")]
    children += [Member.child_spec(agents, f"k{number}").options(id=f"k{number}") for number in range(20)]
    top = await Supervisor.start_link(children, strategy="rest_for_one", max_restarts=1)
    before = agents.entries()
    pid = agents.pid
    assert pid is not None
    kill(pid)
    await wait_until_idle()
    after = agents.entries()
    assert agents.pid not in {pid, None}
    assert [key for key, _, _ in after] == [key for key, _, _ in before] == [f"k{n}" for n in range(20)]
    assert {pid for _, pid, _ in before}.isdisjoint({pid for _, pid, _ in after})
    assert all(pid.is_alive for _, pid, _ in after)
    assert top.pid is not None


async def test_after_a_crash_of_the_registry_dynamic_children_can_be_started_anew() -> None:
    agents: RegistryRef[str, int] = Registry.at("agents")
    await Supervisor.start_link(
        [
            Registry.child_spec(keys="unique").named("agents"),
            DynamicSupervisor.child_spec().named("sessions"),
        ],
        strategy="rest_for_one",
    )
    sessions = ref("sessions", DynamicSupervisor)
    await sessions.call(DynamicSupervisor.start_child, Member.child_spec(agents, "ann"))
    pid = agents.pid
    assert pid is not None
    kill(pid)
    await wait_until_idle()
    assert agents.count() == 0
    await sessions.call(DynamicSupervisor.start_child, Member.child_spec(agents, "ann"))
    assert len(agents.lookup("ann")) == 1


# ------------------------------------------------------------------------------------------------- edges


async def test_a_dead_process_cannot_be_registered() -> None:
    """Nobody would remove the entry again."""
    r, a = await registry("unique"), await actor()
    context = process_of(a).own_context().copy()
    kill(pid_of(a))
    await wait_until_idle()
    with pytest.raises(NoSuchProcess):
        context.run(r.register, "k")
    assert r.entries() == []


async def test_a_listener_may_use_registries_while_a_process_dies() -> None:
    """What it does in the name of the dying process cannot hurt the kernel."""
    first, second, a = await registry("unique"), await registry("unique"), await actor()
    await register(a, first, "k")
    await register(a, second, "k")
    context, refused = process_of(a).own_context(), []

    def meddle(event: str, measurements: object, metadata: object) -> None:
        for act in (second.unregister, first.register):
            try:
                context.copy().run(act, "k")
            except NoSuchProcess as error:
                refused.append(error)

    current_kernel().bus.attach(meddle, events=["registry.unregistered"])
    kill(pid_of(a))
    await wait_until_idle()
    assert first.entries() == second.entries() == []
    assert refused


@pytest.mark.simulate(False, reason="about numbers: once takes seconds")
async def test_a_hundred_thousand_entries_are_not_walked_through() -> None:
    """Neither to look up, nor to register, nor when a process dies; counted, not timed."""
    r = await registry("unique")
    for number in range(100_000):
        r.register(f"k{number}", number)
    a = await actor()
    table = process_of(r.pid).body.registrations.table
    touched: list[object] = []

    class Watched(dict[object, object]):
        def __iter__(self) -> Iterator[object]:
            touched.append(self)
            return super().__iter__()

        def values(self) -> Any:
            touched.append(self)
            return super().values()

    table._by_key, table._by_holder = Watched(table._by_key), Watched(table._by_holder)
    await register(a, r, "k")
    assert r.lookup("k99999") == [(self_pid(), 99_999)]
    assert r.whereis("k") == a.pid
    assert r.keys(a.pid) == ["k"]
    kill(pid_of(a))
    await wait_until_idle()
    assert (r.count(), r.statistics().processes) == (100_000, 1)
    r.unregister("k0")
    assert touched == []
    assert len(r.entries()) == 99_999
    assert len(touched) == 1


async def test_registrations_are_told_to_those_who_listen() -> None:
    heard: list[object] = []
    bus = Bus(strict=True)
    bus.attach(lambda event, _, metadata: heard.append((event, dict(metadata))), events=["registry.*"])
    async with Runtime(bus=bus):
        r = await registry("duplicate")
        server = r.pid
        assert server is not None
        a, b = await actor(), await actor()
        for who in (a, a, b):
            await do(who, lambda: r.register("k"))
        ids = [pid_of(who).serial for who in (a, a, b)]
        expected = [{"registry": server.serial, "key": "k", "pid": pid} for pid in ids]
        assert heard == [("registry.registered", each) for each in expected]
        heard.clear()
        await do(a, lambda: r.unregister("k"))
        await do(a, lambda: r.unregister("k"))
        assert heard == [("registry.unregistered", each) for each in expected[:2]]
        heard.clear()
        unlink(server)
        kill(server)
        await wait_until_idle()
        assert heard == [("registry.unregistered", expected[2])]
    assert not bus.problems
