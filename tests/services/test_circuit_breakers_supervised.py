"""CircuitBreakers: supervised calls, hanging functions, callers that die, crashes of the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CircuitBreakers,
    CircuitNotFound,
    CircuitOpen,
    Crashed,
    Killed,
    Pid,
    ProcessDied,
    RejectedError,
    Supervisor,
    TimeLimitExceeded,
    child_spec,
    kill,
    resume,
    self_pid,
    send,
    send_exit,
    suspend,
    trap_exit,
)
from mabeam._base import stopwatch_of
from mabeam.testing import Probe, wait_until_idle
from tests.services._scenes import (
    advance,
    answer,
    beside,
    circuits,
    fail,
    hang,
    is_alive,
    kill_and_wait,
    pid_of,
    process_of,
    refuse_to_end,
)

if TYPE_CHECKING:
    from mabeam.kernel import Process

pytestmark = pytest.mark.mabeam


def _tasks(service: str = "circuits") -> list[Pid]:
    """The tasks that run under the service."""
    pool = process_of(pid_of(service)).body.circuits.pool
    return [process.pid for process in pool.body._children if process.is_alive]


async def test_supervised_the_function_runs_in_a_process_of_its_own() -> None:
    c = (await circuits(circuits={"a": {}})).options(supervised=True)
    seen: list[Pid] = []
    parents: list[Process | None] = []

    async def note(value: int) -> int:
        seen.append(self_pid())
        parents.append(process_of(self_pid()).parent)
        assert c.statistics().tasks == 1
        return value

    assert await c.call("a", note, 5) == 5
    assert seen != [self_pid()]
    assert process_of(seen[0]).label.endswith("note")  # reports name the function
    assert parents == [process_of(pid_of("circuits")).body.circuits.pool]
    assert c.statistics().tasks == 0


async def test_supervised_what_it_raises_comes_as_it_is_and_is_no_crash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    c = (await circuits(circuits={"a": {"consecutive_failures": 1}})).options(supervised=True)
    with pytest.raises(ConnectionError, match="no route"):
        await c.call("a", fail, "no route")
    assert c.status("a").state == "open"
    with pytest.raises(CircuitOpen):
        await c.call("a", answer)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_supervised_nothing_arrives_in_the_mailbox_of_the_caller() -> None:
    """Neither results nor exit signals, also of a caller that traps exits."""
    c = (await circuits(circuits={"a": {}})).options(supervised=True)
    trap_exit()
    await c.call("a", answer)
    with pytest.raises(ConnectionError):
        await c.call("a", fail)
    await wait_until_idle()
    assert process_of(self_pid()).mailbox is None
    assert process_of(self_pid()).monitors in (None, {})


async def test_a_task_that_takes_too_long_is_a_failure_and_is_ended() -> None:
    c = (await circuits(circuits={"a": {"consecutive_failures": 1}})).options(supervised=True, timeout=2.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeLimitExceeded) as error:
        await c.call("a", hang)
    assert error.value.timeout == 2.0
    assert loop.time() - began == pytest.approx(2.0)
    assert c.status("a").state == "open"
    assert _tasks() == []


async def test_a_task_that_swallows_its_cancellation_is_killed_a_second_later() -> None:
    c = (await circuits(circuits={"a": {}})).options(supervised=True, timeout=2.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeLimitExceeded):
        await c.call("a", refuse_to_end)
    assert loop.time() - began == pytest.approx(3.0)
    assert _tasks() == []


async def test_a_cancelled_caller_ends_its_task() -> None:
    c = (await circuits(circuits={"a": {}})).options(supervised=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await c.call("a", hang)
    assert _tasks() == []
    assert (c.statistics().tasks, c.status("a").ignored) == (0, 1)


@pytest.mark.parametrize("how", ["kill", "exit"])
@pytest.mark.parametrize("function", [hang, refuse_to_end])
async def test_a_caller_that_dies_takes_its_task_along(how: str, function: Any) -> None:
    c = await circuits(circuits={"a": {}})
    outcome: list[Any] = []
    caller = beside(lambda: c.options(supervised=True).call("a", function), outcome)
    await wait_until_idle()
    (task,) = _tasks()
    if how == "kill":
        kill(caller)
    else:
        send_exit(caller, Crashed(ValueError("boom")))
    await advance(2.5)
    assert not is_alive(caller)
    assert not is_alive(task)
    assert _tasks() == []
    assert c.statistics().tasks == 0
    assert c.status("a").failed == 0


@pytest.mark.parametrize("how", ["kill", "exit"])
async def test_a_caller_that_dies_is_not_said_to_swallow_its_cancellation(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is being ended must not wait for its task, or it is left behind as code that does not end when it is told to."""
    c = (await circuits(circuits={"a": {}})).options(supervised=True)
    caller = beside(lambda: c.call("a", refuse_to_end), [])
    await wait_until_idle()
    (task,) = _tasks()
    if how == "kill":
        kill(caller)
    else:
        send_exit(caller, Crashed(ValueError("boom")))
    await wait_until_idle()
    assert not is_alive(caller)
    assert c.statistics().tasks == 0
    await advance(1.5)
    assert not is_alive(task)
    frozen = [each.getMessage() for each in caplog.records if "left behind" in each.getMessage()]
    assert [each.partition(" ")[0] for each in frozen] == [process_of(task).label]


