"""What the catalogue says of an event, and whether an event agrees with it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.telemetry import EventSpec
from mabeam.telemetry._spec import problems_of

SPEC = EventSpec(
    "file.read", description="A file was read.", measurements={"size": "bytes"}, metadata=("path",)
)
CATALOGUE = {"file.read": SPEC, "bare": EventSpec("bare", description="Nothing comes with it.")}


def problems(event: str, measurements: dict[str, Any], metadata: dict[str, object]) -> list[str]:
    """What is wrong with an event."""
    return list(problems_of(CATALOGUE, event, measurements, metadata))


def test_an_event_that_agrees_has_no_problems() -> None:
    assert problems("file.read", {"size": 1}, {"path": "x"}) == []
    assert problems("file.read", {"size": 1.5}, {"path": None}) == []
    assert problems("bare", {}, {}) == []


def test_an_unknown_event_is_one_problem() -> None:
    """Nothing can be said of what comes with it."""
    assert problems("file.lost", {"size": "x"}, {}) == ["event 'file.lost' is not in the catalogue"]


def test_each_difference_is_named() -> None:
    """What is missing, what is too much, what is no number."""
    assert problems("file.read", {"time": 1, "size": "x"}, {"name": 1}) == [
        "event 'file.read' came with measurement 'time', which is not in the catalogue (it has ('size',))",
        "event 'file.read' came with metadata 'name', which is not in the catalogue (it has ('path',))",
        "event 'file.read' came without metadata 'path', which the catalogue promises",
        "event 'file.read' measures 'size' as 'x', which is not a number",
    ]
    assert problems("file.read", {}, {"path": 1}) == [
        "event 'file.read' came without measurement 'size', which the catalogue promises"
    ]


@pytest.mark.parametrize("value", [True, False, None, "1"])
def test_what_is_no_number_is_no_measurement(value: object) -> None:
    """True is one to Python, and a quantity of nothing."""
    assert len(problems("file.read", {"size": value}, {"path": "x"})) == 1


def test_a_label_is_a_string() -> None:
    """An object would be a value of its own each time; nothing, and yes or no, are few enough."""
    spec = EventSpec("file.read", description="X.", metadata=("how",), labels=("how",))
    for good in ("fast", None, True):
        assert list(problems_of({"file.read": spec}, "file.read", {}, {"how": good})) == []
    assert list(problems_of({"file.read": spec}, "file.read", {}, {"how": 7})) == [
        "event 'file.read' came with label 'how' as 7; a label is a string"
    ]


def test_a_spec_is_checked_when_it_is_made() -> None:
    """Units come from three; labels are metadata. All of it is told at once."""
    with pytest.raises(UsageError, match=r"'size' is in 'kB'.*; label 'disk' is not in metadata"):
        EventSpec("x", description="X.", measurements={"size": "kB"}, labels=("disk",))  # type: ignore[dict-item]  # what is refused


def test_the_events_of_a_span_are_described_at_once() -> None:
    """The exception comes with its error, and is a failure."""
    specs = EventSpec.of_span("order", description="An order.", metadata=("kind", "id"), labels=("kind",))
    common: dict[str, Any] = {"metadata": ("kind", "id"), "labels": ("kind",)}
    duration: dict[str, Any] = {"duration": "seconds"}
    assert specs == {
        "order.start": EventSpec("order.start", description="An order. Begin.", **common),
        "order.stop": EventSpec("order.stop", description="An order. End.", measurements=duration, **common),
        "order.exception": EventSpec(
            "order.exception",
            description="An order. End by an exception.",
            measurements=duration,
            metadata=("kind", "id", "error"),
            labels=("kind",),
            failure=True,
        ),
    }
    bare = EventSpec.of_span("order", description="An order.")
    assert [each.metadata for each in bare.values()] == [(), (), ("error",)]
    assert {each.labels for each in bare.values()} == {()}


def test_a_spec_is_a_value_with_a_copy_of_what_it_was_given() -> None:
    """Only the name is given by position."""
    spec: Any = SPEC
    for field in ("name", "description", "measurements", "metadata", "labels", "failure"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(spec, field, None)
    with pytest.raises(TypeError, match="positional"):
        EventSpec("x", "X.")  # type: ignore[call-arg]  # what is refused
    units: dict[str, Any] = {"size": "bytes"}
    own = EventSpec("x", description="X.", measurements=units)
    units["size"] = "miles"
    assert own.measurements == {"size": "bytes"}
    bare = EventSpec("x", description="X.")
    assert (dict(bare.measurements), bare.metadata, bare.labels, bare.failure) == ({}, (), (), False)
    again = EventSpec(
        "file.read", description="A file was read.", measurements={"size": "bytes"}, metadata=("path",)
    )
    assert again == SPEC
