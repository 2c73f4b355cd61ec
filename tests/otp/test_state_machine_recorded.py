"""A StateMachine does what Erlang's gen_statem does: scenarios and what came of them are in ``statem``, with their maker."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Caller,
    IdleTimeout,
    NamedTimeout,
    Normal,
    Postpone,
    State,
    StateMachine,
    StateTimeout,
    Stop,
    become,
    handle_call,
    handle_cast,
    idle_timeout,
    named_timeout,
    next_event,
    repeat_state,
    reply_later,
    send,
    state,
    state_timeout,
    stop_self,
)
from tests.kernel._scenes import Turn
from tests.otp._servers import clock, pid_of
from tests.otp.statem.record import recorded

if TYPE_CHECKING:
    from mabeam import Ref
    from tests.otp.statem.record import Action, Scenario

SCENARIOS = recorded()
PARTS = 12


class Answers:
    """Notes which calls have been answered since it has looked last."""

    def __init__(self, trace: list[list[str]]) -> None:
        self.trace = trace
        self.calls: list[asyncio.Task[str]] = []
        self.waiting: dict[int, Caller[str]] = {}

    async def call(self, number: int, machine: Ref[Scripted], event: str) -> None:
        """Send a call, and do not wait for its answer."""
        call = machine.options(timeout=None).call(Scripted.ask, number, event)
        self.calls.append(asyncio.create_task(call))
        await Turn()  # it has been sent

    def note(self) -> None:
        """A line for each answer."""
        for number, caller in sorted(self.waiting.items()):
            if not caller.is_waiting:
                del self.waiting[number]
                if not caller.future.cancelled():  # nor has the machine ended
                    self.trace.append(["reply", str(number), caller.future.result()])


class Internal:
    """An event that the machine gave itself."""

    def __init__(self, name: str) -> None:
        self.name = name


class Scripted(StateMachine):
    """Does what a scenario says, and notes what it is given."""

    def __init__(self, scenario: Scenario, trace: list[list[str]], answers: Answers) -> None:
        self.answers = answers
        self.kept: list[Caller[str]] = []
        self.rules = {(state, event): rule for state, event, rule in scenario["rules"]}
        self.fuel: int = scenario["fuel"]
        self.trace = trace
        self.act(scenario["init"])

    def act(self, rule: list[Action]) -> None:
        for action in rule:
            match action:
                case "repeat":
                    repeat_state()
                case "reply_kept":
                    for caller in self.kept:
                        caller.reply(self.current_state.name)
                    self.kept.clear()
                case "stop" if "reply" in rule:
                    stop_self(Normal())
                case "stop":
                    raise Stop(Normal())
                case ["become", name]:
                    become(getattr(self, name))
                case ["next_event", event]:
                    next_event(Internal(event))
                case ["idle_timeout", time]:
                    idle_timeout(time / 1000)
                case ["state_timeout", time, event]:
                    state_timeout(_seconds(time), event)
                case ["named_timeout", name, time, event]:
                    named_timeout(name, _seconds(time), event)
        if "postpone" in rule:
            raise Postpone

    def handle(self, kind: str, content: str) -> list[Action]:
        """Do what the rule for it says, which is returned."""
        self.answers.note()
        self.trace.append([kind, content, self.current_state.name])
        self.fuel -= 1
        if self.fuel < 0:
            return []
        event = "enter" if kind == "enter" else content
        rule: list[Action] = self.rules.get((self.current_state.name, event), [])
        self.act(rule)
        return rule

    def entered(self, before: State | None) -> None:
        self.handle(
            "enter", (before or self.current_state).name
        )  # gen_statem begins as if it had been there before

    @state
    def a(self, before: State | None) -> None:
        self.entered(before)

    @state
    def b(self, before: State | None) -> None:
        self.entered(before)

    @state
    def c(self, before: State | None) -> None:
        self.entered(before)

    @handle_cast
    def take(self, event: str) -> None:
        self.handle("cast", event)

    @handle_call
    def ask(self, number: int, event: str) -> str:
        call: Any = self._machine.event
        self.answers.waiting[number] = call.caller
        if "reply" in self.handle("call", event):
            return self.current_state.name
        return reply_later(self.kept.append)

    def handle_info(self, message: object) -> None:
        match message:
            case Internal(name=name):
                self.handle("internal", name)
            case StateTimeout(content):
                self.handle("state_timeout", content)
            case NamedTimeout(name, content):
                self.handle(name, content)
            case IdleTimeout():
                self.handle("timeout", "idle")
            case _:
                self.handle("info", str(message))


def _seconds(time: Any) -> Any:
    return time / 1000 if isinstance(time, int) else time


async def _play(scenario: Scenario) -> list[list[str]]:
    trace: list[list[str]] = []
    answers = Answers(trace)
    machine = await Scripted.child_spec(scenario, trace, answers).start()
    pid, began = pid_of(machine), asyncio.get_running_loop().time()
    for number, (at, kind, event) in enumerate(scenario["sends"]):
        if began + at / 1000 > clock().time():
            await clock().advance(began + at / 1000 - clock().time())
        if kind == "cast":
            machine.cast(Scripted.take, event)
        elif kind == "call":
            await answers.call(number, machine, event)
        else:
            send(pid, event)
    await clock().advance(0.9)  # as long as the oracle looked on
    answers.note()
    if not pid.is_alive:
        trace.append(["ended", "normal", "none"])
    for call in answers.calls:
        call.cancel()
    await asyncio.gather(*answers.calls, return_exceptions=True)
    return trace


@pytest.mark.parametrize("part", range(PARTS))
async def test_it_does_what_gen_statem_did(part: int) -> None:
    """State changes, entering, answers, postponed and inserted events, all kinds of timeouts, in the same order."""
    for number, scenario in list(enumerate(SCENARIOS))[part::PARTS]:
        assert await _play(scenario) == scenario["trace"], f"scenario {number}: {scenario}"


def test_the_recordings_cover_all_of_it() -> None:
    """They would be worth nothing if they had become few, or one-sided."""
    seen = {kind for scenario in SCENARIOS for kind, _, _ in scenario["trace"]}
    assert seen == {
        *("enter", "call", "reply", "cast", "info", "internal"),
        *("state_timeout", "timeout", "t1", "t2", "ended"),
    }
    assert len(SCENARIOS) >= 300


def test_answers_were_recorded_in_every_order() -> None:
    """Before the state is entered that the call has led to, while one is entered, and long after the call."""
    pairs = [pair for scenario in SCENARIOS for pair in pairwise(scenario["trace"])]
    given_by = Counter(before[0] for before, entry in pairs if entry[0] == "reply")
    followed_by = Counter(entry[0] for before, entry in pairs if before[0] == "reply")
    assert given_by["call"] >= 100
    assert followed_by["enter"] >= 50
    assert min(given_by[kind] for kind in ("enter", "cast", "info", "internal")) >= 5
    assert sum(map(_postponed_and_answered, SCENARIOS)) >= 10


def _postponed_and_answered(scenario: Scenario) -> bool:
    """Whether a call is answered in another state than the one that has postponed it."""
    trace = scenario["trace"]
    postponed = {(event, where) for where, event, rule in scenario["rules"] if "postpone" in rule}
    waiting: set[str] = set()
    for (kind, event, where), (then, _, _) in pairwise(trace):
        if kind == "call" and (event, where) in postponed:
            waiting.add(event)
        elif kind == "call" and then == "reply" and event in waiting:
            return True
    return False
