"""Reading and changing a cache. What the ancestor's cache got wrong has a test each; they say which."""

from __future__ import annotations

import math
import threading
import weakref
from dataclasses import FrozenInstanceError, astuple, replace
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.resilience import Cache, CacheLookup, CacheStatistics
from mabeam.resilience._cache_options import Default
from tests.resilience._clocks import HandClock


def _cache(**options: Any) -> tuple[Cache[Any, Any], HandClock]:
    clock = HandClock()
    return Cache(**{"max_entries": 10, "clock": clock, **options}), clock


def test_a_read_tells_hit_expired_and_not_found_in_one_step() -> None:
    """Flaw major 3: value and reason came from two reads."""
    cache, clock = _cache(ttl=5.0)
    assert cache.lookup("tea") == CacheLookup("not_found", None, 0.0)
    cache.put("tea", 3)
    assert cache.lookup("tea") == ("hit", 3, 5.0)
    assert cache.lookup("tea").is_hit
    clock.advance(4.0)
    assert cache.lookup("tea").expires_in == 1.0
    clock.advance(1.0)
    assert cache.lookup("tea") == ("expired", None, 0.0)
    assert cache.lookup("tea").outcome == "not_found"
    assert not cache.lookup("tea").is_hit


def test_a_stored_none_is_a_hit() -> None:
    """The ancestor refused it, and a null that was there anyway looked like a miss."""
    cache, _ = _cache()
    assert cache.put("tea", None)
    assert cache.lookup("tea") == ("hit", None, math.inf)
    assert cache.get("tea", "default") is None
    assert cache.statistics().hits == 2


def test_a_none_is_a_key_like_any_other() -> None:
    cache, _ = _cache()
    cache.put(None, 1)
    assert cache.get(None) == 1


def test_ttl_0_has_expired_at_once() -> None:
    """[ran] there: 0 or less meant "never expires"."""
    cache, _ = _cache()
    assert cache.put("tea", 3, ttl=0)
    assert cache.lookup("tea").outcome == "expired"
    assert cache.get("tea") is None


def test_ttl_0_takes_the_place_of_what_was_there_and_evicts_nobody() -> None:
    cache, _ = _cache(max_entries=2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert not cache.put("c", 3, ttl=0)
    assert (cache.get("a"), cache.get("b")) == (1, 2)
    cache.put("a", 4, ttl=0)
    assert cache.lookup("a").outcome == "expired"
    assert cache.get("b") == 2


@pytest.mark.parametrize("ttl", [-1, -0.001, math.nan, True, "5", [1]])
def test_a_ttl_that_is_none_is_an_error(ttl: Any) -> None:
    """[ran] there: a negative one meant "never expires". Nothing is changed by it."""
    cache, _ = _cache()
    cache.put("tea", 3)
    with pytest.raises(UsageError, match=r"ttl expects seconds >= 0") as error:
        cache.put("tea", 4, ttl=ttl)
    assert repr(ttl) in str(error.value)
    assert cache.get("tea") == 3


def test_a_ttl_of_none_or_infinity_has_no_end() -> None:
    cache, clock = _cache(ttl=1.0)
    cache.put("a", 1, ttl=None)
    cache.put("b", 2, ttl=math.inf)
    cache.put("c", 3)
    clock.advance(1e9)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, 2, None)


def test_a_value_is_fresh_until_its_time_and_not_at_it() -> None:
    cache, clock = _cache()
    cache.put("tea", 3, ttl=2.0)
    clock.advance(1.999)
    assert cache.get("tea") == 3
    clock.advance(0.001)
    assert cache.get("tea") is None


def test_only_a_new_key_makes_another_one_go() -> None:
    """The ancestor evicted also when it overwrote a key that was there."""
    cache, _ = _cache(max_entries=3)
    for key in "abc":
        cache.put(key, key)
    for number in range(20):
        cache.put("b", number)
    assert cache.statistics().evicted == 0
    assert [cache.get(key) for key in "abc"] == ["a", 19, "c"]
    cache.put("d", "d")
    assert cache.statistics().evicted == 1


def test_what_is_popular_stays() -> None:
    """The ancestor evicted an arbitrary key."""
    cache, _ = _cache(max_entries=20)
    for number in range(1_000):
        for key in ("tea", "salt", "bread"):
            if cache.get(key) is None:
                cache.put(key, key)
        cache.put(number, number)
    got = cache.statistics()
    assert got.hits >= 3 * 1_000 - 10
    assert got.entries == 20


def test_expired_entries_go_before_any_other() -> None:
    cache, clock = _cache(max_entries=3)
    cache.put("old", 0, ttl=1.0)
    cache.put("a", 1)
    cache.put("b", 2)
    clock.advance(1.0)
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, 2, 3)
    got = cache.statistics()
    assert (got.evicted, got.removed_expired) == (0, 1)


