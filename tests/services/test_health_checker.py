"""HealthChecker: results, statuses, intervals, deadlines, dependencies, changes at run time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CheckNotFound,
    Health,
    HealthChanged,
    HealthCheck,
    HealthChecker,
    NoSuchProcess,
    RejectedError,
    Supervisor,
    UsageError,
    self_pid,
)
from mabeam._base import seeded_random
from mabeam.testing import wait_until_idle
from tests.services._scenes import advance, answer, fail, health, pid_of, process_of

if TYPE_CHECKING:
    from mabeam import Runtime

pytestmark = pytest.mark.mabeam


class Service:
    """Something to be checked, whose answer can be changed; counts how often it is asked, and when."""

    def __init__(self, says: Any = None) -> None:
        self.says = says
        self.asked: list[float] = []

    async def check(self) -> Any:
        self.asked.append(asyncio.get_running_loop().time())
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.mark.parametrize(
    ("says", "status", "detail"),
    [
        (None, "healthy", ""),
        (True, "healthy", ""),
        ("healthy", "healthy", ""),
        ("degraded", "degraded", ""),
        (Health("degraded", "slow disk"), "degraded", "slow disk"),
        (Health("unknown", "no idea"), "unknown", "no idea"),
        (False, "unhealthy", "returned False"),
        (ConnectionError("no route"), "unhealthy", "ConnectionError: no route"),
        (17, "unhealthy", "returned 17; expected None"),
        (Health("fine"), "unhealthy", "expected None"),  # type: ignore[arg-type]  # the mistake under test
        ("x" * 1000, "unhealthy", "…"),
    ],
)
async def test_what_a_check_says_is_what_is_reported(says: Any, status: str, detail: str) -> None:
    h = await health()
    assert h.add("a", Service(says).check) == "created"
    report = await h.check_now("a")
    assert report.status == status
    assert detail in report.detail
    assert len(report.detail) < 400
    assert h.report("a").status == h.report_all().status == status


async def test_the_first_run_is_at_once_and_the_next_one_an_interval_after_its_end() -> None:
    h = await health()
    service = Service()
    began = asyncio.get_running_loop().time()
    assert h.add("a", service.check, interval=10.0) == "created"
    assert h.report("a").status == "unknown"
    assert h.report("a").age is None
    await wait_until_idle()
    assert h.report("a").age == 0.0
    await advance(9.5)
    assert h.report("a").age == pytest.approx(9.5)
    assert len(service.asked) == 1
    await advance(21.0)
    assert [each - began for each in service.asked] == pytest.approx([0.0, 10.0, 20.0, 30.0])


async def test_each_check_has_its_own_interval() -> None:
    often, seldom = Service(), Service()
    h = await health()
    h.add("often", often.check, interval=1.0)
    h.add("seldom", seldom.check, interval=30.0)
    await advance(29.5)
    assert (len(often.asked), len(seldom.asked)) == (30, 1)


async def test_a_forced_run_joins_the_one_under_way_and_starts_the_interval_anew() -> None:
    h = await health()
    service = Service()
    h.add("a", service.check, interval=10.0)
    await advance(6.0)
    assert len(service.asked) == 1
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(h.check_now("a"))
    assert len(service.asked) == 2
    await advance(9.0)
    assert len(service.asked) == 2
    await advance(2.0)
    assert len(service.asked) == 3  # neither shifted twice nor doubled
    await advance(5.0)
    assert len(service.asked) == 3


async def test_intervals_differ_by_the_jitter_of_the_injected_random() -> None:
    times: list[list[float]] = []
    for seed in (1, 1, 2):
        name = f"health-{len(times)}"
        h = await health(name, jitter=0.5, random=seeded_random(seed))
        service = Service()
        h.add("a", service.check, interval=10.0)
        await advance(100.0)
        gaps = [round(b - a, 6) for a, b in zip(service.asked, service.asked[1:], strict=False)]
        assert all(5.0 <= gap <= 15.0 for gap in gaps)
        assert len(set(gaps)) > 1
        times.append(gaps)
    assert times[0] == times[1] != times[2]


async def test_unhealthy_over_unknown_over_degraded_over_healthy() -> None:
    """A missing answer hides neither an unhealthy service nor is hidden by a degraded one."""
    h = await health()
    assert h.report_all().status == "unknown"  # nobody has looked at anything
    for name, says, overall in (
        ("a", None, "healthy"),
        ("b", "degraded", "degraded"),
        ("c", "unknown", "unknown"),
        ("d", False, "unhealthy"),
    ):
        h.add(name, Service(says).check)
        await h.check_now(name)
        assert h.report_all().status == overall
    for name, overall in (("d", "unknown"), ("c", "degraded"), ("b", "healthy"), ("a", "unknown")):
        h.remove(name)
        assert h.report_all().status == overall


async def test_a_stale_result_is_unknown_and_subscribers_are_told() -> None:
    """Kept with its age, and marked when it means nothing any more."""
    h = await health(max_running=1)
    h.add("a", Service().check, interval=1.0, deadline=1.0, stale_after=5.0)
    await h.check_now("a")

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    h.add("b", hang, interval=1.0, deadline=20.0)  # takes the only place
    await wait_until_idle()
    h.subscribe()
    await advance(6.5)
    report = h.report("a")
    assert (report.status, report.is_stale) == ("unknown", True)
    assert report.age == pytest.approx(6.5, abs=1.5)
    assert "healthy" in report.detail
    messages = list(process_of(self_pid()).mailbox or ())
    assert HealthChanged(check="a", before="healthy", after="unknown", overall="unknown") in messages


# ------------------------------------------------------------------------------------------------- dependencies


async def test_dependents_of_what_is_down_are_not_run_and_run_at_once_when_it_is_back() -> None:
    h = await health()
    database, api, page = Service(False), Service(), Service()
    h.add("page", page.check, interval=60.0, depends_on=("api",))
    h.add("api", api.check, interval=60.0, depends_on=("database",))
    h.add("database", database.check, interval=5.0)
    await wait_until_idle()
    assert (h.report("api").status, h.report("api").down) == ("unhealthy", ("database",))
    assert (h.report("page").status, h.report("page").down) == ("unhealthy", ("api",))
    assert "database" in h.report("api").detail
    assert page.asked == []
    assert (await h.check_now("page")).status == "unhealthy"
    assert page.asked == []
    asked_before = len(api.asked)
    database.says = None
    await advance(6.0)
    assert (len(api.asked), len(page.asked)) == (asked_before + 1, 1)
    assert h.report_all().status == "healthy"


async def test_a_dependency_runs_before_what_depends_on_it() -> None:
    order: list[str] = []

    def checking(name: str) -> Any:
        async def check() -> None:
            order.append(name)

        return check

    checks = {
        "top": HealthCheck(checking("top"), depends_on=("left", "right")),
        "left": HealthCheck(checking("left"), depends_on=("base",)),
        "right": HealthCheck(checking("right"), depends_on=("base",)),
        "base": HealthCheck(checking("base")),
    }
    h = await health(checks=checks)
    await wait_until_idle()
    assert order[0] == "base"
    assert set(order[1:3]) == {"left", "right"}
    assert order[3:] == ["top"]
    assert h.report_all().status == "healthy"


async def test_a_diamond_is_no_cycle_and_neither_is_a_dependency_that_nobody_has_added() -> None:
    h = await health()
    h.add("left", answer_true, depends_on=("base",))
    h.add("right", answer_true, depends_on=("base",))
    h.add("top", answer_true, depends_on=("left", "right", "elsewhere"))
    await wait_until_idle()
    assert (h.report("left").status, h.report("left").missing) == ("unknown", ("base",))
    assert h.report("top").missing == ("elsewhere",)
    assert "elsewhere" in h.report("top").detail
    h.add("base", answer_true)
    h.add("elsewhere", answer_true)
    await wait_until_idle()
    assert h.report_all().status == "healthy"
    h.remove("base")
    assert h.report("left").missing == ("base",)
    assert h.report_all().status == "unknown"


async def answer_true() -> bool:
    return True


async def test_a_cycle_is_one_error_with_its_path() -> None:
    h = await health()
    h.add("a", answer_true, depends_on=("b",))
    h.add("b", answer_true, depends_on=("c",))
    with pytest.raises(UsageError, match="c -> a -> b -> c"):
        h.add("c", answer_true, depends_on=("x", "a"))
    with pytest.raises(UsageError, match="d -> d"):
        h.add("d", answer_true, depends_on=("d",))
    assert h.list() == ("a", "b")
    with pytest.raises(UsageError) as error:
        HealthChecker.child_spec(
            checks={
                "a": HealthCheck(answer_true, depends_on=("b",)),
                "b": HealthCheck(answer_true, depends_on=("a",)),
            }
        )
    assert len(error.value.problems) == 1
    assert "b -> a -> b" in error.value.problems[0]


# ------------------------------------------------------------------------------------------------- at run time


async def test_checks_are_replaced_and_removed_at_run_time() -> None:
    h = await health()
    old, new = Service(False), Service()
    h.add("a", old.check, interval=5.0)
    assert (await h.check_now("a")).status == "unhealthy"
    assert h.add("a", old.check, interval=5.0) == "unchanged"
    assert h.report("a").status == "unhealthy"
    assert h.add("a", new.check, interval=2.0) == "replaced"
    assert h.report("a").age is None
    await advance(5.0)
    assert (len(old.asked), len(new.asked)) == (1, 3)
    h.remove("a")
    await advance(20.0)
    assert len(new.asked) == 3
    assert h.list() == ()


async def test_a_run_of_a_check_that_is_removed_is_ended_and_says_nothing() -> None:
    h = await health()
    ended: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("yes")

    h.add("a", slow)
    waiting = asyncio.get_running_loop().create_task(h.check_now("a"))
    await wait_until_idle()
    h.remove("a")
    h.add("a", answer_true)
    report = await waiting  # what is removed and added in one step is a new check under the same id
    assert report.status == "healthy"
    assert ended == ["yes"]


async def test_who_waits_for_a_check_that_is_removed_is_told() -> None:
    h = await health()

    async def slow() -> None:
        await asyncio.get_running_loop().create_future()

    h.add("a", slow)
    waiting = asyncio.get_running_loop().create_task(h.check_now("a"))
    await wait_until_idle()
    h.remove("a")
    with pytest.raises(CheckNotFound):
        await waiting
    assert h.statistics().checks == 0


@pytest.mark.parametrize("what", ["report", "remove", "check_now"])
async def test_an_unknown_id_is_a_clear_error(what: str) -> None:
    h = await health(checks={"database": HealthCheck(answer_true)})
    with pytest.raises(CheckNotFound, match="Did you mean 'database'") as error:
        outcome = getattr(h, what)("datbase")
        if what == "check_now":
            await outcome
    assert error.value.check == "datbase"


async def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(UsageError) as error:
        HealthChecker.child_spec(
            checks={
                "": HealthCheck(answer_true),
                "a": HealthCheck(answer_true, interval=0.0, deadline=-1.0),
                "b": HealthCheck(5, depends_on=["a"]),  # type: ignore[arg-type]  # the mistake under test
                "c": HealthCheck(answer_true, stale_after=1.0),
                "d": answer_true,  # type: ignore[dict-item]  # the mistake under test
                "e": HealthCheck(answer_true, depends_on=("a", "a")),
            },
            max_checks=0,
            max_running=0,
            max_subscribers=0,
            jitter=1.0,
            random=5,  # type: ignore[arg-type]  # the mistake under test
        )
    text = "\n".join(error.value.problems)
    for part in (
        "non-empty",
        "'a': interval",
        "'a': deadline",
        "'b': function",
        "'b': depends_on",
        "'c': stale_after",
        "'d': expects HealthCheck",
        "'e': depends_on names something twice",
        "max_checks",
        "max_running",
        "max_subscribers",
        "jitter",
        "random",
    ):
        assert part in text
    with pytest.raises(UsageError, match="mapping"):
        HealthChecker.child_spec(checks=[])  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(UsageError, match="max_checks allows 1"):
        HealthChecker.child_spec(
            checks={"a": HealthCheck(answer_true), "b": HealthCheck(answer_true)}, max_checks=1
        )
    with pytest.raises(UsageError):
        await HealthChecker.start_link(max_checks=0)
    h = await health()
    with pytest.raises(UsageError, match="called already"):
        h.add("a", answer_true())  # type: ignore[arg-type]  # the mistake under test
    assert h.list() == ()


async def test_the_number_of_checks_is_bounded() -> None:
    h = await health(max_checks=1)
    h.add("a", answer_true)
    with pytest.raises(RejectedError, match="max_checks"):
        h.add("b", answer_true)
    h.remove("a")
    assert h.add("b", answer_true) == "created"


async def test_any_number_of_instances_and_the_child_id_follows_the_name() -> None:
    specs = [HealthChecker.child_spec().named(f"health-{each}") for each in range(10)]
    assert [spec.id for spec in specs] == [f"health-{each}" for each in range(10)]
    await Supervisor.start_link(specs, strategy="one_for_one")
    HealthChecker.at("health-3").add("a", answer_true)
    assert [len(HealthChecker.at(spec.id).list()) for spec in specs].count(1) == 1
    reference = await HealthChecker.start_link()
    assert HealthChecker.at(reference).list() == ()
    assert HealthChecker.at("a") == HealthChecker.at("a")
    assert len({HealthChecker.at("a"), HealthChecker.at("a")}) == 1
    assert repr(HealthChecker.at("a")) == "<health checker 'a'>"
    assert HealthChecker.at("a").address() == "a"
    assert repr(process_of(pid_of("health-3")).body).startswith("<HealthChecker, 1 of 1000 checks, ")


async def test_what_is_not_there_is_told() -> None:
    with pytest.raises(NoSuchProcess, match=r"HealthChecker\.child_spec"):
        HealthChecker.at("nobody").report_all()
    with pytest.raises(UsageError, match=r"HealthChecker\.at expects"):
        HealthChecker.at("")


async def test_its_events(runtime: Runtime) -> None:
    told: list[tuple[str, Any]] = []
    runtime.bus.attach(
        lambda name, measurements, metadata: told.append((name, {**measurements, **metadata})),
        events=["health.*"],
    )
    h = await health()
    service = pid_of("health").serial
    h.add("a", fail)
    await wait_until_idle()
    h.remove("a")
    change = {"count": 1, "service": service, "check": "a"}
    assert told == [
        ("health.changed", {**change, "before": None, "after": "unknown", "overall": "unknown"}),
        (
            "health.checked",
            {"duration": 0.0, "service": service, "check": "a", "status": "unhealthy", "outcome": "returned"},
        ),
        ("health.changed", {**change, "before": "unknown", "after": "unhealthy", "overall": "unhealthy"}),
        ("health.changed", {**change, "before": "unhealthy", "after": None, "overall": "unknown"}),
    ]


async def test_a_value_of_another_check_is_no_answer() -> None:
    """``answer`` gives 1, which is not True."""
    h = await health()
    h.add("a", answer)
    assert (await h.check_now("a")).status == "unhealthy"
