"""A span emits one start and exactly one end, with the time in between."""

from __future__ import annotations

from asyncio import CancelledError
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.telemetry import Bus, current_bus, span

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def heard() -> list[tuple[str, dict[str, float], dict[str, Any]]]:
    """What was emitted."""
    return []


@pytest.fixture
def bus(heard: list[tuple[str, dict[str, float], dict[str, Any]]]) -> Iterator[Bus]:
    """The current bus, heard."""
    bus = Bus()
    bus.attach(
        lambda event, measurements, metadata: heard.append((event, dict(measurements), dict(metadata)))
    )
    token = current_bus.set(bus)
    yield bus
    current_bus.reset(token)


def test_a_span_emits_start_and_stop_with_the_duration(bus: Bus, heard: list[Any]) -> None:
    """Measured by the stopwatch that it is given."""
    ticks = iter((10.0, 12.5))
    with span("load", {"key": 1}, stopwatch=lambda: next(ticks)):
        assert heard == [("load.start", {}, {"key": 1})]
    assert heard[1:] == [("load.stop", {"duration": 2.5}, {"key": 1})]


@pytest.mark.parametrize("error", [ValueError("no"), CancelledError()])
def test_a_span_that_raises_emits_exception_and_lets_it_pass(
    bus: Bus, heard: list[Any], error: BaseException
) -> None:
    """A cancellation too."""
    ticks = count(1.0)
    with pytest.raises(type(error)) as caught, span("load", {"key": 1}, stopwatch=lambda: next(ticks)):
        raise error
    assert caught.value is error
    assert heard[1:] == [("load.exception", {"duration": 1.0}, {"key": 1, "error": error})]


def test_a_span_that_nobody_hears_measures_nothing() -> None:
    """The stopwatch is not even read; and whoever attaches inside hears no end without a start."""
    late = list[str]()
    quiet = Bus()

    def never() -> float:
        raise AssertionError("read")

    with span("load", {}, stopwatch=never), span("load", {}, stopwatch=never, bus=quiet):
        quiet.attach(lambda event, _measurements, _metadata: late.append(event))
    assert late == []
