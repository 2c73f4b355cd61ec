"""Virtual time: exact, in order, never past somebody who is at work outside, and an error instead of a hang."""

from __future__ import annotations

import asyncio
import math
import pickle
import socket
import sys
import threading
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from mabeam.errors import UsageError
from mabeam.testing import DeadlockError, EndlessError, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator


@pytest.fixture(params=[False, True], ids=["plain", "debug"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on a virtual loop, with and without asyncio's debug mode."""

    def run_virtual(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=VirtualLoop, debug=request.param) as runner:
            return runner.run(coroutine)

    return run_virtual


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop that stands still."""
    loop = VirtualLoop()
    yield loop
    loop.close()


async def _wait(seconds: float) -> float:
    """What asyncio.sleep does; that is banned in tests, where it would be mistaken for real waiting."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
    return loop.time()


async def _turn() -> None:
    class Turn:
        def __await__(self) -> Generator[None, None, None]:
            yield

    await Turn()


# ------------------------------------------------------------------------------------------ time


def test_time_jumps_exactly_to_the_next_timer(run: Any) -> None:
    """No part of a second is lost or won, however far the jump."""

    async def main() -> list[float]:
        return [await _wait(seconds) for seconds in (0.1, 7200, 0.2, 1e9)]

    assert run(main()) == [0.1, 7200.1, 7200.3, 1e9 + 7200.3]


def test_time_stands_still_while_callbacks_are_ready(run: Any) -> None:
    """A thousand turns of the loop take no time."""

    async def main() -> float:
        for _ in range(1000):
            await _turn()
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_timers_run_in_the_order_of_their_times_and_equal_ones_in_the_order_they_were_set(run: Any) -> None:
    """Which asyncio's own heap does not keep."""

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        order: list[int] = []
        for number in range(100):
            loop.call_at(5.0, order.append, number)
        loop.call_at(4.0, order.append, -1)
        await _wait(6)
        return order

    assert run(main()) == list(range(-1, 100))


def test_timers_a_nanosecond_apart_have_times_of_their_own(run: Any) -> None:
    """They do not fall into one iteration as they would on a real loop."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        for seconds in (1.0, 1.0 + 1e-10, 1.0 + 2e-10):
            loop.call_at(seconds, lambda: times.append(loop.time()))
        await _wait(2)
        return times

    assert run(main()) == [1.0, 1.0 + 1e-10, 1.0 + 2e-10]


def test_timers_work_where_a_nanosecond_is_lost_in_rounding() -> None:
    """A loop that has come far does not spin for ever at a timer that is due."""

    async def main() -> float:
        await _wait(0.5)
        return await _wait(1e-12)  # less than one step of the float: due at once

    loop = VirtualLoop(start=1e9)
    assert loop.run_until_complete(main()) == 1e9 + 0.5
    loop.close()


def test_an_overdue_timer_does_not_turn_back_time(run: Any) -> None:
    """It runs now."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        await _wait(10)
        ran = loop.create_future()
        loop.call_at(3.0, lambda: ran.set_result(loop.time()))
        result: float = await ran
        return result

    assert run(main()) == 10.0


def test_cancelled_timers_are_no_reason_to_jump(run: Any) -> None:
    """Time moves to the first timer that still is one."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        for seconds in range(1, 300):
            loop.call_later(seconds, print).cancel()
        return await _wait(500)

    assert run(main()) == 500.0


def test_asyncio_timeouts_fire_at_their_virtual_time(run: Any) -> None:
    """Not earlier, not later."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(main()) == 30.0


def test_anyio_works_on_it() -> None:
    """Its task groups, time limits and clock."""

    async def main() -> list[float]:
        times = []
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 100)
            with anyio.move_on_after(50):
                await anyio.sleep_forever()
            times.append(anyio.current_time())
        return [*times, anyio.current_time()]

    assert anyio.run(main, backend_options={"loop_factory": VirtualLoop}) == [50.0, 100.0]


# ------------------------------------------------------------------------------------------ deadlock


def test_a_program_that_can_never_go_on_is_an_error(run: Any) -> None:
    """It says who waits for what, and where; and the loop can be closed."""

    async def helper(event: asyncio.Event) -> None:
        await event.wait()

    async def main() -> None:
        await _wait(12.5)
        await asyncio.create_task(helper(asyncio.Event()), name="helper")

    with pytest.raises(DeadlockError) as caught:
        run(main())
    assert caught.value.time == 12.5
    helping, waiting = sorted(caught.value.blocked, key=lambda text: "waits for task 'helper'" in text)
    assert "waits for task 'helper'" in waiting
    assert "main" in waiting
    assert "task 'helper' waits for" in helping
    assert f"{__file__}:{helper.__code__.co_firstlineno + 1} in" in helping
    assert "Event.wait" in helping
    assert all(text.replace("\n", "\n  ") in str(caught.value) for text in caught.value.blocked)


def test_a_timer_that_never_comes_does_not_hide_a_deadlock(run: Any) -> None:
    """Waiting for ever is often written as waiting for infinity."""

    async def main() -> None:
        await _wait(math.inf)

    with pytest.raises(DeadlockError):
        run(main())


def test_clean_up_runs_when_a_deadlocked_program_is_closed(run: Any) -> None:
    """The tasks are cancelled as they are after any error, and may even wait for time to pass."""
    cleaned = list[float]()

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(await _wait(3))

    with pytest.raises(DeadlockError):
        run(main())
    assert cleaned == [3.0]


def test_closing_a_deadlocked_program_cannot_hang() -> None:
    """A task that refuses to end is a deadlock once more, and the loop is closed all the same."""
    runner = asyncio.Runner(loop_factory=VirtualLoop)
    loop = runner.get_loop()
    reported = list[str]()
    loop.set_exception_handler(lambda _loop, context: reported.append(context["message"]))

    async def main() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    task = loop.create_task(main())
    with pytest.raises(DeadlockError):
        loop.run_until_complete(task)
    with pytest.raises(DeadlockError):
        runner.close()
    assert loop.is_closed()
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_others_may_describe_who_is_blocked(loop: VirtualLoop) -> None:
    """A description that fails does not hide the deadlock."""

    def broken() -> list[str]:
        raise ValueError("no idea")

    loop.describe_blocked += [lambda: ["process 7 waits for a letter"], broken]
    with pytest.raises(DeadlockError, match="process 7 waits for a letter") as caught:
        loop.run_forever()
    assert "no idea" in str(caught.value)


def test_a_deadlock_survives_pickling(loop: VirtualLoop) -> None:
    """With its data."""
    with pytest.raises(DeadlockError) as caught:
        loop.run_forever()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.time, copy.blocked, str(copy)) == (0.0, (), str(caught.value))


