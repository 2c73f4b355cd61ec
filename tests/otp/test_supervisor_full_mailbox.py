"""A supervisor whose mailbox is full: what it reminds itself of comes all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mabeam import (
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    OnFull,
    Runtime,
    Supervisor,
    kill,
    send,
    whereis,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, clock, pid_of


class Worker(GenServer):
    """Has nothing to do."""


class Slow(GenServer):
    """Its start waits."""

    async def init(self) -> None:
        await GATES[-1].wait()


GATES: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def _a_new_gate() -> None:
    GATES[:] = [asyncio.Event()]


def static(on_full: OnFull) -> ChildSpec[Any]:
    """One with a worker from its beginning, and room for two."""
    small: Any = type("Small", (Supervisor,), {"mailbox_limit": 2, "on_full": on_full})
    spec: ChildSpec[Any] = small.child_spec([WORKER], strategy="one_for_one", backoff=Backoff(first=1.0))
    return spec


def dynamic(on_full: OnFull) -> ChildSpec[Any]:
    """One that is given its worker, and room for two."""
    small: Any = type("Small", (DynamicSupervisor,), {"mailbox_limit": 2, "on_full": on_full})
    spec: ChildSpec[Any] = small.child_spec(backoff=Backoff(first=1.0))
    return spec


WORKER = Worker.child_spec().named("worker")


@pytest.mark.parametrize("on_full", ["reject", "drop_oldest", "drop_newest"])
@pytest.mark.parametrize("made", [static, dynamic])
async def test_a_restart_falls_due_while_the_mailbox_is_full(
    made: Any, on_full: OnFull, runtime: Runtime
) -> None:
    """A message to itself is not the traffic of others: neither turned away nor dropped for them."""
    top = await made(on_full).start()
    kind = Supervisor if made is static else DynamicSupervisor
    if made is dynamic:
        await top.call(DynamicSupervisor.start_child, WORKER)
    kill("worker")
    await wait_until_idle()
    starting = await begun(top.options(timeout=None).call(kind.start_child, Slow.child_spec()))
    for number in range(3):
        send(pid_of(top), number)
    await clock().advance(2.0)
    for number in range(3):
        send(pid_of(top), number)
    assert whereis("worker") is None
    GATES[-1].set()
    await starting
    await wait_until_idle()
    assert whereis("worker") is not None
    assert {type(letter.message) for letter in runtime.dead_letters.latest} <= {int}
