"""Portals: the way into a Runtime for threads and for programs without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import NoSuchProcess, ProcessDied, UsageError
from mabeam.kernel import (
    Exited,
    Killed,
    Pid,
    Portal,
    Runtime,
    in_thread,
    kill,
    open_portal,
    portal,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
)
from mabeam.otp import GenServer, handle_call, handle_cast, ref
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import never, wait_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable


class Counter(GenServer):
    """Adds."""

    def __init__(self) -> None:
        self.value = 0

    @handle_call
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_cast
    def reset(self) -> None:
        self.value = 0


async def _double(number: int) -> int:
    return 2 * number


async def _start_counter() -> object:
    return await Counter.child_spec().named("counter").start()


def test_a_program_without_a_loop_can_use_processes() -> None:
    """Results, exceptions, servers; and when the block is left no thread is."""

    async def fail() -> None:
        raise KeyError("inside")

    before = set(threading.enumerate())
    with open_portal() as gate:
        assert gate.run(_double, 21) == 42
        with pytest.raises(KeyError, match="inside"):
            gate.run(fail)
        server = gate.run(_start_counter)
        assert gate.call(server, Counter.add, 5) == 5
        gate.cast(server, Counter.reset)
        assert gate.call(server, Counter.add, 1) == 1
        pid = gate.run(_find_counter)
        assert pid.is_alive
    assert not pid.is_alive
    assert set(threading.enumerate()) == before
    for use in (
        lambda: gate.run(_double, 1),
        lambda: gate.send(pid, 1),
        lambda: gate.call(server, Counter.add, 1),
    ):
        with pytest.raises(NoSuchProcess, match=r"portal of Runtime .* is closed") as caught:
            use()
        assert "with mabeam.open_portal() as portal:" in str(caught.value)


async def _find_counter() -> Pid:
    from mabeam.kernel import whereis

    pid = whereis("counter")
    assert pid is not None
    return pid


def test_an_exception_in_the_block_stops_the_runtime_and_is_raised() -> None:
    """As from any block."""
    before = set(threading.enumerate())
    with pytest.raises(KeyError, match="mine"), open_portal() as gate:
        gate.run(_double, 1)
        raise KeyError("mine")
    assert set(threading.enumerate()) == before


class _Interrupted(threading.Event):
    """Ctrl-C comes as soon as somebody waits for it."""

    is_over = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_over:
            self.is_over = True
            raise KeyboardInterrupt
        return super().wait(timeout)


def test_a_portal_that_is_interrupted_before_it_is_open_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mabeam.kernel._run.threading", SimpleNamespace(Event=_Interrupted))
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt), open_portal():
        pytest.fail("the block was entered")
    assert set(threading.enumerate()) == before


def test_bad_options_start_nothing() -> None:
    """Neither thread nor loop."""
    before = set(threading.enumerate())
    with pytest.raises(TypeError), open_portal(no_such_option=1):
        pass
    assert set(threading.enumerate()) == before


async def test_what_is_sent_to_a_runtime_that_has_stopped_is_a_dead_letter_there() -> None:
    """Its loop is closed, which is no matter of whoever sends."""
    with open_portal() as gate:
        server = gate.run(_start_counter)
        pid = gate.run(_find_counter)
    assert pid._process is not None
    letters = pid._process.kernel.dead_letters
    before = letters.counts.get("dead", 0)
    send(pid, "late")
    server.cast(Counter.reset)  # type: ignore[attr-defined]  # a Ref
    assert letters.counts["dead"] == before + 2


async def test_the_portal_of_a_runtime_that_was_left_is_closed() -> None:
    """It says so, and not that some process is dead."""
    async with Runtime() as runtime:
        gate = runtime.portal()
    with pytest.raises(NoSuchProcess, match=f"portal of Runtime {runtime.id} is closed.*before that"):
        gate.send("anybody", 1)


def test_a_portal_is_what_its_block_gives() -> None:
    """What ``open_portal`` returns is only the block."""
    block: Any = open_portal()
    with pytest.raises(AttributeError, match=r"with mabeam\.open_portal\(\) as portal:"):
        block.run(_double, 1)
    assert not hasattr(block, "call")
    with block, pytest.raises(UsageError, match="entered already"), block:
        pass


def test_what_is_no_handle_is_refused_before_anything_is_handed_over() -> None:
    """A name is none, nor is a class."""
    with open_portal() as gate:
        for wrong in ("counter", Counter, None):
            with pytest.raises(UsageError, match=r"portal\.call expects the handle of a server.*got"):
                gate.call(wrong, Counter.add, 1)
            with pytest.raises(UsageError, match=r"portal\.cast expects the handle of a server.*got"):
                gate.cast(wrong, Counter.reset)


def test_a_wrong_cast_or_message_is_told_in_the_thread_that_sends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Later there would be nobody to be told."""
    with open_portal() as gate:
        server = gate.run(_start_counter)
        with pytest.raises(UsageError, match=r"await ref\.call"):
            gate.cast(server, Counter.add, 1)
        with pytest.raises(UsageError, match=r"await ref\.call"):
            gate.cast(ref("counter", Counter), Counter.add, 1)
        with pytest.raises(UsageError, match="expected a pid"):
            gate.send(3, "x")  # type: ignore[arg-type]
    assert caplog.records == []