def test_an_expired_read_never_removes_what_somebody_has_put_meanwhile() -> None:
    """The ancestor read, decided, and deleted by key: a new value could go. Here a clock that is read puts one meanwhile."""
    clock = HandClock()
    cache: Cache[str, int] = Cache(max_entries=10, clock=clock)
    cache.put("tea", 1, ttl=1.0)
    clock.advance(2.0)
    asked = threading.Event()
    done = threading.Event()

    class Meddler:
        """Puts a new value from another thread as soon as the time has been read."""

        def __call__(self) -> float:
            if threading.current_thread() is threading.main_thread():
                asked.set()
                # The read holds the lock from before it looks at the time until it has removed what it saw.
                assert not done.wait(0.05)
            return clock()

    cache._clock = Meddler()

    def meddle() -> None:
        asked.wait(10)
        cache.put("tea", 2)
        done.set()

    other = threading.Thread(target=meddle)
    other.start()
    assert cache.lookup("tea").outcome == "expired"
    other.join()
    cache._clock = clock
    assert cache.get("tea") == 2


def test_delete_says_whether_there_was_something() -> None:
    cache, clock = _cache(ttl=1.0)
    cache.put("tea", 3)
    assert cache.delete("tea")
    assert not cache.delete("tea")
    assert cache.lookup("tea").outcome == "not_found"
    cache.put("tea", 3)
    clock.advance(1.0)
    assert cache.delete("tea")


def test_compare_and_delete_removes_the_value_that_was_compared() -> None:
    cache, _ = _cache()
    cache.put("tea", [1])
    assert not cache.compare_and_delete("tea", [2])
    assert cache.get("tea") == [1]
    assert cache.compare_and_delete("tea", [1])
    assert not cache.compare_and_delete("tea", [1])
    cache.put("odd", math.nan)
    assert not cache.compare_and_delete("odd", float("nan"))
    assert cache.compare_and_delete("odd", math.nan)


def test_compare_and_delete_leaves_what_came_while_it_compared() -> None:
    """The comparison is a user's function: here it puts another value, which is then the one to compare."""
    cache, _ = _cache()
    seen: list[int] = []

    class Value:
        def __init__(self, number: int) -> None:
            self.number = number

        def __eq__(self, other: object) -> bool:
            seen.append(self.number)
            if self.number == 1:
                cache.put("tea", Value(2))
            return self.number == other

        __hash__ = None  # type: ignore[assignment]  # a value, not a key

    cache.put("tea", Value(1))
    assert not cache.compare_and_delete("tea", 1)
    assert seen == [1, 2]
    assert cache.lookup("tea").value.number == 2  # type: ignore[union-attr]  # it is there
    assert cache.compare_and_delete("tea", 2)


def test_clear_removes_everything_and_keeps_count() -> None:
    cache, _ = _cache()
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    assert cache.clear() == 2
    assert cache.clear() == 0
    got = cache.statistics()
    assert (got.entries, got.weight, got.hits, got.deleted) == (0, 0.0, 1, 2)


def test_expire_gives_memory_back_without_a_read() -> None:
    cache, clock = _cache()
    cache.put("a", 1, ttl=1.0)
    cache.put("b", 2, ttl=2.0)
    cache.put("c", 3)
    assert cache.expire() == 0
    clock.advance(2.0)
    assert cache.statistics().entries == 3
    assert cache.expire() == 2
    assert cache.statistics().entries == 1


def test_weights_are_limited_together() -> None:
    cache, _ = _cache(max_entries=None, max_weight=10, weigh=lambda key, value: len(value))
    assert cache.put("a", "12345")
    assert cache.put("b", "12345")
    assert cache.statistics().weight == 10
    assert cache.put("c", "1")
    got = cache.statistics()
    assert (got.entries, got.evicted, got.weight) == (2, 1, 6)
    assert cache.put("d", "not weighed", weight=0.5)
    assert cache.statistics().weight == 6.5


def test_a_value_heavier_than_the_cache_is_refused_and_the_old_one_goes() -> None:
    """It would be wrong to go on handing out what is out of date."""
    cache, _ = _cache(max_weight=10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=4)
    assert not cache.put("a", 3, weight=11)
    assert cache.lookup("a").outcome == "not_found"
    assert cache.get("b") == 2
    assert cache.statistics().refused == 1


@pytest.mark.parametrize("weight", [-1, math.inf, math.nan, "heavy", True])
def test_a_weight_that_is_none_is_an_error(weight: Any) -> None:
    cache, _ = _cache(max_weight=10, weigh=lambda key, value: weight)
    with pytest.raises(UsageError, match="weight expects a finite number >= 0"):
        cache.put("a", 1)
    with pytest.raises(UsageError, match="weight expects a finite number >= 0"):
        cache.put("a", 1, weight=weight)
    assert cache.statistics().entries == 0