# ------------------------------------------------------------------------------------------ outside


def test_time_stands_still_while_a_thread_works_for_the_loop(run: Any) -> None:
    """The shortest timeout does not fire, however long the function takes."""
    release = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        fired = list[str]()
        loop.call_later(0.001, fired.append, "timer")
        loop.call_soon(release.set)
        assert await asyncio.to_thread(release.wait, 30)
        assert fired == []
        return loop.time()

    assert run(main()) == 0.0


def test_an_executor_that_pickles_what_it_runs_gets_the_function_alone(run: Any) -> None:
    """One of OS processes does."""

    class Pickling(Executor):
        def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            done: Future[Any] = Future()
            done.set_result(pickle.loads(pickle.dumps(function))(*args, **kwargs))
            return done

    async def main() -> float:
        return await asyncio.get_running_loop().run_in_executor(Pickling(), math.dist, (0, 0), (3, 4))

    assert run(main()) == 5.0


def test_an_executor_refuses_an_async_function_in_debug_mode(loop: VirtualLoop) -> None:
    """As asyncio does: nobody would await it."""
    loop.set_debug(True)
    with pytest.raises(TypeError, match="coroutines cannot be used with run_in_executor"):
        loop.run_in_executor(None, _turn)


def test_closing_the_loop_waits_for_its_executor(run: Any) -> None:
    """A thread whose caller was cancelled is waited for in real time, not given up in virtual time."""
    release, returned = threading.Event(), list[bool]()

    async def main() -> None:
        caller = asyncio.create_task(asyncio.to_thread(lambda: returned.append(release.wait(30))))
        await _turn()
        caller.cancel()
        threading.Thread(target=release.set).start()

    run(main())
    assert returned == [True]


def test_an_unknown_thread_can_be_waited_for_by_saying_so(run: Any) -> None:
    """anyio has threads of its own that no loop knows of."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        answer = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(answer.set_result, "hello"))
        with loop.outside():
            thread.start()
            assert await answer == "hello"
        thread.join()
        return loop.time()

    assert run(main()) == 0.0


def test_time_stands_still_while_an_os_process_runs(run: Any) -> None:
    """From its start to its end, also when it has no pipes, or has closed them long before."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        fired = list[str]()
        loop.call_later(0.001, fired.append, "timer")
        quiet = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
        assert await quiet.wait() == 3
        shell = await asyncio.create_subprocess_shell("exec >&-; exit 4", stdout=asyncio.subprocess.PIPE)
        assert (await shell.communicate())[0] == b""
        assert await shell.wait() == 4
        with pytest.raises(FileNotFoundError):
            await asyncio.create_subprocess_exec("/nowhere/at/all")
        assert fired == []
        return loop.time()

    assert run(main()) == 0.0


