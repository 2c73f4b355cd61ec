"""The bus: who hears what, isolation, changes while emitting, threads."""

from __future__ import annotations

import logging
import threading
from asyncio import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import UsageError
from mabeam.telemetry import Bus, EventSpec, Subscription, current_bus, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

Heard = list[tuple[str, dict[str, float], dict[str, object]]]


class Recorder:
    """A handler that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: Heard = []

    def __call__(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object]) -> None:
        self.heard.append((event, dict(measurements), dict(metadata)))

    @property
    def names(self) -> list[str]:
        return [event for event, _, _ in self.heard]


def test_a_handler_hears_event_measurements_and_metadata() -> None:
    """Once for each emit, before it returns."""
    bus, recorder = Bus(), Recorder()
    bus.attach(recorder)
    bus.emit("a.b", {"size": 3}, {"who": "me"})
    assert recorder.heard == [("a.b", {"size": 3}, {"who": "me"})]


def test_a_bus_listens_while_somebody_is_attached() -> None:
    """So callers can leave out the making of the arguments."""
    bus = Bus()
    seen = [bus.listening]
    with bus.attach(Recorder()), bus.attach(Recorder()) as second:
        second.detach()
        seen.append(bus.listening)
    assert [*seen, bus.listening] == [False, True, False]


def test_handlers_hear_only_the_events_they_asked_for() -> None:
    """By name, or by all names that begin so."""
    bus, exact, prefix, everything = Bus(), Recorder(), Recorder(), Recorder()
    bus.attach(exact, events=["process.exited"])
    bus.attach(prefix, events=["process.*", "call.timed_out"])
    bus.attach(everything)
    for event in ("process.exited", "process.started", "processes.x", "call.timed_out"):
        bus.emit(event, {}, {})
    assert exact.names == ["process.exited"]
    assert prefix.names == ["process.exited", "process.started", "call.timed_out"]
    assert everything.names == ["process.exited", "process.started", "processes.x", "call.timed_out"]


def test_a_bus_knows_whether_an_event_would_be_heard() -> None:
    """For arguments that are expensive to make."""
    bus = Bus()
    bus.attach(Recorder(), events=["a.*"])
    assert bus.wants("a.b")
    assert not bus.wants("b.a")


def test_handlers_run_in_the_order_they_were_attached() -> None:
    """The same function attached twice hears everything twice."""
    bus, order = Bus(), list[str]()
    bus.attach(lambda *_: order.append("first"))
    bus.attach(lambda *_: order.append("second"))
    bus.emit("x", {}, {})
    assert order == ["first", "second"]
    recorder = Recorder()
    bus.attach(recorder)
    bus.attach(recorder)
    bus.emit("x", {}, {})
    assert recorder.names == ["x", "x"]


@pytest.mark.parametrize("error", [ValueError("broken"), CancelledError()])
def test_a_failing_handler_is_counted_logged_once_and_stays_attached(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """The others hear the event, and the emitter notices nothing."""
    bus, after = Bus(), Recorder()

    def fail(*_: object) -> None:
        raise error

    subscription = bus.attach(fail)
    bus.attach(after)
    with caplog.at_level(logging.ERROR, logger="mabeam.telemetry"):
        bus.emit("x", {}, {})
        bus.emit("y", {}, {})
    assert after.names == ["x", "y"]
    assert subscription.failures == 2
    assert bus.statistics().failures == 2
    assert bus.statistics().failing == 1
    assert bus.statistics().subscriptions == 2
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "fail" in record.getMessage()
    assert "failed 2 times" in repr(subscription)


def test_what_is_not_about_the_handler_gets_out() -> None:
    """Ctrl-C during a handler stops the program, not the handler."""
    bus = Bus()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    bus.attach(interrupted)
    with pytest.raises(KeyboardInterrupt):
        bus.emit("x", {}, {})


def test_a_handler_may_detach_itself_and_others_while_it_runs() -> None:
    """Those detached hear nothing more, not even the rest of this emit; the others hear all of it."""
    bus, kept, dropped = Bus(), Recorder(), Recorder()
    subscriptions: list[Subscription] = []

    def detach_two(*_: object) -> None:
        for subscription in subscriptions:
            subscription.detach()

    subscriptions.append(bus.attach(detach_two))
    subscriptions.append(bus.attach(dropped))
    bus.attach(kept)
    bus.emit("x", {}, {})
    bus.emit("y", {}, {})
    assert dropped.names == []
    assert kept.names == ["x", "y"]
    assert "detached" in repr(subscriptions[0])


def test_a_handler_attached_while_emitting_hears_the_next_event() -> None:
    """Not the one that is under way."""
    bus, late = Bus(), Recorder()
    first = bus.attach(lambda *_: attach_once())

    def attach_once() -> None:
        first.detach()
        bus.attach(late)

    bus.emit("x", {}, {})
    bus.emit("y", {}, {})
    assert late.names == ["y"]


def test_a_handler_may_emit() -> None:
    """The inner event is heard before the outer emit returns."""
    bus, recorder = Bus(), Recorder()
    bus.attach(lambda *_: bus.emit("inner", {}, {}), events=["outer"])
    bus.attach(recorder)
    bus.emit("outer", {}, {})
    assert recorder.names == ["inner", "outer"]


def test_the_routes_that_are_kept_are_bounded() -> None:
    """Ids in event names cost time, not memory; and every event is still heard."""
    bus, recorder = Bus(), Recorder()
    bus.attach(recorder, events=["job.*"])
    for number in range(5000):
        bus.emit(f"job.{number}", {}, {})
    assert len(recorder.heard) == 5000
    assert 0 < bus.statistics().routes <= 1024


def test_emitting_attaching_and_detaching_from_many_threads_loses_nothing() -> None:
    """A handler attached all the time hears everything; those that come and go break nothing."""
    bus, steady = Bus(), Recorder()
    bus.attach(steady)
    start = threading.Barrier(6)

    def emit_many() -> None:
        start.wait()
        for number in range(300):
            bus.emit(f"event.{number % 7}", {}, {})

    def come_and_go() -> None:
        start.wait()
        for _ in range(300):
            bus.attach(Recorder()).detach()

    threads = [threading.Thread(target=target) for target in (emit_many, come_and_go) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(steady.heard) == 900
    assert bus.statistics().subscriptions == 1


@pytest.mark.parametrize(
    ("arguments", "hint"), [(("x", None), "expects a function"), ((print, "process.exited"), "right:")]
)
def test_wrong_arguments_are_refused_with_the_fix(arguments: tuple[Any, Any], hint: str) -> None:
    """Nothing is attached."""
    bus = Bus()
    with pytest.raises(UsageError, match=hint):
        bus.attach(arguments[0], events=arguments[1])
    assert not bus.listening


def test_emit_goes_to_the_current_bus_and_to_nobody_outside() -> None:
    """Two buses side by side do not hear each other's events."""
    one, other, recorder, stranger = Bus(), Bus(), Recorder(), Recorder()
    one.attach(recorder)
    other.attach(stranger)
    emit("outside", {}, {})
    token = current_bus.set(one)
    try:
        emit("inside", {"n": 1}, {"a": 2})
    finally:
        current_bus.reset(token)
    assert recorder.heard == [("inside", {"n": 1}, {"a": 2})]
    assert stranger.heard == []


