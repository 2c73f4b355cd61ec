"""What mabeam itself leaves to chance follows from the seed of a simulation, with every default."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeAlias

import pytest

from mabeam import HealthCheck, HealthChecker, Supervisor, receive
from mabeam.resilience import Chaos, Retry
from mabeam.telemetry import Adaptive, Bus, FixedRate, span
from mabeam.testing import SimulationFailed, replay, simulate
from tests.meta._project import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Draw: TypeAlias = Callable[[], Awaitable[object]]


async def _pass(seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await receive(timeout=seconds)


def _retry() -> Draw:
    policy = Retry()

    async def refuse() -> None:
        raise ConnectionError

    async def draw() -> object:
        with pytest.raises(ConnectionError):
            await policy.call(refuse)
        return asyncio.get_running_loop().time()

    return draw


def _chaos() -> Draw:
    policy = Chaos(latency_rate=0.5, latency=(0.0, 9.0))

    async def answer() -> None:
        """Do nothing."""

    async def draw() -> object:
        for _ in range(10):
            await policy.call(answer)
        return asyncio.get_running_loop().time()

    return draw


def _health_checker() -> Draw:
    times: list[float] = []

    async def check() -> None:
        times.append(asyncio.get_running_loop().time())

    spec = HealthChecker.child_spec(checks={"disk": HealthCheck(check, interval=1.0)})

    async def draw() -> object:
        times.clear()
        await Supervisor.start_link([spec], strategy="one_for_one")
        await _pass(5.0)
        return tuple(times)

    return draw


def _bus() -> Draw:
    bus = Bus()
    bus.attach(lambda *_event: None)

    async def draw() -> object:
        with span("order", bus=bus) as entered:
            return entered.trace

    return draw


def _fixed_rate() -> Draw:
    sampler = FixedRate(0.5)

    async def draw() -> object:
        return [sampler.keep("order") for _ in range(20)]

    return draw


def _adaptive() -> Draw:
    async def draw() -> object:
        sampler = Adaptive(2.0)  # what it has seen of a run before would be no chance
        kept = []
        for _ in range(5):
            kept += [sampler.keep("order") for _ in range(20)]
            await _pass(1.0)
        return kept

    return draw


#: Each file that asks for a generator of its own, and how to see what it draws.
DRAWING = {
    "resilience/_chaos.py": [_chaos],
    "resilience/_retry.py": [_retry],
    "services/_health_checker.py": [_health_checker],
    "telemetry/_bus.py": [_bus],
    "telemetry/_sampler.py": [_fixed_rate, _adaptive],
}


def test_all_that_draw_are_here() -> None:
    """Whoever is added is added to the table above as well."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "system_random()" in path.read_text(encoding="utf-8")
    }
    assert found - {"_base/_random.py"} == DRAWING.keys()


@pytest.mark.parametrize("is_old", [False, True], ids=["made in the run", "made before"])
@pytest.mark.parametrize("make", [make for makers in DRAWING.values() for make in makers])
def test_what_mabeam_draws_follows_from_the_seed(make: Callable[[], Draw], *, is_old: bool) -> None:
    """Whatever was drawn before, and whatever the program does with the shared generator."""
    drawn: list[object] = []
    old = make()

    async def program() -> None:
        random.seed(len(drawn))
        drawn.append(await (old if is_old else make())())

    simulate(program, seeds=[1, 2, 1, 2])
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_a_failure_that_needs_a_certain_draw_of_mabeam_is_found_again() -> None:
    """The draws are part of the schedule, as those of the program are."""

    async def program() -> None:
        await _retry()()
        assert asyncio.get_running_loop().time() > 0.02

    with pytest.raises(SimulationFailed) as caught:
        simulate(program)
    assert caught.value.is_deterministic
    with pytest.raises(SimulationFailed) as again:
        replay(program, caught.value.token)
    assert again.value.trace == caught.value.trace


def test_what_a_program_draws_does_not_depend_on_what_mabeam_draws() -> None:
    drawn: list[float] = []

    async def program() -> None:
        if not drawn:
            await _fixed_rate()()
        drawn.append(random.random())  # noqa: TID251  (what a program of a user does)

    simulate(program, seeds=[1, 1])
    assert drawn[0] == drawn[1]
