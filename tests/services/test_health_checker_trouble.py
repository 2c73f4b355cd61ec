"""HealthChecker: checks that behave badly, subscribers, crashes."""

from __future__ import annotations

import asyncio
import sys
import threading
from functools import partial
from typing import Any

import pytest

from mabeam import (
    CallTimeout,
    HealthChanged,
    HealthCheck,
    HealthChecker,
    NoSuchProcess,
    Pid,
    ProcessDied,
    RejectedError,
    Supervisor,
    kill,
    receive,
    self_pid,
    trap_exit,
)
from mabeam._base import stopwatch_of
from mabeam.kernel import in_thread
from mabeam.services._health_run import Run, body_of_thread
from mabeam.services._health_state import Check
from mabeam.testing import wait_until_idle
from tests.services._scenes import (
    advance,
    beside,
    fail,
    hang,
    health,
    is_alive,
    kill_and_wait,
    pid_of,
    process_of,
    refuse_to_end,
)

pytestmark = pytest.mark.mabeam


async def fine() -> None:
    pass


def _runs(service: str = "health") -> list[Pid]:
    runner = process_of(pid_of(service)).body.board.runner
    return [process.pid for process in runner.body._children if process.is_alive]


def _runner(service: str = "health") -> Pid:
    runner: Pid = process_of(pid_of(service)).body.board.runner.pid
    return runner


async def test_a_raising_check_kills_nobody() -> None:
    h = await health()
    before = _runner()
    h.add("bad", fail, interval=1.0)
    h.add("good", fine, interval=1.0)
    await advance(50.0)
    assert (h.report("bad").status, h.report("good").status) == ("unhealthy", "healthy")
    assert _runner() == before


async def test_a_check_that_wants_to_exit_ends_no_program() -> None:
    """What a check calls may be made for a command line, where ``sys.exit`` is how to say that something is wrong."""

    async def exits() -> None:
        sys.exit(3)

    h = await health()
    before = _runner()
    h.add("async", exits, interval=1.0)
    h.add("plain", lambda: sys.exit("no disk"), interval=1.0)
    assert (await h.check_now("async")).detail == "SystemExit: 3"
    assert (await h.check_now("plain")).detail == "SystemExit: no disk"
    assert h.report_all().status == "unhealthy"
    assert _runner() == before


async def test_who_asks_while_the_service_starts_is_told_that_it_does_not_run() -> None:
    """It has its name, and its checks, before it has a process that runs them."""
    answers: list[Any] = []

    async def ask() -> Any:
        while True:
            try:
                return await HealthChecker.at("health").check_now("a")
            except NoSuchProcess as error:
                answers.append(str(error))
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn

    outcome: list[Any] = []
    beside(ask, outcome)
    await health(checks={"a": HealthCheck(fine)})
    await wait_until_idle()
    assert [each.status for each in outcome] == ["healthy"]
    assert all("no HealthChecker running there" in each for each in answers)


async def test_a_check_that_has_failed_often_is_healthy_again_as_soon_as_it_succeeds() -> None:
    h = await health()
    says: list[bool] = [False]

    async def check() -> bool:
        return says[0]

    h.add("a", check, interval=1.0)
    await advance(10.5)
    assert h.report("a").status == "unhealthy"
    says[0] = True
    await advance(1.0)
    assert h.report("a").status == "healthy"


async def test_a_hanging_check_is_unhealthy_at_its_deadline_and_its_task_is_ended() -> None:
    h = await health()
    loop = asyncio.get_running_loop()
    began = loop.time()
    h.add("a", hang, deadline=3.0)
    report = await h.check_now("a")
    assert report.status == "unhealthy"
    assert "3 s" in report.detail
    assert loop.time() - began == pytest.approx(3.0)
    await wait_until_idle()
    assert _runs() == []
    assert h.statistics().running == 0