async def test_the_loops_own_thread_is_refused() -> None:
    """It would wait for itself; so is a coroutine, which was called already."""
    gate = Portal(_runtime().kernel, _runtime().root)
    with pytest.raises(UsageError, match="wait for itself"):
        gate.run(_double, 1)
    with pytest.raises(UsageError, match="right:"):
        gate.run(_double(1))  # type: ignore[arg-type]  # what is refused


def _runtime() -> Runtime:
    from mabeam.kernel import current_kernel, find

    class Stand:
        kernel = current_kernel()
        root = find(kernel, self_pid())

    return Stand  # type: ignore[return-value]  # what a Portal needs of it


def _in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def work() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, outcome


async def test_many_threads_can_use_one_portal(runtime: Runtime, virtual_loop: VirtualLoop) -> None:
    """Each gets its own answer."""
    gate = runtime.portal()
    threads = [_in_thread(lambda number=number: gate.run(_double, number)) for number in range(10)]  # type: ignore[misc]  # a default binds it
    with virtual_loop.outside():
        await asyncio.to_thread(lambda: [*map(threading.Thread.join, (thread for thread, _ in threads))])
    assert [outcome for _, outcome in threads] == [[2 * number] for number in range(10)]


async def _in_thread_of_another(work: Callable[[], float]) -> float:
    """In one that belongs to another process than the portal does."""
    probe = Probe.start()

    async def another() -> None:
        send(probe.pid, await in_thread(work))

    spawn(another)
    found = await probe.next()
    assert isinstance(found, float)
    return found


async def _in_executor(work: Callable[[], float]) -> float:
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


@pytest.mark.parametrize("run", [asyncio.to_thread, _in_executor, _in_thread_of_another])
@pytest.mark.parametrize("of_runtime", [True, False], ids=["runtime", "process"])
async def test_virtual_time_passes_while_a_thread_waits_through_a_portal(
    run: Any, runtime: Runtime, *, of_runtime: bool
) -> None:
    """It works for the loop, but not meanwhile, whoever runs it."""
    gate = runtime.portal() if of_runtime else portal()

    async def slow() -> float:
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(3.0, over.set_result, None)
        await over
        return loop.time()

    assert await run(lambda: gate.run(slow)) == 3.0
    assert asyncio.get_running_loop().time() == 3.0


@pytest.mark.parametrize(
    ("end", "reason"),
    [(kill, Killed()), (lambda pid: send_exit(pid, Exited("enough")), Exited("enough"))],
    ids=["kill", "exit"],
)
async def test_the_waiting_thread_hears_of_the_end_of_its_process(
    end: Callable[[Pid], None], reason: object, runtime: Runtime, virtual_loop: VirtualLoop
) -> None:
    """Killed, or ended by a signal."""
    probe = Probe.start()

    async def body() -> None:
        from mabeam.kernel import send

        send(probe.pid, self_pid())
        await never()

    thread, outcome = _in_thread(lambda: runtime.portal().run(body))
    with virtual_loop.outside():
        pid = await probe.next()
        end(pid)
        await asyncio.to_thread(thread.join)
    (error,) = outcome
    assert isinstance(error, ProcessDied)
    assert error.reason == reason


