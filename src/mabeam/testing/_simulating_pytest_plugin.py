"""The part of the pytest plugin that runs a test under many seeds.

Each seed has fixtures of its own: the test is set up, run and torn down as if it were another one, and only one of these runs is
reported, the first that fails or else the last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, final

import pytest

# Public in all but name: it is how pytest runs a test, and made to be called again (see its comment on reruns).
from _pytest.runner import runtestprotocol

from mabeam._base import all_random_seeded
from mabeam.errors import UsageError
from mabeam.testing._deciders import Recorded, Seeded
from mabeam.testing._explain import explain
from mabeam.testing._one_run import garbage_kept_small
from mabeam.testing._options import wrong_count, wrong_faults, wrong_flag, wrong_seed, wrong_seeds
from mabeam.testing._schedule import Schedule
from mabeam.testing._simulation import Simulation
from mabeam.testing._story import how_they_differ, what_happened, what_it_needs
from mabeam.testing._tried import Tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mabeam.testing._deciders import Decider
    from mabeam.testing._faults import Faults

__all__ = (
    "SIMULATION",
    "SeededTest",
    "check_options",
    "in_simulation",
    "note_error",
    "seeds_of",
)

SIMULATION: Final[pytest.StashKey[Simulation | None]] = pytest.StashKey()
"""The simulation that the next run of a test takes place in."""
_ERROR: Final[pytest.StashKey[BaseException | None]] = pytest.StashKey()

DEFAULT_SEEDS: Final = 20
_OPTIONS: Final = {"seeds", "faults", "max_faults", "check_mutation", "max_steps", "reason"}
_MOST_SHRINK_RUNS: Final = 100
_DEBUGGER: Final = "pdbinvoke"
"""What pytest calls the part that opens the debugger."""
_MAX_STEPS: Final = 1_000_000
"""Most turns of the event loop in one run, unless a marker says how many."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What the marker ``simulate`` of a test says."""

    seeds: tuple[int, ...]
    faults: Faults | None
    max_faults: int
    check_mutation: bool
    token: str | None


def seeds_of(item: pytest.Function) -> SeededTest | None:
    """How a test is to be run under seeds; ``None`` when it is not.

    Raises:
        pytest.UsageError: the marker says something else than it can.
    """
    mark = item.get_closest_marker("simulate")
    if mark is None:
        return None
    wanted = mark.args[0] if mark.args else True
    if len(mark.args) > 1 or not isinstance(wanted, bool) or set(mark.kwargs) - _OPTIONS:
        raise pytest.UsageError(
            f"{item.nodeid}: simulate expects seeds=, faults=, max_faults=, check_mutation= and max_steps=, or (False, reason='...'); "
            f"got {mark.args} {mark.kwargs}."
        )
    if not wanted:
        if not mark.kwargs.get("reason"):
            raise pytest.UsageError(
                f"{item.nodeid}: simulate(False) expects the reason why no other order will do: simulate(False, reason='...')."
            )
        return None
    settings = _settings(item, mark.kwargs)
    return SeededTest(item, settings) if settings.seeds or settings.token else None


def _settings(item: pytest.Function, options: Mapping[str, Any]) -> _Settings:
    """What the options of a marker say, if nothing is wrong with them."""
    seeds: Any = options.get("seeds", DEFAULT_SEEDS)
    faults, max_faults = options.get("faults"), options.get("max_faults", 3)
    check_mutation = options.get("check_mutation", False)
    problems = [
        *wrong_seeds(seeds),
        *wrong_faults(faults, max_faults),
        *wrong_flag("check_mutation", check_mutation),
    ]
    if not problems and isinstance(seeds, Iterable):
        if not isinstance(seeds, Collection):
            problems.append(
                f"seeds expects a collection, since tests share their markers, got {seeds!r}: list(...) makes one"
            )
        elif not seeds:
            problems.append("seeds was empty, so nothing would be tested")
        else:
            problems += [problem for seed in seeds for problem in wrong_seed(seed)]
    if problems:
        raise pytest.UsageError(f"{item.nodeid}: simulate: {'; '.join(problems)}")
    count = item.config.getoption("simulate_seeds")
    wanted = seeds if count is None else count
    return _Settings(
        seeds=tuple(range(wanted) if isinstance(wanted, int) else wanted),
        faults=faults,
        max_faults=max_faults,
        check_mutation=check_mutation,
        token=item.config.getoption("simulate_token"),
    )


