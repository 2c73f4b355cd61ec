"""What tests of policies share: a clock in the hand, and a bus that remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.telemetry import Bus

if TYPE_CHECKING:
    from collections.abc import Mapping


class Hand:
    """A clock that stands still until it is moved; as ``sleep`` it moves itself and remembers how far."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Heard:
    """A strict bus, and what it heard."""

    def __init__(self) -> None:
        self.bus = Bus(strict=True)
        self.events: list[tuple[str, dict[str, float], dict[str, object]]] = []
        self.bus.attach(self._hear)

    def _hear(self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, object]) -> None:
        self.events.append((event, dict(measurements), dict(metadata)))

    def named(self, event: str) -> list[dict[str, object]]:
        return [{**metadata, **measurements} for name, measurements, metadata in self.events if name == event]

    def check(self) -> None:
        assert self.bus.problems == ()
