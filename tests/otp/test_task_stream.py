"""async_stream: bounded, lazy, in order, and nothing left when the block is."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import (
    CallTimeout,
    Crashed,
    Exited,
    Killed,
    RejectedError,
    Stop,
    TaskExit,
    TaskOk,
    TaskSupervisor,
    UsageError,
    kill,
    self_pid,
    trap_exit,
)
from tests.otp._owners import (
    Boom,
    double,
    double_plain,
    hang,
    nothing_is_left,
    pause,
    process_of,
    refuse_to_end,
    spawn_owner,
    ties_of,
    wait_until_idle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.mabeam

stream = TaskSupervisor.async_stream_nolink


class Load:
    """A function for tasks that counts how many run at once, and items that count how many were taken."""

    def __init__(self) -> None:
        self.running = self.most = self.taken = 0

    async def work(self, seconds: float) -> float:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await pause(seconds)
        finally:
            self.running -= 1
        return seconds

    def items(self, seconds: float = 1.0) -> Iterator[float]:
        while True:
            self.taken += 1
            yield seconds

    async def async_items(self, seconds: float = 1.0) -> AsyncIterator[float]:
        for item in self.items(seconds):
            await pause(0.1)
            yield item


async def _now() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------------------------------------- outcomes


@pytest.mark.parametrize("start", [TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink])
@pytest.mark.parametrize("function", [double, double_plain])
@pytest.mark.parametrize("max_concurrency", [1, 3, 100])
async def test_each_item_gives_one_outcome_in_its_order(
    start: Any, function: Any, max_concurrency: int
) -> None:
    tasks = await TaskSupervisor.start_link()
    async with start(tasks, function, range(10), max_concurrency=max_concurrency) as outcomes:
        assert [outcome async for outcome in outcomes] == [TaskOk(2 * number) for number in range(10)]
    await nothing_is_left(tasks)


async def test_outcomes_come_in_the_order_of_the_items_however_long_they_take() -> None:
    """And at once, as they are ready, when that order is not asked for."""
    tasks = await TaskSupervisor.start_link()
    seconds = [3.0, 1.0, 2.0]
    for ordered, expected in ((True, seconds), (False, sorted(seconds))):
        async with stream(tasks, Load().work, seconds, max_concurrency=3, ordered=ordered) as outcomes:
            assert [outcome async for outcome in outcomes] == [TaskOk(each) for each in expected]


async def test_an_item_that_fails_gives_one_failure_in_its_place() -> None:
    """With the reason and the item; the others are not disturbed."""

    async def work(number: int) -> int:
        if number == 2:
            raise Boom("two")
        if number == 4:
            raise Stop(Exited("four"))
        return number

    tasks = await TaskSupervisor.start_link()
    async with stream(tasks, work, range(6), max_concurrency=2) as outcomes:
        assert [outcome async for outcome in outcomes] == [
            TaskOk(0),
            TaskOk(1),
            TaskExit(Crashed(Boom("two")), 2),
            TaskOk(3),
            TaskExit(Exited("four"), 4),
            TaskOk(5),
        ]
    await nothing_is_left(tasks)


async def test_an_empty_stream_ends_at_once() -> None:
    tasks = await TaskSupervisor.start_link()
    async with stream(tasks, double, [], max_concurrency=2) as outcomes:
        assert [outcome async for outcome in outcomes] == []
        assert [outcome async for outcome in outcomes] == []


@given(
    seed=st.integers(0, 1_000_000),
    ordered=st.booleans(),
    max_concurrency=st.integers(1, 12),
    linked=st.booleans(),
)
async def test_no_outcome_is_lost_or_given_twice(
    seed: int, *, ordered: bool, max_concurrency: int, linked: bool
) -> None:
    """Whatever the tasks do: return early or late, fail, hang, swallow their cancellation."""
    chance = random.Random(seed)
    plan = [chance.choice(["return", "return", "pause", "fail", "hang", "refuse"]) for _ in range(30)]
    times = [chance.randrange(4) / 2 for _ in plan]

    async def work(index: int) -> int:
        match plan[index]:
            case "pause":
                await pause(times[index])
            case "fail":
                raise Stop(Exited(index))
            case "hang":
                await hang()
            case "refuse":
                await refuse_to_end()
        return index

    async def own() -> Any:
        trap_exit()
        start = TaskSupervisor.async_stream if linked else TaskSupervisor.async_stream_nolink
        tasks = await TaskSupervisor.start_link(max_children=chance.choice([None, 1, 5]))
        async with start(
            tasks,
            work,
            range(30),
            max_concurrency=max_concurrency,
            ordered=ordered,
            timeout=2.0,
            shutdown=1.0,
        ) as outcomes:
            got = [outcome async for outcome in outcomes]
        await nothing_is_left(tasks)
        return got

    _, probe = spawn_owner(own)
    kind, got = await probe.next(timeout=1_000)
    assert kind == "value", got
    found = {outcome.value if isinstance(outcome, TaskOk) else outcome.item: outcome for outcome in got}
    assert len(got) == len(found) == 30
    assert not ordered or list(found) == list(range(30))
    for index, what in enumerate(plan):
        late = TaskExit(Exited("timeout"), index)
        expected = {"fail": TaskExit(Exited(index), index), "hang": late, "refuse": late}
        assert found[index] == expected.get(what, TaskOk(index))


# ------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("source", [Load.items, Load.async_items])
async def test_items_are_taken_only_as_concurrency_and_reader_allow(*, ordered: bool, source: Any) -> None:
    """Never more than ``max_concurrency`` ahead of the reader, so the items may be without end."""
    tasks, load = await TaskSupervisor.start_link(), Load()
    items = source(load, 0.0)
    async with stream(tasks, load.work, items, max_concurrency=4, ordered=ordered) as outcomes:
        assert load.taken == 0 or source is Load.async_items
        read = 0
        async for _ in outcomes:
            read += 1
            await pause(5.0)
            assert load.taken <= read + 4
            if read == 20:
                break
    assert load.most <= 4
    assert load.running == 0
    await nothing_is_left(tasks)


async def test_tasks_run_side_by_side_up_to_the_limit() -> None:
    tasks, load = await TaskSupervisor.start_link(), Load()
    items = itertools.islice(load.items(), 12)
    async with stream(tasks, load.work, items, max_concurrency=4) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 12
    assert load.most == 4
    assert await _now() == 3.0


async def test_a_slow_item_holds_back_no_more_than_the_limit() -> None:
    """The buffer of an ordered stream is bounded: others behind a slow first one wait."""
    tasks, load = await TaskSupervisor.start_link(), Load()
    seconds = itertools.chain([4.0], load.items(0.0))
    async with stream(tasks, load.work, seconds, max_concurrency=4) as outcomes:
        assert await anext(outcomes) == TaskOk(4.0)
        assert load.taken <= 4


async def test_the_limit_of_the_supervisor_holds_over_all_its_streams() -> None:
    """A pool's limit is the pool's, not the batch's: four streams share ten slots, and all come to their end."""
    tasks, load = await TaskSupervisor.start_link(max_children=10), Load()

    async def read() -> int:
        items = itertools.islice(load.items(), 40)
        async with stream(tasks, load.work, items, max_concurrency=10, timeout=None) as outcomes:
            return len([outcome async for outcome in outcomes])

    probes = [spawn_owner(read)[1] for _ in range(4)]
    assert [await probe.next(timeout=100) for probe in probes] == [("value", 40)] * 4
    assert load.most == 10
    assert await _now() == 16.0