def max_steps_of(item: pytest.Item) -> int:
    """How many turns the loop of a test may have: what a marker of it says.

    Raises:
        pytest.UsageError: the marker says something else than it can.
    """
    for name in ("mabeam", "simulate"):
        mark = item.get_closest_marker(name)
        if mark is None:
            continue
        if name == "mabeam" and (mark.args or set(mark.kwargs) - {"max_steps"}):
            raise pytest.UsageError(
                f"{item.nodeid}: mabeam expects max_steps= or nothing; got {mark.args} {mark.kwargs}."
            )
        if "max_steps" in mark.kwargs:
            max_steps: Any = mark.kwargs["max_steps"]
            if problems := wrong_count("max_steps", max_steps, "steps", 1):
                raise pytest.UsageError(f"{item.nodeid}: {name}: {'; '.join(problems)}")
            return cast("int", max_steps)
    return _MAX_STEPS


def check_options(config: pytest.Config) -> None:
    """Refuse a number of seeds, or a word for a run, that stands for nothing, before any test runs.

    Raises:
        pytest.UsageError: the number is negative; the word was not written by a simulation, or is not complete.
    """
    count = config.getoption("simulate_seeds")
    if count is not None and count < 0:
        raise pytest.UsageError(
            f"--simulate-seeds expects how many seeds, or 0 for the ordinary order only, got {count}."
        )
    token = config.getoption("simulate_token")
    if token is not None:
        try:
            Schedule.from_token(token)
        except UsageError as error:
            raise pytest.UsageError(f"--simulate-token: {error}") from error


def note_error(item: pytest.Item, error: BaseException) -> None:
    """Remember what the body of a test raised: reports have its text only."""
    item.stash[_ERROR] = error


def in_simulation(item: pytest.Item, body: Callable[[], Any]) -> Callable[[], Any]:
    """The body of a test with what a simulation looks at when it is over."""
    simulation = item.stash.get(SIMULATION, None)
    if simulation is None:
        return body

    async def watched() -> None:
        __tracebackhide__ = True
        try:
            await body()
        finally:
            simulation.trace.ends()
        if simulation.mutations is not None and simulation.mutations.found is not None:
            raise simulation.mutations.found

    return watched


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _TestRun:
    """What came of one run of a test under a seed."""

    simulation: Simulation
    error: BaseException | None
    reports: list[pytest.TestReport]
    drew: bool


