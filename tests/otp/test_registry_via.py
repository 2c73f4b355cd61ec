"""Keys of a registry as names of processes."""

import pytest

from mabeam.errors import AlreadyRegistered, ChildError, NoSuchProcess, StartFailed, UsageError
from mabeam.kernel import (
    AlreadyStarted,
    Crashed,
    Down,
    Exited,
    ExitSignal,
    Pid,
    ViaName,
    current_kernel,
    kill,
    receive,
    register,
    self_pid,
    send,
    send_after,
    spawn,
    trap_exit,
    unregister,
    whereis,
)
from mabeam.otp import (
    GenServer,
    Ref,
    Registry,
    RegistryName,
    RegistryRef,
    Supervisor,
    handle_call,
    handle_cast,
    ref,
)
from mabeam.testing import Probe, wait_until_idle
from tests.otp._actors import Actor, actor, do, pid_of, registry

pytestmark = pytest.mark.mabeam

AGENTS: RegistryRef[str, str | None] = Registry.at("agents")


class Named(GenServer):
    """Says under which keys it found itself registered when it started."""

    def __init__(self, agents: RegistryRef[str, str | None] = AGENTS) -> None:
        self.at_start = agents.keys()

    @handle_call
    def keys(self) -> list[str]:
        return self.at_start

    @handle_cast
    def crash(self) -> None:
        raise ValueError("boom")

    @handle_call(thread=True)
    def cast_from_thread(self, other: Ref["Named"]) -> None:
        other.cast(Named.crash)


async def tree(*keys: str) -> Ref[Supervisor]:
    """A supervisor with the registry and a server for each key."""
    return await Supervisor.start_link(
        [
            Registry.child_spec(keys="unique").named("agents"),
            *(Named.child_spec().named(AGENTS.via(key)) for key in keys),
        ],
        strategy="one_for_one",
        max_restarts=9,
    )


async def test_a_name_is_there_before_init_and_again_after_each_restart() -> None:
    await tree("srv", "srv2")
    server = ref(AGENTS.via("srv"), Named)
    first = AGENTS.whereis("srv")
    assert first is not None
    assert server.pid == first
    assert await server.call(Named.keys) == ["srv"]

    server.cast(Named.crash)
    await wait_until_idle()
    second = AGENTS.whereis("srv")
    assert second not in {first, None}
    assert await server.call(Named.keys) == ["srv"]

    assert second is not None
    kill(second)
    await wait_until_idle()
    assert AGENTS.whereis("srv") not in {first, second, None}
    assert AGENTS.count() == 2


async def test_a_taken_name_refuses_a_start_and_a_stopped_child_gives_it_up() -> None:
    top = await tree("srv", "srv2")
    taken = AGENTS.whereis("srv")
    assert taken is not None
    another = Named.child_spec().named(AGENTS.via("srv")).options(id="another")

    with pytest.raises(StartFailed) as failed:
        await top.call(Supervisor.start_child, another)
    assert failed.value.reason == Exited(AlreadyStarted(taken))

    await top.call(Supervisor.terminate_child, "agents['srv']")
    assert AGENTS.whereis("srv") is None
    started = await top.call(Supervisor.start_child, another)
    with pytest.raises(StartFailed) as failed:
        await top.call(Supervisor.restart_child, "agents['srv']")
    assert started.pid is not None
    assert failed.value.reason == Exited(AlreadyStarted(started.pid))
    assert AGENTS.lookup("srv") == [(started.pid, None)]
    assert AGENTS.count() == 2


async def test_child_ids_follow_the_name_and_tell_keys_apart() -> None:
    top = await tree("a", "b")
    assert [info.id for info in await top.call(Supervisor.which_children)] == [
        "agents",
        "agents['a']",
        "agents['b']",
    ]
    assert str(AGENTS.via("1")) != str(Registry.at("agents").via(1))
    with pytest.raises(ChildError) as refused:
        await top.call(Supervisor.start_child, Named.child_spec().named(AGENTS.via("a")))
    assert refused.value.code == "already_started"


