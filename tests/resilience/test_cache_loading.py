"""Loading through a cache, by tasks: one load for all, whoever is cancelled."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

import mabeam
from mabeam.errors import UsageError
from mabeam.resilience import Cache
from mabeam.testing import wait_until_idle
from tests.resilience._clocks import HandClock


class Loader:
    """Loads when it is told to, and counts."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []

    async def __call__(self, key: object) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.calls.append(future)
        return await future


def _cache(**options: Any) -> tuple[Cache[str, Any], HandClock]:
    clock = HandClock()
    return Cache(**{"max_entries": 10, "clock": clock, **options}), clock


async def test_what_is_there_is_not_loaded() -> None:
    cache, _ = _cache()
    cache.put("tea", None)
    loader = Loader()
    assert await cache.get_or_load("tea", loader) is None
    assert loader.calls == []


async def test_any_number_of_waiters_share_one_load() -> None:
    cache, _ = _cache(ttl=5.0)
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(1_000)]
    await wait_until_idle()
    assert len(loader.calls) == 1
    assert cache.statistics().loading == 1
    loader.calls[0].set_result(3)
    assert await asyncio.gather(*tasks) == [3] * 1_000
    assert cache.get("tea") == 3
    got = cache.statistics()
    assert (got.loads, got.loading, got.puts) == (1, 0, 1)


async def test_keys_do_not_wait_for_each_other() -> None:
    cache, _ = _cache()
    hangs, quick = Loader(), Loader()
    hanging = asyncio.create_task(cache.get_or_load("hangs", hangs))
    other = asyncio.create_task(cache.get_or_load("quick", quick))
    await wait_until_idle()
    quick.calls[0].set_result(1)
    assert await other == 1
    hangs.calls[0].set_result(2)
    assert await hanging == 2


async def test_a_plain_loader_is_taken_too() -> None:
    cache, _ = _cache()
    assert await cache.get_or_load("tea", len) == 3
    assert await cache.get_or_load("tea", lambda key: pytest.fail("it is there")) == 3


async def test_a_waiter_that_is_cancelled_is_not_noticed() -> None:
    cache, _ = _cache()
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(10)]
    await wait_until_idle()
    for task in tasks[1:5]:
        task.cancel()
    await wait_until_idle()
    assert all(task.cancelled() for task in tasks[1:5])
    loader.calls[0].set_result(3)
    assert await asyncio.gather(tasks[0], *tasks[5:]) == [3] * 6
    assert len(loader.calls) == 1


async def test_when_the_first_is_cancelled_the_next_loads() -> None:
    """Nothing runs unowned: the load was his, and ends with him. The next runs its own loader in its own task."""
    cache, _ = _cache()
    loaders = [Loader() for _ in range(4)]
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for loader in loaders]
    await wait_until_idle()
    tasks[0].cancel()
    await wait_until_idle()
    assert [len(loader.calls) for loader in loaders] == [1, 1, 0, 0]
    assert loaders[0].calls[0].cancelled()
    tasks[1].cancel()
    await wait_until_idle()
    loaders[2].calls[0].set_result(3)
    assert await asyncio.gather(*tasks[2:]) == [3, 3]
    assert loaders[3].calls == []
    got = cache.statistics()
    assert (got.loads, got.taken_over, got.loading) == (1, 2, 0)


async def test_the_lead_goes_on_when_the_heir_is_cancelled_in_the_same_moment() -> None:
    cache, _ = _cache()
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(5)]
    await wait_until_idle()
    # The first hands over to the second as soon as it is stepped; the second has its cancellation already.
    for task in tasks[:4]:
        task.cancel()
    await wait_until_idle()
    assert len(loader.calls) == 2
    loader.calls[1].set_result(3)
    assert await tasks[4] == 3


