"""What was promised, and whether it is kept: the table of budgets, by suite."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from benchmarks._suite import UNITS
from benchmarks.resilience._traces import TRACES, name_of

if TYPE_CHECKING:
    from benchmarks._results import Run
    from benchmarks._suite import Suite, Unit

__all__ = ("BUDGETS", "Budget", "Verdict", "verdicts")

Word: TypeAlias = Literal["met", "missed", "unclear", "not measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One promise.

    Attributes:
        what: the promise, in words.
        suite: the suite that measures it.
        measure: the measure.
        figure: the figure of it.
        limit: a ratio when ``to`` is given, else in ``unit``.
        to: the subject that the ratio is taken to, in the same measure unless ``to_measure`` says otherwise.
        to_measure: the measure of it.
        unit: what ``limit`` is in, when it is no ratio.
        at_least: the limit is a lower one.
        full_size: it holds at the full size only.
    """

    what: str
    suite: str
    measure: str
    figure: str = "value"
    limit: float
    to: str | None = None
    to_measure: str | None = None
    unit: Unit = "us"
    at_least: bool = False
    full_size: bool = False


_CALL: Final = "erlang"

#: In the order of the table they come from; those of suites that are not there yet wait for them.
BUDGETS: Final = (
    Budget(what="call, idle plain server", suite="kernel", measure="call_idle", limit=0.8, to=_CALL),
    Budget(
        what="call through the mailbox, plain handler",
        suite="kernel",
        measure="call_queued",
        limit=4.0,
        to=_CALL,
    ),
    Budget(what="call, async handler", suite="kernel", measure="call_async", limit=8.0, to=_CALL),
    Budget(what="cast", suite="kernel", measure="cast", limit=8.0, to=_CALL),
    Budget(
        what="supervised start, named and validated",
        suite="kernel",
        measure="start_supervised",
        limit=2.5,
        to=_CALL,
    ),
    Budget(
        what="memory of an idle supervised, named GenServer with one attribute",
        suite="kernel",
        measure="memory_idle",
        limit=900,
        unit="bytes",
    ),
    Budget(
        what="crash and supervised restart, crash report as text included",
        suite="kernel",
        measure="crash_restart_report",
        limit=0.2,
        to=_CALL,
    ),
    Budget(
        what="1,000,000 live supervised processes: memory",
        suite="kernel",
        measure="million",
        figure="bytes",
        limit=1_200,
        unit="MB",
        full_size=True,
    ),
    Budget(
        what="1,000,000 live supervised processes: time to start them",
        suite="kernel",
        measure="million",
        figure="seconds",
        limit=12,
        unit="s",
        full_size=True,
    ),
    Budget(
        what="10,000 busy processes: a timer at p99",
        suite="kernel",
        measure="latency_under_load",
        figure="timer_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy processes: an I/O callback at p99",
        suite="kernel",
        measure="latency_under_load",
        figure="pipe_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy plain processes: a timer at p99",
        suite="kernel",
        measure="latency_plain_processes",
        figure="timer_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy plain processes: an I/O callback at p99",
        suite="kernel",
        measure="latency_plain_processes",
        figure="pipe_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy async handlers: a timer at p99",
        suite="kernel",
        measure="latency_async_handlers",
        figure="timer_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy async handlers: an I/O callback at p99",
        suite="kernel",
        measure="latency_async_handlers",
        figure="pipe_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy callers: a timer at p99",
        suite="kernel",
        measure="latency_callers",
        figure="timer_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="10,000 busy callers: an I/O callback at p99",
        suite="kernel",
        measure="latency_callers",
        figure="pipe_p99",
        limit=5,
        unit="ms",
        full_size=True,
    ),
    Budget(
        what="circuit breaker around an async call, closed, all features",
        suite="resilience",
        measure="breaker_async",
        limit=1.0,
        to=_CALL,
    ),
    Budget(
        what="circuit breaker around an async call, not slower than pybreaker around a plain one",
        suite="resilience",
        measure="breaker_async",
        limit=1.0,
        to="pybreaker",
        to_measure="breaker_sync",
    ),
    Budget(
        what="bulkhead not slower than asyncio's semaphore",
        suite="resilience",
        measure="bulkhead",
        limit=1.0,
        to="asyncio",
    ),
    Budget(
        what="cache: `get` hit with TTL, eviction, lock, counters",
        suite="resilience",
        measure="cache_get",
        limit=0.4,
        to="cachetools",
    ),
    *(
        Budget(
            what=f"cache: hit ratio not below LRU's, {title}",
            suite="resilience",
            measure="hit_ratio",
            figure=name_of(title),
            limit=1.0,
            to="cachetools",
            at_least=True,
        )
        for title in TRACES
        if title != "loop"  # where LRU has no hits at all
    ),
    Budget(
        what="rate limiter not slower than aiolimiter",
        suite="resilience",
        measure="limiter_admit_async",
        limit=1.0,
        to="aiolimiter",
    ),
    *(
        Budget(
            what=f"rate limiter not slower than limits: {words}",
            suite="resilience",
            measure=measure,
            limit=1.0,
            to="limits",
        )
        for measure, words in (
            ("limiter_admit", "admitted"),
            ("limiter_reject", "rejected"),
            ("limiter_keys", "many keys"),
        )
    ),
    Budget(
        what="an HTTP request through ConnectionManager",
        suite="services",
        measure="http_get",
        limit=1.1,
        to="httpx",
    ),
    Budget(
        what="HTTP requests of many callers through ConnectionManager",
        suite="services",
        measure="http_get_busy",
        limit=1.1,
        to="httpx",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a run says about a budget.

    Attributes:
        what: the promise.
        limit: the limit as it is written.
        by_minimum: the value of the minima, as it is written.
        by_median: the value of the medians, as it is written.
        by_cpu: the value of the processor times, each of the OS process that needed least, where they are known.
        word: ``met`` and ``missed`` when all of them agree, else ``unclear``: the machine was too noisy to tell.
    """

    what: str
    limit: str
    by_minimum: str = ""
    by_median: str = ""
    by_cpu: str = ""
    word: Word = "not measured"

    def to_json(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        return asdict(self)


def verdicts(suite: Suite, run: Run) -> list[Verdict]:
    """What the run says about each budget of its suite."""
    return [_verdict(budget, suite, run) for budget in BUDGETS if budget.suite == suite.name]


def _verdict(budget: Budget, suite: Suite, run: Run) -> Verdict:
    limit = f"{'>=' if budget.at_least else '<='} {_written(budget, budget.limit)}"
    minimum = _value(budget, suite, run, budget.figure, "minimum")
    median = _value(budget, suite, run, budget.figure, "median")
    if minimum is None or median is None:
        return Verdict(what=budget.what, limit=limit)
    cpu = _value(budget, suite, run, "cpu", "minimum") if budget.figure == "value" else None
    numbers = [each for each in (minimum, median, cpu) if each is not None]
    kept = [each >= budget.limit if budget.at_least else each <= budget.limit for each in numbers]
    word: Word = "met" if all(kept) else "unclear" if any(kept) else "missed"
    return Verdict(
        what=budget.what,
        limit=limit,
        by_minimum=_written(budget, minimum),
        by_median=_written(budget, median),
        by_cpu="" if cpu is None else _written(budget, cpu),
        word=word,
    )


def _value(
    budget: Budget, suite: Suite, run: Run, figure: str, by: Literal["minimum", "median"]
) -> float | None:
    """The ratio, or the value in the unit of the budget; ``None`` when it was not measured as the budget asks."""
    own = _figure(run, budget.measure, suite.subjects[0].name, figure, by)
    size = run["measures"].get(budget.measure, {}).get(suite.subjects[0].name, {}).get("size")
    if own is None or (budget.full_size and size != suite.measure(budget.measure).size):
        return None
    if budget.to is None:
        return own * UNITS[budget.unit]
    other = _figure(run, budget.to_measure or budget.measure, budget.to, figure, by)
    return None if other is None else own / other


def _figure(
    run: Run, measure: str, subject: str, figure: str, by: Literal["minimum", "median"]
) -> float | None:
    samples = run["measures"].get(measure, {}).get(subject, {}).get("figures", {}).get(figure)
    return None if samples is None else samples[by]


def _written(budget: Budget, value: float) -> str:
    if budget.to is not None:
        return f"{value:.2f} x {budget.to.capitalize()}"
    return f"{value:,.0f} {budget.unit}" if value >= 100 else f"{value:.3g} {budget.unit}"