@final
class SeededTest:
    """One test and the seeds that it runs under."""

    def __init__(self, item: pytest.Function, settings: _Settings) -> None:
        self._item = item
        self._settings = settings

    def run(self, nextitem: pytest.Item | None) -> None:
        """Run the test in the ordinary order, then under each seed, up to the first run that fails; report that run."""
        item = self._item
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = self._reports()
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        # What is above the test, as far as no other test needs it.
        state = item.session._setupstate
        call = pytest.CallInfo.from_call(lambda: state.teardown_exact(nextitem), when="teardown")
        if call.excinfo is not None:
            hook.pytest_runtest_logreport(report=pytest.TestReport.from_item_and_call(item, call))
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _reports(self) -> list[pytest.TestReport]:
        settings = self._settings
        if settings.token is not None:
            simulation = self._watched(Recorded(Schedule.from_token(settings.token)))
            return self._explained(self._once(simulation, shown=True), "the run of --simulate-token")
        reports = self._in_order()
        if any(not (report.passed or _is_unexpected_success(report)) for report in reports):
            return reports  # it fails in the ordinary order, as was expected or not, or was skipped
        possible: set[str] = set()
        tried = Tried()
        with garbage_kept_small() as collect:
            for seed in settings.seeds:
                if not tried.leads_anywhere_new(self._decider(seed)):
                    continue
                decider = self._decider(seed)
                run = self._once(self._simulation(decider), shown=False)
                reports = run.reports
                if any(_is_expected_failure(report) for report in reports):
                    return reports
                if any(report.failed and not _is_unexpected_success(report) for report in reports):
                    return self._shrunk(seed, run)
                possible |= decider.possible
                if not run.drew and settings.faults is None:
                    tried.add(run.simulation.choices())
                collect()
        return [*reports, *self._warned(possible)]

    def _decider(self, seed: int) -> Seeded:
        return Seeded(seed, self._settings.faults, self._settings.max_faults)

    def _warned(self, possible: set[str]) -> list[pytest.TestReport]:
        """Warn of faults that nothing could be hit by; a report, where warnings are errors."""
        item, faults = self._item, self._settings.faults
        warning = "" if faults is None else faults.warning_of(faults.wishes_but(possible))
        if not warning:
            return []
        call = pytest.CallInfo.from_call(lambda: item.warn(pytest.PytestWarning(warning)), when="teardown")
        return [pytest.TestReport.from_item_and_call(item, call)] if call.excinfo is not None else []

    def _simulation(self, decider: Decider) -> Simulation:
        """One that costs little: it only makes choices, unless more is asked for."""
        settings = self._settings
        watches = settings.faults is not None or settings.check_mutation
        return Simulation(decider, watches=watches, checks_mutation=settings.check_mutation)

    def _watched(self, decider: Decider) -> Simulation:
        return Simulation(decider, checks_mutation=self._settings.check_mutation)

    def _once(self, simulation: Simulation, *, shown: bool) -> _TestRun:
        with nullcontext() if shown else _no_debugger(self._item.config):
            reports, drew = self._run(simulation)
        return _TestRun(
            simulation=simulation, error=self._item.stash.get(_ERROR, None), reports=reports, drew=drew
        )

    def _in_order(self) -> list[pytest.TestReport]:
        """Run it in the ordinary order, as any other test."""
        return self._run(None)[0]

    def _run(self, simulation: Simulation | None) -> tuple[list[pytest.TestReport], bool]:
        """Set the test up, run it and tear it down; what is above it stays set up. Say as well whether it drew at random."""
        item = self._item
        item.stash[SIMULATION] = simulation
        item._report_sections.clear()  # what runs before this one have printed and logged
        item.stash[_ERROR] = None
        if item.instance is not None and getattr(item.obj, "__self__", None) is item.instance:
            # A test in a class: what one run writes into the instance, the next must not find. pytest makes another.
            for kept in ("_obj", "_instance"):
                item.__dict__.pop(kept, None)
        above: Any = item.parent
        with all_random_seeded(0 if simulation is None else simulation.draws) as drew:
            return runtestprotocol(item, log=False, nextitem=cast("pytest.Item", above)), drew()

    def _shrunk(self, seed: int, found: _TestRun) -> list[pytest.TestReport]:
        if found.error is None:  # it failed while it was set up or torn down
            return self._explained(found, f"seed {seed}")

        def attempt(schedule: Schedule, *, shown: bool) -> _TestRun:
            decider = Recorded(schedule)
            return self._once(self._watched(decider) if shown else self._simulation(decider), shown=shown)

        explanation = explain(found, attempt, _MOST_SHRINK_RUNS)
        if not explanation.is_deterministic:
            return self._explained(found, f"seed {seed}", *how_they_differ(found, explanation.again))
        title = (
            f"seed {seed}, shrunk in {explanation.shrink_runs} runs"
            if explanation.is_shrunk
            else f"seed {seed}"
        )
        return self._explained(explanation.told, title)

    def _explained(self, run: _TestRun, title: str, *problems: str) -> list[pytest.TestReport]:
        """Add to the report of what failed how that came about, and how to see it again."""
        lines = [
            *problems,
            *what_it_needs(run.simulation),
            *what_happened(run.simulation),
            f"Again:  pytest {self._item.nodeid!r} --simulate-token={run.simulation.schedule().token()}",
        ]
        for report in run.reports:
            if report.failed:
                report.sections.append((f"simulation: {title}", "\n".join(lines)))
        return run.reports


@contextmanager
def _no_debugger(config: pytest.Config) -> Iterator[None]:
    """Keep ``--pdb`` from opening at a run that is not reported."""
    plugins = config.pluginmanager
    debugger = plugins.unregister(name=_DEBUGGER) if plugins.has_plugin(_DEBUGGER) else None
    try:
        yield
    finally:
        if debugger is not None:
            plugins.register(debugger, _DEBUGGER)


def _is_expected_failure(report: pytest.TestReport) -> bool:
    """Whether a test failed that is marked ``xfail``."""
    return report.skipped and hasattr(report, "wasxfail")


def _is_unexpected_success(report: pytest.TestReport) -> bool:
    """Whether a test passed that is marked ``xfail(strict=True)``: pytest has no other sign of it."""
    return report.failed and str(report.longrepr).startswith("[XPASS(strict)]")
