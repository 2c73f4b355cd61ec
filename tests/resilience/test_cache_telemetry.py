"""The events of a cache, each of them, as the catalogue says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam.resilience import Cache
from mabeam.telemetry import CATALOGUE, Bus, current_bus
from mabeam.testing import wait_until_idle
from tests.resilience._clocks import HandClock


class Ear:
    """A cache, and what it says."""

    def __init__(self, **options: Any) -> None:
        self.bus = Bus(strict=True)
        self.heard: list[tuple[str, dict[str, float], dict[str, object]]] = []
        self.bus.attach(lambda event, numbers, rest: self.heard.append((event, dict(numbers), dict(rest))))
        self.clock = HandClock()
        self.cache: Cache[str, Any] = Cache(
            **{"max_entries": 2, "name": "prices", "clock": self.clock, "bus": self.bus, **options}
        )

    def events(self) -> list[str]:
        found = [event for event, _, _ in self.heard]
        assert all(rest["cache"] == "prices" for _, _, rest in self.heard)
        assert self.bus.problems == ()
        self.last = self.heard[-1] if self.heard else None
        self.heard.clear()
        return found


def test_reads_and_changes_are_told() -> None:
    ear = Ear()
    cache = ear.cache
    cache.get("tea")
    assert ear.events() == ["cache.missed"]
    assert ear.last == ("cache.missed", {"count": 1}, {"cache": "prices", "why": "not_found"})
    cache.put("tea", 3, ttl=1.0)
    cache.get("tea")
    cache.lookup("tea")
    assert ear.events() == ["cache.stored", "cache.hit", "cache.hit"]
    ear.clock.advance(1.0)
    cache.lookup("tea")
    assert ear.events() == ["cache.missed"]
    assert ear.last == ("cache.missed", {"count": 1}, {"cache": "prices", "why": "expired"})
    for key in "abc":
        cache.put(key, 1)
    assert ear.events() == ["cache.stored"] * 3 + ["cache.evicted"]
    assert ear.last == ("cache.evicted", {"count": 1}, {"cache": "prices"})
    cache.put("x", 1, ttl=0)
    assert ear.events() == ["cache.refused"]
    cache.delete("b")
    cache.delete("b")
    assert ear.events() == ["cache.deleted"]
    assert cache.compare_and_delete("c", 1)
    assert ear.events() == ["cache.deleted"]
    cache.put("d", 1, ttl=1.0)
    cache.put("e", 1, ttl=1.0)
    ear.clock.advance(1.0)
    cache.put("f", 1, ttl=1.0)
    assert ear.events() == ["cache.stored"] * 3 + ["cache.expired"]
    assert ear.last == ("cache.expired", {"count": 2}, {"cache": "prices"})
    ear.clock.advance(1.0)
    cache.expire()
    cache.expire()
    assert ear.events() == ["cache.expired"]
    cache.put("g", 1)
    cache.clear()
    assert ear.events() == ["cache.stored", "cache.cleared"]
    assert ear.last == ("cache.cleared", {"entries": 1}, {"cache": "prices"})


async def test_loads_are_told() -> None:
    ear = Ear(ttl=5.0, stale_for=5.0)
    cache = ear.cache

    async def load(key: str) -> int:
        ear.clock.advance(0.5)
        await asyncio.sleep(1)  # noqa: TID251  (virtual time)
        return 3

    tasks = [asyncio.create_task(cache.get_or_load("tea", load)) for _ in range(2)]
    await wait_until_idle()
    assert ear.events() == ["cache.missed", "cache.missed"]
    tasks[0].cancel()
    await tasks[1]
    assert ear.events() == ["cache.load_taken_over", "cache.stored", "cache.loaded"]
    assert ear.last == ("cache.loaded", {"duration": 0.5}, {"cache": "prices"})
    await cache.get_or_load("tea", load)
    assert cache.get_or_load_sync("tea", len) == 3
    assert ear.events() == ["cache.hit", "cache.hit"]
    ear.clock.advance(5.0)
    assert cache.get_or_load_sync("tea", lambda key: 1 // 0) == 3
    assert ear.events() == ["cache.missed", "cache.load_failed"]
    assert ear.last == (
        "cache.load_failed",
        {"duration": 0.0},
        {"cache": "prices", "error": "ZeroDivisionError"},
    )


async def test_the_bus_is_that_of_where_it_was_made() -> None:
    """So that threads, which have no current bus, are heard all the same."""
    ear = Ear()
    token = current_bus.set(ear.bus)
    cache: Cache[str, int] = Cache(max_entries=2, name="prices")
    current_bus.reset(token)
    await asyncio.to_thread(cache.get, "tea")
    assert ear.events() == ["cache.missed"]


def test_nobody_listening_is_no_harm() -> None:
    cache: Cache[str, int] = Cache(max_entries=1, bus=Bus())
    cache.put("tea", 3)
    cache.put("salt", 3)
    assert cache.get("salt") == 3
    assert cache.get_or_load_sync("tea", len) == 3


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("cache.")])
def test_every_event_of_the_catalogue_has_been_heard_above(name: str) -> None:
    """By name, in this file."""
    import inspect
    import sys

    assert f'"{name}"' in inspect.getsource(sys.modules[__name__])
