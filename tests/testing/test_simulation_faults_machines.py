"""Injected faults of what servers and state machines have asked for themselves: timeouts, events, what goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import mabeam
from mabeam import (
    Down,
    GenServer,
    IdleTimeout,
    Killed,
    NamedTimeout,
    StateMachine,
    StateTimeout,
    become,
    continue_with,
    handle_call,
    idle_timeout,
    named_timeout,
    next_event,
    receive,
    self_pid,
    send_after,
    state,
    state_timeout,
)
from mabeam.kernel import Crashed
from mabeam.testing import Faults, InjectedFault, simulate

CLOSED: list[float] = []


def _now() -> float:
    return asyncio.get_running_loop().time()


class Door(StateMachine):
    """Closes by itself."""

    def __init__(self) -> None:
        become(self.closed)

    @state
    def closed(self) -> None:
        """Until somebody opens it."""

    @closed.handle_call
    def open(self) -> None:
        become(self.opened)

    @state
    def opened(self) -> None:
        state_timeout(1.0)

    @opened.handle_info(StateTimeout)
    def close(self, _timeout: StateTimeout) -> None:
        CLOSED.append(_now())
        become(self.closed)


class Rests(GenServer):
    """Notes when nobody has come for a while."""

    @handle_call
    def open(self) -> None:
        idle_timeout(1.0)

    def handle_info(self, message: object) -> None:
        assert isinstance(message, IdleTimeout)
        CLOSED.append(_now())


@pytest.mark.parametrize("kind", [Door, Rests])
def test_a_timeout_is_late_as_its_server_s_own(kind: Any) -> None:
    """Not as a timer of whoever called it last."""
    CLOSED.clear()

    async def program() -> None:
        server = await kind.start_link()
        await server.call(kind.open)
        send_after(30.0, self_pid(), "enough")
        await receive()

    result = simulate(program, seeds=20, faults=Faults(late=1.0, only=[kind]))
    assert result.faults == len(CLOSED) == 20
    assert min(CLOSED) > 1.0
    CLOSED.clear()
    with pytest.warns(UserWarning, match="no run"):
        simulate(program, seeds=20, faults=Faults(late=1.0, never=[kind]))
    assert set(CLOSED) == {1.0}


class Busy(StateMachine):
    """Goes on with something of its own after each call."""

    def __init__(self) -> None:
        become(self.only)

    @state
    def only(self) -> None:
        """It stays there."""

    @only.handle_call
    def state_timeout(self) -> None:
        state_timeout(1.0)

    @only.handle_call
    def at_once(self) -> None:
        state_timeout(0.0)

    @only.handle_call
    def named_timeout(self) -> None:
        named_timeout("tea", 1.0)

    @only.handle_call
    def idle_timeout(self) -> None:
        idle_timeout(1.0)

    @only.handle_call
    def next_event(self) -> None:
        next_event("more")

    def handle_info(self, message: object) -> None:
        assert isinstance(message, StateTimeout | NamedTimeout | IdleTimeout | str)


class Continues(GenServer):
    """The same, as a server."""

    @handle_call
    def goes_on(self) -> None:
        continue_with("more")

    @handle_call
    def idle_timeout(self) -> None:
        idle_timeout(1.0)

    def handle_continue(self, argument: object) -> None:
        assert argument == "more"

    def handle_info(self, message: object) -> None:
        assert isinstance(message, IdleTimeout)


@pytest.mark.parametrize("kind", ["crash", "kill"])
@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (Busy, Busy.state_timeout),
        (Busy, Busy.at_once),
        (Busy, Busy.named_timeout),
        (Busy, Busy.idle_timeout),
        (Busy, Busy.next_event),
        (Continues, Continues.goes_on),
        (Continues, Continues.idle_timeout),
    ],
)
def test_what_a_server_has_for_itself_can_be_hit(kind: str, owner: Any, method: Any) -> None:
    """Its caller has had its answer by then."""
    reasons: list[Any] = []

    async def program() -> None:
        server = await owner.child_spec().start()
        mabeam.monitor(server)
        try:
            await server.call(method)
        except mabeam.ProcessDied:
            return
        down = await receive(Down, timeout=10.0)
        reasons.append(down.reason)

    faults = Faults(**{kind: 0.5})  # type: ignore[arg-type]  # a rate
    simulate(program, seeds=40, faults=faults, max_faults=1, tolerate=(TimeoutError,))
    assert len(reasons) > 3
    for reason in reasons:
        if kind == "kill":
            assert reason == Killed()
        else:
            assert isinstance(reason, Crashed)
            assert isinstance(reason.exception, InjectedFault)


@pytest.mark.parametrize("kind", ["crash", "kill"])
def test_what_ends_a_server_ends_it(kind: str) -> None:
    """It runs no code for that, so nothing of it can fail."""

    async def program() -> None:
        server = await Continues.child_spec().start()
        await server.stop()

    with pytest.warns(UserWarning, match="no run had|in no run"):
        simulate(program, seeds=20, faults=Faults(**{kind: 1.0}))  # type: ignore[arg-type]  # a rate
