"""Run scenarios on mabeam: ``python -m tests.conformance.otp.run < scenarios.jsonl > raw_traces.jsonl``."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mabeam.kernel import Runtime, kill, receive, self_pid, send, spawn
from mabeam.testing import VirtualLoop
from tests.conformance.otp._steps import run_steps
from tests.conformance.otp._world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.kernel import Pid
    from tests.conformance.otp._values import Json

__all__ = ("quiet", "run_scenario")


def run_scenario(scenario: Json) -> Json:
    """The raw trace of a scenario, run in a Runtime and a virtual loop of its own."""
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return {"name": scenario["name"], "steps": runner.run(_run(scenario))}
    except Exception as error:
        return {"name": scenario["name"], "error": f"{type(error).__name__}: {error}"}


async def _run(scenario: Json) -> list[Json]:
    async with Runtime(deadline_stamps=False) as runtime:
        world = World(runtime, asyncio.get_running_loop())
        spawn(_drive, world, scenario, self_pid())
        outcome: tuple[list[Json], BaseException | None] = await receive(tuple)
        # Some end only when they are killed, and nobody has to see how.
        for pid in runtime.processes():
            kill(pid)
        world.check()
    done, error = outcome
    if error is not None:
        raise error
    return done


async def _drive(world: World, scenario: Json, root: Pid) -> None:
    try:
        done = await run_steps(world, scenario)
    except BaseException as error:
        send(root, ([], error))
        raise
    send(root, (done, None))


@contextmanager
def quiet() -> Iterator[None]:
    """Write no crash reports: crashes are what all this is about."""
    logger = logging.getLogger("mabeam")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def main() -> None:
    """Read scenarios, one a line; write traces, one a line."""
    with quiet():
        for line in sys.stdin:
            if line.strip():
                sys.stdout.write(json.dumps(run_scenario(json.loads(line)), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
