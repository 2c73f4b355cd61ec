"""The pytest plugin: ``async def`` tests run in virtual time, inside a Runtime, and must leave nothing behind.

It is loaded wherever mabeam is installed, and touches only tests that ask for it: those marked ``mabeam`` or
``real_time``, and, where the ini option ``mabeam_mode`` says ``auto``, every ``async def`` test. Other plugins for
asynchronous tests can be used beside it.

What a test that it runs has to fear besides its own assertions: something left behind (:class:`LeakError`), an error
that only the event loop heard of, an event that is not in the telemetry catalogue, a coroutine that was never awaited,
and in virtual time a program that can never go on (:class:`DeadlockError`) or never ends (:class:`EndlessError`).
"""

from __future__ import annotations

import asyncio
import inspect
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.unittest import TestCaseFunction  # there is no public name for these tests

from mabeam.testing._leaks import check_leaks
from mabeam.testing._session import LoopSession
from mabeam.testing._simulated_loop import SimulatedLoop
from mabeam.testing._simulating_pytest_plugin import (
    SIMULATION,
    check_options,
    in_simulation,
    max_steps_of,
    note_error,
    seeds_of,
)
from mabeam.testing._virtual_loop import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mabeam.kernel import Runtime

__all__ = (
    "pytest_addoption",
    "pytest_configure",
    "pytest_itemcollected",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "runtime",
    "virtual_loop",
)

