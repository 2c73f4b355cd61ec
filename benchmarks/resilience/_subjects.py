"""Who is measured: mabeam, two libraries of caches, two of rate limits, three of circuit breakers, asyncio, and a call in Erlang."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks._suite import Subject
from benchmarks.kernel._erlang import version as erlang_version
from benchmarks.resilience._measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("SUBJECTS",)

_CACHES: Final = ("cache_get", "cache_put", "cached_call", "hit_ratio")
_LIMITERS: Final = ("limiter_admit", "limiter_admit_async", "limiter_reject", "limiter_keys")
_BREAKERS: Final = ("breaker_async", "breaker_sync")
_BULKHEADS: Final = ("bulkhead",)


def _only(*has: str, **reasons: str) -> Mapping[str, str]:
    """Why everything else is absent: it is not what the library is for, unless another reason is given."""
    return {
        each.name: reasons.get(each.name, "it is for something else")
        for each in MEASURES
        if each.name not in has
    }


SUBJECTS: Final = (
    Subject(
        name="mabeam",
        title="mabeam",
        module="benchmarks.resilience._mabeam",
        distribution="mabeam",
    ),
    Subject(
        name="erlang",
        title="Erlang/OTP",
        module="benchmarks.resilience._erlang",
        commands=("erl", "erlc"),
        version=erlang_version,
        absent=_only("breaker_async"),
    ),
    Subject(
        name="cachetools",
        title="cachetools, TTLCache and LRUCache",
        module="benchmarks.resilience._cachetools",
        distribution="cachetools",
        imports=("cachetools",),
        absent=_only(
            "cache_get", "cache_put", "hit_ratio", cached_call="its decorators are for plain functions"
        ),
    ),
    Subject(
        name="cachetools-lfu",
        title="cachetools, LFUCache",
        module="benchmarks.resilience._cachetools_lfu",
        distribution="cachetools",
        imports=("cachetools",),
        absent=_only(
            "hit_ratio",
            cache_get="its values do not expire",
            cache_put="its values do not expire",
            cached_call="its decorators are for plain functions",
        ),
    ),
    Subject(
        name="cashews",
        title="cashews, in memory",
        module="benchmarks.resilience._cashews",
        distribution="cashews",
        imports=("cashews",),
        sizes={"cache_get": 2_000, "cache_put": 2_000, "cached_call": 1_000},
        absent=_only("cache_get", "cache_put", "cached_call", hit_ratio="its policy is LRU: see cachetools"),
    ),
    Subject(
        name="aiolimiter",
        title="aiolimiter",
        module="benchmarks.resilience._aiolimiter",
        distribution="aiolimiter",
        imports=("aiolimiter",),
        absent=_only(
            "limiter_admit_async",
            limiter_admit="it is for async code",
            limiter_reject="it can only wait",
            limiter_keys="it has no keys",
        ),
    ),
    Subject(
        name="limits",
        title="limits, fixed window in memory",
        module="benchmarks.resilience._limits",
        distribution="limits",
        imports=("limits",),
        sizes={"limiter_admit_async": 2_000},
        absent=_only(*_LIMITERS),
    ),
    Subject(
        name="pybreaker",
        title="pybreaker",
        module="benchmarks.resilience._pybreaker",
        distribution="pybreaker",
        imports=("pybreaker",),
        absent=_only("breaker_sync", breaker_async="it is for plain functions, or Tornado's"),
    ),
    Subject(
        name="aiobreaker",
        title="aiobreaker",
        module="benchmarks.resilience._aiobreaker",
        distribution="aiobreaker",
        imports=("aiobreaker",),
        absent=_only(*_BREAKERS),
    ),
    Subject(
        name="purgatory",
        title="purgatory",
        module="benchmarks.resilience._purgatory",
        distribution="purgatory",
        imports=("purgatory",),
        absent=_only(*_BREAKERS),
    ),
    Subject(
        name="asyncio",
        title="asyncio.Semaphore",
        module="benchmarks.resilience._asyncio",
        absent=_only(*_BULKHEADS),
    ),
)
