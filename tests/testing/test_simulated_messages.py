"""Raw messages are the program's own: a simulation tells them from mabeam's by their class, and runs none of their code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from unittest.mock import Mock

import pytest

from mabeam import GenServer, handle_call, link, monitor, receive, self_pid, send, spawn, trap_exit
from mabeam.errors import ProcessDied
from mabeam.testing import Faults, MutationError, SimulationFailed, simulate


@dataclass
class Route:
    what: str


@dataclass
class Event:
    """Looks like a call, and is none."""

    handler: Route = field(default_factory=lambda: Route("GET /"))
    args: list[int] = field(default_factory=lambda: [1])
    caller: str = "a browser"


class Touchy:
    """Has every attribute, and all are out of order."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Listener(GenServer):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def handle_info(self, message: Any) -> None:
        self.heard.append(message)

    @handle_call
    def how_many(self) -> int:
        return len(self.heard)


class Fragile(GenServer):
    def handle_info(self, message: Any) -> None:
        raise LookupError

    @handle_call
    def how_many(self) -> int:
        raise AssertionError


def _trace(program: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(SimulationFailed) as caught:
        simulate(program, **options)
    assert caught.value.is_deterministic
    return caught.value.trace


@pytest.mark.parametrize("make", [Event, Touchy, Mock])
def test_a_message_may_look_like_one_of_mabeam(make: Any) -> None:
    """For plain processes and for servers, with faults and without."""

    async def program() -> None:
        message = make()
        send(self_pid(), message)
        assert await receive() is message
        server = await Listener.child_spec().start()
        send(server, message)
        assert await server.call(Listener.how_many) == 1

    assert simulate(program, seeds=20).seeds == 20
    assert simulate(program, seeds=20, faults=Faults(delay=0.5, max_delay=1.0)).faults > 5
    crashing = Faults(crash=0.5, only=[Listener])
    assert simulate(program, seeds=20, faults=crashing, tolerate=(ProcessDied,)).faults > 5


@pytest.mark.parametrize("make", [Event, Touchy])
def test_a_server_may_crash_over_a_message_that_looks_like_one_of_mabeam(make: Any) -> None:
    """Its reason is what ``handle_info`` raised."""

    async def program() -> None:
        server = await Fragile.child_spec().start()
        send(server, make())
        await server.call(Fragile.how_many)

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=5)
    assert isinstance(caught.value.error, ProcessDied)
    assert isinstance(caught.value.error.__cause__, LookupError)


def test_a_message_that_looks_like_one_of_mabeam_is_looked_at_as_a_whole() -> None:
    async def program() -> None:
        event = Event()
        send(self_pid(), event)
        event.args.append(2)
        await receive()

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=1)
    assert isinstance(caught.value.error, MutationError)
    assert "the message.args has got [1] = 2" in str(caught.value.error)


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (Event, "Event"),
        (Touchy, "Touchy"),
        (Mock, "Mock"),
        (lambda: str(object()), "str"),
        (lambda: "at home", "'at home'"),
    ],
)
def test_a_trace_shows_no_address_of_a_message(make: Any, shown: str) -> None:
    async def program() -> None:
        send(self_pid(), make())
        raise AssertionError

    assert any(f"send   {shown} to program <1>" in line for line in _trace(program, seeds=1))


class Boom(GenServer):
    @handle_call
    def go(self) -> None:
        raise LookupError


@pytest.mark.parametrize(("watch", "word"), [(link, "ExitSignal"), (monitor, "Down")])
def test_the_end_of_a_process_is_told_by_itself(watch: Any, word: str) -> None:
    """Not by its caller, in whose turn a call that is handed off crashes it; nor if it has ended long before."""

    async def program() -> None:
        trap_exit()
        server = await Boom.child_spec().start()
        watch(server)
        with pytest.raises(ProcessDied):
            await server.call(Boom.go)
        short = spawn(self_pid)
        await receive()
        watch(short)
        await receive()
        raise AssertionError

    lines = _trace(program, seeds=1)
    assert any("at once" in line for line in lines)
    told = [line.partition(word)[2] for line in lines if f"send   {word}" in line]
    assert told == [" to program <1> from Boom <2>", " to program <1> from self_pid <3>"]
