"""A whole program at work, to be stopped by real signals: run by ``test_signals`` in an interpreter of its own.

    python -m tests.proof._signalled WAY

It says a line for everything that happens in it, so that whoever watches can choose a moment without a clock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import mabeam
from mabeam import GenServer, Supervisor, TaskSupervisor, handle_call, handle_cast, self_pid, trap_exit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mabeam import ExitReason


def say(word: str) -> None:
    """One line, at once and whole, from any thread."""
    os.write(1, f"{word}\n".encode())


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)  # noqa: TID251  (a program at work, and the test does not wait for it)


class Clerk(GenServer):
    """Works without end: in its own turn, in a thread, in calls to the next one."""

    def __init__(self, number: int) -> None:
        self.number = number
        if number % 2:
            trap_exit()
        mabeam.ref(f"clerk-{number}", Clerk).cast(Clerk.go_on)

    @handle_cast
    async def go_on(self) -> None:
        say(f"clerk {self.number}")
        await pause(0.001)
        if self.number < 3:
            await mabeam.ref(f"clerk-{self.number + 1}", Clerk).call(Clerk.compute)
        mabeam.send_after(0.002, self_pid(), "again")

    def handle_info(self, message: object, /) -> None:
        mabeam.ref(f"clerk-{self.number}", Clerk).cast(Clerk.go_on)

    @handle_call(thread=True)
    def compute(self) -> int:
        say("thread")
        time.sleep(0.003)  # noqa: TID251  (stands for code that blocks a thread)
        return self.number

    async def terminate(self, reason: ExitReason, /) -> None:
        say(f"terminate {self.number}")
        await pause(0.003)
        say(f"terminated {self.number}")


class Keeper(GenServer):
    """Has an OS process of its own, as a user would write it."""

    async def lifespan(self) -> AsyncGenerator[None]:
        helper = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import sys; sys.stdin.read()", stdin=asyncio.subprocess.PIPE
        )
        say("helper")
        yield
        say("closing")
        if helper.stdin is not None:
            helper.stdin.close()
        await helper.wait()
        say("closed")


class Hog(GenServer):
    """Blocks the event loop now and then."""

    def __init__(self) -> None:
        mabeam.send_after(0.01, self_pid(), "block")

    def handle_info(self, message: object, /) -> None:
        say("hog")
        until = time.monotonic() + 0.05  # noqa: TID251  (real work takes real time)
        while time.monotonic() < until:  # noqa: TID251  (as above)
            pass
        mabeam.send_after(0.03, self_pid(), "block")


async def stubborn() -> None:
    """Swallows its cancellation once in a while."""
    while True:
        try:
            await pause(10.0)
        except asyncio.CancelledError:
            say("swallowed")


async def main(way: str) -> str:
    """``waits`` for the request to stop, ``works`` until it is cancelled, or ``traps`` it."""
    say("main")
    if way == "traps":
        trap_exit()
    clerks = [Clerk.child_spec(number).named(f"clerk-{number}") for number in (3, 2, 1)]
    await Supervisor.start_link(
        [
            Keeper.child_spec(),
            Supervisor.child_spec(clerks, strategy="one_for_all"),
            Hog.child_spec().options(shutdown="brutal_kill"),
            TaskSupervisor.child_spec().named("tasks"),
        ],
        strategy="rest_for_one",
    )
    await TaskSupervisor.options(shutdown=0.05).start_child("tasks", stubborn)
    say("up")
    try:
        if way == "waits":
            await mabeam.wait_stopped()
        else:
            await mabeam.receive()
    finally:
        say("main ends")
    return way


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)  # one that comes when the program has been left is nobody's
    try:
        say(f"returned {mabeam.run(main, sys.argv[1])}")
    finally:
        say("left")
