"""Children for the tests of restarts: they end as told, and their starts fail as told."""

from __future__ import annotations

from typing import Any

from mabeam import (
    ExitReason,
    GenServer,
    Ref,
    Restart,
    Stop,
    Strategy,
    Supervisor,
    handle_call,
    handle_cast,
    kill,
    ref,
)
from mabeam.kernel import Exited, Killed, trap_exit
from mabeam.testing import wait_until_idle

LOG: list[Any] = []
FAILURES: dict[str, int] = {}


class Child(GenServer):
    """Ends as told; its next starts fail as often as told."""

    def __init__(self, name: str) -> None:
        trap_exit()
        self.name = name
        if FAILURES.get(name, 0) > 0:
            FAILURES[name] -= 1
            LOG.append(f"!{name}")
            raise ValueError(name)
        LOG.append(f"+{name}")

    @handle_cast
    def end(self, reason: ExitReason) -> None:
        raise Stop(reason)

    def terminate(self, reason: ExitReason) -> None:
        LOG.append(f"-{self.name}")

    @handle_call
    def ping(self) -> str:
        return self.name


def child(name: str, restart: Restart = "permanent", *, significant: bool = False) -> Any:
    """A named child."""
    return Child.child_spec(name).named(name).options(restart=restart, significant=significant)


async def tree(*children: Any, strategy: Strategy = "one_for_one", **options: Any) -> Ref[Any]:
    """A supervisor that is not linked to the test, and an empty log."""
    top = await Supervisor.child_spec(list(children), strategy=strategy, **options).start()
    LOG.clear()
    return top


CRASH = Exited("crash")


async def end(name: str, reason: ExitReason = CRASH) -> None:
    """End a child and let the consequences happen."""
    if reason == Killed():
        kill(name)
    else:
        ref(name, Child).cast(Child.end, reason)
    await wait_until_idle()