def test_a_thread_that_waits_when_the_runtime_stops_is_told() -> None:
    """It does not wait for ever."""
    begun = threading.Event()
    results: list[tuple[threading.Thread, list[object]]] = []

    async def body() -> None:
        begun.set()
        await never()

    with open_portal() as gate:
        results.append(_in_thread(lambda: gate.run(body)))
        begun.wait()
    ((thread, outcome),) = results
    thread.join()
    (error,) = outcome
    assert isinstance(error, ProcessDied)


def test_what_is_handed_in_while_the_runtime_closes_is_answered() -> None:
    """However close it is: it runs, or is refused."""
    for _ in range(20):
        ready = threading.Barrier(3)
        results = []

        def ask(gate: Portal, ready: threading.Barrier = ready) -> int:
            ready.wait()
            return gate.run(_double, 1)

        with open_portal() as gate:
            results = [_in_thread(lambda gate=gate, ask=ask: ask(gate)) for _ in range(2)]  # type: ignore[misc]  # defaults bind them
            ready.wait()
        for thread, outcome in results:
            thread.join()
            assert outcome == [2] or isinstance(outcome[0], ProcessDied), outcome


async def test_an_interrupted_wait_kills_the_process(
    runtime: Runtime, virtual_loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the waiting thread, say: nobody needs the answer any more."""
    probe = Probe.start()
    begun = threading.Event()

    class Interrupted(concurrent.futures.Future[object]):
        def result(self, timeout: float | None = None) -> object:
            begun.wait()
            raise KeyboardInterrupt

    async def body() -> None:
        from mabeam.kernel import send

        send(probe.pid, self_pid())
        await never()

    interrupting = SimpleNamespace(futures=SimpleNamespace(Future=Interrupted))
    monkeypatch.setattr("mabeam.kernel._portal.concurrent", interrupting)
    thread, outcome = _in_thread(lambda: runtime.portal().run(body))
    with virtual_loop.outside():
        pid = await probe.next()
        down = probe.watch(pid)
        begun.set()
        assert (await probe.next()).reason == Killed()
        await asyncio.to_thread(thread.join)
    assert isinstance(outcome[0], KeyboardInterrupt)
    assert down is not None


async def test_messages_and_casts_from_threads_go_by_name_too(
    runtime: Runtime, virtual_loop: VirtualLoop
) -> None:
    """One to nobody is a dead letter: the thread has gone on long ago."""
    probe = Probe.start()
    register("probe", probe.pid)
    await Counter.child_spec().named("counter").start()
    gate = runtime.portal()

    def work() -> None:
        gate.send("probe", "by name")
        gate.send("nobody", "lost")
        gate.cast(ref("counter", Counter), Counter.reset)
        gate.cast(ref("no counter", Counter), Counter.reset)

    with virtual_loop.outside():
        await asyncio.to_thread(_in_thread(work)[0].join)
    await wait_until_idle()
    assert probe.messages == ("by name",)
    assert runtime.dead_letters.counts == {"no_name": 2}


async def test_there_is_no_way_back_for_a_thread_of_nobody() -> None:
    """``portal()`` belongs in threads of processes."""
    import contextvars

    with pytest.raises(UsageError, match="thread of a process"):
        contextvars.Context().run(portal)


async def test_what_a_portal_starts_belongs_to_its_process(
    runtime: Runtime, virtual_loop: VirtualLoop
) -> None:
    """What is only spawned is an orphan when that has ended."""

    async def body() -> Pid:
        return spawn(wait_for_ever)

    thread, outcome = _in_thread(lambda: runtime.portal().run(body))
    with virtual_loop.outside():
        await asyncio.to_thread(thread.join)
    (pid,) = outcome
    assert isinstance(pid, Pid)
    await wait_until_idle()
    assert runtime.orphans() == (pid,)