def test_a_socket_that_says_something_is_heard_before_time_moves(run: Any) -> None:
    """A connection to oneself works, and takes next to no time."""

    async def main() -> bytes:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, asyncio.timeout(60):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            text = await reader.read()
            writer.close()
            await writer.wait_closed()
        return text

    assert run(main()) == b"hello"


def test_time_passes_as_usual_while_a_silent_socket_is_registered(run: Any) -> None:
    """A listening server is no reason to hang: timers still come, and each at its own virtual time."""

    async def main() -> list[float]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        async with server:
            times = [await _wait(0.01), await _wait(0.01)]
        return [*times, await _wait(100)]

    times = run(main())
    assert times == [0.01, 0.02, 100.02]


def test_a_socket_is_waited_for_without_any_timer(loop: VirtualLoop) -> None:
    """Its other end may belong to somebody who will answer: that is no deadlock."""
    here, there = socket.socketpair()
    here.setblocking(False)
    heard = list[bytes]()

    def read() -> None:
        heard.append(here.recv(100))
        loop.stop()

    loop.add_reader(here, read)
    thread = threading.Thread(target=there.sendall, args=(b"hello",))
    loop.call_soon(thread.start)
    loop.run_forever()
    loop.remove_reader(here)
    thread.join()
    here.close()
    there.close()
    assert heard == [b"hello"]


# ------------------------------------------------------------------------------------------ by hand


def test_advance_runs_each_timer_at_its_own_time(run: Any) -> None:
    """And what those timers cause, up to and including the last moment."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        times: list[float] = []

        async def every_two_seconds() -> None:
            while True:
                times.append(await _wait(2))

        ticking = asyncio.create_task(every_two_seconds())
        await loop.advance(6)
        ticking.cancel()
        return [*times, loop.time()]

    assert run(main()) == [2.0, 4.0, 6.0, 6.0]


def test_advance_passes_somebody_who_is_at_work_outside(run: Any) -> None:
    """So a test can show what a function that hangs does to those who wait for it."""
    release = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def impatient() -> float:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.shield(hanging)
            return loop.time()

        hanging = asyncio.ensure_future(asyncio.to_thread(release.wait, 30))
        waiting = asyncio.create_task(impatient())
        await loop.advance(60)
        assert waiting.done()
        assert await waiting == 5.0
        assert loop.time() == 60.0
        release.set()
        assert await hanging

    run(main())


def test_a_cancelled_advance_allows_nothing_more(run: Any) -> None:
    """Time stands still again for whoever is outside."""
    release = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        advancing = asyncio.create_task(loop.advance(100))
        await _turn()
        advancing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await advancing
        fired = list[str]()
        loop.call_later(1, fired.append, "timer")
        loop.call_soon(release.set)
        await asyncio.to_thread(release.wait, 30)
        assert fired == []
        assert loop.time() == 0.0

    run(main())


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_advance_refuses_what_is_no_way_forward(run: Any, seconds: float) -> None:
    """Backwards, nowhere, for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with pytest.raises(UsageError, match="advance expects"):
            await loop.advance(seconds)

    run(main())


def test_idle_is_when_nothing_can_run_without_time(run: Any) -> None:
    """Everything that can run has run; no time has passed; several waiters each have their moment."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        seen = list[str]()

        async def worker() -> None:
            for _ in range(100):
                await _turn()
            seen.append("worked")
            await _wait(1)
            seen.append("late")

        async def watcher() -> None:
            await loop.wait_until_idle()
            seen.append("watched")

        tasks = [asyncio.create_task(worker()), asyncio.create_task(watcher())]
        await loop.wait_until_idle()
        assert seen in (["worked"], ["worked", "watched"])
        await loop.wait_until_idle()
        assert seen == ["worked", "watched"]
        assert loop.time() == 0.0
        await asyncio.wait(tasks)

    run(main())


def test_a_loop_shows_its_state_in_one_line(loop: VirtualLoop) -> None:
    """Whether it runs, its time, and how much is outside."""
    assert repr(loop) == "<VirtualLoop stopped at 0 s, 0 outside>"
    loop.close()
    assert repr(loop) == "<VirtualLoop closed at 0 s, 0 outside>"


def test_a_program_that_goes_on_for_ever_is_ended() -> None:
    """And so is one that does not stop when it is cancelled: it had as many turns again."""

    async def never_rests() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await _turn()

    runner = asyncio.Runner(loop_factory=partial(VirtualLoop, max_steps=100))
    runner.get_loop().set_exception_handler(lambda *_: None)  # a task that is pending for ever
    with pytest.raises(EndlessError, match="after 100 steps, at virtual time 0 s"):
        runner.run(never_rests())
    loop: Any = runner.get_loop()
    with pytest.raises(EndlessError, match="after 100 steps"):
        runner.close()
    assert loop.is_closed()
