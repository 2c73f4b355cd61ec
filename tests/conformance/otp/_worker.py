"""The scripted GenServer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.errors import CallCycle, CallTimeout, ProcessDied
from mabeam.kernel import Ignore, self_pid, trap_exit
from mabeam.otp import (
    GenServer,
    continue_with,
    handle_call,
    handle_cast,
    idle_timeout,
    reply_later,
    start_info,
    stop_self,
)
from tests.conformance.otp._acts import Act, Actor, call_server, log_message, perform, perform_at_once, waits
from tests.conformance.otp._values import (
    Json,
    Scripted,
    failure_to_json,
    reason_from_json,
    stopping,
    throw,
    value_from_json,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.kernel import Caller, ExitReason
    from tests.conformance.otp._world import World

__all__ = ("Worker", "answering")


class Worker(GenServer):
    """Does in its callbacks what its spec and the driver say."""

    def __init__(self, world: World, spec: Json) -> None:
        key = spec["id"]
        name, number = world.enter(key, self_pid(), is_up=False)
        self.actor = Actor(world, key, name)
        self.world = world
        self.spec = spec
        self.count = 0
        self.pending: list[Caller[Any]] = []
        trap_exit(spec.get("trap", False))
        outcomes = spec.get("init") or ["ok"]
        self.outcome = outcomes[min(number, len(outcomes)) - 1]
        is_extra = isinstance(self.outcome, list) and self.outcome[0] == "ok_extra"
        world.log("init", name, "ok" if is_extra else self.outcome)

    def init(self) -> Awaitable[None] | None:
        return self._begin(self.outcome)

    def _begin(self, outcome: Json) -> Awaitable[None] | None:
        match outcome:
            case "ok":
                pass
            case "ignore":
                raise Ignore
            case ["stop" | "exit" | "start_error", reason]:
                raise stopping(reason)
            case ["start_return", value]:
                raise stopping(value)
            case ["raise" | "start_raise", value]:
                raise Scripted(value_from_json(value))
            case ["throw" | "bad", value]:
                raise throw(value)
            case ["ok_extra", value]:
                start_info(value_from_json(value))
            case ["continue", act]:
                continue_with(act)
            case ["timeout", milliseconds]:
                idle_timeout(milliseconds / 1000)
            case ["sleep" | "gate", *_]:
                return self._begin_later(outcome)
            case _:
                raise AssertionError(f"unknown outcome of init: {outcome}")
        return None

    async def _begin_later(self, outcome: Json) -> None:
        if outcome[0] == "sleep":
            await self.world.nap(outcome[1])
        else:
            await self.world.wait_at_gate(self.actor.key)
        rest = self._begin(outcome[-1])
        if rest is not None:
            await rest

    # ------------------------------------------------------------------------------------------- calls

    @handle_call
    def answer(self, act: Json) -> Any:
        """Answer a call whose act waits for nobody."""
        match act:
            case ["reply" | "throw_reply", value]:
                return value_from_json(value)
            case ["inc"]:
                self.count += 1
                return self.count
            case ["get"]:
                return self.count
            case ["noreply"]:
                return reply_later(self.pending.append)
            case ["reply_pending", value]:
                if not self.pending:
                    raise Scripted(("badmatch", ()))
                self.pending.pop(0).reply(value_from_json(value))
                return "ok"
            case ["stop_reply", reason, value]:
                stop_self(reason_from_json(reason))
                return value_from_json(value)
            case ["reply_timeout", value, milliseconds]:
                idle_timeout(milliseconds / 1000)
                return value_from_json(value)
            case ["reply_continue", value, then]:
                continue_with(then)
                return value_from_json(value)
            case ["reply_then_die", value, reason]:
                callers: list[Caller[Any]] = []
                reply_later(callers.append)
                callers[0].reply(value_from_json(value))
                raise stopping(reason)
            case ["raise", value]:
                raise Scripted(value_from_json(value))
            case ["exit" | "stop", reason]:
                raise stopping(reason)
            case ["throw" | "bad_return", value]:
                raise throw(value)
        return perform_at_once(self.actor, act)

    @handle_call
    async def answer_later(self, act: Json) -> Any:
        """Answer a call whose act waits."""
        match act:
            case ["sleep_reply", milliseconds, value]:
                await self.world.nap(milliseconds)
                return value_from_json(value)
            case ["self_call"]:
                try:
                    return await call_server(self.world, self.actor.key, ["get"], 5000)
                except (ProcessDied, CallTimeout, CallCycle) as error:
                    return ("exit", ("call_failed", failure_to_json(error, self.world.name_of)))
        return await perform(self.actor, act)

    # ------------------------------------------------------------------------------------------- casts, messages

    @handle_cast
    def take_cast(self, act: Json) -> Awaitable[None] | None:
        """Perform an act that was cast."""
        return self._act(act, _no_answer)

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        if not isinstance(message, Act):
            log_message(self.actor, message)
            return None
        return self._act(message.act, lambda value: message.answer(self.actor, value))

    def handle_continue(self, argument: object, /) -> Awaitable[None] | None:
        act: Json = argument
        self.world.log("continue", self.actor.name, act)
        return None if act[0] == "log" else self._act(act, _no_answer)

    def _act(self, act: Json, answer: Callable[[Json], None]) -> Awaitable[None] | None:
        match act:
            case ["raise", value]:
                raise Scripted(value_from_json(value))
            case ["exit", reason]:
                raise stopping(reason)
            case ["throw" | "bad_return", value]:
                raise throw(value)
            case ["stop", reason]:
                stop_self(reason_from_json(reason))
                return None
            case ["throw_noreply"]:
                answer("ok")
                return None
            case ["stuck"]:
                answer("ok")
                return self.world.wait_for_good(self.actor.name)
            case ["cast_timeout", milliseconds]:
                answer("ok")
                idle_timeout(milliseconds / 1000)
                return None
            case ["continue", then]:
                answer("ok")
                continue_with(then)
                return None
        if waits(act):
            return self._perform(act, answer)
        answer(perform_at_once(self.actor, act))
        return None

    async def _perform(self, act: Json, answer: Callable[[Json], None]) -> None:
        answer(await perform(self.actor, act))

    # ------------------------------------------------------------------------------------------- end

    def terminate(self, reason: ExitReason, /) -> Awaitable[None] | None:
        self.world.log("terminate", self.actor.name, self.world.reason(reason))
        match self.spec.get("on_terminate", "ok"):
            case "hang":
                return self.world.wait_for_good(self.actor.name)
            case ["sleep", milliseconds]:
                return self.world.nap(milliseconds)
            case ["exit", why]:
                raise stopping(why)
            case ["raise", value]:
                raise Scripted(value_from_json(value))
            case ["do", act]:
                return self._perform(act, _no_answer)
        return None  # "ok", and a throw: OTP takes that for the return value, which it does not look at


def _no_answer(_value: Json) -> None:
    """Nobody waits for it."""


def answering(act: Json) -> Any:
    """The handler for a call with this act."""
    return Worker.answer_later if act[0] in {"sleep_reply", "self_call"} or waits(act) else Worker.answer
