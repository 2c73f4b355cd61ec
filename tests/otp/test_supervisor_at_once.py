"""A supervisor's own code takes its first step without a task, and starts in a row share what they can: nothing shows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    DynamicSupervisor,
    GenServer,
    Ignore,
    MabeamError,
    Runtime,
    StartFailed,
    Supervisor,
    kill,
    link,
    spawn,
    trap_exit,
)
from mabeam.otp import _server
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn
from tests.otp._servers import begun, for_ever, pause, pid_of, process_of
from tests.otp.test_gen_server_at_once import InOrder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mabeam import ChildSpec

pytestmark = pytest.mark.simulate(False, reason="it brings a chooser of its own")


class Child(GenServer):
    """Starts in all ways there are."""

    def __init__(self, log: list[Any], how: str) -> None:
        self.log, self.how = log, how
        log.append(("starts", how))
        trap_exit(how == "traps")
        match how:
            case "fails":
                raise ValueError(how)
            case "ignored":
                raise Ignore

    async def init(self) -> None:
        if self.how == "waits":
            async with asyncio.timeout(5.0):
                await pause(1.0)
        elif self.how == "too slow":
            async with asyncio.timeout(1.0):
                await for_ever()
        self.log.append(("is up", self.how))

    async def lifespan(self) -> AsyncGenerator[None, None]:
        yield
        self.log.append(("is over", self.how))


def _spec(log: list[Any], how: str) -> ChildSpec[Child]:
    return Child.child_spec(log, how).options(id=how)


async def _static(log: list[Any]) -> None:
    for hows in (
        ("plain", "waits", "traps"),
        ("plain", "fails", "traps"),
        ("plain", "too slow"),
        ("ignored", "plain"),
    ):
        specs = [_spec(log, how) for how in hows]
        try:
            top = await Supervisor.child_spec(specs, strategy="one_for_one").start()
        except StartFailed as error:
            log.append(repr(error))
        else:
            log.append(
                [(each.id, each.pid is not None) for each in await top.call(Supervisor.which_children)]
            )
            await top.stop()


async def _dynamic(log: list[Any]) -> None:
    top = await DynamicSupervisor.child_spec().start()
    for how in ("plain", "waits", "fails", "ignored", "too slow", "traps"):
        try:
            child = await top.call(DynamicSupervisor.start_child, _spec(log, how))
            log.append(pid_of(child).is_alive)
        except MabeamError as error:
            log.append(repr(error))
    log.append(await top.call(DynamicSupervisor.count_children))
    await top.stop()


async def _all_together(log: list[Any]) -> None:
    top = await DynamicSupervisor.child_spec().start()
    hows = ("plain", "waits", "fails", "plain", "too slow", "traps")
    calls = [top.call(DynamicSupervisor.start_child, _spec(log, how)) for how in hows]
    done = await asyncio.gather(*calls, return_exceptions=True)
    log.extend(repr(each) if isinstance(each, Exception) else "started" for each in done)


async def _given_up(log: list[Any]) -> None:
    top = await DynamicSupervisor.child_spec().start()
    asked = top.options(timeout=0.5)
    calls = [asked.call(DynamicSupervisor.start_child, _spec(log, how)) for how in ("waits", "plain")]
    log.extend(map(repr, await asyncio.gather(*calls, return_exceptions=True)))
    log.append(await top.call(DynamicSupervisor.count_children))


async def _cancelled(log: list[Any]) -> None:
    top = await DynamicSupervisor.child_spec().start()
    call = asyncio.create_task(top.call(DynamicSupervisor.start_child, _spec(log, "waits")))
    await Turn()
    call.cancel()
    log.append(await top.call(DynamicSupervisor.count_children))


async def _killed_while_it_starts_one(log: list[Any]) -> None:
    top = await DynamicSupervisor.child_spec().start()
    call = await begun(top.call(DynamicSupervisor.start_child, _spec(log, "waits")))
    kill(top)
    log.extend(map(repr, await asyncio.gather(call, return_exceptions=True)))
    await wait_until_idle()


async def _restarted(log: list[Any]) -> None:
    specs = [_spec(log, how) for how in ("plain", "waits", "traps")]
    top = await Supervisor.child_spec(specs, strategy="rest_for_one", max_restarts=1).start()
    for _ in range(2):
        (pid,) = [each.pid for each in await top.call(Supervisor.which_children) if each.id == "waits"]
        assert pid is not None
        kill(pid)
        await pause(3.0)
    log.append(pid_of(top).is_alive)


PROGRAMS = (
    _static,
    _dynamic,
    _all_together,
    _given_up,
    _cancelled,
    _killed_while_it_starts_one,
    _restarted,
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__.strip("_"))
async def test_a_supervisor_does_what_it_would_have_done_in_a_task(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same log, at the same moments."""
    logs: list[list[Any]] = []
    loop = asyncio.get_running_loop()
    ours = _server._OURS
    for chooser, where in ((None, ours), (InOrder(), ours), (None, "nowhere"), (InOrder(), "nowhere")):
        monkeypatch.setattr(_server, "_OURS", where)
        log: list[Any] = []
        async with Runtime(chooser=chooser):
            began = loop.time()
            await program(log)
            await wait_until_idle()
            log.append(loop.time() - began)
        logs.append(log)
    assert logs[1:] == logs[:1] * 3


async def test_brothers_that_were_started_in_a_row_have_links_of_their_own() -> None:
    """They share a tuple as long as they are linked to nobody but their supervisor."""
    top = await DynamicSupervisor.child_spec().start()
    log: list[Any] = []
    one, two, three = [
        await top.call(
            DynamicSupervisor.start_child, Child.child_spec(log, "plain").options(restart="temporary")
        )
        for _ in range(3)
    ]

    async def peer() -> None:
        trap_exit()
        link(one)
        await for_ever()

    other = spawn(peer)
    await wait_until_idle()
    links = [[each.pid for each in process_of(child).links] for child in (one, two, three)]
    assert links == [[pid_of(top), other], [pid_of(top)], [pid_of(top)]]
    kill(two)
    await wait_until_idle()
    assert [pid_of(child).is_alive for child in (one, two, three)] == [True, False, True]
    kill(top)
    await wait_until_idle()
    assert not any(pid_of(child).is_alive for child in (one, two, three))
    assert other.is_alive
