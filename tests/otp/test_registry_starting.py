"""A registry that has its name and has not begun to serve is one that does not run yet."""

from __future__ import annotations

import pytest

from mabeam import NoSuchProcess, Registry, Runtime
from mabeam.kernel import current_process


class StartsLater:
    """What starts does so from the run queue, as it may."""

    def choose(self, kind: str, count: int) -> int:
        return 1 if kind == "hand_off" else 0


async def test_a_registry_that_is_just_starting_is_not_running_yet() -> None:
    """The free choices of the kernel change no result: the caller is told to start it before, and nothing else."""
    async with Runtime(chooser=StartsLater()):
        start = Registry.child_spec(keys="unique").named("agents").begin(current_process())
        assert start.outcome == "pending"
        with pytest.raises(NoSuchProcess):
            Registry.at("agents").register("key")
        await start.wait()
        Registry.at("agents").register("key")