async def test_names_are_values() -> None:
    assert AGENTS.via("k") == Registry.at("agents").via("k", "a value")
    assert AGENTS.via("k") != AGENTS.via("j")
    assert AGENTS.via("k") != Registry.at("others").via("k")
    assert len({AGENTS.via("k"), AGENTS.via("k", "a value"), AGENTS.via("j")}) == 2
    assert isinstance(AGENTS.via("k"), RegistryName)
    assert isinstance(AGENTS.via("k"), ViaName)


async def test_a_name_may_come_with_a_value() -> None:
    await registry_named()
    server = await Named.child_spec().named(AGENTS.via("k", "first")).start_link()
    assert AGENTS.lookup("k") == [(server.pid, "first")]


async def registry_named() -> None:
    await Registry.child_spec(keys="unique").named("agents").start_link()


async def test_without_its_registry_a_name_leads_nowhere() -> None:
    """As any name that nobody has: a call raises, a cast and a timer make a dead letter."""
    server = ref(AGENTS.via("k"), Named)
    assert server.pid is None
    assert whereis(AGENTS.via("k")) is None
    with pytest.raises(NoSuchProcess, match=r"agents\['k'\]"):
        await server.call(Named.keys)
    with pytest.raises(NoSuchProcess):
        send(AGENTS.via("k"), "hello")
    server.cast(Named.crash)
    send_after(1.0, AGENTS.via("k"), "hello")
    probe = Probe.start()
    with pytest.raises(TimeoutError):
        await probe.next(timeout=2.0)
    assert [letter.why for letter in current_kernel().dead_letters.latest] == ["no_name", "no_name"]


async def test_without_its_registry_a_start_fails_and_leaves_nothing() -> None:
    """As any other failed start: the supervisor above decides."""
    before = len(current_kernel().table)
    with pytest.raises(StartFailed) as failed:
        await Named.child_spec().named(AGENTS.via("k")).start()
    assert isinstance(failed.value.reason, Crashed)
    assert isinstance(failed.value.__cause__, NoSuchProcess)
    assert "Registry.child_spec(keys='unique').named('agents')" in str(failed.value.__cause__)
    assert len(current_kernel().table) == before

    with pytest.raises(StartFailed):
        await Supervisor.child_spec(
            [Named.child_spec().named(AGENTS.via("k"))], strategy="one_for_one"
        ).start()
    assert len(current_kernel().table) == before


async def test_duplicate_keys_are_no_names() -> None:
    r = await registry("duplicate")
    with pytest.raises(StartFailed) as failed:
        await Actor.child_spec().named(r.via("k")).start()
    assert isinstance(failed.value.__cause__, UsageError)
    with pytest.raises(UsageError, match="unique keys"):
        whereis(r.via("k"))
    with pytest.raises(UsageError, match="unique keys"):
        register(r.via("k"))
    assert r.count() == 0


async def test_a_living_process_can_be_given_a_name_and_lose_it() -> None:
    r, a = await registry("unique"), await actor()
    name = r.via("k")
    register(name, a)
    assert whereis(name) == a.pid
    assert r.keys(a.pid) == ["k"]
    with pytest.raises(UsageError, match="taken by"):
        register(name)
    with pytest.raises(UsageError, match="has one name"):
        register(r.via("j"), a)
    unregister(name)
    assert whereis(name) is None
    assert r.count() == 0


async def test_a_key_registered_before_is_a_name_after() -> None:
    r = await registry("unique")
    r.register("k", "value")
    register(r.via("k", "another"))
    assert r.lookup("k") == [(self_pid(), "value")]
    unregister(r.via("k"))
    assert r.lookup("k") == []