CATALOGUE = {
    "known.event": EventSpec(
        "known.event", description="Known.", measurements={"size": "count"}, metadata=("who",)
    )
}


@pytest.mark.parametrize(
    ("event", "measurements", "metadata", "problem"),
    [
        ("unknown.event", {}, {}, "not in the catalogue"),
        ("known.event", {"size": 1, "weight": 2}, {"who": "x"}, "'weight'"),
        ("known.event", {"size": 1}, {"who": "x", "why": "y"}, "'why'"),
        ("known.event", {}, {"who": "x"}, "without measurement 'size'"),
        ("known.event", {"size": 1}, {}, "without metadata 'who'"),
        ("known.event", {"size": "1"}, {"who": "x"}, "not a number"),
        ("known.event", {"size": True}, {"who": "x"}, "not a number"),
    ],
)
def test_a_strict_bus_reports_what_differs_from_the_catalogue(
    event: str, measurements: dict[str, Any], metadata: dict[str, object], problem: str
) -> None:
    """Though nobody is attached, and without raising into the emitter."""
    bus = Bus(strict=True, catalogue=CATALOGUE)
    assert bus.listening
    assert bus.wants(event)
    bus.emit("known.event", {"size": 1.5}, {"who": "x"})
    assert bus.problems == ()
    bus.emit(event, measurements, metadata)
    found: tuple[str, ...] = bus.problems
    assert len(found) == 1
    assert problem in found[0]


def test_a_strict_bus_keeps_a_bounded_number_of_problems() -> None:
    """A loop that emits nonsense does not fill the memory."""
    bus = Bus(strict=True, catalogue=CATALOGUE)
    for _ in range(500):
        bus.emit("unknown", {}, {})
    assert len(bus.problems) == 100


def test_a_bus_shows_its_state_in_one_line() -> None:
    """Counts, and whether it is strict."""
    bus = Bus(strict=True)
    bus.attach(Recorder())
    assert repr(bus) == "<Bus strict 1 subscriptions, 0 failures>"
