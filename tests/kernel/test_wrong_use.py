"""Wrong use of the kernel's names: it is told where it is written, and the message says what to write instead."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Crashed,
    Exited,
    GenServer,
    Lock,
    Normal,
    NoSuchProcess,
    Runtime,
    StartFailed,
    UsageError,
    child_spec,
    demonitor,
    in_thread,
    info,
    kill,
    link,
    monitor,
    open_portal,
    receive,
    register,
    self_pid,
    send,
    send_after,
    send_exit,
    spawn,
    spawn_monitor,
    statistics,
    trap_exit,
    unlink,
    unregister,
    whereis,
    why,
)
from tests.kernel._scenes import wait_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable


class Server(GenServer):
    """A class to be mistaken for a function, or for a process."""


async def generator() -> Any:
    yield 1


async def job(number: int) -> int:
    return number


async def wants_nothing(_message: object) -> bool:
    return False


NO_SECONDS = [-1, -0.5, 10**400, math.nan, "3", True, timedelta(seconds=3), [1]]


# ---------------------------------------------------------------------------------------- durations


@pytest.mark.parametrize("seconds", NO_SECONDS)
async def test_a_timer_refuses_what_is_no_duration(seconds: Any) -> None:
    with pytest.raises(UsageError, match="send_after expects seconds >= 0, got"):
        send_after(seconds, self_pid(), "x")


@pytest.mark.parametrize("seconds", NO_SECONDS)
async def test_receive_refuses_what_is_no_duration(seconds: Any) -> None:
    """NaN above all, which would be waited for without end."""
    with pytest.raises(UsageError, match="receive expects a timeout in seconds >= 0, or None to wait"):
        await receive(timeout=seconds)


async def test_the_error_about_a_duration_says_how_to_make_one() -> None:
    with pytest.raises(UsageError, match=r"total_seconds\(\)"):
        send_after(timedelta(minutes=2), self_pid(), "x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"float\(\.\.\.\)"):
        send_after("2", self_pid(), "x")  # type: ignore[arg-type]


async def test_the_error_about_a_duration_does_not_call_a_truth_value_too_long() -> None:
    with pytest.raises(UsageError, match="got True, which is no number of seconds"):
        send_after(True, self_pid(), "x")


async def test_a_timer_that_never_fires_is_a_timer() -> None:
    """As is one that fires at once."""
    send_after(0, self_pid(), "now")
    assert send_after(math.inf, self_pid(), "never").cancel() == math.inf
    assert await receive(timeout=1) == "now"


# ---------------------------------------------------------------------------------------- receive


@pytest.mark.parametrize(
    ("match", "hint"),
    [
        (3, r"receive\(timeout=3\)"),
        (5.0, r"receive\(timeout=5.0\)"),
        ("hello", "a class, a tuple of classes, or a function"),
        ((int, 3), "a class, a tuple of classes, or a function"),
        ([int], "a class, a tuple of classes, or a function"),
        (list[int], "a class, a tuple of classes, or a function"),
        (wants_nothing, "must be a plain function"),
    ],
)
async def test_receive_refuses_what_matches_nothing(match: Any, hint: str) -> None:
    """It would wait for ever, or raise in whoever sends next."""
    send(self_pid(), "a message")
    with pytest.raises(UsageError, match=hint):
        await receive(match)
    assert await receive(timeout=0) == "a message"


@pytest.mark.parametrize("match", [int | str, (int, str), (int | str, bytes)])
async def test_receive_takes_several_classes(match: Any) -> None:
    """However they are written."""
    send(self_pid(), 1.5)
    send(self_pid(), "text")
    assert await receive(match, timeout=0) == "text"


async def test_receive_in_a_task_says_how_to_limit_it() -> None:
    """``asyncio.wait_for`` makes a task in some versions of Python."""
    with pytest.raises(UsageError, match=r"receive\(timeout=\.\.\.\); asyncio\.wait_for"):
        await asyncio.get_running_loop().create_task(_receive_in_server())


async def _receive_in_server() -> None:
    class Receiving(GenServer):
        async def init(self) -> None:
            await receive()

    try:
        await Receiving.start_link()
    except StartFailed as failed:
        raise (failed.__cause__ or failed) from None


# ---------------------------------------------------------------------------------------- targets


def _targets() -> list[Any]:
    return [
        (3, "got 3"),
        (None, r"whereis\(\) find nobody"),
        (Server, r"a class and no process.*Server\.start_link\(\.\.\.\)"),
        (Server(), r"self_pid\(\)"),
        (SimpleNamespace(address="Main Street 1"), "got namespace"),
        (Server.child_spec(), r"await spec\.start_link\(\)"),
    ]


OPERATIONS: list[Callable[[Any], object]] = [
    link,
    unlink,
    monitor,
    kill,
    lambda target: send(target, "x"),
    lambda target: send_exit(target, Normal()),
    lambda target: send_after(0, target, "x"),
]


@pytest.mark.parametrize(("target", "hint"), _targets())
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_what_leads_to_no_process_is_refused_by_every_operation(
    operation: Callable[[Any], object], target: Any, hint: str
) -> None:
    """The message says what it takes, what came, and what was perhaps meant."""
    with pytest.raises(UsageError, match=f"expected a pid, a name, a via name or a handle.*{hint}"):
        operation(target)


async def test_register_takes_the_name_first_and_then_what_leads_to_a_process() -> None:
    """Nothing stands for the process that registers."""
    with pytest.raises(UsageError, match="expected a pid"):
        register("a name", 3)  # type: ignore[arg-type]
    register("a name", None)
    assert whereis("a name") == self_pid()


async def test_a_coroutine_for_a_target_says_that_await_is_missing() -> None:
    """And is closed, so that nothing more is said of it."""
    coroutine = Server.start_link()
    with pytest.raises(UsageError, match=r"'await' is missing before GenServer\.start_link\(\.\.\.\)"):
        link(coroutine)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


async def test_what_spawn_monitor_answers_is_no_target() -> None:
    """It is two things."""
    both = spawn_monitor(wait_for_ever)
    with pytest.raises(UsageError, match="pid, monitor = spawn_monitor"):
        send(both, "x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="A monitor is for demonitor"):
        send(both[1], "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("ref", [3, None, "name"])
async def test_demonitor_refuses_what_is_no_monitor(ref: Any) -> None:
    with pytest.raises(UsageError, match=r"what monitor\(\) returned"):
        demonitor(ref)


async def test_demonitor_refuses_the_pid_that_is_monitored() -> None:
    """A process may have many monitors on another."""
    pid, ref = spawn_monitor(wait_for_ever)
    for wrong in (pid, (pid, ref)):
        with pytest.raises(UsageError, match=r"demonitor\(monitor_ref\)"):
            demonitor(wrong)  # type: ignore[arg-type]
    demonitor(ref)


async def test_the_monitor_of_a_name_shows_the_name() -> None:
    assert repr(monitor("nobody")).startswith("<monitor of 'nobody' by <pid")


@pytest.mark.parametrize("trap", ["yes", 1, None])
async def test_trap_exit_is_on_or_off(trap: Any) -> None:
    with pytest.raises(UsageError, match="True or False"):
        trap_exit(trap)


@pytest.mark.parametrize("value", ["x", None, ValueError])
def test_a_crash_has_an_exception(value: Any) -> None:
    """It is chained and compared while processes die, which is no time to find that it is none."""
    with pytest.raises(UsageError, match=r"Exited\("):
        Crashed(value)
    assert Exited(value).value is value


# ---------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", [None, 3, Server, b"name"])
@pytest.mark.parametrize("operation", [register, unregister, whereis])
async def test_what_is_no_name_is_refused(operation: Any, name: Any) -> None:
    with pytest.raises(
        UsageError, match=f"{operation.__name__} expects a name, which is a string or a via name"
    ):
        operation(name)


async def test_a_pid_is_no_name() -> None:
    """``register`` takes the name first."""
    for operation in (unregister, whereis):
        with pytest.raises(UsageError, match="expects a name"):
            operation(self_pid())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"register\('name', pid\)"):
        register(self_pid(), "name")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (Server, r"await Server\.start_link\(\.\.\.\)"),
        (generator, "has 'yield' in it"),
        (functools.partial(generator), "has 'yield' in it"),
        (Server.child_spec(), r"await spec\.start_link\(\)"),
        (None, "got None"),
        ("job", "got 'job'"),
    ],
)
async def test_spawn_refuses_what_would_run_nothing(function: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"(?s)spawn expects a function.*{hint}"):
        spawn(function)


async def test_a_name_that_can_be_pasted_stands_for_a_function() -> None:
    """Where it was defined is left out."""

    async def local() -> None: ...

    with pytest.raises(UsageError, match=r"right:  spawn\(local, \.\.\.\)"):
        spawn(local())  # type: ignore[arg-type]


async def test_a_class_that_is_no_server_may_be_called_like_a_function() -> None:
    """It makes a value, which is what a task may be for."""
    pid, _ = spawn_monitor(dict)
    assert (await receive()).pid == pid


async def test_in_thread_refuses_what_blocks_no_thread() -> None:
    """An async function would only be called there; one that was called already has run here."""
    with pytest.raises(UsageError, match=r"await job\(\.\.\.\)"):
        _ = await in_thread(job, 1)
    with pytest.raises(UsageError, match="was the function called"):
        await in_thread(len("four"))  # type: ignore[arg-type]
    coroutine = job(1)
    with pytest.raises(UsageError, match="was the function called"):
        await in_thread(coroutine)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


# ---------------------------------------------------------------------------------------- the Runtime


@pytest.mark.parametrize("threads", ["3", 0, -1, 1.5, True, None])
def test_the_limit_of_threads_is_checked_where_it_is_written(threads: Any) -> None:
    """By the name that it has there."""
    with pytest.raises(UsageError, match="Runtime: max_threads expects a whole number >= 1") as caught:
        Runtime(max_threads=threads)
    assert "BoundedThreads" not in str(caught.value)


@pytest.mark.parametrize("seconds", ["1", 0, -1, True, math.nan, math.inf, 1e12])
def test_the_limit_of_the_watchdog_is_checked_where_it_is_written(seconds: Any) -> None:
    """Not in its thread, which nobody reads."""
    with pytest.raises(UsageError, match="blocked_after expects seconds > 0, or None for no watchdog"):
        Runtime(blocked_after=seconds)


def test_all_wrong_options_of_a_runtime_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Runtime(max_threads=0, blocked_after="1", deadline_stamps="no", bus=3, chooser=SimpleNamespace)  # type: ignore[arg-type]
    assert [problem.split()[0] for problem in caught.value.problems] == [
        "max_threads",
        "blocked_after",
        "deadline_stamps",
        "bus",
        "chooser",
    ]


def test_wrong_options_of_a_portal_start_no_thread() -> None:
    before = set(threading.enumerate())
    with pytest.raises(UsageError, match="max_threads"), open_portal(max_threads=0):
        pass
    assert set(threading.enumerate()) == before


def test_a_runtime_is_entered_with_async_with() -> None:
    with pytest.raises(UsageError, match="async with Runtime"), Runtime():  # type: ignore[attr-defined]
        pass


async def test_a_thread_of_nobody_is_told_of_portals() -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            spawn(wait_for_ever)
        except UsageError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "open_portal()" in str(errors[0])


async def test_a_message_from_a_thread_to_what_is_no_target_is_refused_in_that_thread() -> None:
    """Later there would be nobody to be told."""
    with pytest.raises(UsageError, match="expected a pid"):
        await asyncio.to_thread(send, 3, "x")  # type: ignore[arg-type]


def test_a_child_spec_refuses_what_runs_nothing() -> None:
    """As ``spawn`` does."""
    with pytest.raises(UsageError, match="has 'yield' in it"):
        child_spec(generator)
    with pytest.raises(UsageError, match=r"Server\.child_spec\(\.\.\.\)"):
        child_spec(Server.start_link)


@pytest.mark.parametrize("look", [info, why, statistics])
async def test_a_look_at_what_is_not_there(look: Callable[[Any], object]) -> None:
    """Each says its own name."""
    with pytest.raises(NoSuchProcess, match=f"^{look.__name__}: expected a living process, but 'nobody'"):
        look("nobody")
    with pytest.raises(UsageError, match="expected a pid"):
        look(5)


@pytest.mark.parametrize("look", [info, why, statistics])
def test_a_look_from_where_there_is_no_runtime(look: Callable[[Any], object]) -> None:
    with pytest.raises(UsageError, match="needs a running process"):
        look("nobody")


@pytest.mark.parametrize("turn", [5, 1, "on", []])
async def test_statistics_are_on_or_off(turn: Any) -> None:
    with pytest.raises(UsageError, match="statistics expects True to count"):
        statistics(self_pid(), turn)


def test_a_lock_has_a_name_and_no_number_of_places() -> None:
    with pytest.raises(UsageError, match="Lock expects a name"):
        Lock(5)  # type: ignore[arg-type]