def test_a_limit_has_to_be_written() -> None:
    """Also that there is none."""
    with pytest.raises(TypeError, match="max_entries"):
        Cache()  # type: ignore[call-arg]  # that is the point
    cache, _ = _cache(max_entries=None)
    for number in range(1_000):
        cache.put(number, number)
    assert cache.statistics().entries == 1_000


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(UsageError) as error:
        Cache(
            max_entries=0,
            max_weight=-1,
            ttl=-5,
            stale_for=-1,
            negative_ttl=math.nan,
            negative_errors=ValueError,  # type: ignore[arg-type]  # that is the point
            weigh=3,  # type: ignore[arg-type]  # that is the point
            clock="now",  # type: ignore[arg-type]  # that is the point
        )
    assert [problem.split()[0] for problem in error.value.problems] == [
        "max_entries",
        "max_weight",
        "ttl",
        "negative_ttl",
        "stale_for",
        "negative_errors",
        "weigh",
        "clock",
    ]
    assert str(error.value) == f"Cache: {'; '.join(error.value.problems)}."


@pytest.mark.parametrize(
    "options",
    [
        {"max_entries": True},
        {"max_entries": 2.5},
        {"max_weight": 0},
        {"max_weight": "x"},
        {"ttl": "5"},
        {"stale_for": None},
        {"stale_for": "5"},
        {"negative_errors": (int,)},
        {"negative_errors": ("KeyError",)},
        {"negative_errors": (KeyboardInterrupt,), "negative_ttl": 1.0},
        {"negative_errors": (ValueError,)},
        {"run_refresh": 1},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))} expects"):
        _cache(**options)


def test_limits_at_their_edges_are_taken() -> None:
    _cache(max_entries=1, max_weight=0.1, ttl=0, stale_for=0, negative_ttl=0, negative_errors=(ValueError,))


def test_a_value_may_weigh_nothing() -> None:
    cache, _ = _cache(max_weight=1)
    assert cache.put("a", 1, weight=1)
    assert cache.put("b", 2, weight=0)
    assert (cache.get("a"), cache.get("b")) == (1, 2)


def test_every_read_is_part_of_the_hit_ratio() -> None:
    cache, clock = _cache(ttl=1.0)
    cache.put("tea", 3)
    cache.get("tea")
    cache.get("salt")
    clock.advance(1.0)
    cache.get("tea")
    got = cache.statistics()
    assert (got.hits, got.expired, got.not_found, got.hit_ratio) == (1, 1, 1, 1 / 3)
    assert replace(got, stale=1).hit_ratio == 1 / 4


def test_statistics_are_a_record_of_one_moment() -> None:
    """Named, since nobody remembers fifteen numbers in order; and they stay as they are."""
    cache, _ = _cache()
    changed: Any = cache.statistics()
    with pytest.raises(FrozenInstanceError):
        changed.hits = 1
    positional: Any = CacheStatistics
    with pytest.raises(TypeError, match="positional"):
        positional(*astuple(changed))


def test_caches_do_not_know_each_other() -> None:
    """Law 10: ten of each, side by side."""
    caches = [_cache(name=str(number))[0] for number in range(10)]
    for number, cache in enumerate(caches):
        cache.put("key", number)
    assert [cache.get("key") for cache in caches] == list(range(10))


def test_it_shows_what_it_is() -> None:
    cache, _ = _cache(name="prices")
    cache.put("a", 1)
    cache.get("a")
    cache.get("b")
    assert repr(cache) == "<Cache 'prices' 1 of 10 entries, 50% hits, 0 loading>"
    assert repr(_cache(max_entries=None)[0]) == "<Cache 'cache' 0 entries, 0% hits, 0 loading>"
    assert repr(Default.TTL) == "the ttl of the cache"


def test_threads_lose_no_count_and_no_limit() -> None:
    cache: Cache[int, int] = Cache(max_entries=50)

    def work(first: int) -> None:
        for number in range(2_000):
            key = (first + number * 7) % 100
            if cache.get(key) is None:
                cache.put(key, key)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = cache.statistics()
    assert got.hits + got.not_found == 8_000
    assert got.puts == got.not_found
    assert got.entries == 50
    assert got.puts - got.evicted >= 50


def test_a_finalizer_may_use_the_cache() -> None:
    """It runs wherever the last reference goes; a lock that is not reentrant would stand still there."""
    cache: Cache[Any, Any] = Cache(max_entries=2)

    class Loud:
        def __del__(self) -> None:
            cache.put("last words", 1)

    for number in range(10):
        cache.put(number, Loud())
    cache.delete(9)
    cache.clear()
    cache.put("a", 1)
    assert cache.get("a") == 1
    assert cache.statistics().entries <= 2


def test_a_value_that_has_gone_is_freed_at_once() -> None:
    """However it went; nothing waits for the garbage collector."""

    class Big:
        pass

    cache, clock = _cache(max_entries=1)
    freed: list[str] = []

    def put(key: str) -> None:
        value = Big()
        weakref.finalize(value, freed.append, key)
        cache.put(key, value, ttl=1.0)

    for key in ("evicted", "deleted", "replaced", "replaced", "expired", "cleared"):
        put(key)
        if key == "deleted":
            cache.delete(key)
        if key == "expired":
            clock.advance(1.0)
            cache.get(key)
    cache.clear()
    assert freed == ["evicted", "deleted", "replaced", "replaced", "expired", "cleared"]
