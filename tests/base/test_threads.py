"""Bounded threads: order, limits, giving up, closing, and what functions may raise."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam._base import BoundedThreads, OwnedThread
from mabeam.errors import RejectedError, UsageError
from mabeam.testing import VirtualLoop, check_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture(params=["asyncio", "virtual", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine on each kind of loop; nothing may be left of its threads."""
    factory: Any = {"asyncio": asyncio.new_event_loop, "virtual": VirtualLoop}.get(request.param)
    if factory is None:
        factory = pytest.importorskip("uvloop").new_event_loop

    def run_and_check(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with check_leaks(), asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_and_check


class Gate:
    """A function that says when it has begun, and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self, value: object = None) -> object:
        self.begun.set()
        assert self.released.wait(30)
        return value


async def _turns(count: int = 3) -> None:
    for _ in range(count):
        await _Turn()


class _Turn:
    def __await__(self) -> Any:
        yield


async def _begun(gate: Gate) -> None:
    # In the default executor, which the loop owns: the threads under test may all be taken.
    await asyncio.to_thread(gate.begun.wait, 30)


def test_a_function_runs_in_a_thread_and_its_result_comes_back(run: Any) -> None:
    """With its arguments, and not in the loop's thread."""

    async def main() -> None:
        threads = BoundedThreads(2)
        assert await threads.run(divmod, 7, 3) == (2, 1)
        assert await threads.run(threading.get_ident) != threading.get_ident()
        threads.close()

    run(main())


def test_threads_are_reused(run: Any) -> None:
    """One after the other needs one thread."""

    async def main() -> None:
        threads = BoundedThreads(4)
        names = {await threads.run(lambda: threading.current_thread().name) for _ in range(20)}
        assert len(names) == 1
        assert threads.statistics().threads == 1
        assert threads.statistics().finished == 20
        threads.close()

    run(main())


def test_no_more_threads_than_the_limit_and_the_rest_wait_their_turn(run: Any) -> None:
    """Functions beyond the limit start in the order they were submitted."""

    async def main() -> None:
        threads = BoundedThreads(2)
        order: list[int] = []
        gates = [Gate(), Gate()]
        holding = [threads.submit(gate) for gate in gates]
        waiting = [threads.submit(order.append, number) for number in range(5)]
        await _begun(gates[1])
        assert threads.statistics().running == 2
        assert threads.statistics().waiting == 5
        assert order == []
        gates[0].released.set()  # from now on one thread does all
        for future in waiting:
            await future
        assert order == [0, 1, 2, 3, 4]
        gates[1].released.set()
        for held in holding:
            await held
        assert threads.statistics().threads == 2
        threads.close()

    run(main())


def test_a_cancelled_waiter_leaves_the_queue_and_its_function_never_starts(run: Any) -> None:
    """From the middle, at once; the others keep their order."""

    async def main() -> None:
        threads = BoundedThreads(1)
        gate, started = Gate(), list[str]()
        held = threads.submit(gate)
        first = threads.submit(started.append, "first")
        doomed = threads.submit(started.append, "doomed")
        last = threads.submit(started.append, "last")
        doomed.cancel()
        await _turns()
        assert threads.statistics().waiting == 2
        gate.released.set()
        await held
        await first
        await last
        assert started == ["first", "last"]
        threads.close()

    run(main())


def test_a_waiter_cancelled_as_its_thread_becomes_free_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome that frees the thread is already on its way when the waiter is cancelled."""
    posted = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        threads = BoundedThreads(1)
        gate, started = Gate(), list[str]()
        held = threads.submit(gate)
        doomed = threads.submit(started.append, "doomed")
        await _begun(gate)
        post = loop.call_soon_threadsafe

        def post_and_say_so(*args: Any) -> asyncio.Handle:
            handle = post(*args)
            posted.set()
            return handle

        monkeypatch.setattr(loop, "call_soon_threadsafe", post_and_say_so)
        gate.released.set()
        assert posted.wait(30)  # blocks the loop, which therefore learns of both in its next turn
        doomed.cancel()
        await held
        await _turns()
        assert started == []
        assert threads.statistics().waiting == 0
        assert threads.statistics().idle == 1
        threads.close()

    with asyncio.Runner() as runner:
        runner.run(main())


def test_a_caller_that_gives_up_leaves_its_function_running(run: Any) -> None:
    """It stops waiting at once; the thread stays taken, and is seen as abandoned until the function returns."""

    async def main() -> None:
        threads = BoundedThreads(1)
        gate = Gate()
        caller = asyncio.ensure_future(threads.run(gate, "unwanted"))
        await _begun(gate)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await _turns()
        assert threads.statistics().abandoned == 1
        assert "1/1 running (1 abandoned)" in repr(threads)
        behind = threads.submit(str, 5)
        await _turns()
        assert threads.statistics().waiting == 1
        gate.released.set()
        assert await behind == "5"
        statistics = threads.statistics()
        assert (statistics.abandoned, statistics.dropped, statistics.finished) == (0, 1, 2)
        threads.close()

    run(main())


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_whatever_a_function_raises_reaches_its_caller(run: Any, error: BaseException) -> None:
    """And the thread lives on to run the next one."""

    async def main() -> None:
        threads = BoundedThreads(1)

        def fail() -> None:
            raise error

        future = threads.submit(fail)
        await asyncio.wait((future,))
        assert future.exception() is error
        assert await threads.run(int, "7") == 7
        assert threads.statistics().threads == 1
        threads.close()

    run(main())


def test_stop_iteration_arrives_as_the_cause_of_a_runtime_error(run: Any) -> None:
    """A future would refuse it, and a coroutine would take it for its own end."""

    async def main() -> None:
        threads = BoundedThreads(1)
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await threads.run(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)
        threads.close()

    run(main())


def test_an_outcome_that_nobody_reads_is_dropped_without_a_word(run: Any) -> None:
    """Neither the event loop nor the log hears of it."""
    heard: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
        threads = BoundedThreads(1)
        gate = Gate()

        def fail() -> None:
            gate()
            raise ValueError("nobody wants to know")

        abandoned = threads.submit(fail)
        unread = threads.submit(int, "not a number")
        await _begun(gate)
        abandoned.cancel()
        gate.released.set()
        await asyncio.wait((unread,))
        del abandoned, unread
        gc.collect()
        threads.close()

    run(main())
    assert heard == []


def test_a_function_runs_in_the_context_it_is_given(run: Any) -> None:
    """Unless given, that is a copy of the submitter's."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> None:
        threads = BoundedThreads(1)
        variable.set("mine")
        context = contextvars.Context()
        context.run(variable.set, "given")
        assert await threads.run(variable.get) == "mine"
        assert await threads.run(variable.get, context=context) == "given"
        await threads.run(variable.set, "changed in the copy")
        assert variable.get() == "mine"
        threads.close()

    run(main())


def test_close_ends_the_idle_threads_at_once(run: Any) -> None:
    """When it returns they are gone."""

    async def main() -> None:
        threads = BoundedThreads(3, name="closing")
        gates = [Gate() for _ in range(3)]
        futures = [threads.submit(gate) for gate in gates]
        for gate in gates:
            gate.released.set()
        for future in futures:
            await future
        assert threads.statistics().idle == 3
        threads.close()
        threads.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("closing")]
        assert threads.statistics().threads == 0
        assert threads.statistics().closed

    run(main())