async def test_when_all_are_cancelled_nothing_is_left() -> None:
    cache, _ = _cache()
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(5)]
    await wait_until_idle()
    for task in reversed(tasks):
        task.cancel()
    await wait_until_idle()
    assert cache.statistics().loading == 0
    again = asyncio.create_task(cache.get_or_load("tea", loader))
    await wait_until_idle()
    loader.calls[-1].set_result(1)
    assert await again == 1


@pytest.mark.parametrize("seed", range(20))
async def test_whoever_is_cancelled_the_rest_have_their_value(seed: int) -> None:
    """In any order, the leader included; each survivor has the value, and at most one load runs at a time."""
    import random

    chance = random.Random(seed)
    cache, _ = _cache()
    running = most = 0

    async def load(key: str) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            for _ in range(5):
                await asyncio.sleep(1)  # noqa: TID251  (virtual time)
            return 3
        finally:
            running -= 1

    tasks = [asyncio.create_task(cache.get_or_load("tea", load)) for _ in range(30)]
    doomed = chance.sample(tasks, 20)
    for task in doomed:
        await asyncio.sleep(chance.choice([0, 0, 0.5]))  # noqa: TID251  (virtual time)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for task, result in zip(tasks, results, strict=True):
        assert result == 3 or (task in doomed and isinstance(result, asyncio.CancelledError))
    assert most == 1
    assert cache.statistics().loading == 0