async def test_a_check_that_swallows_its_cancellation_never_runs_twice_at_once() -> None:
    h = await health()
    running, most = 0, 0

    async def stubborn() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await refuse_to_end()
        finally:
            running -= 1

    h.add("a", stubborn, interval=0.1, deadline=0.2)
    for _ in range(20):
        await advance(0.5)
        assert len(_runs()) <= 1
        running = 0 if not _runs() else running
    assert h.report("a").status == "unhealthy"
    h.remove("a")
    await advance(2.0)
    assert _runs() == []


async def test_a_check_that_traps_exits_is_killed() -> None:
    h = await health()

    async def deaf() -> None:
        trap_exit()
        await hang()

    h.add("a", deaf, deadline=1.0, interval=100.0)
    await advance(1.5)
    assert h.report("a").status == "unhealthy"
    await advance(1.0)
    assert _runs() == []


async def test_a_check_whose_task_is_killed_is_unhealthy_and_runs_again() -> None:
    h = await health()
    h.add("a", hang, interval=1.0, deadline=10.0)
    await wait_until_idle()
    await kill_and_wait(_runs()[0])
    assert "Killed" in h.report("a").detail
    await advance(1.5)
    assert len(_runs()) == 1


@pytest.mark.real_time
async def test_a_plain_check_runs_in_a_thread_and_a_blocked_thread_is_not_joined_by_another() -> None:
    h = await health()
    go = threading.Event()
    entered: list[threading.Thread] = []

    def blocking() -> str:
        entered.append(threading.current_thread())
        go.wait(10.0)
        return "degraded"

    h.add("a", blocking, interval=0.01, deadline=0.01)
    h.add("b", fine)
    assert (await h.check_now("b")).status == "healthy"
    while "thread" not in (report := await h.check_now("a")).detail:
        # It was late: the machine had not begun a thread by then, or this has joined a run that was under way.
        assert report.status == "unhealthy"
    assert len(entered) == 1
    assert entered[0] is not threading.current_thread()
    h.add("a", lambda: go.wait(10.0) and "degraded", interval=1000.0, deadline=1000.0)
    go.set()
    assert (await h.check_now("a")).status == "degraded"


def test_a_thread_that_comes_when_the_task_has_ended_does_not_call_the_check_and_one_before_it_hangs() -> (
    None
):
    called: list[str] = []

    def check() -> None:
        called.append("check")
        assert run.hangs()
        assert run.hangs()

    run = Run(Check("a", HealthCheck(check)), 0.0)
    body_of_thread(run, lambda _: called.append("left"))()
    assert called == ["check", "left"]
    assert not run.hangs()

    run = Run(Check("a", HealthCheck(check)), 0.0)
    assert not run.hangs()
    assert not run.hangs()
    body_of_thread(run, lambda _: called.append("left"))()
    assert called == ["check", "left"]


@pytest.mark.real_time
async def test_checks_that_hang_in_threads_leave_the_other_threads_to_the_program() -> None:
    """Threads cannot be interrupted; without a limit of their own, hanging checks would take all that the Runtime has."""
    h = await health(max_threads=2)
    go = threading.Event()
    entered: list[str] = []

    def blocking(name: str) -> None:
        entered.append(name)
        go.wait(10.0)

    for name in ("a", "b"):
        h.add(name, partial(blocking, name), interval=0.01, deadline=0.01)
        while "thread" not in (await h.check_now(name)).detail:
            pass  # it was late: the machine had not begun a thread by then
    h.add("c", partial(blocking, "c"), interval=0.01, deadline=0.01)
    h.add("async", fine)
    reports = [await h.check_now(name) for name in ("a", "b", "c", "async")]
    assert [each.status for each in reports] == ["unhealthy", "unhealthy", "unknown", "healthy"]
    assert "all 2 threads for checks (max_threads) are taken by runs that hang: a, b" in reports[2].detail
    assert h.statistics().threads == 2
    assert set(entered) == {"a", "b"}
    h.subscribe()
    go.set()
    changed = await receive(lambda told: told.check == "c" and told.after == "healthy", timeout=10.0)
    assert isinstance(changed, HealthChanged)


