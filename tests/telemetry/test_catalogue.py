"""The catalogue is data that cannot change, and the documentation shows exactly it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mabeam.telemetry import CATALOGUE, EventSpec, reference_table

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"


def test_the_documentation_holds_the_table_of_the_catalogue() -> None:
    """`python -m mabeam.telemetry` prints what belongs there."""
    assert reference_table() in PAGE.read_text()


def test_the_module_prints_the_table() -> None:
    """So that nobody edits it by hand."""
    printed = subprocess.run(
        [sys.executable, "-m", "mabeam.telemetry"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == reference_table()


@pytest.mark.parametrize("spec", CATALOGUE.values(), ids=lambda spec: spec.name)
def test_each_event_is_named_and_described_in_the_house_form(spec: EventSpec) -> None:
    """Subject, dot, what happened; one sentence; names that do not collide."""
    assert CATALOGUE[spec.name] is spec
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", spec.name)
    assert spec.description.endswith(".")
    assert "|" not in spec.description
    assert set(spec.measurements.values()) <= {"seconds", "bytes", "count"}
    fields = [*spec.measurements, *spec.metadata]
    assert len(fields) == len(set(fields))


def test_a_field_has_one_unit_in_the_whole_catalogue() -> None:
    """So that one called `duration` can be added up, whichever event it comes with."""
    units: dict[str, set[str]] = {}
    for spec in CATALOGUE.values():
        for name, unit in spec.measurements.items():
            units.setdefault(name, set()).add(unit)
    assert {name: found for name, found in units.items() if len(found) > 1} == {}
    seconds = {name for name, found in units.items() if found == {"seconds"}}
    assert {name for name in units if name in {"duration", "timeout", "lifetime", "latency"}} <= seconds


def test_ids_keys_and_texts_are_no_labels() -> None:
    """Each value of a label is a time series that is kept for ever."""
    unbounded = {
        "pid",
        "parent",
        "owner",
        "runtime",
        "key",
        "reason",
        "error",
        "stack",
        "place",
        "file",
        "target",
        "id",
    }
    wrong = {
        spec.name: unbounded & set(spec.labels) for spec in CATALOGUE.values() if unbounded & set(spec.labels)
    }
    assert wrong == {}


def test_the_catalogue_cannot_be_changed() -> None:
    """Neither its entries nor their measurements."""
    catalogue: Any = CATALOGUE
    with pytest.raises(TypeError):
        catalogue["x"] = None
    units: dict[str, Any] = {"size": "bytes"}
    spec: Any = EventSpec("x.y", description="X.", measurements=units)
    units["size"] = "miles"
    assert spec.measurements["size"] == "bytes"
    with pytest.raises(TypeError):
        spec.measurements["size"] = "miles"
