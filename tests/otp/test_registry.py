"""What is registered is found, by the rules of unique and of duplicate keys."""

import pytest

from mabeam.errors import AlreadyRegistered, NoSuchProcess, NotRegistered, UsageError
from mabeam.kernel import Pid, Runtime, info, self_pid, send, unregister, whereis
from mabeam.kernel import register as take_name
from mabeam.otp import GenServer, Registry, RegistryRef, RegistryStatistics, handle_call
from mabeam.testing import Probe
from tests.otp._actors import actor, do, process_of, register, registry

pytestmark = pytest.mark.mabeam


async def test_a_unique_key_has_one_process() -> None:
    r, a, b = await registry("unique"), await actor(), await actor()
    await do(a, lambda: r.register("k", 1))

    with pytest.raises(AlreadyRegistered) as taken:
        await do(b, lambda: r.register("k", 2))
    assert (taken.value.key, taken.value.pid) == ("k", a.pid)
    await do(b, lambda: r.register("j", 4))
    assert r.lookup("k") == [(a.pid, 1)]
    assert r.lookup("j") == [(b.pid, 4)]
    assert r.whereis("k") == a.pid
    assert r.count() == 2


async def test_a_process_cannot_register_a_unique_key_twice() -> None:
    """Its value stays as it was: update_value is for that."""
    r, a = await registry("unique"), await actor()
    await do(a, lambda: r.register("k", 1))
    with pytest.raises(AlreadyRegistered) as taken:
        await do(a, lambda: r.register("k", 3))
    assert taken.value.pid == a.pid
    assert r.lookup("k") == [(a.pid, 1)]


async def test_a_key_that_nobody_has_leads_nowhere() -> None:
    r = await registry("unique")
    assert r.lookup("zz") == []
    assert r.whereis("zz") is None
    assert r.match("zz", lambda _: True) == []
    assert r.count_match("zz", lambda _: True) == 0
    assert r.values("zz") == []
    assert r.entries() == []


async def test_a_process_may_have_many_keys() -> None:
    r, a = await registry("unique"), await actor()
    await register(a, r, "k", "j", "i", value="v")
    assert r.keys(a.pid) == ["k", "j", "i"]
    assert r.keys() == []
    assert await do(a, r.keys) == ["k", "j", "i"]
    assert r.values("j", a.pid) == ["v"]
    assert r.values("j") == []
    assert r.entries() == [("k", a.pid, "v"), ("j", a.pid, "v"), ("i", a.pid, "v")]


async def test_only_the_owner_can_take_a_key_back() -> None:
    r, a, b = await registry("unique"), await actor(), await actor()
    await do(a, lambda: r.register("k", 1))
    await do(b, lambda: r.unregister("k"))
    assert r.lookup("k") == [(a.pid, 1)]
    await do(a, lambda: r.unregister("k"))
    await do(a, lambda: r.unregister("k"))
    assert r.lookup("k") == []
    await do(b, lambda: r.register("k", 2))
    assert r.lookup("k") == [(b.pid, 2)]


async def test_only_the_owner_can_change_a_value() -> None:
    r, a, b = await registry("unique"), await actor(), await actor()
    await do(a, lambda: r.register("k", 1))
    assert await do(a, lambda: r.update_value("k", lambda value: (value, 2))) == ((1, 2), 1)
    with pytest.raises(NotRegistered) as refused:
        await do(b, lambda: r.update_value("k", lambda _: 3))
    assert refused.value.key == "k"
    with pytest.raises(NotRegistered):
        await do(a, lambda: r.update_value("no", lambda _: 3))
    assert r.lookup("k") == [(a.pid, (1, 2))]


async def test_an_update_that_loses_its_key_meanwhile_changes_nothing() -> None:
    """The function runs in the caller and may do anything there."""
    r = await registry("unique")
    r.register("k", 1)

    def give_up_and_register_again(_: object) -> object:
        r.unregister("k")
        r.register("k", "new")
        return "lost"

    with pytest.raises(NotRegistered):
        r.update_value("k", give_up_and_register_again)
    assert r.values("k") == ["new"]


async def test_a_duplicate_key_has_any_number_of_registrations_in_order() -> None:
    r, a, b = await registry("duplicate"), await actor(), await actor()
    await do(a, lambda: r.register("k", 1))
    await do(b, lambda: r.register("k", 2))
    await do(a, lambda: r.register("k", 3))
    await do(a, lambda: r.register("k", 3))
    assert r.lookup("k") == [(a.pid, 1), (b.pid, 2), (a.pid, 3), (a.pid, 3)]
    assert r.keys(a.pid) == ["k", "k", "k"]
    assert r.values("k", a.pid) == [1, 3, 3]
    assert r.statistics() == RegistryStatistics(entries=4, keys=1, processes=2)


async def test_unregister_takes_back_all_of_a_duplicate_key() -> None:
    r, a, b = await registry("duplicate"), await actor(), await actor()
    for who in (a, b, a):
        await do(who, lambda: r.register("k", 1))
    await do(a, lambda: r.register("j", 1))
    await do(a, lambda: r.unregister("k"))
    assert r.lookup("k") == [(b.pid, 1)]
    assert r.keys(a.pid) == ["j"]


