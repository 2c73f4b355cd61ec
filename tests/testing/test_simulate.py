"""``simulate`` finds what depends on the order, gives it back exactly, and makes it small."""

from __future__ import annotations

import asyncio
import gc
import pickle
import socket
import weakref
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from mabeam import Pid, receive, self_pid, send, send_after, spawn
from mabeam.errors import CallTimeout, MabeamError, ProcessDied, UsageError
from mabeam.kernel import Runtime
from mabeam.testing import (
    DeadlockError,
    EndlessError,
    LeakError,
    SimulationFailed,
    UnhandledError,
    _explain,
    replay,
    simulate,
)
from mabeam.testing._deciders import Recorded
from mabeam.testing._one_run import Limits, run_once
from mabeam.testing._schedule import Schedule
from tests.testing import _programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def _failure(program: Any, **options: Any) -> SimulationFailed:
    with pytest.raises(SimulationFailed) as caught:
        simulate(program, **options)
    return caught.value


@pytest.mark.parametrize("program", [_programs.deposits, _programs.cast_then_call, _programs.tasks])
def test_a_right_program_passes_under_every_seed(program: Any) -> None:
    """And the result says that much was tried."""
    result = simulate(program, seeds=range(100))
    assert result.seeds == 100
    assert result.traces > 30
    assert result.choices > 500
    assert result.faults == 0
    assert "100 seeds" in str(result)


@pytest.mark.parametrize(
    ("program", "choice"),
    [
        (_programs.lost_update, "hand_off: what run"),
        (_programs.first_come, "next_process: send <3> runs, before send <2>"),
        (_programs.first_timer, "timer_tie: TimerRef._fire of first_timer <1> is first"),
    ],
)
def test_a_planted_bug_is_found_and_shrunk_to_the_one_choice_that_it_needs(program: Any, choice: str) -> None:
    """In the ordinary order none of them shows."""
    asyncio.run(_in_order(program))
    failed = _failure(program, seeds=range(50))
    assert isinstance(failed.error, AssertionError)
    assert failed.__cause__ is failed.error
    assert len(failed.choices) == 1
    assert failed.choices[0].startswith(choice)
    assert failed.faults == ()
    assert failed.is_deterministic
    text = str(failed)
    assert f"seed {failed.seed} fails" in text
    assert failed.choices[0] in text
    assert f"simulate({program.__name__}, seeds=[{failed.seed}])" in text
    assert f"replay({program.__name__}, {failed.token!r})" in text


