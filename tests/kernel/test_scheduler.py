"""The run queue is fair, and its free choices change no result."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from mabeam.kernel import Runtime, Turn, kill, receive, self_pid, send, spawn, spawn_link
from mabeam.kernel._scheduler import Scheduler
from mabeam.otp import GenServer, handle_call, handle_cast
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import process_of, spawn_idle

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_flooded_process_does_not_starve_another() -> None:
    """It takes so many messages, then it is the other's turn."""
    log: list[str] = []
    flooded, other = (
        spawn_idle(take=lambda _: log.append("flooded")),
        spawn_idle(take=lambda _: log.append("other")),
    )
    await wait_until_idle()
    for number in range(1_000):
        send(flooded, number)
    send(other, 1)
    await wait_until_idle()
    assert log.index("other") <= 64
    assert log.count("flooded") == 1_000


@pytest.mark.parametrize("count", [1, 2])
async def test_processes_that_never_rest_do_not_starve_the_loop(count: int) -> None:
    """Neither one that sends to itself, nor two that play ping-pong; even where the clock stands still meanwhile."""
    done: list[bool] = []

    def pass_on(index: int) -> Any:
        def take(message: object) -> None:
            if not done:
                send(pids[(index + 1) % count], message)

        return take

    pids = [spawn_idle(take=pass_on(index)) for index in range(count)]
    await wait_until_idle()
    send(pids[0], "ball")
    asyncio.get_running_loop().call_soon(done.append, True)
    await wait_until_idle()
    assert done


@pytest.mark.real_time
async def test_processes_that_never_rest_do_not_starve_the_loop_in_real_time() -> None:
    """The same on a clock that moves."""
    done: list[bool] = []

    def take(message: object) -> None:
        if not done:
            send(pid, message)

    pid = spawn_idle(take=take)
    await wait_until_idle()
    send(pid, "ball")
    asyncio.get_running_loop().call_later(0.001, done.append, True)
    await wait_until_idle()
    assert done


async def test_an_exception_of_the_kernel_itself_does_not_stop_the_run_queue() -> None:
    """The others still have their turn."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))

    def broken(_message: object) -> None:
        raise ValueError("in a behaviour")

    log: list[object] = []
    bad, good = spawn_idle(take=broken), spawn_idle(take=log.append)
    await wait_until_idle()
    send(bad, 1)
    send(good, 1)
    await wait_until_idle()
    assert log == [1]
    assert len(problems) == 1
    process_of(bad).status = 0
    kill(bad)


class Ledger(GenServer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int]] = []

    @handle_call
    def note(self, who: str, number: int) -> int:
        self.lines.append((who, number))
        return len(self.lines)

    @handle_cast
    def note_later(self, who: str, number: int) -> None:
        self.lines.append((who, number))

    @handle_call
    def read(self) -> list[tuple[str, int]]:
        return self.lines


class Always:
    """Takes the other way, whenever there is one."""

    def choose(self, kind: str, count: int) -> int:
        return count - 1


class Seeded:
    """Takes any."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.kinds: set[str] = set()

    def choose(self, kind: str, count: int) -> int:
        self.kinds.add(kind)
        return self._random.randrange(count)


def _run(chooser: Any) -> list[list[tuple[str, int]]]:
    parent: Any = None

    async def writer(ledger: Any, name: str) -> None:
        for number in range(0, 30, 3):
            await ledger.call(Ledger.note, name, number)
            ledger.cast(Ledger.note_later, name, number + 1)
            await ledger.call(Ledger.note, name, number + 2)
        send(parent, name)

    async def main() -> list[list[tuple[str, int]]]:
        nonlocal parent
        async with Runtime(chooser=chooser):
            parent = self_pid()
            ledger = await Ledger.start_link()
            for name in "abc":
                spawn_link(writer, ledger, name)
            for _ in "abc":
                await receive()
            lines = await ledger.call(Ledger.read)
            return [[line for line in lines if line[0] == name] for name in "abc"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(main())
    assert isinstance(result, list)
    return result


def test_free_choices_change_nothing_that_is_promised() -> None:
    """What one process sends another arrives in its order, handed off or queued, whoever runs next."""
    expected = [[(name, number) for number in range(30)] for name in "abc"]
    assert _run(None) == expected
    assert _run(Always()) == expected
    kinds: set[str] = set()
    for seed in range(20):
        chooser = Seeded(seed)
        assert _run(chooser) == expected
        kinds |= chooser.kinds
    assert kinds == {"hand_off", "next_process", "slice", "turn"}


async def test_calls_in_a_row_give_the_loop_its_turn() -> None:
    """A caller that is always answered at once really yields now and then."""
    ledger = await Ledger.start_link()
    turns: list[int] = []

    async def caller() -> None:
        for number in range(300):
            await ledger.call(Ledger.note, "x", number)
            if turns:
                turns.append(number)
                break

    spawn(caller)
    probe = Probe.start()
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(turns.append, -1))
    await wait_until_idle()
    assert turns[0] == -1
    assert turns[1] < 200
    assert probe.messages == ()