async def test_a_stream_that_waits_for_room_gets_it_from_whoever_leaves() -> None:
    """Be it a task of somebody else, a terminated child, or another stream whose reader has other things to do."""
    tasks, load = await TaskSupervisor.start_link(max_children=1), Load()
    pid = await TaskSupervisor.start_child(tasks, hang)

    async def read() -> int:
        async with stream(tasks, double, range(3), max_concurrency=2) as outcomes:
            return len([outcome async for outcome in outcomes])

    async def idle() -> None:
        async with stream(tasks, load.work, [1.0, 1.0], max_concurrency=1) as outcomes:
            await anext(outcomes)
            await hang()

    _, idler = spawn_owner(idle)
    _, first = spawn_owner(read)
    _, second = spawn_owner(read)
    await wait_until_idle()
    assert first.messages == second.messages == ()
    await tasks.call(TaskSupervisor.terminate_child, pid)
    assert await first.next() == ("value", 3)
    assert await second.next() == ("value", 3)
    assert idler.messages == ()


async def test_a_stream_without_items_waits_for_no_room() -> None:
    """However full the supervisor is: there is nothing to start, at the beginning or any more."""
    tasks = await TaskSupervisor.start_link(max_children=1)
    async with stream(tasks, double, [1], max_concurrency=2) as outcomes:
        assert await anext(outcomes) == TaskOk(2)
        await TaskSupervisor.start_child(tasks, hang)
        assert [outcome async for outcome in outcomes] == []
    async with stream(tasks, double, [], max_concurrency=2) as outcomes:
        assert [outcome async for outcome in outcomes] == []


