"""The catalogue as a table for the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.telemetry._catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mabeam.telemetry._spec import EventSpec

__all__ = ("reference_table",)


def reference_table(catalogue: Mapping[str, EventSpec] = CATALOGUE, /) -> str:
    """Render event descriptions as a Markdown table, in the order of the catalogue.

    Args:
        catalogue: the descriptions, by name.

    Returns:
        The table, ending in a newline. ``docs/reference/telemetry.md`` holds it, and a test compares the two.
    """
    lines = ["| event | when | measurements | metadata |", "| --- | --- | --- | --- |"]
    for spec in catalogue.values():
        measurements = ", ".join(f"`{name}` ({unit})" for name, unit in spec.measurements.items())
        metadata = ", ".join(
            f"**`{name}`**" if name in spec.labels else f"`{name}`" for name in spec.metadata
        )
        lines.append(f"| `{spec.name}` | {spec.description} | {measurements} | {metadata} |")
    return "\n".join(lines) + "\n"