async def test_an_error_reaches_all_and_is_not_kept() -> None:
    cache, _ = _cache()
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(3)]
    await wait_until_idle()
    loader.calls[0].set_exception(ValueError("no tea"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [repr(each) for each in results] == ["ValueError('no tea')"] * 3
    again = asyncio.create_task(cache.get_or_load("tea", loader))
    await wait_until_idle()
    loader.calls[1].set_result(3)
    assert await again == 3
    assert cache.statistics().load_failures == 1


async def test_a_loader_that_cancels_itself_harms_nobody_else() -> None:
    """Its caller is told what it raised, and the next one tries."""
    cache, _ = _cache()

    async def gives_up(key: str) -> int:
        await asyncio.sleep(0)  # noqa: TID251  (a turn for the others)
        raise asyncio.CancelledError

    first = asyncio.create_task(cache.get_or_load("tea", gives_up))
    second = asyncio.create_task(cache.get_or_load("tea", len))
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == 3


async def test_errors_are_remembered_when_asked() -> None:
    cache, clock = _cache(negative_ttl=2.0, negative_errors=(LookupError,))
    calls = 0

    async def load(key: str) -> int:
        nonlocal calls
        calls += 1
        raise KeyError(key, calls)

    depths: list[int] = []
    for _ in range(4):
        with pytest.raises(KeyError, match="'tea', 1") as error:
            await cache.get_or_load("tea", load)
        depths.append(len(error.traceback))
    # Raised anew each time, without the frames of the load and of the readers before.
    assert depths[0] > depths[1] == depths[2] == depths[3]
    assert calls == 1
    assert cache.lookup("tea").outcome == "not_found"
    clock.advance(2.0)
    with pytest.raises(KeyError, match="'tea', 2"):
        await cache.get_or_load("tea", load)
    cache.put("tea", 3)
    assert await cache.get_or_load("tea", load) == 3
    cache.delete("tea")
    assert await cache.get_or_load("tea", len) == 3


async def test_deleting_forgets_a_remembered_error() -> None:
    cache, _ = _cache(negative_ttl=2.0, negative_errors=(ValueError,))

    def fail(key: str) -> int:
        raise ValueError(key)

    for forget in (lambda: cache.delete("tea"), cache.clear):
        with pytest.raises(ValueError, match="tea"):
            await cache.get_or_load("tea", fail)
        with pytest.raises(ValueError, match="tea"):
            await cache.get_or_load("tea", len)
        forget()
        assert await cache.get_or_load("tea", len) == 3
        cache.delete("tea")


async def test_other_errors_are_not_remembered() -> None:
    cache, _ = _cache(negative_ttl=2.0, negative_errors=(LookupError,))

    def fail(key: str) -> int:
        raise ValueError(key)

    with pytest.raises(ValueError, match="tea"):
        await cache.get_or_load("tea", fail)
    assert await cache.get_or_load("tea", len) == 3


async def test_an_error_that_cannot_be_copied_is_raised_as_it_is() -> None:
    class Odd(ValueError):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    cache, _ = _cache(negative_ttl=2.0, negative_errors=(Odd,))

    def fail(key: str) -> int:
        raise Odd(1, 2)

    for _ in range(2):
        with pytest.raises(Odd, match="1 and 2"):
            await cache.get_or_load("tea", fail)


async def test_a_load_that_found_nothing_has_a_time_of_its_own() -> None:
    cache, clock = _cache(ttl=100.0, negative_ttl=2.0)
    assert await cache.get_or_load("tea", lambda key: None) is None
    assert await cache.get_or_load("salt", len, ttl=50.0) == 4
    assert cache.lookup("tea") == ("hit", None, 2.0)
    assert cache.lookup("salt").expires_in == 50.0
    clock.advance(2.0)
    assert await cache.get_or_load("tea", len) == 3
    assert cache.lookup("tea").expires_in == 100.0


@pytest.mark.parametrize("change", ["put", "delete", "clear", "compare_and_delete"])
async def test_what_was_loaded_before_a_change_is_not_stored_after_it(change: str) -> None:
    """Else an invalidation that comes while a load is under way would be undone by its outcome, which is older."""
    cache, _ = _cache(stale_for=100.0)
    cache.put("tea", "old", ttl=0)
    loader = Loader()
    waiting = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(2)]
    await wait_until_idle()
    if change == "put":
        cache.put("tea", "new")
    elif change == "compare_and_delete":
        assert cache.compare_and_delete("tea", "old")
    else:
        getattr(cache, change)(*(["tea"] if change == "delete" else []))
    later = asyncio.create_task(cache.get_or_load("tea", loader))
    await wait_until_idle()
    loader.calls[0].set_result("outdated")
    assert await waiting[0] == "outdated"
    if change == "put":
        assert await later == "new"
    else:
        assert cache.lookup("tea").outcome == "not_found"
        loader.calls[1].set_result("newest")
        assert await later == "newest"
        assert cache.get("tea") == "newest"
    assert cache.statistics().loading == 0
    await asyncio.gather(*waiting)


async def test_the_outdated_load_is_led_on_as_well() -> None:
    cache, _ = _cache()
    loader = Loader()
    tasks = [asyncio.create_task(cache.get_or_load("tea", loader)) for _ in range(2)]
    await wait_until_idle()
    cache.delete("tea")
    tasks[0].cancel()
    await wait_until_idle()
    loader.calls[1].set_result(3)
    assert await tasks[1] == 3
    assert cache.lookup("tea").outcome == "not_found"


async def test_a_loader_that_asks_for_its_own_key_is_told_so() -> None:
    """It would wait for itself for ever."""
    cache, _ = _cache()

    async def load(key: str) -> Any:
        return await cache.get_or_load(key, load)

    with pytest.raises(UsageError, match="would wait for itself"):
        await cache.get_or_load("tea", load)
    assert cache.statistics().loading == 0

    async def mixed(key: str) -> Any:
        return cache.get_or_load_sync(key, len)

    with pytest.raises(UsageError, match="would wait for itself"):
        await cache.get_or_load("tea", mixed)


async def test_synchronous_code_does_not_block_the_loop_that_loads_for_it() -> None:
    cache, _ = _cache()
    loader = Loader()
    task = asyncio.create_task(cache.get_or_load("tea", loader))
    await wait_until_idle()
    with pytest.raises(UsageError, match="of its own thread"):
        cache.get_or_load_sync("tea", len)
    loader.calls[0].set_result(3)
    assert await task == 3


async def test_loaders_may_ask_for_other_keys() -> None:
    cache, _ = _cache()

    async def load(key: str) -> int:
        return 1 if len(key) == 1 else 1 + await cache.get_or_load(key[1:], load)

    assert await cache.get_or_load("abcd", load) == 4
    assert cache.get("cd") == 2


async def test_a_wrong_ttl_is_told_before_anything_is_loaded() -> None:
    cache, _ = _cache()
    with pytest.raises(UsageError, match="ttl"):
        await cache.get_or_load("tea", lambda key: pytest.fail("not loaded"), ttl=-1)
    with pytest.raises(UsageError, match="ttl"):
        cache.get_or_load_sync("tea", lambda key: pytest.fail("not loaded"), ttl=-1)


async def test_a_weight_that_is_wrong_reaches_all_who_wait() -> None:
    cache, _ = _cache(weigh=lambda key, value: -1)
    tasks = [asyncio.create_task(cache.get_or_load("tea", len)) for _ in range(2)]
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, UsageError)
    assert cache.statistics().loading == 0