async def test_an_item_that_waits_for_room_is_the_first_to_get_it() -> None:
    """None is lost, and one at most is taken before there is room."""
    tasks, load = await TaskSupervisor.start_link(max_children=1), Load()
    pid = await TaskSupervisor.start_child(tasks, hang)

    async def read() -> list[Any]:
        items = itertools.islice(load.items(), 3)
        async with stream(tasks, load.work, items, max_concurrency=2) as outcomes:
            return [outcome async for outcome in outcomes]

    _, probe = spawn_owner(read)
    await wait_until_idle()
    assert load.taken == 1
    kill(pid)
    assert await probe.next() == ("value", [TaskOk(1.0)] * 3)
    assert load.taken == 3


async def test_waiting_for_room_can_be_given_up() -> None:
    """What was kept for it goes to the next in line."""
    tasks = await TaskSupervisor.start_link(max_children=1)
    pid = await TaskSupervisor.start_child(tasks, hang)

    async def read(items: Any) -> int:
        async with stream(tasks, double, items, max_concurrency=2) as outcomes:
            return len([outcome async for outcome in outcomes])

    async def items() -> AsyncIterator[int]:
        yield 1

    impatient = [spawn_owner(lambda: read([1]))[0], spawn_owner(lambda: read(items()))[0]]
    _, patient = spawn_owner(lambda: read([1, 2]))
    await wait_until_idle()
    kill(pid)
    for each in impatient:
        kill(each)
    assert await patient.next() == ("value", 2)


async def test_a_supervisor_that_takes_no_tasks_refuses_the_stream() -> None:
    tasks = await TaskSupervisor.start_link(max_children=0)
    with pytest.raises(RejectedError):
        async with stream(tasks, double, [1], max_concurrency=1):
            pass


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({"max_concurrency": 0}, 1),
        ({"max_concurrency": True}, 1),
        ({"max_concurrency": 1, "ordered": "no"}, 1),
        ({"max_concurrency": 1, "timeout": 10**400}, 1),
        ({"max_concurrency": 1, "timeout": 0, "on_timeout": "cry", "shutdown": -1}, 3),
    ],
)
async def test_bad_options_are_listed_at_once(options: dict[str, Any], problems: int) -> None:
    """Before anything runs; without a limit there is no stream."""
    with pytest.raises(UsageError) as caught:
        stream("tasks", double, [1], **options)
    assert len(caught.value.problems) == problems
    no_items: Any = 5
    with pytest.raises(UsageError, match="iterable"):
        stream("tasks", double, no_items, max_concurrency=1)
    no_limit: Any = stream
    with pytest.raises(TypeError, match="max_concurrency"):
        no_limit("tasks", double, [1])


# ------------------------------------------------------------------------------------------------- time


async def test_an_item_that_takes_too_long_is_reported_in_its_place() -> None:
    """Its task is stopped; the others are not disturbed. Its time begins when it does."""
    tasks, load = await TaskSupervisor.start_link(), Load()
    seconds = [1.0, 9.0, 1.0, 9.0, 1.0]
    async with stream(tasks, load.work, seconds, max_concurrency=2, timeout=2.0) as outcomes:
        got = [outcome async for outcome in outcomes]
    late = TaskExit(Exited("timeout"), 9.0)
    assert got == [TaskOk(1.0), late, TaskOk(1.0), late, TaskOk(1.0)]
    assert load.running == 0
    await nothing_is_left(tasks)