@pytest.mark.parametrize("pauses", [(0.25, 0.25), (0.1, 0.2), (1.1, 2.2), (1e7, 0.1, 0.2)])
def test_times_that_are_the_same_but_for_rounding_are_a_tie(pauses: tuple[float, ...]) -> None:
    """0.1 + 0.2 is not 0.3 for a float, and no program should depend on that."""

    async def pause(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await receive(timeout=seconds)

    async def in_parts(owner: Pid) -> None:
        for seconds in pauses:
            await pause(seconds)
        send(owner, "in parts")

    async def in_one(owner: Pid) -> None:
        await pause(float(sum(Decimal(str(seconds)) for seconds in pauses)))
        send(owner, "in one")

    first: set[str] = set()

    async def program() -> None:
        spawn(in_parts, self_pid())
        spawn(in_one, self_pid())
        first.add(await receive())

    simulate(program, seeds=range(30), max_virtual_seconds=1e9)
    assert first == {"in parts", "in one"}


def test_what_earlier_runs_have_left_is_looked_at_only_now_and_then() -> None:
    """A coroutine that is frozen is there for ever, so a full collection after each run would take longer each time."""
    generations: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    gc.callbacks.append(note)
    try:
        simulate(_programs.deposits, seeds=200)
    finally:
        gc.callbacks.remove(note)
    assert sum(each == 2 for each in generations) <= 4
    assert sum(each == 1 for each in generations) >= 190
    assert gc.isenabled()


def test_what_dies_between_two_runs_is_collected_in_a_later_one() -> None:
    """Nothing is put aside for ever: a cycle that outlives its run is found, at the next full collection."""
    kept: list[Cycle] = []
    alive: list[weakref.ref[Cycle]] = []

    async def program() -> None:
        kept.clear()  # what the run before has kept
        cycle = Cycle()
        kept.append(cycle)
        alive.append(weakref.ref(cycle))
        await receive_own()

    async def receive_own() -> None:
        send(self_pid(), 1)
        await receive()

    simulate(program, seeds=130)
    assert sum(each() is not None for each in alive) < 70


class Cycle:
    def __init__(self) -> None:
        self.own = self


async def _in_order(program: Any) -> None:
    async with Runtime():
        await program()


def test_a_failing_seed_fails_again_and_so_does_its_token() -> None:
    """With the same trace, line by line."""
    failed = _failure(_programs.lost_update)
    again = _failure(_programs.lost_update, seeds=[failed.seed])
    assert (again.seed, again.token, again.trace) == (failed.seed, failed.token, failed.trace)
    with pytest.raises(SimulationFailed) as caught:
        replay(_programs.lost_update, failed.token)
    assert caught.value.seed is None
    assert caught.value.trace == failed.trace
    assert isinstance(caught.value.__cause__, AssertionError)


def test_a_token_of_a_bug_that_was_mended_passes() -> None:
    """One run, with nothing wrong."""
    failed = _failure(_programs.lost_update)
    result = replay(_programs.deposits, failed.token)
    assert (result.seeds, result.traces) == (1, 1)


@pytest.mark.parametrize("token", ["", "something", "mabeam1:", "mabeam1:????", "mabeam1:eNqL", 7])
def test_a_damaged_token_is_refused(token: Any) -> None:
    """With what it should look like."""
    with pytest.raises(UsageError, match="replay"):
        replay(_programs.deposits, token)


def test_shrinking_is_bounded() -> None:
    """Without any runs for it, the seed is shown as it failed."""
    failed = _failure(_programs.lost_update, max_shrink_runs=0)
    smaller = _failure(_programs.lost_update)
    assert len(failed.choices) >= len(smaller.choices)
    assert "Shrunk in 0 runs" in str(failed)


def test_a_program_that_can_never_go_on_fails() -> None:
    """As soon as it is stuck, whatever is left of the limits."""
    failed = _failure(_programs.stuck, seeds=range(50))
    assert isinstance(failed.error, DeadlockError)


def test_a_program_that_never_ends_fails() -> None:
    """By time, or by what it does in no time."""

    async def waits() -> None:
        while True:
            with pytest.raises(TimeoutError):
                await receive(timeout=1.0)

    async def spins() -> None:
        while True:
            send(self_pid(), "again")
            await receive()

    async def passes_on() -> None:
        async def pass_on() -> None:
            while True:
                message = await receive()
                send(message[0], (self_pid(), message[0]))

        one, other = spawn(pass_on), spawn(pass_on)
        send(one, (other,))
        await receive()

    slow = _failure(waits, seeds=[1], max_virtual_seconds=100.0)
    assert isinstance(slow.error, EndlessError)
    assert slow.error.limit == "100 virtual seconds"
    for program in (spins, passes_on):
        fast = _failure(program, seeds=[1], max_steps=5_000, max_shrink_runs=5)
        assert isinstance(fast.error, EndlessError)
        assert fast.error.limit == "5,000 steps"
        assert pickle.loads(pickle.dumps(fast.error)).limit == fast.error.limit


def test_a_run_that_does_not_end_is_made_small_in_few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are none that take longer."""
    monkeypatch.setattr(_explain, "_STEPS_FOR_ENDLESS", 7_000)
    runs: list[int] = []

    async def spins() -> None:
        runs.append(1)
        await _programs.deposits()
        while True:
            send(self_pid(), "again")
            await receive()

    _failure(spins, seeds=[1], max_steps=2_000)
    assert len(runs) <= 1 + 1 + 3 + 1


def test_a_program_that_starts_processes_without_end_fails() -> None:
    """Stopping the rest, which goes on and on as well, ends too."""

    async def start_next() -> None:
        spawn(start_next)
        await receive()

    async def program() -> None:
        spawn(start_next)
        await receive()

    limits = Limits(max_steps=500, max_virtual_seconds=60.0, check_mutation=False, tolerate=())
    assert isinstance(run_once(program, Recorded(Schedule()), limits).error, EndlessError)


def test_errors_that_only_the_loop_heard_of_fail_a_run() -> None:
    """A program that returns all the same is not well."""

    async def careless() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        send(self_pid(), 1)
        await receive()

    failed = _failure(careless, seeds=[1])
    assert isinstance(failed.error, UnhandledError)
    assert "ZeroDivisionError" in failed.error.problems[0]


async def _task_that_knows_itself() -> None:
    async def fail() -> None:
        me = asyncio.current_task()
        raise LookupError(me is None)

    asyncio.ensure_future(fail())  # noqa: RUF006  (to lose it is the point)


async def _future_in_a_cycle() -> None:
    cycle: Any = Cycle()
    cycle.future = asyncio.get_running_loop().create_future()
    cycle.future.set_exception(LookupError())


@pytest.mark.parametrize("lose", [_task_that_knows_itself, _future_in_a_cycle])
def test_an_error_that_nobody_reads_fails_the_run_that_it_came_from(lose: Any) -> None:
    """Also where nothing but a collection of garbage would ever tell it."""
    runs: list[int] = []

    async def program() -> None:
        runs.append(1)
        if len(runs) > 1:
            await lose()
            with pytest.raises(TimeoutError):
                await receive(timeout=1.0)

    failed = _failure(program, seeds=4)
    assert isinstance(failed.error, UnhandledError)
    assert failed.seed == 1
    assert "LookupError" in str(failed.error)


def test_a_program_that_is_ended_by_a_link_fails() -> None:
    """As mabeam.run would."""

    async def crash() -> None:
        raise LookupError

    async def linked() -> None:
        from mabeam import spawn_link

        spawn_link(crash)
        await receive()

    failed = _failure(linked, seeds=[1])
    assert isinstance(failed.error, ProcessDied)
    assert failed.error.operation == "main"
    assert "nothing unusual" in str(failed)


def test_tolerated_exceptions_are_counted() -> None:
    """And do not fail a run."""

    async def gives_up() -> None:
        raise CallTimeout("somebody", "something", 5.0)

    assert simulate(gives_up, seeds=range(3), tolerate=(CallTimeout,)).tolerated == 3


def test_a_deadlock_is_tolerated_by_its_own_name_only() -> None:
    """Whoever tolerates errors of mabeam, or all, does not mean that the program hangs."""

    async def stuck() -> None:
        await receive()

    for tolerate in ((MabeamError,), (Exception,)):
        assert isinstance(_failure(stuck, seeds=[1], tolerate=tolerate).error, DeadlockError)
    assert simulate(stuck, seeds=[1], tolerate=(DeadlockError,)).tolerated == 1


def test_each_run_has_a_runtime_that_ends_with_it() -> None:
    """The program is the first process of one, and what it leaves is stopped."""
    ended: list[str] = []

    async def lasts() -> None:
        try:
            await receive()
        finally:
            ended.append("child")

    async def program() -> None:
        assert self_pid().serial == 1
        spawn(lasts)
        await asyncio.get_running_loop().run_in_executor(None, ended.append, "thread")

    simulate(program, seeds=range(3))
    assert ended.count("thread") == 3
    assert ended.count("child") >= 1  # a seed may end the program before its child has begun


def test_a_runtime_of_the_programs_own_is_simulated_too() -> None:
    """A program that is made for another loop opens one itself."""

    async def program() -> None:
        async with Runtime():
            await _programs.first_come()

    assert _failure(program, seeds=range(50)).choices == (
        "next_process: send <2> runs, before send <1> (1 of 2)",
    )


def test_arguments_are_bound_before() -> None:
    """functools.partial is a program, too."""

    async def program(number: int) -> None:
        assert number == 7

    assert simulate(partial(program, 7), seeds=[1]).seeds == 1


async def _program() -> None:
    """Do nothing."""


def test_a_coroutine_is_no_program() -> None:
    """Somebody has called the function."""
    with pytest.raises(UsageError, match=r"simulate\(_program\)"):
        simulate(_program())  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(UsageError, match="async function"):
        simulate(7)  # type: ignore[arg-type]  # as above


async def _items() -> AsyncIterator[int]:
    raise AssertionError
    yield 1


def _numbers() -> Iterator[int]:
    raise AssertionError
    yield 1


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (_items, "_items, which has 'yield' in it"),
        (_numbers, "_numbers, which has 'yield' in it"),
        (partial(_items), "_items, which has 'yield' in it"),
        (_programs.Account, r"await Account.start_link\(...\)"),
    ],
)
@pytest.mark.parametrize("run", [simulate, lambda program: replay(program, "mabeam1:")])
def test_what_never_runs_is_no_program(run: Any, program: Any, what: str) -> None:
    """Each seed of it would pass, whatever is asserted in it."""
    with pytest.raises(UsageError, match=what):
        run(program)


class Unspeakable(Exception):
    """What is wrong with it, it does not tell."""

    def __str__(self) -> str:
        raise LookupError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (lambda: _programs.deposits, r"call it, simulate\(factory\(\)\)"),
        (lambda: 5, "returned 5 instead of a coroutine: nothing would be tested"),
        (lambda: None, "returned None"),
        (lambda: Unspeakable(), r"returned <exception repr\(\) failed> instead of a coroutine"),
    ],
)
def test_a_program_that_is_not_async_is_refused(program: Any, what: str) -> None:
    """A factory that nobody has called would pass, too."""
    with pytest.raises(UsageError, match=what):
        simulate(program)
    assert simulate(lambda: _programs.deposits(), seeds=1).seeds == 1


def test_a_program_takes_no_arguments() -> None:
    """Nobody would give it any."""

    async def program(number: int) -> None:
        """Do nothing."""

    with pytest.raises(
        UsageError, match=r"missing a required argument: 'number'(.|\n)*partial\(program, ...\)"
    ):
        simulate(program)  # type: ignore[arg-type]  # that is the mistake


async def test_there_must_be_no_running_loop() -> None:
    """It would have to run inside of another."""
    with pytest.raises(UsageError, match="plain function"):
        simulate(_program)


def test_seeds_are_a_number_or_a_collection() -> None:
    assert simulate(_program, seeds=3).digest == simulate(_program, seeds=range(3)).digest
    assert simulate(_program, seeds=iter((5, -5))).seeds == 2


@pytest.mark.parametrize("seeds", [0, -3, True, "ab", None, 1.5])
def test_seeds_that_are_none_are_refused(seeds: Any) -> None:
    with pytest.raises(UsageError, match="seeds expects how many seeds, at least 1"):
        simulate(_program, seeds=seeds)


@pytest.mark.parametrize("seeds", [(), range(0), iter(())])
def test_a_test_of_nothing_does_not_pass(seeds: Any) -> None:
    with pytest.raises(UsageError, match="nothing has been tested"):
        simulate(_program, seeds=seeds)


def test_a_seed_is_an_integer() -> None:
    with pytest.raises(UsageError, match=r"expects integers, got 'a' among them"):
        simulate(_program, seeds=cast("Any", ["a"]))


def test_all_wrong_options_are_told_at_once() -> None:
    wrong: Any = {
        "faults": 0.5,
        "max_faults": -1,
        "max_shrink_runs": None,
        "max_steps": "x",
        "max_virtual_seconds": -1.0,
    }
    with pytest.raises(UsageError) as caught:
        simulate(_program, seeds=0, tolerate=cast("Any", [ValueError]), **wrong)
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "seeds",
        "faults",
        "max_faults",
        "max_shrink_runs",
        "max_steps",
        "max_virtual_seconds",
        "tolerate",
    ]
    assert "Faults(crash=0.5)" in str(caught.value)
    assert "max_shrink_runs expects a number of runs >= 0, got None" in str(caught.value)
    with pytest.raises(UsageError, match="replay: max_steps expects"):
        replay(_program, _failure(_programs.lost_update, seeds=50).token, max_steps=0)


def test_a_failure_survives_pickle() -> None:
    """It is sent between the workers of pytest-xdist."""
    failed = _failure(_programs.first_come, seeds=range(50))
    copy = pickle.loads(pickle.dumps(failed))
    assert (copy.token, copy.choices, str(copy)) == (failed.token, failed.choices, str(failed))


def test_what_one_order_leaves_behind_is_found() -> None:
    """A socket that is closed unless a certain message comes first: told with its seed, and not made again and again."""
    opened: list[socket.socket] = []

    async def program() -> None:
        for word in ("left", "right"):
            spawn(send, self_pid(), word)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        opened.append(listening)
        if await receive() == "left":
            listening.close()

    try:
        failure = _failure(program, seeds=range(50))
        left = [each for each in opened if each.fileno() >= 0]
    finally:
        for each in opened:
            each.close()
    assert isinstance(failure.error, LeakError)
    assert "socket with file descriptor" in str(failure)
    assert 0 < failure.seed < 50  # type: ignore[operator]  # it has one
    assert len(left) == 2  # of the seed, and of its repetition, which shows that it is always so


def test_what_is_made_once_and_kept_is_named() -> None:
    """It is left behind by the first run only, so no run after that leaves anything behind."""
    kept: list[socket.socket] = []

    async def program() -> None:
        if not kept:
            kept.append(socket.socket())

    try:
        failure = _failure(program, seeds=range(3))
    finally:
        kept[0].close()
    assert isinstance(failure.error, LeakError)
    assert failure.seed == 0
    assert not failure.is_deterministic
    assert "socket with file descriptor" in str(failure)
    assert "makes this once and keeps it" in str(failure)


def test_shrinking_does_not_end_at_another_bug_of_the_same_class() -> None:
    """What is told, what is needed, and the error are of one failure."""

    async def two_bugs() -> None:
        for word in ("left", "right"):
            spawn(send, self_pid(), word)
        for number in (1, 2):
            send_after(1.0, self_pid(), number)
        words = [await receive(), await receive()]
        numbers = [await receive(), await receive()]
        assert numbers == [1, 2], "timers"
        assert words == ["left", "right"], "processes"

    bugs = {}
    for seed in range(25):
        with suppress(SimulationFailed):
            simulate(two_bugs, seeds=[seed])
            continue
        failed = _failure(two_bugs, seeds=[seed])
        bug = str(failed.error).splitlines()[0]
        assert bug in str(failed).splitlines()[0]
        bugs[bug] = {choice.partition(":")[0] for choice in failed.choices}
    assert bugs == {"timers": {"timer_tie"}, "processes": {"next_process"}}


def test_what_the_whole_seed_said_is_told_where_the_shrunk_one_says_something_else() -> None:
    """The head is of the run whose choices are shown."""

    async def count() -> None:
        async def work(order: list[int], number: int) -> None:
            order.append(number)

        order: list[int] = []
        for number in range(6):
            spawn(work, order, number)
        with pytest.raises(TimeoutError):
            await receive(timeout=1.0)
        assert order == sorted(order), f"the order was {order}"

    failed = _failure(count, seeds=range(50))
    head, *lines = str(failed).splitlines()
    assert head.endswith(str(failed.error).splitlines()[0])
    assert any(line.startswith("The whole seed fails with: AssertionError: the order was") for line in lines)


def test_a_run_that_fails_only_once_is_not_deterministic() -> None:
    """Also when nothing else of it was different: what only the loop hears of is not in the trace."""
    runs: list[int] = []

    def fail() -> None:
        runs.append(1)
        if len(runs) == 3:
            raise LookupError

    async def program() -> None:
        asyncio.get_running_loop().call_soon(fail)
        with pytest.raises(TimeoutError):
            await receive(timeout=1.0)

    failed = _failure(program, seeds=range(5))
    assert failed.seed == 2
    assert isinstance(failed.error, UnhandledError)
    assert not failed.is_deterministic
    assert "they ended differently" in str(failed)
    assert "second:  (nothing wrong)" in str(failed)


def test_a_failure_that_needs_nothing_though_seeds_have_passed_may_be_left_over_from_them() -> None:
    """A list that grows from run to run."""
    runs: list[int] = []

    async def program() -> None:
        runs.append(1)
        assert len(runs) < 4

    assert "passes in a fresh interpreter" in str(_failure(program, seeds=range(10)))
    assert "fresh interpreter" not in str(_failure(program, seeds=range(10)))


def test_a_failure_is_told_in_full() -> None:
    """Not only the first line, which says nothing where several things went wrong."""

    async def unread() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        send(self_pid(), 1)
        await receive()

    async def group() -> None:
        raise ExceptionGroup("two", [ValueError("one of them"), KeyError("other")])

    async def stuck() -> None:
        await receive()

    assert "ZeroDivisionError: division by zero" in str(_failure(unread, seeds=1))
    assert "\n  - ValueError: one of them\n  - KeyError: 'other'\n" in str(_failure(group, seeds=1))
    deadlock = str(_failure(stuck, seeds=1))
    assert "(pid 1) waits" in deadlock
    assert "kernel/_activation.py" not in deadlock


def test_a_failure_that_cannot_be_said_is_told_as_tracebacks_do() -> None:
    """Wherever it stands: it is what failed, and not what its ``__str__`` raises."""

    async def alone() -> None:
        raise Unspeakable

    async def group() -> None:
        raise ExceptionGroup("two", [Unspeakable(), ValueError("other")])

    async def unread() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(Unspeakable())

    failed = _failure(alone, seeds=1)
    assert isinstance(failed.error, Unspeakable)
    assert "seed 0 fails: Unspeakable: <exception str() failed>\n" in str(failed)
    assert "\n  - Unspeakable: <exception str() failed>\n" in str(_failure(group, seeds=1))
    failed = _failure(unread, seeds=1)
    assert isinstance(failed.error, UnhandledError)
    assert "future: <OrderedFuture repr() failed>" in str(failed)


def test_what_is_to_be_written_again_has_the_options_that_matter() -> None:
    """Those that are not as ever; and a name only where there is one to write."""
    options: dict[str, Any] = {
        "check_mutation": False,
        "max_virtual_seconds": 100.0,
        "tolerate": (ProcessDied,),
    }
    failed = _failure(_programs.first_come, **options)
    written = ", max_virtual_seconds=100.0, check_mutation=False, tolerate=(ProcessDied,))"
    assert f"simulate(first_come, seeds=[{failed.seed}]{written}" in str(failed)
    assert f"replay(first_come, {failed.token!r}{written}" in str(failed)
    assert "simulate(program, seeds=" in str(_failure(partial(_programs.first_come)))
    assert "replay(program, " in str(_failure(lambda: _programs.first_come()))


@pytest.mark.parametrize("runs", ["x", None, -1, True, 1.5])
def test_a_number_of_shrinking_runs_that_is_none_is_refused(runs: Any) -> None:
    """At once, not only when a run has failed."""
    with pytest.raises(UsageError, match="max_shrink_runs expects a number of runs >= 0"):
        simulate(_program, max_shrink_runs=runs)


def test_a_failure_may_be_left_as_large_as_it_is() -> None:
    failed = _failure(_programs.lost_update, max_shrink_runs=0)
    assert "Shrunk in 0 runs" in str(failed)
    assert failed.choices == _failure(_programs.lost_update, seeds=[failed.seed], max_shrink_runs=0).choices
