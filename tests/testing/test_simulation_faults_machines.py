"""Injected faults of what servers and state machines have asked for themselves: timeouts, events, what goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    GenServer,
    IdleTimeout,
    StateMachine,
    StateTimeout,
    become,
    handle_call,
    idle_timeout,
    receive,
    self_pid,
    send_after,
    state,
    state_timeout,
)
from mabeam.testing import Faults, simulate

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
