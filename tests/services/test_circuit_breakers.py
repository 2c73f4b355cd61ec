"""CircuitBreakers: configuring, calling, looking, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CircuitBreakers,
    CircuitNotFound,
    CircuitOpen,
    CircuitRules,
    CircuitSettings,
    NoSuchProcess,
    Outcome,
    Registry,
    RejectedError,
    Runtime,
    Supervisor,
    UsageError,
    in_thread,
)
from mabeam.testing import wait_until_idle
from tests.services._scenes import advance, answer, circuits, fail, hang, pid_of, process_of

if TYPE_CHECKING:
    from mabeam.telemetry import Bus

pytestmark = pytest.mark.mabeam


async def _fail_times(c: Any, circuit: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            await c.call(circuit, fail)


async def test_a_circuit_opens_probes_and_closes_and_status_says_so() -> None:
    """Half open is a state that one can see, and only a probe that comes back well closes the circuit."""
    c = await circuits()
    assert c.configure("a", consecutive_failures=2, open_seconds=10.0) == "created"
    await _fail_times(c, "a", 2)
    assert c.status("a").state == "open"
    with pytest.raises(CircuitOpen) as refused:
        await c.call("a", answer)
    assert (refused.value.breaker, refused.value.state, refused.value.retry_after) == ("a", "open", 10.0)
    await advance(10.0)
    assert c.status("a").state == "open"  # time alone closes nothing
    seen: list[str] = []

    async def probe() -> str:
        seen.append(c.status("a").state)
        with pytest.raises(CircuitOpen):
            await c.call("a", answer)
        return "well"

    assert await c.call("a", probe) == "well"
    assert seen == ["half_open"]
    assert c.status("a").state == "closed"


async def test_a_success_ends_the_row_of_failures() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 2}})
    await _fail_times(c, "a", 1)
    assert await c.call("a", answer, 7) == 7
    await _fail_times(c, "a", 1)
    assert c.status("a").state == "closed"


async def test_each_setting_reaches_the_breaker() -> None:
    """The settings are those of a breaker, and none is ignored."""
    names = set(CircuitSettings.__annotations__)
    assert names == set(CircuitRules.__dataclass_fields__) | {"classify_error", "classify_result"}

    def judge(_: object) -> Outcome:
        return "ignore"

    def weigh(value: object) -> Outcome:
        return "failure" if value == 13 else "success"

    c = await circuits()
    c.configure(
        "a",
        failure_rate=0.5,
        slow_call_rate=0.9,
        slow_call_seconds=3.0,
        window_seconds=20.0,
        minimum_calls=1,
        open_seconds=4.0,
        probes=3,
        probe_failures=1,
        half_open_seconds=None,
        cancelled="failure",
        classify_error=judge,
        classify_result=weigh,
    )
    rules = c.circuit("a").rules
    assert (rules.failure_rate, rules.window_seconds, rules.probes, rules.half_open_seconds) == (
        0.5,
        20.0,
        3,
        None,
    )
    await _fail_times(c, "a", 3)
    assert (c.status("a").state, c.status("a").ignored) == ("closed", 3)
    assert await c.call("a", answer, 13) == 13
    assert c.status("a").state == "open"


async def test_it_isolates_resets_lists_and_removes() -> None:
    c = await circuits()
    for each in "cab":
        c.configure(each, consecutive_failures=1)
    assert c.list() == ("c", "a", "b")
    c.isolate("a")
    await _fail_times(c, "b", 1)
    assert {each: status.state for each, status in c.statuses().items()} == {
        "c": "closed",
        "a": "isolated",
        "b": "open",
    }
    with pytest.raises(CircuitOpen, match="isolated"):
        await c.call("a", answer)
    c.reset("a")
    c.reset("b")
    assert await c.call("a", answer) == await c.call("b", answer) == 1
    c.isolate("b")
    c.remove("a")
    numbers = c.statistics()
    assert (numbers.circuits, numbers.closed, numbers.open, numbers.half_open, numbers.isolated) == (
        2,
        1,
        0,
        0,
        1,
    )
    assert (numbers.max_circuits, numbers.max_tasks, numbers.tasks) == (1_000, 100, 0)


@pytest.mark.parametrize("what", ["call", "status", "circuit", "reset", "isolate", "remove"])
async def test_an_unknown_id_is_a_clear_error(what: str) -> None:
    c = await circuits(circuits={"payments": {}})
    ran: list[int] = []

    async def note() -> None:
        ran.append(1)

    with pytest.raises(CircuitNotFound, match="Did you mean 'payments'") as error:
        if what == "call":
            await c.call("paymnets", note)
        else:
            getattr(c, what)("paymnets")
    assert error.value.circuit == "paymnets"
    assert "circuits" in error.value.service
    assert not ran


async def test_configuring_again_changes_nothing_unless_it_is_different() -> None:
    """A process that configures its circuit whenever it is restarted must not close one that is open."""
    c = await circuits()
    c.configure("a", consecutive_failures=1)
    await _fail_times(c, "a", 1)
    assert c.configure("a", consecutive_failures=1) == "unchanged"
    assert c.status("a").state == "open"
    assert c.configure("a", consecutive_failures=2) == "replaced"
    assert (c.status("a").state, c.status("a").failed) == ("closed", 0)


async def test_a_call_under_way_ends_for_the_breaker_that_admitted_it() -> None:
    """Replaced or removed in use: the caller gets its value, and the new circuit does not hear of it."""
    c = await circuits(circuits={"a": {"consecutive_failures": 1}, "b": {}})
    go: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def fail_later() -> int:
        await go
        raise ConnectionError("late")

    async def one(circuit: str) -> object:
        try:
            return await c.call(circuit, fail_later)
        except ConnectionError as error:
            return str(error)

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(one(each)) for each in "ab"]
        await wait_until_idle()
        c.configure("a", consecutive_failures=1, open_seconds=5.0)
        c.remove("b")
        go.set_result(None)
    assert [call.result() for call in calls] == ["late", "late"]
    assert (c.status("a").state, c.status("a").failed) == ("closed", 0)
    assert c.list() == ("a",)


async def test_the_number_of_circuits_is_bounded() -> None:
    c = await circuits(max_circuits=2)
    c.configure("a")
    c.configure("b")
    with pytest.raises(RejectedError, match="max_circuits"):
        c.configure("c")
    assert c.configure("b", probes=2) == "replaced"
    c.remove("a")
    assert c.configure("c") == "created"


async def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(UsageError) as error:
        CircuitBreakers.child_spec(
            circuits={"": {}, "a": {"probes": 0, "open_seconds": -1.0}, "b": {"nonsense": 1}, "c": 5},  # type: ignore[dict-item,typeddict-unknown-key]  # the mistakes under test
            max_circuits=0,
            max_tasks=True,
        )
    text = "\n".join(error.value.problems)
    for part in (
        "non-empty",
        "'a': probes",
        "'a': open_seconds",
        "'b': there is no setting 'nonsense'",
        "'c': settings",
    ):
        assert part in text
    assert "max_circuits" in text
    assert "max_tasks" in text
    with pytest.raises(UsageError, match="max_circuits allows 1"):
        CircuitBreakers.child_spec(circuits={"a": {}, "b": {}}, max_circuits=1)
    with pytest.raises(UsageError, match="mapping from ids"):
        CircuitBreakers.child_spec(circuits=["a"])  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(UsageError):
        await CircuitBreakers.start_link(max_tasks=0)
    c = await circuits()
    with pytest.raises(UsageError) as error:
        c.configure("", probes=0, classify_error=5)  # type: ignore[arg-type]  # the mistake under test
    assert len(error.value.problems) == 3
    assert c.list() == ()


async def test_any_number_of_instances_and_the_child_id_follows_the_name() -> None:
    specs = [CircuitBreakers.child_spec(circuits={"a": {}}).named(f"circuits-{each}") for each in range(10)]
    assert [spec.id for spec in specs] == [f"circuits-{each}" for each in range(10)]
    supervisor = await Supervisor.start_link(specs, strategy="one_for_one")
    CircuitBreakers.at("circuits-3").isolate("a")
    states = [CircuitBreakers.at(spec.id).status("a").state for spec in specs]
    assert states.count("isolated") == 1
    children = await supervisor.call(Supervisor.which_children)
    assert [child.id for child in children] == [spec.id for spec in specs]
    assert all(child.is_supervisor for child in children)


async def test_what_is_not_there_or_is_something_else_is_told() -> None:
    with pytest.raises(NoSuchProcess, match=r"CircuitBreakers\.child_spec"):
        CircuitBreakers.at("nobody").list()
    await Registry.child_spec(keys="unique").named("registry").start_link()
    with pytest.raises(UsageError, match="expected a CircuitBreakers"):
        CircuitBreakers.at("registry").list()
    for wrong in ("", 5, None):
        with pytest.raises(UsageError, match=r"CircuitBreakers\.at expects"):
            CircuitBreakers.at(wrong)  # type: ignore[arg-type]  # the mistake under test
    reference = await CircuitBreakers.start_link()
    assert CircuitBreakers.at(reference).list() == ()
    await reference.stop()
    with pytest.raises(NoSuchProcess):
        CircuitBreakers.at(reference).list()


async def test_handles_compare_by_where_they_lead_and_how_they_call() -> None:
    one, same = CircuitBreakers.at("a"), CircuitBreakers.at("a")
    assert one == same
    assert hash(one) == hash(same)
    assert one != one.options(supervised=True)
    assert one.address() == "a"
    assert repr(one.options(supervised=True)) == "<circuit breakers 'a', supervised>"


async def test_the_service_shows_what_it_holds() -> None:
    await circuits(circuits={"a": {}})
    assert repr(_body(pid_of("circuits"))) == "<CircuitBreakers, 1 of 1000 circuits>"


def _body(pid: Any) -> Any:
    return process_of(pid).body


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"supervised": 1}, "supervised"),
        ({"timeout": -1.0, "supervised": True}, "timeout"),
        ({"timeout": 2.0}, "TimeLimit"),
    ],
)
async def test_options_that_make_no_sense_are_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        CircuitBreakers.at("a").options(**options)


@pytest.mark.simulate(seeds=3)
async def test_a_thread_uses_the_breaker_itself() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}})
    breaker = c.circuit("a")

    def blocking() -> str:
        with pytest.raises(ZeroDivisionError):
            breaker.call_sync(lambda: 1 // 0)
        return breaker.state

    assert await in_thread(blocking) == "open"
    assert c.status("a").state == "open"


async def test_its_events(runtime: Runtime) -> None:
    """Configured and removed; what a circuit does is told by its breaker, opening included."""
    told: list[tuple[str, Any]] = []
    bus: Bus = runtime.bus
    bus.attach(
        lambda name, measurements, metadata: told.append((name, {**measurements, **metadata})),
        events=["circuit_breakers.*", "circuit_breaker.changed"],
    )
    c = await circuits()
    service = pid_of("circuits").serial
    c.configure("a", consecutive_failures=1)
    await _fail_times(c, "a", 1)
    c.remove("a")
    assert told[0] == (
        "circuit_breakers.configured",
        {"circuits": 1, "service": service, "breaker": "a", "change": "created"},
    )
    assert told[1][0] == "circuit_breaker.changed"
    assert told[1][1]["after"] == "open"
    assert told[2] == ("circuit_breakers.removed", {"circuits": 0, "service": service, "breaker": "a"})


async def test_a_hundred_callers_at_once_are_all_counted() -> None:
    c = await circuits(circuits={"a": {}})
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(c.call("a", answer))
            group.create_task(c.options(supervised=True).call("a", answer))
    assert c.status("a").succeeded == 100
    assert c.statistics().tasks == 0


async def test_a_call_that_is_cancelled_says_nothing() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await c.call("a", hang)
    assert (c.status("a").state, c.status("a").ignored) == ("closed", 1)


async def test_a_thread_is_told_that_the_handle_is_for_processes() -> None:
    c = await circuits(circuits={"a": {}})
    with pytest.raises(UsageError):
        await in_thread(c.list)
