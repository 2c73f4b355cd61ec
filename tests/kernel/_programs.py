"""Whole programs, each run in an interpreter of its own by ``test_run``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import NoReturn

import mabeam
from mabeam.kernel import (
    Exited,
    ExitReason,
    receive,
    self_pid,
    send_exit,
    spawn,
    spawn_link,
    trap_exit,
    wait_stopped,
)
from mabeam.otp import GenServer, Supervisor, handle_call, handle_cast, ref

RUNTIME = mabeam.Runtime()


def say(word: str) -> None:
    """Tell the test, at once."""
    print(word, flush=True)  # noqa: T201  (it is how a program talks to its test)


async def wait_for_ever(name: str) -> None:
    try:
        await receive()
    finally:
        say(f"{name} ended")


async def stubborn() -> None:
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            say("swallowed")


async def start_two() -> None:
    spawn(wait_for_ever, "first")
    spawn(wait_for_ever, "second")
    await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)


async def waits() -> None:
    await start_two()
    say("ready")
    await wait_for_ever("main")


async def waits_stopped() -> str:
    await start_two()
    say("ready")
    await wait_stopped()
    say("asked to stop")
    return "value"


async def waits_stopped_at_the_runtime() -> str:
    await start_two()
    say("ready")
    await RUNTIME.wait_stopped()
    say("asked to stop")
    return "value"


async def hangs() -> None:
    spawn(stubborn)
    await start_two()
    say("ready")
    await stubborn()


def blocking(first: signal.Signals, second: signal.Signals) -> None:
    """Block the loop, and be told twice to end: the second time when the loop should have taken the first long since."""
    os.kill(os.getpid(), first)
    os.kill(os.getpid(), second)  # too soon: the loop may not be blocked at all
    say("blocks")
    signal.sigtimedwait([], 0.2)  # the blocked loop of the test: in seconds, more than the loop is given
    os.kill(os.getpid(), second)
    say("was not interrupted")


async def blocks(first: str, second: str) -> None:
    spawn(stubborn)
    await start_two()
    spawn(blocking, signal.Signals[first], signal.Signals[second])
    await wait_for_ever("main")


async def hangs_at_the_end() -> str:
    spawn(stubborn)
    await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
    say("ready")
    await wait_stopped()
    return "value"


async def traps() -> str:
    trap_exit()
    say("ready")
    signalled = await receive()
    return f"trapped {signalled.reason}"


class Server(GenServer):
    """Raises what it is told to."""

    @handle_call
    def leave_at_once(self, error: type[BaseException]) -> NoReturn:
        raise error(7)

    @handle_cast
    def leave(self, error: type[BaseException]) -> NoReturn:
        raise error(7)

    @handle_cast
    async def leave_later(self, error: type[BaseException]) -> NoReturn:
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        raise error(7)


class Last(GenServer):
    """Wants to end the program, too, when it is asked to end; or takes its time."""

    def __init__(self, word: str) -> None:
        self.word = word
        trap_exit()

    async def terminate(self, _reason: ExitReason) -> None:
        for _ in range(100 if self.word == "patient" else 1):
            await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        say(f"{self.word} ended")
        if self.word == "exits":
            raise SystemExit(8)


async def exits_twice() -> None:
    for word in ("patient", "exits"):
        await Last.child_spec(word).start_link()
    server = await Server.child_spec().start()
    server.cast(Server.leave, SystemExit)
    await wait_for_ever("main")


async def goes_on_after_an_exit() -> None:
    server = await Server.child_spec().start()
    try:
        await server.call(Server.leave_at_once, SystemExit)
    except BaseException as error:
        say(f"caught {type(error).__name__}")
    await wait_for_ever("main")


async def exits(how: str) -> None:
    await start_two()
    await Supervisor.start_link([Server.child_spec().named("server")], strategy="one_for_one")
    server = ref("server", Server)
    error = KeyboardInterrupt if how.startswith("interrupt") else SystemExit
    if how.endswith("call"):
        await server.call(Server.leave_at_once, error)
    server.cast(Server.leave_later if how.endswith("later") else Server.leave, error)
    await wait_for_ever("main")


class Leaving(GenServer):
    """Ends the program when it ends."""

    def terminate(self, reason: mabeam.ExitReason) -> NoReturn:
        raise SystemExit(7)


class LeavingLater(GenServer):
    """The same, when it has waited."""

    async def terminate(self, reason: mabeam.ExitReason) -> NoReturn:
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        raise SystemExit(7)


async def exits_at_an_end(how: str) -> None:
    await start_two()
    server = await (Leaving if how == "def" else LeavingLater).child_spec().start()
    spawn(server.stop)
    await wait_for_ever("main")


async def exits_itself() -> NoReturn:
    await start_two()
    sys.exit(7)


async def ended_by_link() -> None:
    await start_two()
    parent = self_pid()

    async def end() -> None:
        send_exit(parent, Exited("by a link"))

    spawn_link(end)
    await receive()


async def crashes() -> None:
    await start_two()
    raise KeyError("main crashed")


def main(program: str, *args: str) -> None:
    """Run one and print what came of it."""
    say(f"pid {os.getpid()}")
    try:
        say(f"returned {RUNTIME.run(globals()[program], *args)!r}")
    except mabeam.errors.ProcessDied as error:
        say(f"ProcessDied {error.reason!r}")
    except KeyError as error:
        say(f"KeyError {error}")
    finally:
        handlers = {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        say(f"handlers restored {handlers == {signal.default_int_handler, signal.SIG_DFL}}")


if __name__ == "__main__":
    main(*sys.argv[1:])