async def test_a_named_process_may_have_keys_besides() -> None:
    r = await registry("unique")
    server = await Actor.child_spec().named(r.via("k")).start()
    await do(server, lambda: r.register("more"))
    with pytest.raises(AlreadyRegistered):
        await do(server, lambda: r.register("k"))
    assert r.keys(server.pid) == ["k", "more"]
    await server.stop()
    assert r.entries() == []


async def test_a_name_that_was_given_up_can_be_taken_by_another_who_keeps_it() -> None:
    """The end of its first owner takes nothing from the second."""
    r = await registry("unique")
    first, second = await Actor.child_spec().named(r.via("k")).start(), await actor()
    await do(first, lambda: r.unregister("k"))
    await do(second, lambda: r.register("k"))
    kill(pid_of(first))
    await wait_until_idle()
    assert r.lookup("k") == [(second.pid, None)]


async def test_messages_find_a_process_by_its_key() -> None:
    r, probe = await registry("unique"), Probe.start()
    register(r.via("k"), probe.pid)
    send(r.via("k"), "now")
    send_after(3.0, r.via("k"), "later")
    assert await probe.next() == "now"
    assert await probe.next() == "later"


async def test_a_thread_can_cast_by_key() -> None:
    """The name is looked up in the loop, in the name of the thread's process."""
    await tree("a", "b")
    before = AGENTS.whereis("b")
    await ref(AGENTS.via("a"), Named).call(Named.cast_from_thread, ref(AGENTS.via("b"), Named))
    await wait_until_idle()
    assert AGENTS.whereis("b") not in {before, None}


async def test_a_registry_may_be_named_by_a_key_of_another() -> None:
    await registry_named()
    inner = Registry.at(AGENTS.via("inner"))
    await Registry.child_spec(keys="unique").named(AGENTS.via("inner")).start_link()
    server = await Actor.child_spec().named(inner.via("k")).start()
    assert inner.whereis("k") == server.pid
    assert repr(inner.via("k")) == "agents['inner']['k']"
    await server.stop()
    assert inner.entries() == []


async def test_something_else_under_the_registrys_name_cannot_hurt_the_end_of_a_process() -> None:
    await registry_named()
    server = await Actor.child_spec(traps=True).named(AGENTS.via("k")).start()
    await ref("agents", Registry).stop()
    await Actor.child_spec().named("agents").start_link()
    await server.stop()
    with pytest.raises(UsageError, match="expected a Registry"):
        AGENTS.count()


class BrokenName:
    """A name of somebody else's making, which fails when it is given up."""

    def register_name(self, pid: Pid) -> Pid:
        return pid

    def whereis_name(self) -> Pid | None:
        return None

    def unregister_name(self, pid: Pid) -> None:
        raise LookupError("broken")


async def test_a_name_that_fails_to_be_given_up_keeps_nothing_else_from_going(
    caplog: pytest.LogCaptureFixture,
) -> None:
    r, probe = await registry("unique"), Probe.start()
    server = await Actor.child_spec().named(BrokenName()).start()
    await do(server, lambda: r.register("k"))
    probe.watch(pid_of(server))
    kill(pid_of(server))
    assert isinstance(await probe.next(), Down)
    assert r.entries() == []
    assert "failed to forget it" in caplog.text


async def test_a_name_that_went_with_its_registry_can_be_given_again() -> None:
    """Whoever traps exits outlives the registry, and comes back under its name."""
    agents, found = Registry.at("agents"), []

    async def ann() -> None:
        trap_exit()
        register(agents.via("ann"))
        with pytest.raises(UsageError, match="a process has one name"):
            register("other")
        await receive(ExitSignal)
        await receive(str)
        found.append(whereis(agents.via("ann")))
        register(agents.via("ann"))
        found.append(whereis(agents.via("ann")))
        await receive()

    await Supervisor.start_link([Registry.child_spec(keys="unique").named("agents")], strategy="one_for_one")
    pid = spawn(ann)
    await wait_until_idle()
    kill("agents")
    await wait_until_idle()
    send(pid, "the registry is back")
    await wait_until_idle()
    assert found == [None, pid]