async def test_an_item_that_does_not_even_end_when_told_is_killed() -> None:
    """After ``shutdown`` seconds; until then it counts as running."""
    tasks = await TaskSupervisor.start_link()
    options: Any = {"max_concurrency": 1, "timeout": 2.0, "shutdown": 3.0}
    async with stream(tasks, lambda _: refuse_to_end(), [1, 2], **options) as outcomes:
        got = [outcome async for outcome in outcomes]
    assert got == [TaskExit(Exited("timeout"), 1), TaskExit(Exited("timeout"), 2)]
    assert await _now() == 10.0


async def test_a_linked_item_that_takes_too_long_does_not_end_the_reader() -> None:
    tasks = await TaskSupervisor.start_link()
    async with TaskSupervisor.async_stream(
        tasks, pause, [9.0, 1.0], max_concurrency=1, timeout=2.0
    ) as outcomes:
        assert [outcome async for outcome in outcomes] == [TaskExit(Exited("timeout"), 9.0), TaskOk(None)]


async def test_a_late_item_may_end_the_whole_stream() -> None:
    """``on_timeout="exit"`` raises in the reader, at once."""
    tasks, load = await TaskSupervisor.start_link(), Load()
    with pytest.raises(CallTimeout) as caught:
        async with stream(
            tasks, load.work, [3.0, 9.0], max_concurrency=2, timeout=2.0, on_timeout="exit"
        ) as outcomes:
            async for _ in outcomes:
                pass
    assert (caught.value.handler, caught.value.timeout) == ("async_stream", 2.0)
    assert await _now() == 2.0
    await nothing_is_left(tasks)


async def test_without_a_limit_an_item_takes_as_long_as_it_takes() -> None:
    tasks = await TaskSupervisor.start_link()
    async with stream(tasks, pause, [1_000.0], max_concurrency=1, timeout=None) as outcomes:
        assert await anext(outcomes) == TaskOk(None)


# ------------------------------------------------------------------------------------------------- links


async def test_a_failing_item_of_a_linked_stream_ends_its_reader() -> None:
    """And with it the other items."""
    tasks = await TaskSupervisor.start_link()

    async def work(number: int) -> None:
        if number == 3:
            raise Boom("three")
        await hang()

    async def read() -> None:
        async with TaskSupervisor.async_stream(tasks, work, range(5), max_concurrency=5) as outcomes:
            async for _ in outcomes:
                pass

    _, probe = spawn_owner(read)
    assert (await probe.next()).reason == Crashed(Boom("three"))
    await nothing_is_left(tasks)


async def test_a_reader_that_traps_exits_gets_the_failure_in_its_place() -> None:
    """And no exit signal: nothing of a stream goes to the mailbox."""
    tasks = await TaskSupervisor.start_link()

    async def work(number: int) -> int:
        if number == 1:
            raise Boom("one")
        return number

    async def read() -> Any:
        trap_exit()
        async with TaskSupervisor.async_stream(tasks, work, range(3), max_concurrency=2) as outcomes:
            got = [outcome async for outcome in outcomes]
        return got, process_of(self_pid()).mailbox, ties_of(self_pid())

    _, probe = spawn_owner(read)
    expected = [TaskOk(0), TaskExit(Crashed(Boom("one")), 1), TaskOk(2)]
    assert await probe.next() == ("value", (expected, None, (0, 0)))


@pytest.mark.parametrize("start", [TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink])
@pytest.mark.parametrize("how", ["kill", "return", "raise"])
async def test_the_tasks_end_with_the_reader(start: Any, how: str) -> None:
    """Linked or not, and however it ends: also when it is killed and cannot leave its block."""
    tasks = await TaskSupervisor.start_link()

    async def read() -> None:
        async with start(tasks, lambda _: hang(), range(5), max_concurrency=3) as outcomes:
            if how == "kill":
                await anext(outcomes)
            waiting = asyncio.ensure_future(anext(outcomes))
            await wait_until_idle()
            waiting.cancel()
            if how == "raise":
                raise Boom("reader")

    owner, probe = spawn_owner(read)
    if how == "kill":
        await wait_until_idle()
        assert (await tasks.call(TaskSupervisor.count_children)).specs == 3
        kill(owner)
        assert (await probe.next()).reason == Killed()
    else:
        kind, error = await probe.next()
        assert (kind, type(error)) == (("error", Boom) if how == "raise" else ("value", type(None)))
    await nothing_is_left(tasks)