async def test_plain_checks_wait_for_a_thread_of_theirs() -> None:
    """Short of threads that will be free, none is said to be unknown."""
    h = await health(max_threads=1)
    inside: list[int] = []
    most: list[int] = []

    def busy() -> None:
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    for each in range(5):
        h.add(f"c{each}", partial(busy), interval=100.0)
    assert [(await h.check_now(f"c{each}")).status for each in range(5)] == ["healthy"] * 5
    assert set(most) == {1}
    assert h.statistics().threads == 0


@pytest.mark.real_time
async def test_threads_in_which_runs_hang_are_known_after_a_crash_of_the_runner() -> None:
    h = await health(max_threads=1)
    go = threading.Event()
    entered = threading.Event()

    def blocking() -> None:
        entered.set()
        go.wait(10.0)

    h.add("a", blocking, deadline=100.0)
    await in_thread(entered.wait, 10.0)
    await kill_and_wait(_runner())
    h.add("b", lambda: None)
    assert (await h.check_now("b")).status == "unknown"
    assert (await h.check_now("a")).status == "unhealthy"
    go.set()


async def test_a_plain_function_that_returns_a_coroutine_is_told_what_to_write() -> None:
    h = await health()
    h.add("a", lambda: fine())
    assert "async def" in (await h.check_now("a")).detail


async def test_an_object_with_an_async_call_is_an_async_check() -> None:
    class Check:
        async def __call__(self) -> str:
            assert threading.current_thread() is threading.main_thread()
            return "degraded"

    h = await health()
    h.add("a", Check())
    assert (await h.check_now("a")).status == "degraded"


# ------------------------------------------------------------------------------------------------- law 2


async def test_bad_checks_delay_neither_others_nor_those_who_ask() -> None:
    h = await health(max_running=1_100)
    h.add("hangs", hang, deadline=1e6, interval=1e6)
    h.add("refuses", refuse_to_end, deadline=1e6, interval=1e6)
    for each in range(100):
        h.add(f"c{each}", fine, interval=1e6)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for each in range(100):
        assert (await h.check_now(f"c{each}")).status == "healthy"
    assert h.report("hangs").is_running
    assert h.report_all().status == "unknown"
    assert loop.time() == began


@pytest.mark.real_time
async def test_bad_checks_delay_neither_others_nor_those_who_ask_in_real_time() -> None:
    h = await health(max_running=1_100)
    h.add("hangs", hang, deadline=100.0)
    h.add("refuses", refuse_to_end, deadline=100.0)
    for each in range(500):
        h.add(f"c{each}", fine)
    watch = stopwatch_of(asyncio.get_running_loop())
    slowest = 0.0
    await h.check_now("c0")
    for each in range(500):
        began = watch()
        h.report(f"c{each}")
        await h.check_now(f"c{each}")
        slowest = max(slowest, watch() - began)
    assert slowest < 30.0  # who waited for a bad check would wait 100 s; machines that run tests are busy


async def test_at_most_so_many_run_at_once_and_the_rest_have_their_turn() -> None:
    h = await health(max_running=3)
    running, most = 0, 0

    async def brief() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(1.0, event.set)
        await event.wait()
        running -= 1

    for each in range(10):
        h.add(f"c{each}", brief, interval=1000.0)
    await advance(4.5)
    assert most == 3
    assert h.report_all().status == "healthy"


# ------------------------------------------------------------------------------------------------- subscribers


def _changes() -> list[HealthChanged]:
    return [each for each in process_of(self_pid()).mailbox or () if isinstance(each, HealthChanged)]


async def test_subscribers_are_told_of_changes_only() -> None:
    h = await health()
    says: list[bool] = [True]

    async def check() -> bool:
        return says[0]

    assert h.subscribe().status == "unknown"
    h.subscribe()
    h.add("a", check, interval=1.0)
    await advance(5.5)
    says[0] = False
    await advance(5.0)
    h.unsubscribe()
    h.remove("a")
    await wait_until_idle()
    assert [(each.before, each.after, each.overall) for each in _changes()] == [
        (None, "unknown", "unknown"),
        ("unknown", "healthy", "healthy"),
        ("healthy", "unhealthy", "unhealthy"),
    ]


