"""What the tests of services share: functions that behave badly, services under a supervisor, other processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam import (
    CircuitBreakers,
    CircuitBreakersRef,
    HealthChecker,
    HealthCheckerRef,
    Pid,
    Supervisor,
    kill,
    self_pid,
    spawn,
    whereis,
)
from mabeam.kernel import current_kernel, find
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.kernel import Process


async def answer(value: int = 1) -> int:
    return value


async def fail(word: str = "boom") -> int:
    raise ConnectionError(word)


async def hang() -> int:
    await asyncio.get_running_loop().create_future()
    return 0


async def refuse_to_end() -> int:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue


async def advance(seconds: float) -> None:
    """Let virtual time pass."""
    loop: Any = asyncio.get_running_loop()
    await loop.advance(seconds)


def process_of(pid: Any) -> Process:
    process = find(current_kernel(), pid)
    assert process is not None
    return process


def is_alive(pid: Pid) -> bool:
    process = find(current_kernel(), pid)
    return process is not None and process.is_alive


async def circuits(name: str = "circuits", **options: Any) -> CircuitBreakersRef:
    """A supervised service that tests may kill often."""
    spec = CircuitBreakers.child_spec(**options).named(name)
    await Supervisor.start_link([spec], strategy="one_for_one", max_restarts=100)
    return CircuitBreakers.at(name)


async def health(name: str = "health", **options: Any) -> HealthCheckerRef:
    """As :func:`circuits`; without jitter, so that times are exact."""
    spec = HealthChecker.child_spec(**{"jitter": 0.0, **options}).named(name)
    await Supervisor.start_link([spec], strategy="one_for_one", max_restarts=100)
    return HealthChecker.at(name)


async def kill_and_wait(target: Any) -> None:
    kill(target)
    await wait_until_idle()


def pid_of(name: str) -> Pid:
    pid = whereis(name)
    assert pid is not None
    return pid


def beside(function: Callable[[], Awaitable[Any]], outcome: list[Any]) -> Pid:
    """Another process that runs this, and keeps what comes of it."""

    async def body() -> None:
        try:
            outcome.append(await function())
        except Exception as error:
            outcome.append(error)

    pid = spawn(body)
    assert pid != self_pid()
    return pid
