"""Threads of processes: owned, bounded, and fenced once their process no longer waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import (
    Caller,
    Down,
    Normal,
    Runtime,
    in_thread,
    kill,
    portal,
    receive,
    self_pid,
    send,
    send_after,
    spawn,
    spawn_monitor,
)
from mabeam.testing import Probe, VirtualLoop, wait_until_idle
from tests.kernel._scenes import process_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mabeam.kernel import Portal


async def test_a_function_that_blocks_runs_in_another_thread() -> None:
    """Its result, its exception and its arguments go through."""

    def work(number: int, *, factor: int) -> tuple[int, int]:
        return number * factor, threading.get_ident()

    def fail() -> None:
        raise KeyError("in thread")

    result, thread = await in_thread(work, 6, factor=7)
    assert result == 42
    assert thread != threading.get_ident()
    with pytest.raises(KeyError, match="in thread"):
        await in_thread(fail)


async def test_a_function_sees_the_context_of_who_asks() -> None:
    """As with ``asyncio.to_thread``: what was set before it, and nothing leads back."""
    seen: list[str | None] = []
    request = contextvars.ContextVar[str | None]("request", default=None)

    def work() -> str | None:
        before = request.get()
        request.set("in thread")
        return before

    async def body() -> None:
        request.set("r-1")
        seen.extend((await in_thread(work), await asyncio.to_thread(work), request.get()))

    pid = spawn(body)
    while pid.is_alive:
        await in_thread(int)
    assert seen == ["r-1", "r-1", "r-1"]


@pytest.mark.parametrize("ends", ["kill", "cancel"])
async def test_a_thread_that_is_left_behind_is_reported(
    ends: str, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """With the function, and the place where it hangs."""
    begun, release, is_hanging = threading.Event(), threading.Event(), asyncio.Event()
    events: list[dict[str, object]] = []
    runtime.bus.attach(
        lambda _event, _numbers, metadata: events.append(dict(metadata)), events=["thread.fenced"]
    )

    def hang() -> None:
        begun.set()
        release.wait()

    async def body() -> None:
        hanging = asyncio.create_task(in_thread(hang))
        await in_thread(begun.wait)
        is_hanging.set()
        if ends == "cancel":
            hanging.cancel()
        with suppress(asyncio.CancelledError):
            await hanging

    pid = spawn(body)
    await is_hanging.wait()
    if ends == "kill":
        kill(pid)
    while pid.is_alive:
        await in_thread(int)
    statistics = runtime.statistics()
    release.set()
    assert statistics.threads_fenced == 1
    (event,) = events
    assert event["pid"] == pid.serial
    assert "hang" in str(event["function"])
    assert "hang" in str(event["stack"])
    assert "was left behind (fenced) at" in caplog.text
    while runtime.statistics().threads_fenced:
        await in_thread(int)


@pytest.mark.parametrize("error", [None, SystemError()])
async def test_a_thread_that_has_returned_is_not(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        await in_thread(int)
        if error is not None:
            raise error

    pid = spawn(body)
    while pid.is_alive:
        await in_thread(int)
    assert "fenced" not in caplog.text


async def test_a_thread_may_send_and_use_the_portal() -> None:
    """Both lead back into the loop; everything else is refused."""
    probe = Probe.start()

    def work() -> str:
        send(probe.pid, "from the thread")
        portal().send(probe.pid, "through the portal")
        with pytest.raises(UsageError, match=r"portal\(\)"):
            self_pid()
        with pytest.raises(UsageError, match=r"portal\(\)"):
            spawn(work)
        return portal().run(answer)

    async def answer() -> str:
        return "answer"

    assert await in_thread(work) == "answer"
    assert [await probe.next(), await probe.next()] == ["from the thread", "through the portal"]


def _use_kernel_when_released(
    probe: Probe, release: threading.Event, results: list[object]
) -> Callable[[], None]:
    def attempt(act: Callable[[], Any]) -> None:
        try:
            act()
        except NoSuchProcess as error:
            results.append(type(error))
        else:
            results.append("went through")

    async def answer() -> None:
        return None

    def work() -> None:
        back = portal()
        send(probe.pid, "begun")
        release.wait()
        attempt(lambda: send(probe.pid, "late"))
        attempt(lambda: back.send(probe.pid, "late"))
        attempt(lambda: back.run(answer))
        attempt(self_pid)
        attempt(timer.cancel)
        attempt(lambda: caller.reply("late"))
        attempt(lambda: caller.fail(ValueError("late")))
        results.append((timer.read() is None, caller.is_waiting))
        done.set()

    timer = send_after(60, probe.pid, "from a timer")
    caller = Caller[str](process_of(probe.pid), asyncio.get_running_loop().create_future(), "a call")
    done = threading.Event()
    work.done = done  # type: ignore[attr-defined]  # so that the test can wait for it
    return work


async def test_a_thread_that_is_left_behind_is_refused_by_the_portal_of_its_handler(
    runtime: Runtime, virtual_loop: VirtualLoop
) -> None:
    """And by that of the Runtime: it does not matter who made the portal."""
    probe, release, done = Probe.start(), threading.Event(), threading.Event()
    refused: list[bool] = []

    def work(portals: Sequence[Portal]) -> None:
        send(probe.pid, "begun")
        release.wait()
        for each in portals:
            try:
                each.send(probe.pid, "late")
            except NoSuchProcess:
                refused.append(True)
        done.set()

    async def body() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await in_thread(work, (portal(), runtime.portal()))
        await receive()

    pid = spawn(body)
    with virtual_loop.outside():
        assert await probe.next() == "begun"
    await virtual_loop.advance(2)
    release.set()
    done.wait()
    await wait_until_idle()
    assert refused == [True, True]
    assert probe.messages == ("begun",)
    assert pid.is_alive


@pytest.mark.parametrize("how", ["kill", "cancel"])
async def test_a_thread_that_is_left_behind_is_fenced(how: str, virtual_loop: VirtualLoop) -> None:
    """Whatever it asks of the kernel raises; its messages reach nobody."""
    probe, release, results = Probe.start(), threading.Event(), list[object]()
    work = _use_kernel_when_released(probe, release, results)

    async def body() -> None:
        try:
            async with asyncio.timeout(1):
                await in_thread(work)
        except TimeoutError:
            await receive()

    pid = spawn(body)
    with virtual_loop.outside():
        assert await probe.next() == "begun"
    if how == "kill":
        kill(pid)
    else:
        await virtual_loop.advance(2)
    await wait_until_idle()
    release.set()
    work.done.wait()  # type: ignore[attr-defined]  # see above
    await wait_until_idle()
    assert results == [NoSuchProcess] * 7 + [(False, True)]
    assert probe.messages == ("begun",)


async def test_a_thread_of_asyncio_is_fenced_by_the_death_of_its_process(virtual_loop: VirtualLoop) -> None:
    """``asyncio.to_thread`` works in processes, and takes its owner along."""
    probe, release, results = Probe.start(), threading.Event(), list[object]()
    work = _use_kernel_when_released(probe, release, results)
    pid = spawn(asyncio.to_thread, work)
    with virtual_loop.outside():
        assert await probe.next() == "begun"
    kill(pid)
    await wait_until_idle()
    release.set()
    work.done.wait()  # type: ignore[attr-defined]  # see above
    await wait_until_idle()
    assert results == [NoSuchProcess] * 7 + [(False, True)]
    assert probe.messages == ("begun",)


def test_no_more_threads_run_at_once_than_the_runtime_allows() -> None:
    """Further functions wait for one; all are answered."""
    running, most = 0, 0
    lock = threading.Lock()
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1

    async def main() -> None:
        async with Runtime(max_threads=2) as runtime:
            refs = [spawn_monitor(in_thread, work) for _ in range(6)]
            downs = [await receive() for _ in refs]
            assert all(isinstance(down, Down) and down.reason == Normal() for down in downs)
            assert runtime.statistics().threads == 2

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert most == 2


def test_a_thread_that_hangs_does_not_hold_up_the_end_of_the_runtime() -> None:
    """It is left behind, and counted."""
    release = threading.Event()

    async def main() -> int:
        async with Runtime() as runtime:
            begun = threading.Event()

            def hang() -> None:
                begun.set()
                release.wait()

            pid = spawn(in_thread, hang)
            with asyncio.get_running_loop().outside():  # type: ignore[attr-defined]  # a VirtualLoop
                await asyncio.to_thread(begun.wait)
            kill(pid)
            await wait_until_idle()
        return runtime.statistics().threads_busy

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == 1
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("mabeam-"):
            thread.join()