async def test_a_change_reaches_dependents_after_what_they_depend_on() -> None:
    h = await health()
    says: list[bool] = [True]

    async def check() -> bool:
        return says[0]

    h.add("base", check, interval=1.0)
    h.add("middle", fine, depends_on=("base",))
    h.add("top", fine, depends_on=("middle",))
    await wait_until_idle()
    h.subscribe()
    says[0] = False
    await advance(1.5)
    assert [each.check for each in _changes()] == ["base", "middle", "top"]


async def test_a_dead_subscriber_is_forgotten_at_once_and_their_number_is_bounded() -> None:
    h = await health(max_subscribers=2)
    outcome: list[Any] = []

    async def stay() -> None:
        h.subscribe()
        await hang()

    pids = [beside(stay, outcome) for _ in range(2)]
    await wait_until_idle()
    assert h.statistics().subscribers == 2
    with pytest.raises(RejectedError, match="max_subscribers"):
        h.subscribe()
    await kill_and_wait(pids[0])
    assert h.statistics().subscribers == 1
    h.subscribe()
    h.unsubscribe()
    h.unsubscribe()
    assert h.statistics().subscribers == 1
    await kill_and_wait(pids[1])
    assert process_of(self_pid()).registrations in (None, {})


async def test_a_thousand_subscribers_that_come_and_go_leave_nothing() -> None:
    h = await health()
    for _ in range(1_000):
        beside(lambda: _subscribe(h), [])
    await wait_until_idle()
    assert h.statistics().subscribers == 0


async def _subscribe(h: Any) -> None:
    h.subscribe()


# ------------------------------------------------------------------------------------------------- crashes


async def test_when_the_runner_crashes_checks_results_and_subscribers_stay() -> None:
    h = await health()
    h.add("a", fail, interval=10.0)
    h.add("b", hang, interval=10.0, deadline=100.0)
    await wait_until_idle()
    h.subscribe()
    (task,) = _runs()
    await advance(4.0)
    before = _runner()
    await kill_and_wait(before)
    assert _runner() != before
    assert not is_alive(task)
    assert h.report("a").status == "unhealthy"
    assert h.report("a").age == pytest.approx(4.0)
    assert len(_runs()) == 1  # what was running runs again
    await advance(6.5)
    assert h.report("a").age == pytest.approx(0.5)
    assert h.statistics().subscribers == 1


async def test_who_waits_when_the_runner_crashes_is_told() -> None:
    h = await health()
    h.add("a", hang, deadline=100.0)
    outcome: list[Any] = []
    beside(lambda: h.check_now("a"), outcome)
    await wait_until_idle()
    await kill_and_wait(_runner())
    assert isinstance(outcome[0], ProcessDied)
    with pytest.raises(CallTimeout):
        await h.check_now("a", timeout=1.0)


async def test_when_the_service_crashes_checks_of_the_spec_come_back_without_results() -> None:
    given = {"a": HealthCheck(fine, interval=10.0)}
    h = await health(checks=given)
    given.clear()
    h.add("b", fine)
    await wait_until_idle()
    h.subscribe()
    await kill_and_wait("health")
    assert h.list() == ("a",)
    assert h.report("a").age == 0.0  # it has run again, at once
    assert h.statistics().subscribers == 0


async def test_it_stops_in_time_whatever_its_checks_do() -> None:
    supervisor = await Supervisor.start_link(
        [HealthChecker.child_spec().named("health")], strategy="one_for_one"
    )
    h = HealthChecker.at("health")
    h.add("a", refuse_to_end, deadline=100.0)
    h.add("b", hang, deadline=100.0)
    await wait_until_idle()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await supervisor.stop()
    assert loop.time() - began <= 1.5


async def test_a_caller_of_check_now_that_dies_disturbs_nothing() -> None:
    h = await health()
    h.add("a", hang, deadline=2.0, interval=100.0)
    outcome: list[Any] = []
    caller = beside(lambda: h.check_now("a"), outcome)
    await wait_until_idle()
    kill(caller)
    await advance(3.0)
    assert h.report("a").status == "unhealthy"
    assert outcome == []
