"""What the tests of the kernel are played with: processes that wait, hang, crash, and ways to look at them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam.kernel import Behaviour, Pid, Process, current_kernel, receive, self_pid, spawn, trap_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mabeam.kernel import ExitReason, Step


async def wait_for_ever() -> None:
    """Wait for messages and do nothing with them."""
    while True:
        await receive()


async def trap_and_wait() -> None:
    """The same, trapping exits."""
    trap_exit()
    await wait_for_ever()


async def never() -> None:
    """Wait for what will not come."""
    await asyncio.get_running_loop().create_future()


async def swallow_for_ever() -> None:
    """Swallow every cancellation and wait again."""
    while True:
        try:
            await never()
        except asyncio.CancelledError:
            continue


class Turn:
    """Awaited, it lets the event loop have its turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def process_of(pid: Pid) -> Process:
    """The inside of a process, which outlives it as long as somebody holds the pid."""
    process = pid._process
    assert process is not None
    return process


def reason_of(pid: Pid) -> ExitReason | None:
    """Why it ended; ``None`` while it lives."""
    return process_of(pid).reason


def acting_as(pid: Pid, function: Callable[..., Any], /, *args: Any) -> Any:
    """Call something of the kernel as another process would."""
    return process_of(pid).own_context().copy().run(function, *args)


def assert_nothing_is_held(pid: Pid) -> None:
    """A dead process holds nothing that could keep others alive."""
    process = process_of(pid)
    assert not process.is_alive
    assert not process.links
    for field in (
        "monitors",
        "watchers",
        "timers",
        "callers",
        "tasks",
        "activations",
        "mailbox",
        "receivers",
    ):
        assert not getattr(process, field), field


class Idle(Behaviour):
    """A process without code: it is up at once, and takes whatever it is sent."""

    def start(self, process: Process) -> None:
        process.kernel.started(process)
        process.kernel.scheduler.settle(process)

    def take(self, process: Process, message: Any) -> bool:
        if process.body is not None:
            process.body(message)
        return True

    def terminate(self, process: Process, reason: ExitReason) -> Step:
        return None

    def undelivered(self, process: Process, message: Any, reason: ExitReason) -> bool:
        return False


IDLE = Idle("idle")


def spawn_idle(*, link: bool = False, parent: Pid | None = None, take: Any = None) -> Pid:
    """Start a process without code; it costs no task."""
    kernel = current_kernel()
    starter = process_of(self_pid() if parent is None else parent)
    return kernel.spawn(IDLE, take, starter, link=link).pid


def spawn_two() -> tuple[Pid, Pid]:
    """Two processes that wait."""
    return spawn(wait_for_ever), spawn(wait_for_ever)