async def test_unregister_match_takes_back_what_matches_of_the_callers_own() -> None:
    r, a, b = await registry("duplicate"), await actor(), await actor()
    await do(a, lambda: r.register("k", 1))
    await do(a, lambda: r.register("k", 2))
    await do(b, lambda: r.register("k", 1))
    await do(a, lambda: r.unregister_match("k", lambda value: value == 1))
    assert r.lookup("k") == [(a.pid, 2), (b.pid, 1)]
    await do(a, lambda: r.unregister_match("k", lambda value: value == 7))
    assert r.lookup("k") == [(a.pid, 2), (b.pid, 1)]


async def test_a_predicate_that_raises_takes_nothing_back() -> None:
    r = await registry("duplicate")
    r.register("k", 1)
    r.register("k", 0)
    with pytest.raises(ZeroDivisionError):
        r.unregister_match("k", lambda value: 1 / value)  # type: ignore[operator]  # it is a number
    assert r.values("k") == [1, 0]


async def test_match_looks_at_values() -> None:
    r, a, b = await registry("duplicate"), await actor(), await actor()
    await do(a, lambda: r.register("k", ("x", 1)))
    await do(b, lambda: r.register("k", ("y", 1)))

    def first_is_x(value: object) -> bool:
        return isinstance(value, tuple) and value[0] == "x"

    assert r.match("k", first_is_x) == [(a.pid, ("x", 1))]
    assert r.match("k", lambda value: True) == [(a.pid, ("x", 1)), (b.pid, ("y", 1))]
    assert r.count_match("k", first_is_x) == 1


async def test_dispatch_gives_the_function_all_entries_at_once() -> None:
    r = await registry("duplicate")
    probes = [Probe.start(), Probe.start()]
    for number, probe in enumerate(probes):
        context = process_of(probe.pid).own_context().copy()
        context.run(r.register, "k", number)
        context.run(r.register, "other", number)
    given: list[object] = []

    def hey(entries: list[tuple[Pid, object]]) -> None:
        given.append(list(entries))
        for probe in probes:
            send(probe.pid, "hey")
        entries.clear()

    r.dispatch("k", hey)
    assert given == [[(probes[0].pid, 0), (probes[1].pid, 1)]]
    assert [await probe.next() for probe in probes] == ["hey", "hey"]
    assert r.count() == 4


async def test_dispatch_on_a_key_that_nobody_has_calls_nothing() -> None:
    r = await registry("unique")
    r.dispatch("zz", lambda entries: pytest.fail(f"called with {entries}"))


async def test_dispatch_runs_in_the_caller_and_its_error_is_the_callers() -> None:
    r, a = await registry("unique"), await actor()
    r.register("k")
    ran_in: list[object] = []

    def fail(_: object) -> None:
        ran_in.append(self_pid())
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await do(a, lambda: r.dispatch("k", fail))
    assert ran_in == [a.pid]
    assert r.pid is not None
    assert r.pid.is_alive
    assert r.count() == 1


async def test_what_a_caller_does_never_waits_for_the_process_of_the_registry() -> None:
    """Its mailbox is left alone: a caller that hangs in dispatch holds up nobody."""
    r = await registry("unique")
    r.register("k", 1)
    seen: list[object] = []
    r.dispatch("k", lambda _: seen.append((r.lookup("k"), r.update_value("k", lambda _: 2), r.values("k"))))
    assert seen == [([(self_pid(), 1)], (2, 1), [2])]


@pytest.mark.parametrize("name", ["match", "count_match", "unregister_match", "update_value", "dispatch"])
async def test_functions_must_be_plain(name: str) -> None:
    """A coroutine function would answer something true, and never run."""
    r = await registry("unique")
    r.register("k")

    async def wrong(_: object) -> bool:
        return False

    for function in (wrong, "a value"):
        with pytest.raises(UsageError, match=f"{name} expects a plain function"):
            getattr(r, name)("k", function)
    assert r.count() == 1


async def test_what_needs_unique_keys_says_so() -> None:
    r = await registry("duplicate")
    r.register("k")
    with pytest.raises(UsageError, match="whereis needs unique keys"):
        r.whereis("k")
    with pytest.raises(UsageError, match="update_value needs unique keys"):
        r.update_value("k", lambda _: 1)


async def test_a_key_must_be_hashable() -> None:
    r: RegistryRef[object, None] = Registry.at(await Registry.start_link(keys="duplicate"))
    for function in (r.register, r.unregister, r.lookup, r.via):
        with pytest.raises(UsageError, match="must be hashable"):
            function(["list"])
    assert r.count() == 0


@pytest.mark.parametrize("keys", ["both", None, True])
async def test_a_registry_must_be_told_what_keys_are(keys: object) -> None:
    """Before anything starts: in the spec, too."""
    with pytest.raises(UsageError, match="keys='unique' or keys='duplicate', got"):
        await Registry.start_link(keys=keys)  # type: ignore[arg-type]  # it is wrong
    (problem,) = Registry.child_spec(keys=keys).check()  # type: ignore[arg-type]  # it is wrong
    assert "keys='unique' or keys='duplicate', got" in problem


