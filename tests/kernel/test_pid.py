"""Pids are values: they compare, hash and travel, and only inside of their Runtime do they reach a process."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.kernel import Pid, kill, self_pid, spawn
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import wait_for_ever

if TYPE_CHECKING:
    from mabeam.kernel import Runtime


def test_two_pids_are_equal_when_runtime_and_serial_number_are() -> None:
    """And only then; what is no pid is never equal to one."""
    one = same = Pid("a", 1)
    assert one.__eq__(same) is True
    assert one == Pid("a", 1)
    assert hash(one) == hash(Pid("a", 1))
    assert one != Pid("a", 2)
    assert one != Pid("b", 1)
    assert one != 1
    assert one.__eq__(1) is NotImplemented
    assert len({Pid("a", number) for number in range(100)} | {one}) == 100


def test_pids_of_different_processes_spread_over_a_table() -> None:
    """A registry has one entry for each of many."""
    assert len({hash(Pid("a", number)) for number in range(1_000)}) == 1_000


async def test_a_pid_knows_whether_its_process_lives() -> None:
    """One that was pickled names it still, and does not reach it."""
    pid = spawn(wait_for_ever)
    copied = pickle.loads(pickle.dumps(pid))
    assert (pid.is_alive, copied.is_alive) == (True, False)
    assert copied == pid
    assert (copied.runtime_id, copied.serial) == (pid.runtime_id, pid.serial)
    kill(pid)
    await wait_until_idle()
    assert pid.is_alive is False


async def test_a_pid_that_is_copied_with_what_holds_it_reaches_its_process() -> None:
    """``dataclasses.asdict`` copies deeply, say."""
    pid = spawn(wait_for_ever)
    for copied in (copy.copy([pid])[0], copy.copy(pid), copy.deepcopy([pid])[0]):
        assert copied == pid
        assert copied.is_alive


async def test_a_pid_shows_its_number_and_what_the_process_is(runtime: Runtime) -> None:
    """The number alone when it cannot reach it."""
    pid = spawn(wait_for_ever)
    assert repr(pid) == f"<pid {pid.serial} wait_for_ever>"
    assert repr(Pid(pid.runtime_id, pid.serial)) == f"<pid {pid.serial}>"
    assert self_pid().serial == 0
    assert pid.runtime_id == runtime.id


def test_a_pid_says_what_it_is_for_to_those_who_take_it_for_a_server() -> None:
    """What Python itself looks for on any object is answered in one line."""
    pid: Any = Pid("a", 1)
    with pytest.raises(AttributeError) as error:
        pid.call
    assert str(error.value) == (
        "a Pid has no attribute 'call': it says which process is meant, and nothing else. A server is asked through a "
        "handle, mabeam.ref(pid, Server).call(...); any process takes messages, mabeam.send(pid, message)."
    )
    assert (error.value.name, error.value.obj) == ("call", pid)
    with pytest.raises(AttributeError) as error:
        pid.__length_hint__
    assert str(error.value) == "a Pid has no attribute '__length_hint__'"