# --------------------------------------------------------------------------------------------------- stale values


async def test_a_stale_value_is_used_while_the_first_loads_it_anew() -> None:
    cache, clock = _cache(ttl=5.0, stale_for=10.0)
    cache.put("tea", 1)
    clock.advance(5.0)
    assert cache.lookup("tea") == ("stale", 1, 0.0)
    assert cache.get("tea") is None
    loader = Loader()
    first = asyncio.create_task(cache.get_or_load("tea", loader))
    await wait_until_idle()
    assert [await cache.get_or_load("tea", loader) for _ in range(3)] == [1, 1, 1]
    loader.calls[0].set_result(2)
    assert await first == 2
    assert len(loader.calls) == 1
    assert cache.lookup("tea") == ("hit", 2, 5.0)


async def test_a_stale_value_has_an_end() -> None:
    cache, clock = _cache(ttl=5.0, stale_for=10.0)
    cache.put("tea", 1)
    clock.advance(15.0)
    assert cache.lookup("tea").outcome == "expired"
    cache.put("tea", 1)
    clock.advance(15.0)
    assert await cache.get_or_load("tea", lambda key: 2) == 2


async def test_a_stale_value_serves_when_loading_anew_fails() -> None:
    cache, clock = _cache(ttl=5.0, stale_for=10.0)
    cache.put("tea", 1)
    clock.advance(6.0)

    async def fail(key: str) -> int:
        raise OSError("down")

    assert await cache.get_or_load("tea", fail) == 1
    assert cache.get_or_load_sync("tea", lambda key: 1 // 0) == 1
    assert cache.statistics().load_failures == 2
    clock.advance(9.0)
    with pytest.raises(OSError, match="down"):
        await cache.get_or_load("tea", fail)


async def test_a_refresh_in_a_task_of_the_users_keeps_nobody_waiting() -> None:
    loader = Loader()
    async with asyncio.TaskGroup() as group:
        cache, clock = _cache(ttl=5.0, stale_for=10.0, run_refresh=lambda work: group.create_task(work()))
        cache.put("tea", 1)
        clock.advance(5.0)
        assert [await cache.get_or_load("tea", loader) for _ in range(5)] == [1] * 5
        await wait_until_idle()
        assert len(loader.calls) == 1
        assert await cache.get_or_load("tea", loader) == 1
        loader.calls[0].set_result(2)
        await wait_until_idle()
        assert await cache.get_or_load("tea", loader) == 2
        # When it fails, the stale one goes on serving, and the next to come has it tried again.
        clock.advance(5.0)
        assert await cache.get_or_load("tea", loader) == 2
        await wait_until_idle()
        loader.calls[1].set_exception(OSError("down"))
        await wait_until_idle()
        assert await cache.get_or_load("tea", loader) == 2
        await wait_until_idle()
        loader.calls[2].set_result(3)
    assert cache.get("tea") == 3


async def test_a_refresh_that_is_cancelled_leaves_the_next_to_try() -> None:
    loader = Loader()
    started: list[asyncio.Task[None]] = []
    cache, clock = _cache(
        ttl=5.0, stale_for=10.0, run_refresh=lambda work: started.append(asyncio.create_task(work()))
    )
    cache.put("tea", 1)
    clock.advance(5.0)
    assert await cache.get_or_load("tea", loader) == 1
    await wait_until_idle()
    started[0].cancel()
    await wait_until_idle()
    assert cache.statistics().loading == 0
    assert await cache.get_or_load("tea", loader) == 1
    await wait_until_idle()
    loader.calls[1].set_result(2)
    await started[1]
    assert cache.get("tea") == 2


async def test_a_refresh_that_comes_too_late_does_nothing() -> None:
    works: list[Any] = []
    cache, clock = _cache(ttl=5.0, stale_for=10.0, run_refresh=works.append)
    cache.put("tea", 1)
    clock.advance(5.0)
    assert await cache.get_or_load("tea", len) == 1
    cache.put("tea", 2)
    await works[0]()
    assert cache.get("tea") == 2
    # One that never comes holds up nobody once the stale value is at its end.
    clock.advance(5.0)
    assert await cache.get_or_load("tea", len) == 2
    clock.advance(10.0)
    assert await cache.get_or_load("tea", len) == 3


async def test_a_run_refresh_that_raises_is_logged_and_the_caller_loads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(work: Any) -> None:
        raise RuntimeError("closed")

    cache, clock = _cache(ttl=5.0, stale_for=10.0, run_refresh=refuse)
    cache.put("tea", 1)
    clock.advance(5.0)
    assert await cache.get_or_load("tea", len) == 3
    assert "run_refresh of 'cache' raised" in caplog.text


async def test_it_takes_virtual_time_where_it_is_made_in_it() -> None:
    cache: Cache[str, int] = Cache(max_entries=10, ttl=3_600.0)
    cache.put("tea", 1)
    await asyncio.sleep(3_599)  # noqa: TID251  (virtual time)
    assert cache.get("tea") == 1
    await asyncio.sleep(1)  # noqa: TID251  (virtual time)
    assert cache.lookup("tea").outcome == "expired"


@pytest.mark.simulate(seeds=10)
async def test_a_process_that_is_killed_hands_its_load_on() -> None:
    """The task of its handler was the leader; another process goes on, in whatever order they run."""
    cache: Cache[str, int] = Cache(max_entries=10)
    got: list[int] = []
    running: list[mabeam.Pid] = []

    async def load(key: str) -> int:
        running.append(mabeam.self_pid())
        await asyncio.sleep(1)  # noqa: TID251  (virtual time)
        return 3

    async def ask() -> None:
        got.append(await cache.get_or_load("tea", load))

    for _ in range(5):
        mabeam.spawn(ask)
    await asyncio.sleep(0.5)  # noqa: TID251  (virtual time)
    mabeam.kill(running[0])
    await asyncio.sleep(5)  # noqa: TID251  (virtual time)
    assert got == [3] * 4
    assert len(running) == 2
    assert cache.statistics().loading == 0


async def test_an_error_does_not_collect_the_frames_of_all_who_waited() -> None:
    """It is one exception, raised in each of them: it shows where the loader raised it, and who looks."""
    cache: Cache[str, int] = Cache(max_entries=10)
    go = asyncio.Event()

    async def load(key: str) -> int:
        await go.wait()
        raise ConnectionError

    tasks = [asyncio.create_task(cache.get_or_load("tea", load)) for _ in range(50)]
    await wait_until_idle()
    go.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    (error,) = set(errors)
    assert isinstance(error, ConnectionError)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames.count("get") == 1
    assert frames[-1] == "load"
