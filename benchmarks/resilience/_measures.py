"""What is measured of caches, limits and breakers, defined once for all subjects."""

from __future__ import annotations

from typing import Final

from benchmarks._suite import Figure, Measure
from benchmarks.resilience._traces import TRACES, name_of

__all__ = ("MEASURES",)

MEASURES: Final = (
    Measure(
        name="cache_get",
        title="Read a value that is there",
        definition="A cache that is full with 10,000 values, which are fresh for 300 s, is read: 1,000 keys in turn, `get(key)` "
        "each. All reads are hits.",
        size=10_000,
        quick_size=2_000,
        rounds=30,
    ),
    Measure(
        name="cache_put",
        title="Store a new key in a full cache",
        definition="Values with a time of 300 s are stored under new keys in a cache of 1,000 entries that is full, so that each "
        "makes another one go.",
        size=5_000,
        quick_size=1_000,
        rounds=20,
    ),
    Measure(
        name="cached_call",
        title="Call a decorated async function",
        definition="An async function whose result is kept in a cache for 300 s is called with the same argument and awaited. All "
        "calls but the first are hits.",
        size=5_000,
        quick_size=1_000,
        rounds=20,
    ),
    Measure(
        name="hit_ratio",
        title="Hit ratio",
        definition="Requests of a trace are made of a cache of 1,000 entries; what is not there is put. Traces are seeded, and "
        "`benchmarks/resilience/_traces.py` says what is in them. Size is the number of requests.",
        figures=tuple(Figure(name=name_of(title), title=title, unit="%") for title in TRACES),
        size=200_000,
        quick_size=20_000,
        rounds=0,
        repetitions=1,
    ),
    Measure(
        name="limiter_admit",
        title="Be admitted at once, plain code",
        definition="A limiter with a limit that is never reached is asked for one key without waiting, and admits.",
        size=10_000,
        quick_size=2_000,
        rounds=30,
    ),
    Measure(
        name="limiter_admit_async",
        title="Be admitted at once, async",
        definition="As before, through the method that would wait if need be, awaited.",
        size=10_000,
        quick_size=2_000,
        rounds=30,
    ),
    Measure(
        name="limiter_reject",
        title="Be rejected",
        definition="A limiter whose limit is used up is asked for one key without waiting, and does not admit.",
        size=10_000,
        quick_size=2_000,
        rounds=30,
    ),
    Measure(
        name="limiter_keys",
        title="Be admitted, many keys",
        definition="As the first, for 5,000 keys in turn.",
        size=10_000,
        quick_size=5_000,
        rounds=20,
    ),
    Measure(
        name="breaker_async",
        title="Async call through a closed circuit breaker",
        definition="A circuit breaker that is closed runs an async function that returns at once, and it is awaited. What the bare "
        "function takes is included.",
        size=5_000,
        quick_size=1_000,
        rounds=30,
    ),
    Measure(
        name="breaker_sync",
        title="Plain call through a closed circuit breaker",
        definition="As before, with a plain function.",
        size=5_000,
        quick_size=1_000,
        rounds=30,
    ),
    Measure(
        name="bulkhead",
        title="Async call through a bulkhead with room",
        definition="A limit of concurrent calls that is not reached is entered and left around an async function that returns at "
        "once.",
        size=5_000,
        quick_size=1_000,
        rounds=30,
    ),
)
