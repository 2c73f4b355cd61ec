"""Samplers: decided at the root of a trace, followed by the rest; in doubt, and what fails, is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from mabeam._base import seeded_random
from mabeam.errors import UsageError
from mabeam.telemetry import (
    Adaptive,
    Bus,
    FixedRate,
    PerSecond,
    Sampled,
    SampledStatistics,
    Span,
    TraceContext,
    continue_trace,
    span,
)
from tests.otp._servers import pause

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recorder:
    """A tracer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, span: Span, /) -> TraceContext | None:
        self.told.append(f"begin {span.name}")
        return None

    def end(self, span: Span, duration: float, error: BaseException | None, /) -> None:
        self.told.append(f"end {span.name}{'' if error is None else f' {error!r}'}")


class Decisions:
    """A sampler that decides as it is told to, and counts how often it is asked."""

    def __init__(self, *decisions: bool) -> None:
        self.decisions = list(decisions)
        self.asked: list[str] = []

    def keep(self, event: str, /) -> bool:
        self.asked.append(event)
        return self.decisions.pop(0)


def traced(sampler: Any) -> tuple[Bus, Recorder]:
    """A bus with a sampler, whose spans are written down."""
    bus, recorder = Bus(sampler=sampler), Recorder()
    bus.trace_with(recorder)
    return bus, recorder


def test_the_root_is_decided_and_the_rest_follows() -> None:
    """The sampler is asked once for each trace."""
    sampler = Decisions(False, True)
    bus, recorder = traced(sampler)
    for _ in range(2):
        with span("root", bus=bus) as root, span("child", bus=bus) as child:
            assert root.trace is not None
            assert child.trace is not None
            assert root.trace.sampled is child.trace.sampled
    assert sampler.asked == ["root", "root"]
    assert recorder.told == ["begin root", "begin child", "end child", "end root"]


@pytest.mark.parametrize("sampled", [True, False])
def test_a_trace_from_elsewhere_is_decided_there(*, sampled: bool) -> None:
    sampler = Decisions()
    bus, recorder = traced(sampler)
    arrived = TraceContext("0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331", sampled=sampled)
    with continue_trace(arrived), span("a", bus=bus):
        pass
    assert bool(recorder.told) is sampled
    assert sampler.asked == []


def test_a_failure_in_a_trace_that_is_not_kept_is_kept() -> None:
    """Only its end can be told: that it would fail was not known at its begin."""
    bus, recorder = traced(FixedRate(0.0))
    with pytest.raises(ValueError, match="no"), span("root", bus=bus):
        with span("fine", bus=bus):
            pass
        with span("bad", bus=bus):
            raise ValueError("no")
    assert recorder.told == ["end bad ValueError('no')", "end root ValueError('no')"]


def test_events_are_emitted_of_every_span(caplog: pytest.LogCaptureFixture) -> None:
    """Sampling is of traces. Metrics made from a sample would be wrong."""
    bus, heard = Bus(sampler=FixedRate(0.0)), list[str]()
    bus.attach(lambda event, _measured, _metadata: heard.append(event))
    with span("a", bus=bus):
        pass
    assert heard == ["a.start", "a.stop"]


def test_a_sampler_that_raises_keeps_the_trace_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    bus, recorder = traced(Decisions())  # it has no decision, so it raises
    with caplog.at_level(logging.ERROR, "mabeam.telemetry"):
        for _ in range(3):
            with span("a", bus=bus):
                pass
    assert len(recorder.told) == 6
    assert bus.statistics().tracing_failures == 3
    assert len(caplog.records) == 1