async def test_keys_has_no_default() -> None:
    with pytest.raises(UsageError, match="keys"):
        await Registry.child_spec().start_link()  # type: ignore[call-arg]  # it is wrong


class Other(GenServer):
    @handle_call
    def ask(self) -> None: ...


async def test_a_registry_that_is_not_running_is_no_such_process_with_the_fix() -> None:
    r: RegistryRef[str, int] = Registry.at("agents")
    with pytest.raises(NoSuchProcess, match=r"Registry\.child_spec\(keys='unique'\)\.named\('agents'\)"):
        r.register("k", 1)
    with pytest.raises(NoSuchProcess):
        r.lookup("k")
    ref = await Registry.start_link(keys="unique")
    by_pid: RegistryRef[str, int] = Registry.at(ref)
    await ref.stop()
    with pytest.raises(NoSuchProcess, match="no registry running"):
        by_pid.count()
    assert r.pid is None


async def test_something_else_in_the_place_of_a_registry_is_a_usage_error() -> None:
    await Other.child_spec().named("agents").start_link()
    with pytest.raises(UsageError, match="expected a Registry"):
        Registry.at("agents").lookup("k")


async def test_a_registry_serves_its_own_runtime_only() -> None:
    r = await registry("unique")

    async with Runtime():
        with pytest.raises(UsageError, match="another Runtime"):
            r.count()


async def test_one_handle_leads_to_the_registry_of_each_runtime() -> None:
    agents = Registry.at("agents")
    await Registry.child_spec(keys="unique").named("agents").start_link()
    agents.register("k", "outer")
    async with Runtime():
        await Registry.child_spec(keys="unique").named("agents").start_link()
        agents.register("k", "inner")
        assert agents.values("k") == ["inner"]
    assert agents.values("k") == ["outer"]


class Threaded(GenServer):
    @handle_call(thread=True, raises=(UsageError,))
    def look(self, agents: RegistryRef[str, int]) -> object:
        return agents.lookup("k")


async def test_a_registry_is_not_for_threads() -> None:
    r = Registry.at(await Registry.start_link(keys="unique"))
    server = await Threaded.start_link()
    with pytest.raises(UsageError, match="thread"):
        await server.call(Threaded.look, r)


async def test_handles_are_values() -> None:
    ref = await Registry.start_link(keys="unique")
    by_name, by_ref = Registry.at("agents"), Registry.at(ref)
    assert by_name == Registry.at("agents")
    assert by_name == Registry.at(by_name)
    assert by_name != by_ref
    assert len({by_name, Registry.at("agents"), by_ref, Registry.at(ref)}) == 2
    assert by_ref.pid == ref.pid
    assert by_ref.address() == ref.pid
    assert repr(by_name) == "<registry 'agents'>"


@pytest.mark.parametrize("wrong", ["", None, 3, Registry, Registry.child_spec(keys="unique")])
async def test_a_handle_is_made_for_something_that_leads_to_a_process(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"Registry\.at expects"):
        Registry.at(wrong)  # type: ignore[arg-type]  # it is wrong


async def test_a_registry_shows_what_it_holds() -> None:
    ref = await Registry.child_spec(keys="duplicate").named("agents").start_link()
    agents = Registry.at("agents")
    agents.register("k")
    agents.register("k")
    assert repr(process_of(ref).body) == "<Registry duplicate, 2 entries of 1 processes>"


async def test_ten_registries_do_not_know_each_other() -> None:
    registries = [await registry("unique") for _ in range(10)]
    for number, each in enumerate(registries):
        each.register("k", number)
    assert [each.lookup("k") for each in registries] == [[(self_pid(), number)] for number in range(10)]
    registries[3].unregister("k")
    assert [each.count() for each in registries] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


async def test_unregistering_a_key_takes_no_other_name() -> None:
    """A process may have one of its own and many keys."""
    r = await registry("unique")
    a = await actor()
    await do(a, lambda: take_name("own"))
    await do(a, lambda: r.register("k"))
    unregister(r.via("k"))
    assert (r.whereis("k"), whereis("own")) == (None, a.pid)
    unregister("own")
    assert whereis("own") is None


@pytest.mark.parametrize("how", ["unregister", "unregister_match", "by its name"])
async def test_a_process_that_has_given_back_its_key_is_not_called_by_it(how: str) -> None:
    """Neither by `info` nor in reports."""
    r = await registry("unique")
    a = await actor()
    await do(a, lambda: take_name(r.via("k")))
    await do(a, lambda: r.register("j"))
    await do(a, lambda: r.unregister("j"))
    assert info(a).name == r.via("k")
    if how == "by its name":
        unregister(r.via("k"))
    elif how == "unregister":
        await do(a, lambda: r.unregister("k"))
    else:
        await do(a, lambda: r.unregister_match("k", lambda _value: True))
    assert info(a).name is None