@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("function", [hang, refuse_to_end])
async def test_the_place_of_a_probe_whose_caller_dies_is_free(supervised: bool, function: Any) -> None:  # noqa: FBT001  (a parameter of the test)
    c = await circuits(
        circuits={"a": {"consecutive_failures": 1, "open_seconds": 1.0, "half_open_seconds": None}}
    )
    with pytest.raises(ConnectionError):
        await c.call("a", fail)
    await advance(1.0)
    outcome: list[Any] = []
    caller = beside(lambda: c.options(supervised=supervised).call("a", function), outcome)
    await wait_until_idle()
    assert (c.status("a").state, c.status("a").probes_out) == ("half_open", 1)
    with pytest.raises(CircuitOpen):
        await c.call("a", answer)
    kill(caller)
    await advance(2.5)
    assert c.status("a").probes_out == 0
    assert await c.call("a", answer) == 1
    assert c.status("a").state == "closed"


async def test_a_task_killed_by_somebody_says_nothing_about_the_service() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}})
    outcome: list[Any] = []
    beside(lambda: c.options(supervised=True).call("a", hang), outcome)
    await wait_until_idle()
    await kill_and_wait(_tasks()[0])
    (error,) = outcome
    assert isinstance(error, ProcessDied)
    assert error.reason == Killed()
    assert (c.status("a").state, c.status("a").ignored) == ("closed", 1)


async def test_the_number_of_tasks_is_bounded_and_a_refusal_is_no_failure() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}, "b": {}}, max_tasks=2)
    outcome: list[Any] = []
    for _ in range(2):
        beside(lambda: c.options(supervised=True).call("b", hang), outcome)
    await wait_until_idle()
    assert c.statistics().tasks == 2
    with pytest.raises(RejectedError, match="2 supervised calls under way, and max_tasks allows no more"):
        await c.options(supervised=True).call("a", answer)
    assert (c.status("a").state, c.status("a").ignored) == ("closed", 1)
    assert await c.call("a", answer) == 1


async def test_a_refusal_is_no_failure_whatever_the_classifier_says() -> None:
    """A classifier that takes everything for a failure is not asked: the service behind the circuit has done nothing."""
    strict: Any = {"consecutive_failures": 1, "classify_error": lambda _error: "failure"}
    c = (await circuits(circuits={"a": strict}, max_tasks=1)).options(supervised=True)
    outcome: list[Any] = []
    caller = beside(lambda: c.call("a", hang), outcome)
    await wait_until_idle()
    with pytest.raises(RejectedError):
        await c.call("a", answer)
    assert (c.status("a").state, c.status("a").ignored) == ("closed", 1)
    await kill_and_wait(caller)
    await kill_and_wait(process_of(pid_of("circuits")).body.circuits.pool.pid)
    process_of(pid_of("circuits")).body.circuits.pool = None  # as in the moment of a restart
    with pytest.raises(RejectedError, match="being restarted"):
        await c.call("a", answer)
    assert c.status("a").state == "closed"


async def test_what_a_policy_inside_refuses_is_for_the_classifier() -> None:
    strict: Any = {"consecutive_failures": 1, "classify_error": lambda _error: "failure"}
    c = (await circuits(circuits={"a": strict, "b": {}}, max_tasks=1)).options(supervised=True)
    with pytest.raises(RejectedError, match="max_tasks"):  # of the circuit inside, which is another one
        await c.call("a", c.call, "b", answer)
    assert c.status("a").state == "open"
    assert c.status("b").ignored == 1


# ------------------------------------------------------------------------------------------------- law 2


async def test_a_function_that_hangs_for_ever_is_noticed_by_nobody_else() -> None:
    """1,000 other circuits and all status queries: not a moment of virtual time passes for them."""
    c = await circuits(max_circuits=1_001, circuits={f"c{each}": {} for each in range(1_001)}, max_tasks=3)
    outcome: list[Any] = []
    released = asyncio.Event()

    async def refuse_until_released() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    for supervised in (False, True):
        beside(lambda how=supervised: c.options(supervised=how).call("c0", hang), outcome)  # type: ignore[misc]  # bound now
        beside(lambda how=supervised: c.options(supervised=how).call("c0", refuse_until_released), outcome)  # type: ignore[misc]  # as above
    await wait_until_idle()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for each in range(1, 1_001):
        assert await c.call(f"c{each}", answer, each) == each
        assert c.status(f"c{each}").succeeded == 1
    for each in range(1, 101):
        assert await c.options(supervised=True).call(f"c{each}", answer, each) == each
    assert c.status("c0").state == "closed"
    c.reset("c0")
    c.configure("c0", probes=2)
    assert len(c.statuses()) == 1_001
    assert loop.time() == began
    assert outcome == []
    assert process_of(pid_of("circuits")).mailbox is None
    released.set()  # else each seed would leave all these circuits behind with a frozen coroutine