def test_close_lets_running_functions_answer_and_refuses_those_that_wait(run: Any) -> None:
    """A busy thread ends when its function returns."""

    async def main() -> None:
        threads = BoundedThreads(1, name="closing")
        gate, started = Gate(), list[str]()
        running = threads.submit(gate, "answer")
        waiting = threads.submit(started.append, "never")
        await _begun(gate)
        threads.close()
        with pytest.raises(RejectedError, match="not run"):
            await waiting
        with pytest.raises(RejectedError, match="closed"):
            threads.submit(started.append, "never")
        gate.released.set()
        assert await running == "answer"
        assert started == []
        assert threads.statistics().threads == 0
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("closing")]

    run(main())


def test_a_function_that_outlives_its_loop_is_dropped_and_its_thread_ends() -> None:
    """Nobody can be told any more, and nothing is printed."""
    gate = Gate()

    async def main() -> OwnedThread:
        threads = BoundedThreads(1)
        future = threads.submit(gate)
        await _begun(gate)
        future.cancel()
        return threads._workers[0].thread

    with asyncio.Runner() as runner:
        thread = runner.run(main())
    gate.released.set()
    thread.join(30)
    assert not thread.is_alive()


def test_virtual_time_stands_still_until_the_answer() -> None:
    """A timeout does not fire because a thread is slow, only because virtual time passes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        threads = BoundedThreads(1)
        gate = Gate()
        gate.released.set()
        async with asyncio.timeout(0.001):
            assert await threads.run(gate, "in time") == "in time"
        assert loop.time() == 0.0
        threads.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_an_abandoned_function_does_not_hold_virtual_time() -> None:
    """Nobody waits for its answer, so nothing depends on it."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        threads = BoundedThreads(1)
        gate = Gate()
        future = threads.submit(gate)
        await _begun(gate)
        future.cancel()
        await loop.advance(0)
        assert "0 outside" in repr(loop)
        gate.released.set()
        threads.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_a_waiting_thread_keeps_nothing_of_its_last_function_alive(run: Any) -> None:
    """Its arguments go as soon as its caller lets go of them."""

    class Thing:
        pass

    async def main() -> None:
        threads = BoundedThreads(1)
        thing = Thing()
        gone = threading.Event()
        weakref.finalize(thing, gone.set)
        await threads.run(id, thing)
        del thing
        assert gone.wait(10)
        threads.close()

    run(main())


def test_an_error_is_not_kept_alive_by_a_cycle(run: Any) -> None:
    """It goes with its last user, without waiting for the garbage collector."""

    class Boom(Exception):
        pass

    def fail() -> None:
        raise Boom

    async def main() -> None:
        threads = BoundedThreads(1)
        gone = threading.Event()
        future = threads.submit(fail)
        await asyncio.wait((future,))
        error = future.exception()
        assert isinstance(error, Boom)
        weakref.finalize(error, gone.set)
        gc.disable()
        try:
            del error, future
            await _turns()
            assert gone.wait(10)
        finally:
            gc.enable()
        threads.close()

    run(main())


def test_a_limit_below_one_is_refused() -> None:
    """With no thread nothing could ever run."""

    async def main() -> None:
        with pytest.raises(UsageError, match="limit of at least 1"):
            BoundedThreads(0)

    with asyncio.Runner() as runner:
        runner.run(main())
