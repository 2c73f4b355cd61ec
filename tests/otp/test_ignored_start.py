"""A server that chose not to run is gone when its starter hears of it, whatever it held while it made up its mind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from mabeam import GenServer, Ignore, StartIgnored, whereis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mabeam import Runtime


class Reluctant(GenServer):
    """Holds something that takes a second to give back."""

    async def lifespan(self) -> AsyncGenerator[None]:
        yield
        await asyncio.sleep(1.0)  # noqa: TID251  (virtual time)

    def init(self) -> None:
        raise Ignore


async def test_one_that_was_ignored_has_ended_and_its_name_is_free(runtime: Runtime) -> None:
    """As one whose start failed; else a supervisor ends before it, and starting it again finds its name taken."""
    for _ in range(2):
        with pytest.raises(StartIgnored):
            await Reluctant.child_spec().named("reluctant").start()
        assert whereis("reluctant") is None
        assert runtime.processes() == ()