_SESSION = "_mabeam_session"
_FILTERS = (
    "error:coroutine .* was never awaited:RuntimeWarning",
    # Raised while an object is collected, the error above has nobody to go to; pytest brings it back as this warning.
    "error::pytest.PytestUnraisableExceptionWarning",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("mabeam")
    group.addoption(
        "--simulate-seeds",
        type=int,
        metavar="N",
        help="run tests marked 'simulate' under N seeds, whatever the marker says; 0: in the ordinary order only",
    )
    group.addoption(
        "--simulate-token",
        metavar="WORD",
        help="run tests marked 'simulate' once, with the choices and faults that WORD stands for",
    )
    parser.addini(
        "mabeam_mode",
        help="which async tests run in virtual time inside a mabeam Runtime: 'marked' (with pytest.mark.mabeam) or 'auto' (all)",
        default="marked",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; refuse an unknown mode."""
    mode = config.getini("mabeam_mode")
    if mode not in {"marked", "auto"}:
        raise pytest.UsageError(f"mabeam_mode expects 'marked' or 'auto', got {mode!r}.")
    config.addinivalue_line(
        "markers",
        "mabeam(max_steps=1_000_000): run this async test in virtual time inside a mabeam Runtime, for so many turns of the "
        "event loop at most.",
    )
    config.addinivalue_line(
        "markers", "real_time(loop='asyncio'): as mabeam, but on a real event loop: 'asyncio' or 'uvloop'."
    )
    config.addinivalue_line(
        "markers",
        "simulate(seeds=20, faults=None, max_faults=3, check_mutation=False, max_steps=1_000_000): run this async test also under so many seeds, "
        "each in another order and with other faults; simulate(False, reason='...') does not.",
    )
    check_options(config)
    config.pluginmanager.register(_First())  # now, when all the others are there


def pytest_itemcollected(item: pytest.Item) -> None:
    """Prepare the tests that are ours."""
    if isinstance(item, pytest.Function) and _is_ours(item):
        for text in _FILTERS:
            # First, so that a filter written at the test comes later and wins.
            item.add_marker(pytest.mark.filterwarnings(text), append=False)
        # Last, so that what other fixtures of the test hold is older than the session, and is not taken for its leak. The
        # list is shared by the parameters of one function.
        if _is_async(item) and _SESSION not in item.fixturenames:
            item.fixturenames.append(_SESSION)
        # What pytest-asyncio has here would run the test on a loop of its own, without all that was asked for.
        vars(item)["setup"] = partial(pytest.Function.setup, item)
        vars(item)["runtest"] = partial(pytest.Function.runtest, item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    """Run the tests that are marked ``simulate`` under seeds."""
    if not (isinstance(item, pytest.Function) and _is_ours(item) and _can_be_simulated(item)):
        return None
    try:
        seeded = seeds_of(item)
    except pytest.UsageError:
        return None  # the test's session says it, where it is an error of this test only
    if seeded is None:
        return None
    seeded.run(nextitem)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse the methods of a ``unittest.TestCase``, where they ask for the plugin: they would run without it, and be green."""
    if not isinstance(item, TestCaseFunction):
        return
    for name in ("mabeam", "real_time", "simulate"):
        mark = item.get_closest_marker(name)
        if mark is not None and (name != "simulate" or (_is_async(item) and mark.args[:1] != (False,))):
            raise pytest.UsageError(
                f"{item.nodeid}: a unittest.TestCase runs its methods itself, on an event loop of its own, so {name!r} cannot "
                "be done. Write a plain class, or a function."
            )


class _First:
    """What is to come before the plugins that would run our tests as well: of those that want to be first, pytest asks the last."""

    @staticmethod
    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
        """Run the tests that are ours; leave the others to whoever runs them."""
        __tracebackhide__ = True
        return _call(pyfuncitem) if _is_ours(pyfuncitem) else None


def _call(pyfuncitem: pytest.Function) -> object:
    __tracebackhide__ = True
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is not None and inspect.iscoroutinefunction(given.inner_test):
        # Hypothesis calls the inner function once for each example, and each has a loop of its own.
        given.inner_test = _each_on_its_own(given.inner_test, _loop_factory(pyfuncitem))
        return None
    accepted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in accepted}
    body = partial(pyfuncitem.obj, **arguments)
    if _is_async(pyfuncitem):
        session: Any = pyfuncitem.funcargs[_SESSION]
        try:
            _run(session, in_simulation(pyfuncitem, body))
        except BaseException as error:
            note_error(pyfuncitem, error)
            raise
    else:
        with check_leaks():
            body()
    return True


@pytest.fixture(name=_SESSION)
def _session(request: pytest.FixtureRequest) -> Iterator[LoopSession]:
    simulation = request.node.stash.get(SIMULATION, None)
    if simulation is None:
        seeds_of(request.node)
    # What a test leaves outside it leaves in the ordinary order, too, and looking there takes longer than a run.
    injector = simulation.injector if simulation is not None else None
    session = LoopSession(_loop_factory(request.node), injector, looks_outside=simulation is None)
    yield session
    session.close()


@pytest.fixture
def runtime(_mabeam_session: LoopSession) -> Runtime:
    """The Runtime that the test runs in."""
    return _mabeam_session.runtime()


@pytest.fixture
def virtual_loop(_mabeam_session: LoopSession) -> VirtualLoop:
    """The loop that the test runs on; in a test that is not async it stands still and is yours to run."""
    loop = _mabeam_session.loop
    if not isinstance(loop, VirtualLoop):
        raise pytest.UsageError(f"a test marked real_time has no virtual_loop: it runs on {loop!r}.")
    return loop


def _is_ours(item: pytest.Function) -> bool:
    if isinstance(item, TestCaseFunction):
        return False
    if item.get_closest_marker("mabeam") or item.get_closest_marker("real_time"):
        return True
    if item.get_closest_marker("simulate") and _is_async(item):
        return True
    return bool(item.config.getini("mabeam_mode") == "auto") and _is_async(item)


def _is_async(item: pytest.Function) -> bool:
    given = getattr(item.obj, "hypothesis", None)
    return inspect.iscoroutinefunction(item.obj if given is None else given.inner_test)


def _can_be_simulated(item: pytest.Function) -> bool:
    """Not on real loops; and hypothesis runs a test many times by itself."""
    is_property = getattr(item.obj, "hypothesis", None) is not None
    return _is_async(item) and not is_property and item.get_closest_marker("real_time") is None


def _loop_factory(item: pytest.Item) -> Callable[[], asyncio.AbstractEventLoop]:
    mark = item.get_closest_marker("real_time")
    max_steps = max_steps_of(item)
    simulation = item.stash.get(SIMULATION, None)
    if simulation is not None:
        return lambda: SimulatedLoop(simulation, max_steps=max_steps)
    if mark is None:
        return lambda: VirtualLoop(max_steps=max_steps)
    kind = mark.kwargs.get("loop", "asyncio")
    if mark.args or set(mark.kwargs) - {"loop"} or kind not in ("asyncio", "uvloop"):
        raise pytest.UsageError(
            f"{item.nodeid}: real_time expects loop='asyncio' or loop='uvloop', or nothing; got {mark.args} {mark.kwargs}."
        )
    if kind == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415  (not there on every platform)

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _run(session: LoopSession, body: Callable[[], Any]) -> None:
    __tracebackhide__ = True
    try:
        session.run(body)
    except BaseException as error:
        try:
            session.close()
        except Exception as another:  # noqa: BLE001  (what the test raised is the news; this goes below it)
            error.add_note(f"and when the test's loop was closed:\n{another}")
        raise
    session.close()


def _each_on_its_own(
    inner: Callable[..., Any], loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> Callable[..., None]:
    @wraps(inner)
    def run_example(*args: Any, **kwargs: Any) -> None:
        _run(LoopSession(loop_factory), partial(inner, *args, **kwargs))

    # wraps keeps the original in __wrapped__, but what is called is plain: hypothesis looks at the code flags.
    return run_example
