"""A StateMachine does what Erlang's gen_statem does: scenarios and what came of them are in ``statem``, with their maker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    IdleTimeout,
    NamedTimeout,
    Normal,
    Postpone,
    State,
    StateMachine,
    StateTimeout,
    Stop,
    become,
    handle_cast,
    idle_timeout,
    named_timeout,
    next_event,
    repeat_state,
    send,
    state,
    state_timeout,
)
from tests.otp._servers import clock, pid_of
from tests.otp.statem.record import recorded

if TYPE_CHECKING:
    from tests.otp.statem.record import Action, Scenario

SCENARIOS = recorded()
PARTS = 12


class Internal:
    """An event that the machine gave itself."""

    def __init__(self, name: str) -> None:
        self.name = name


class Scripted(StateMachine):
    """Does what a scenario says, and notes what it is given."""

    def __init__(self, scenario: Scenario, trace: list[list[str]]) -> None:
        self.rules = {(state, event): rule for state, event, rule in scenario["rules"]}
        self.fuel: int = scenario["fuel"]
        self.trace = trace
        self.act(scenario["init"])

    def act(self, rule: list[Action]) -> None:
        for action in rule:
            match action:
                case "repeat":
                    repeat_state()
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

    def handle(self, kind: str, content: str) -> None:
        self.trace.append([kind, content, self.current_state.name])
        self.fuel -= 1
        if self.fuel >= 0:
            event = "enter" if kind == "enter" else content
            self.act(self.rules.get((self.current_state.name, event), []))

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
    machine = await Scripted.child_spec(scenario, trace).start()
    pid, began = pid_of(machine), asyncio.get_running_loop().time()
    for at, kind, event in scenario["sends"]:
        if began + at / 1000 > clock().time():
            await clock().advance(began + at / 1000 - clock().time())
        if kind == "cast":
            machine.cast(Scripted.take, event)
        else:
            send(pid, event)
    await clock().advance(0.9)  # as long as the oracle looked on
    if not pid.is_alive:
        trace.append(["ended", "normal", "none"])
    return trace


@pytest.mark.parametrize("part", range(PARTS))
async def test_it_does_what_gen_statem_did(part: int) -> None:
    """State changes, entering, postponed and inserted events, all kinds of timeouts, in the same order."""
    for number, scenario in list(enumerate(SCENARIOS))[part::PARTS]:
        assert await _play(scenario) == scenario["trace"], f"scenario {number}: {scenario}"


def test_the_recordings_cover_all_of_it() -> None:
    """They would be worth nothing if they had become few, or one-sided."""
    seen = {kind for scenario in SCENARIOS for kind, _, _ in scenario["trace"]}
    assert seen == {"enter", "cast", "info", "internal", "state_timeout", "timeout", "t1", "t2", "ended"}
    assert len(SCENARIOS) >= 300