class _Slow(GenServer):
    """Each message takes 3 ms, on the stopwatch of the test."""

    @handle_cast
    def work(self) -> None:
        _stopwatch.now += 0.003
        _seen.append("work")


_stopwatch = SimpleNamespace(now=0.0)
_seen: list[str] = []


async def test_slow_handlers_leave_the_loop_its_turn_after_its_time_and_not_after_their_number(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.kernel.scheduler, "stopwatch", lambda: _stopwatch.now)
    _seen.clear()
    server = await _Slow.start_link()
    loop = asyncio.get_running_loop()
    for _ in range(16):
        server.cast(_Slow.work)
    for _ in range(8):
        loop.call_soon(_seen.append, "loop")
        await Turn()
    await wait_until_idle()
    assert _seen.count("work") == 16
    assert all(len(row) <= 4 for row in "".join(word[0] for word in _seen).split("l"))


async def test_slow_work_between_two_receives_leaves_the_loop_its_turn(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.kernel.scheduler, "stopwatch", lambda: _stopwatch.now)
    seen: list[str] = []

    async def work() -> None:
        while True:
            await receive()
            _stopwatch.now += 0.003
            seen.append("work")

    pid = spawn(work)
    await wait_until_idle()
    for _ in range(16):
        send(pid, "go")
    loop = asyncio.get_running_loop()
    for _ in range(8):
        loop.call_soon(seen.append, "loop")
        await Turn()
    await wait_until_idle()
    assert seen.count("work") == 16
    assert all(len(row) <= 4 for row in "".join(word[0] for word in seen).split("l"))


class _Watched(GenServer):
    """Its handlers take as long as they are told, on the stopwatch of the test."""

    @handle_call
    def call(self, seconds: float) -> None:
        self._work(seconds)

    @handle_cast
    def cast(self, seconds: float) -> None:
        self._work(seconds)

    def _work(self, seconds: float) -> None:
        _stopwatch.now += seconds
        if seconds:
            _seen.append("slow")


@pytest.mark.parametrize("quick", range(1, 50))
@pytest.mark.parametrize("how", ["call", "cast"])
async def test_slow_handlers_after_quick_ones_leave_the_loop_its_turn(
    how: str, quick: int, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many have been quick, the time is looked at after every eighth."""
    monkeypatch.setattr(runtime.kernel.scheduler, "stopwatch", lambda: _stopwatch.now)
    server = await _Watched.start_link()
    await wait_until_idle()
    _seen.clear()
    for number in range(quick + 15):
        seconds = 0.0 if number < quick else 0.003
        if how == "cast":
            server.cast(_Watched.cast, seconds)
        else:
            await server.call(_Watched.call, seconds)
        if number == 0:
            asyncio.get_running_loop().call_soon(_seen.append, "loop")
    await wait_until_idle()
    assert _seen.count("slow") == 15
    assert _seen.index("loop") <= 8


def test_what_a_signal_handler_raises_in_it_does_not_put_it_to_sleep() -> None:
    """A loop that others own may go on after a KeyboardInterrupt; one in here would have stopped all processes for good."""
    called: list[Callable[[], None]] = []
    loop: Any = SimpleNamespace(call_soon=called.append)
    scheduler = Scheduler(loop, lambda: 0.0, None)

    def interrupt() -> None:
        raise KeyboardInterrupt

    scheduler.each_so_often(1, interrupt)
    scheduler.schedule(cast("Any", SimpleNamespace(status=0)))
    with pytest.raises(KeyboardInterrupt):
        called.pop()()
    assert called == [scheduler._drain]
