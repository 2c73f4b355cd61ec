"""What leaves the loop is counted by loops that can count, and ignored by others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from socket import socketpair

import pytest

from mabeam._base import OwnedThread, child_processes, leaving, open_sockets, outside, returned, start_thread
from mabeam.errors import UsageError
from mabeam.testing import VirtualLoop


def test_a_virtual_loop_counts_what_is_outside() -> None:
    """Each leaving is one more, each return one less."""
    loop = VirtualLoop()
    leaving(loop)
    with outside(loop):
        assert "2 outside" in repr(loop)
    assert "1 outside" in repr(loop)
    returned(loop)
    assert "0 outside" in repr(loop)
    loop.close()


def test_a_return_without_leaving_is_refused() -> None:
    """The count never goes below nothing: that would hide the next one who leaves."""
    loop = VirtualLoop()
    with pytest.raises(UsageError, match="never left"):
        returned(loop)
    loop.close()


def test_a_real_loop_is_left_alone() -> None:
    """There the marks do nothing, in whatever order."""
    loop = asyncio.new_event_loop()
    returned(loop)
    leaving(loop)
    loop.close()


def test_the_mark_goes_with_the_block_though_it_raises() -> None:
    """An error inside does not leave the clock standing still."""
    loop = VirtualLoop()
    with pytest.raises(ZeroDivisionError), outside(loop):
        1 / 0
    assert "0 outside" in repr(loop)
    loop.close()


def _wait_for(event: threading.Event) -> None:
    event.wait(30)


def test_a_thread_of_ours_is_a_daemon_that_knows_where_it_was_started() -> None:
    """It cannot keep the interpreter from ending, and a report can say who made it."""
    release = threading.Event()
    thread = start_thread("worker", lambda: _wait_for(release))
    assert isinstance(thread, OwnedThread)
    assert thread.daemon
    assert thread.name == "worker"
    assert (
        thread.started_at[0].function == "test_a_thread_of_ours_is_a_daemon_that_knows_where_it_was_started"
    )
    release.set()
    thread.join()


def test_children_are_listed_until_they_are_waited_for() -> None:
    """An ended child that nobody waited for is still there."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.pid in child_processes()
    child.stdin.close()
    child.stdout.read()  # to its end: the child has ended or is about to
    assert child.pid in child_processes()
    child.wait()
    child.stdout.close()
    assert child.pid not in child_processes()


def test_open_sockets_are_listed_until_they_are_closed() -> None:
    """Both ends, each by a name of its own."""
    before = open_sockets()
    one, other = socketpair()
    opened = {name for number, name in open_sockets().items() if before.get(number) != name}
    assert len(opened) == 2
    one.close()
    other.close()
    assert open_sockets() == before
