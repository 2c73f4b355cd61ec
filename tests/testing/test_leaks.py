"""What is left behind is found, named, and nothing else is."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from socket import socketpair

import pytest

from mabeam._base import start_thread
from mabeam.kernel import Runtime, kill, receive, spawn
from mabeam.testing import LeakError, Probe, VirtualLoop, check_leaks
from mabeam.testing._leaks import Snapshot


def test_a_block_that_cleans_up_passes() -> None:
    """Threads, processes and sockets that have come and gone are no leaks, nor is what was there before."""
    before = socketpair()
    with check_leaks():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-c", ""], check=True)
        for end in socketpair():
            end.close()
        asyncio.run(asyncio.wait_for(asyncio.to_thread(int), 30))
    for end in before:
        end.close()


def test_a_thread_left_behind_is_named_with_the_place_it_was_started_at() -> None:
    """Of threads of ours; of others the name must do."""
    release = threading.Event()

    def work() -> None:
        release.wait(30)

    before = Snapshot()
    ours = start_thread("ours", work)
    other = threading.Thread(target=work, name="other")
    other.start()
    leaks = sorted(before.leaks(patience=0.0))
    release.set()
    ours.join()
    other.join()
    assert [leak.splitlines()[0] for leak in leaks] == ["daemon thread 'ours'", "thread 'other'"]
    assert "in test_a_thread_left_behind_is_named" in leaks[0]
    assert not list(before.leaks())


def test_a_thread_that_is_about_to_end_is_waited_for() -> None:
    """It has done its work, and needs a moment to be gone."""
    release = threading.Event()
    with check_leaks():
        threading.Thread(target=release.wait, args=(30,)).start()
        threading.Thread(target=release.set).start()


def test_a_child_left_behind_is_named_also_when_it_has_ended() -> None:
    """One that nobody waited for is a zombie."""
    with pytest.raises(LeakError, match="OS process") as caught, check_leaks():
        child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.read()
    assert child.stdout is not None
    child.stdout.close()
    child.wait()
    (leak,) = caught.value.leaks
    assert str(child.pid) in leak


def test_a_socket_left_behind_is_found() -> None:
    """By its file descriptor."""
    with pytest.raises(LeakError) as caught, check_leaks():
        ends = socketpair()
    (one, other) = sorted(caught.value.leaks)
    assert {f"socket with file descriptor {end.fileno()} " for end in ends} == {
        one.partition("(")[0],
        other.partition("(")[0],
    }
    for end in ends:
        end.close()


@pytest.mark.parametrize("debug", [False, True])
def test_a_task_left_behind_is_named_with_the_place_where_it_waits(*, debug: bool) -> None:
    """In debug mode with the place where it was created as well."""

    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def main() -> LeakError:
        with pytest.raises(LeakError) as caught, check_leaks():
            task = asyncio.create_task(forgotten(), name="forgotten")
            await asyncio.wait((task,), timeout=1)
        task.cancel()
        return caught.value

    with asyncio.Runner(loop_factory=VirtualLoop, debug=debug) as runner:
        error = runner.run(main())
    (leak,) = error.leaks
    assert leak.startswith("task 'forgotten' waits for")
    assert "in test_a_task_left_behind_is_named_with_the_place_where_it_waits.<locals>.forgotten" in leak
    assert ("created at" in leak) is debug


def test_threads_of_the_loops_own_executor_are_the_loops_business() -> None:
    """It ends them when it is closed."""

    async def main() -> None:
        with check_leaks():
            await asyncio.to_thread(int)

    asyncio.run(main())


@pytest.mark.mabeam
async def test_a_process_left_behind_is_named() -> None:
    """One that has ended is not."""

    async def forgotten() -> None:
        await receive()

    with pytest.raises(LeakError, match="forgotten"), check_leaks():
        pid = spawn(forgotten)
    watcher = Probe.start()
    with check_leaks():
        passing = spawn(forgotten)
        watcher.watch(passing)
        kill(passing)
        kill(pid)
        await watcher.next()


def test_a_block_that_raises_is_not_checked() -> None:
    """Its own error is the news."""
    with pytest.raises(ZeroDivisionError), check_leaks():
        ends = socketpair()
        1 / 0
    for end in ends:
        end.close()


def test_leaks_survive_pickling() -> None:
    """With their descriptions."""
    copy = pickle.loads(pickle.dumps(LeakError(["one\ntwo"])))
    assert copy.leaks == ("one\ntwo",)
    assert "1 left behind:\n  one\n  two" in str(copy)


def test_everything_is_gone_when_a_runtime_has_ended() -> None:
    """Its threads, tasks and processes."""

    async def main() -> None:
        async with Runtime():
            Probe.start()

    with check_leaks():
        asyncio.run(main())
