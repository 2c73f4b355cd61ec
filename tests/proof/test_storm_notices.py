"""The proof of the proof: with a fault in the kernel, a storm says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.kernel import _ending, _kernel
from mabeam.kernel._calls import Caller
from mabeam.kernel._names import Names
from mabeam.otp._dynamic_supervisor import DynamicSupervisor
from mabeam.otp._registry_state import Table
from mabeam.otp._supervisor import Supervisor
from mabeam.testing import VirtualLoop
from tests.proof._storm import Storm

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.otp._restart_state import RestartWindow

SEEDS = range(100)


def nothing(*_args: Any, **_options: Any) -> None:
    """Done in place of something."""


def keep_link(_one: Any, _other: Any) -> None:
    """Links of the dead are left where they are."""


def twice(original: Callable[..., Any]) -> Callable[..., Any]:
    """A call that is made two times over."""

    def call(*args: Any, **options: Any) -> Any:
        original(*args, **options)
        return original(*args, **options)

    return call


def one_too_many(original: Callable[..., bool]) -> Callable[..., bool]:
    """A budget that is exceeded by one."""

    def add(self: RestartWindow, now: float) -> bool:
        return original(self, now) or self.count == self.max_restarts + 1

    return add


async def forget(self: Any, child: Any, reason: Any) -> None:
    """A supervisor that does not restart."""
    self._children.halted(child)


FAULTS: dict[str, tuple[Any, str, Any]] = {
    "waiting callers are not told of the end": (Caller, "callee_died", nothing),
    "links stay when an end is told": (_kernel, "remove_link", keep_link),
    "a name is not given up": (Names, "take", nothing),
    "registrations stay": (Table, "remove_holder", lambda self, holder: ()),
    "a child is not restarted": (Supervisor, "_child_ended", forget),
    "children outlive their supervisor": (DynamicSupervisor, "terminate", nothing),
    "no grace ever ends": (_ending, "_start_timer", nothing),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_storm_notices_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one of a few seeds."""
    owner, name, replacement = FAULTS[fault]
    monkeypatch.setattr(owner, name, replacement)
    for seed in SEEDS:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            try:
                problems = runner.run(asyncio.wait_for(Storm(seed, strikes=60).run(), 100_000))
            except Exception as error:
                problems = [repr(error)]
        if problems:
            return
    pytest.fail(f"no storm has noticed that {fault}")