@pytest.mark.real_time
async def test_a_function_that_hangs_for_ever_is_noticed_by_nobody_else_in_real_time() -> None:
    c = await circuits(max_circuits=1_001, circuits={f"c{each}": {} for each in range(1_001)})
    outcome: list[Any] = []
    callers = [
        beside(lambda: c.call("c0", hang), outcome),
        beside(lambda: c.options(supervised=True).call("c0", hang), outcome),
    ]
    await c.call("c1", answer)
    watch = stopwatch_of(asyncio.get_running_loop())
    slowest = 0.0
    for each in range(1, 1_001):
        began = watch()
        await c.call(f"c{each}", answer)
        c.status(f"c{each}")
        slowest = max(slowest, watch() - began)
    assert slowest < 1.0  # generous: machines that run tests are busy
    for caller in callers:
        kill(caller)


async def test_a_classifier_runs_in_the_caller() -> None:
    seen: list[Pid] = []

    def note(_: object) -> Any:
        seen.append(self_pid())
        return "success"

    c = await circuits()
    c.configure("a", classify_result=note)
    await c.call("a", answer)
    await c.options(supervised=True).call("a", answer)
    assert seen == [self_pid()] * 2


async def test_a_suspended_service_still_serves() -> None:
    """Lookups do not pass through the process: one that takes no messages makes no difference."""
    c = await circuits(circuits={"a": {}})
    await suspend("circuits")
    assert await c.call("a", answer) == 1
    assert await c.options(supervised=True).call("a", answer) == 1
    assert c.configure("b") == "created"
    await resume("circuits")


# ------------------------------------------------------------------------------------------------- crashes


async def test_when_the_tasks_crash_circuits_keep_their_state() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}, "b": {"consecutive_failures": 1}})
    with pytest.raises(ConnectionError):
        await c.call("a", fail)
    outcome: list[Any] = []
    beside(lambda: c.options(supervised=True).call("b", hang), outcome)
    await wait_until_idle()
    await kill_and_wait(process_of(pid_of("circuits")).body.circuits.pool.pid)
    assert isinstance(outcome[0], ProcessDied)
    assert (c.status("a").state, c.status("b").state) == ("open", "closed")
    assert c.statistics().tasks == 0
    assert await c.options(supervised=True).call("b", answer) == 1


async def test_without_its_tasks_a_supervised_call_is_refused_and_says_nothing() -> None:
    c = await circuits(circuits={"a": {"consecutive_failures": 1}})
    kill(process_of(pid_of("circuits")).body.circuits.pool.pid)
    with pytest.raises(RejectedError, match="being restarted"):
        await c.options(supervised=True).call("a", answer)
    assert c.status("a").failed == 0


async def test_when_the_service_crashes_circuits_of_the_spec_come_back_closed_and_the_others_are_gone() -> (
    None
):
    given: dict[str, Any] = {"a": {"consecutive_failures": 1}}
    c = await circuits(circuits=given)
    given["later"] = {}  # what happens to the mapping afterwards makes no difference
    c.configure("b")
    c.isolate("b")
    with pytest.raises(ConnectionError):
        await c.call("a", fail)
    outcome: list[Any] = []
    beside(lambda: c.options(supervised=True).call("b", answer), outcome)
    in_caller: list[Any] = []
    go: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await go

    c.reset("b")
    beside(lambda: c.call("b", wait), in_caller)
    await wait_until_idle()
    await kill_and_wait("circuits")
    assert c.list() == ("a",)
    assert (c.status("a").state, c.status("a").failed) == ("closed", 0)
    with pytest.raises(CircuitNotFound, match="restarted"):
        c.status("b")
    assert await c.options(supervised=True).call("a", answer) == 1
    go.set_result(4)
    await wait_until_idle()
    assert in_caller == [4]  # a function that runs in its caller is not disturbed


async def test_ends_with_its_supervisor_and_leaves_nothing() -> None:
    supervisor = await Supervisor.start_link(
        [CircuitBreakers.child_spec(circuits={"a": {}}).named("circuits")], strategy="one_for_one"
    )
    outcome: list[Any] = []
    beside(lambda: CircuitBreakers.at("circuits").options(supervised=True).call("a", hang), outcome)
    await wait_until_idle()
    await supervisor.stop()
    await wait_until_idle()
    assert isinstance(outcome[0], ProcessDied)


async def test_a_caller_in_a_supervised_child_is_as_good_as_any() -> None:
    c = await circuits(circuits={"a": {}})
    probe = Probe.start()

    async def body() -> None:
        send(probe.pid, await c.options(supervised=True).call("a", answer, 9))

    await Supervisor.start_link([child_spec(body).options(restart="temporary")], strategy="one_for_one")
    assert await probe.next() == 9
