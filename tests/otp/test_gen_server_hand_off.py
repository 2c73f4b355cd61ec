"""Direct hand-off is a short cut that nobody can see: the same program with and without it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from mabeam import (
    Caller,
    ExitReason,
    GenServer,
    IdleTimeout,
    MabeamError,
    Ref,
    Runtime,
    Stop,
    continue_with,
    handle_call,
    handle_cast,
    idle_timeout,
    kill,
    reply_later,
    self_pid,
    send,
    send_exit,
    stop_self,
    trap_exit,
)
from mabeam.kernel import Exited, ExitSignal, Shutdown
from mabeam.testing import VirtualLoop, wait_until_idle
from tests.otp._servers import pid_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

Step: TypeAlias = tuple[int, str, int, str]


class Always:
    """Chooses what happens without a chooser: hand-off wherever it is possible."""

    def choose(self, kind: str, count: int) -> int:
        return 0


class Never:
    """Sends everything through the mailbox."""

    def choose(self, kind: str, count: int) -> int:
        return 1 if kind == "hand_off" else 0


def _answer_at_once(caller: Caller[str]) -> None:
    caller.reply("at once")


class Actor(GenServer):
    """Does what it is told, and keeps a log that outlives it."""

    def __init__(self, log: list[Any], *, trap: bool) -> None:
        self.log = log
        self.kept: list[Caller[str]] = []
        trap_exit(trap)

    @handle_call(raises=(LookupError,))
    def do(self, what: str, argument: Any = None) -> str:
        self.log.append(what)
        match what:
            case "raise":
                raise ValueError(argument)
            case "declared":
                raise LookupError(argument)
            case "odd":
                raise asyncio.CancelledError
            case "Stop":
                raise Stop(Shutdown(argument))
            case "stop_self":
                stop_self(Shutdown(argument))
            case "continue":
                continue_with(argument)
            case "idle":
                idle_timeout(1.0)
            case "later":
                return reply_later(self.kept.append)
            case "now":
                return reply_later(_answer_at_once)
            case "answer":
                for caller in self.kept:
                    caller.reply("answered")
            case "kill_me":
                kill(self_pid())
            case "end_me":
                send_exit(self_pid(), Exited(argument))
            case "kill":
                kill(argument)
            case "tell":
                argument.cast(Actor.note, "told")
            case "end":
                send_exit(argument, Exited("ended"))
        return what

    @handle_cast
    def note(self, item: object) -> None:
        self.log.append(("note", item))

    def handle_continue(self, argument: object) -> None:
        self.log.append(("continue", argument))

    def handle_info(self, message: object) -> None:
        self.log.append(
            message
            if isinstance(message, IdleTimeout | str)
            else ("info", type(message), _reason_of(message))
        )

    def terminate(self, reason: ExitReason) -> None:
        self.log.append(("terminate", reason))


def _reason_of(message: object) -> object:
    return message.reason if isinstance(message, ExitSignal) else None


STEPS = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        [
            "call",
            "raise",
            "declared",
            "odd",
            "Stop",
            "stop_self",
            "continue",
            "idle",
            "later",
            "now",
            "answer",
            "kill_me",
            "end_me",
            "kill",
            "tell",
            "end",
            "cast",
            "send",
            "wrong",
            "time",
            "rest",
        ]
    ),
    st.integers(0, 2),
    st.sampled_from(["", "", "limited"]),
)


async def _call(call: Coroutine[Any, Any, str], how: str) -> object:
    """What comes of a call, with a time limit around it or without."""
    try:
        async with asyncio.timeout(0.5 if how == "limited" else None):
            return await call
    except (MabeamError, LookupError, TimeoutError) as error:
        return type(error), getattr(error, "reason", str(error))


async def _program(steps: list[Step], traps: list[bool]) -> list[Any]:
    logs: list[list[Any]] = [[], [], []]
    actors: list[Ref[Actor]] = [
        await Actor.child_spec(log, trap=trap).start() for log, trap in zip(logs, traps, strict=True)
    ]
    loop: Any = asyncio.get_running_loop()
    results: list[Any] = []
    for number, what, other, how in steps:
        actor, target = actors[number], actors[other]
        if what == "cast":
            actor.cast(Actor.note, other)
        elif what == "send":
            send(pid_of(actor), f"raw {other}")
        elif what == "time":
            await loop.advance(0.6)
        elif what == "rest":
            await wait_until_idle()
        else:
            if what in {"kill", "end"}:
                await wait_until_idle()  # whether a victim gets to its last messages first is anybody's guess
            arguments: list[Any] = [what, target if what in {"kill", "tell", "end"} else other]
            call = actor.options(timeout=2.5).call(Actor.do, *arguments[: 9 if what != "wrong" else 0])
            results.append(await _call(call, how))
    await loop.advance(5)
    alive = [pid_of(actor).is_alive for actor in actors]
    return [results, logs, alive]


def _run(chooser: Any, steps: list[Step], traps: list[bool]) -> list[Any]:
    async def main() -> list[Any]:
        async with Runtime(chooser=chooser):
            return await _program(steps, traps)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@given(st.lists(STEPS, max_size=12), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_program_cannot_tell_hand_off_from_the_mailbox(steps: list[Step], traps: list[bool]) -> None:
    """Answers, errors, orders of messages and ends are the same with and without."""
    assert _run(Always(), steps, traps) == _run(Never(), steps, traps)