def test_a_tracer_that_raises_harms_no_span(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def begin(self, span: Span, /) -> TraceContext | None:
            if span.name == "bad":
                raise RuntimeError("no")
            return None

        def end(self, span: Span, duration: float, error: BaseException | None, /) -> None:
            raise RuntimeError("no")

    bus = Bus()
    bus.trace_with(Broken())
    with caplog.at_level(logging.ERROR, "mabeam.telemetry"):
        for name in ("bad", "good"):
            with span(name, bus=bus) as each:
                assert each.trace is not None
    assert bus.statistics().tracing_failures == 2
    assert len(caplog.records) == 1


def test_a_span_ends_at_the_tracer_it_began_at() -> None:
    """One that comes later is not told of an end without a begin."""
    bus, first = traced(None)
    second = Recorder()
    with span("a", bus=bus):
        bus.trace_with(None)
        with span("unheard", bus=bus):
            bus.trace_with(second)
    assert (first.told, second.told) == (["begin a", "end a"], [])


@pytest.mark.parametrize("wrong", [FixedRate, 0.1, len])
def test_what_is_no_sampler_or_tracer_is_refused_where_it_is_given(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"Bus\(sampler=FixedRate\(0\.1\)\)"):
        Bus(sampler=wrong)
    with pytest.raises(UsageError, match=r"bus\.attach\(handler\)"):
        Bus().trace_with(wrong)


def test_a_bus_has_one_tracer() -> None:
    bus, recorder = traced(None)
    with pytest.raises(UsageError, match="already"):
        bus.trace_with(Recorder())
    bus.trace_with(None)
    with span("a", bus=bus):
        pass
    assert recorder.told == []
    bus.trace_with(Recorder())


def test_a_fixed_rate_keeps_its_share() -> None:
    """By an injected chance, so the same ones each time."""
    draws = [FixedRate(0.25, random=seeded_random(7)).keep("a") for _ in range(2)]
    assert draws[0] == draws[1]
    sampler = FixedRate(0.25, random=seeded_random(7))
    assert 2_300 < sum(sampler.keep("a") for _ in range(10_000)) < 2_700


def ticks(times: Sequence[float]) -> Any:
    """A clock that shows these times."""
    return iter(times).__next__


def test_samplers_read_the_clock_they_are_given() -> None:
    per_second = PerSecond(1, clock=ticks([0.0, 0.9, 1.0]))
    assert [per_second.keep("a") for _ in range(3)] == [True, False, True]
    adaptive = Adaptive(1.0, clock=ticks([0.0, 0.25, 0.5, 0.75, 1.0]), random=seeded_random(1))
    for _ in range(5):
        adaptive.keep("a")
    assert adaptive.share == 0.25


async def test_samplers_follow_virtual_time() -> None:
    """Of the loop that runs when they are asked, though made before it."""
    sampler = PerSecond(1)
    kept = []
    for _ in range(4):
        kept.append(sampler.keep("a"))
        await pause(0.5)
    assert kept == [True, False, True, False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: FixedRate(1.5),
        lambda: FixedRate(-0.1),
        lambda: FixedRate(True),
        lambda: FixedRate(float("nan")),
        lambda: PerSecond(0),
        lambda: PerSecond(2_000_000),
        lambda: PerSecond(0.5),  # type: ignore[arg-type]  # what is refused
        lambda: Adaptive(0.0),
        lambda: Adaptive(10.0, window=0.0),
        lambda: Adaptive(float("inf")),
    ],
)
def test_samplers_say_what_they_take(make: Any) -> None:
    with pytest.raises(UsageError, match="expects"):
        make()


# ------------------------------------------------------------------------------------------------- events


def test_a_sampled_handler_goes_with_the_trace_and_asks_outside() -> None:
    """Failures pass in any case."""
    heard: list[str] = []
    bus = Bus(sampler=Decisions(True, False))
    sampled = Sampled(lambda event, _measured, _metadata: heard.append(event), sampler=Decisions(False, True))
    bus.attach(sampled)
    for name in ("kept", "left"):
        with span(name, bus=bus):
            bus.emit(f"{name}.inside", {}, {})
            bus.emit("process.crashed", {}, {})
    bus.emit("no", {}, {})
    bus.emit("yes", {}, {})
    assert heard == [
        "kept.start",
        "kept.inside",
        "process.crashed",
        "kept.stop",
        "process.crashed",
        "yes",
    ]
    assert sampled.statistics() == SampledStatistics(kept=6, dropped=4, doubtful=0)


def test_a_sampled_handler_whose_sampler_raises_hears_everything() -> None:
    heard: list[str] = []
    sampled = Sampled(lambda event, _measured, _metadata: heard.append(event), sampler=Decisions())
    bus = Bus()
    bus.attach(sampled)
    bus.emit("a", {}, {})
    assert heard == ["a"]
    assert sampled.statistics() == SampledStatistics(kept=1, dropped=0, doubtful=1)
