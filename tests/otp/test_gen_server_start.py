"""How a server starts, or does not: __init__, init, and whoever waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    AlreadyStarted,
    ExitReason,
    GenServer,
    Ignore,
    StartFailed,
    StartIgnored,
    Stop,
    UsageError,
    handle_call,
    handle_cast,
    kill,
    ref,
    start_info,
    whereis,
)
from mabeam.kernel import Crashed, Exited, Killed, Normal, Runtime, Shutdown, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause, pid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam import ChildSpec

LOG: list[Any] = []


class Starting(GenServer):
    """Does what it is told at a given point of its start."""

    def __init__(self, at: str = "", action: Callable[[], Any] | None = None) -> None:
        self.at, self.action = at, action
        if at == "__init__" and action is not None:
            action()

    def terminate(self, reason: ExitReason) -> None:
        LOG.append(reason)

    @handle_call
    def ping(self) -> str:
        return "pong"


class InInit(Starting):
    def init(self) -> None:
        if self.action is not None:
            self.action()


class InAsyncInit(Starting):
    async def init(self) -> None:
        await wait_until_idle()
        if self.action is not None:
            result = self.action()
            if result is not None:
                await result


def raising(error: BaseException) -> Callable[[], None]:
    """An action that raises."""

    def act() -> None:
        raise error

    return act


def specs(action: Callable[[], Any]) -> list[ChildSpec[Any]]:
    """The same action at each point of a start."""
    return [
        Starting.child_spec("__init__", action),
        InInit.child_spec("init", action),
        InAsyncInit.child_spec("init", action),
    ]


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


async def test_a_server_is_up_when_start_link_returns() -> None:
    """Its asynchronous init included."""
    for spec in specs(lambda: None):
        server = await spec.start_link()
        assert await server.call(Starting.ping) == "pong"


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(
    "error", [ValueError("x"), asyncio.CancelledError(), StopIteration(), GeneratorExit()]
)
async def test_raising_is_a_failed_start_with_the_cause_chained(
    index: int, error: BaseException, runtime: Runtime
) -> None:
    """Nothing is left; terminate does not run; a linked starter hears of it once."""
    with pytest.raises(StartFailed) as caught:
        await specs(raising(error))[index].named("n").start_link()
    assert isinstance(caught.value.reason, Crashed)
    if not isinstance(error, StopIteration):
        assert caught.value.__cause__ is error
    assert (runtime.processes(), whereis("n"), LOG) == ((), None, [])


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("reason", [Normal(), Shutdown("x"), Exited(7)])
async def test_stop_is_a_failed_start_whatever_the_reason(
    index: int, reason: ExitReason, runtime: Runtime
) -> None:
    """Normal too."""
    with pytest.raises(StartFailed) as caught:
        await specs(raising(Stop(reason)))[index].start_link()
    assert (caught.value.reason, caught.value.__cause__) == (reason, None)
    assert (runtime.processes(), LOG) == ((), [])


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_ignore_is_no_failure_and_no_process(index: int, runtime: Runtime) -> None:
    """The starter is told by an error of its own."""
    with pytest.raises(StartIgnored):
        await specs(raising(Ignore()))[index].named("n").start_link()
    assert (runtime.processes(), whereis("n"), LOG) == ((), None, [])


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_start_info_comes_with_the_handle(index: int) -> None:
    """It is on the handle of that start only."""
    server = await specs(lambda: start_info({"port": 80}))[index].named("n").start_link()
    assert server.start_info == {"port": 80}
    assert server.options(timeout=1.0).start_info == {"port": 80}
    assert ref("n", Starting).start_info is None


async def test_start_info_belongs_in_the_start() -> None:
    """Later there is nobody to take it."""

    class Late(GenServer):
        @handle_call(raises=(UsageError,))
        def tell(self) -> None:
            start_info(1)

    server = await Late.start_link()
    with pytest.raises(UsageError, match="has started"):
        await server.call(Late.tell)


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_start_that_hangs_ends_with_its_starters_patience(*, swallow: bool, runtime: Runtime) -> None:
    """Nothing is left behind: no process, no name, no task; also of one that swallows its cancellation."""

    async def hang() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            if swallow:
                await for_ever()
            raise

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await InAsyncInit.child_spec("init", hang).named("n").start_link()
    await wait_until_idle()
    assert clock().time() == 2.0
    assert (runtime.processes(), whereis("n"), LOG) == ((), None, [])
    assert runtime.statistics().frozen == swallow


async def test_a_message_that_comes_during_the_start_is_taken_after_it() -> None:
    """A name leads to the server from the beginning."""
    gate = asyncio.Event()
    starting = await begun(InAsyncInit.child_spec("init", gate.wait).named("n").start_link())
    call = await begun(ref("n", Starting).call(Starting.ping))
    assert not call.done()
    gate.set()
    assert await call == "pong"
    await starting


async def test_callers_of_a_server_that_does_not_come_up_are_told() -> None:
    """As of any other that died."""
    gate = asyncio.Event()

    async def fail() -> None:
        await gate.wait()
        raise ValueError("no")

    starting = await begun(InAsyncInit.child_spec("init", fail).named("n").start())
    call = await begun(ref("n", Starting).call(Starting.ping))
    gate.set()
    with pytest.raises(StartFailed):
        await starting
    with pytest.raises(Exception, match="no"):
        await call


async def test_a_taken_name_is_a_failed_start_that_says_who_has_it() -> None:
    """Neither __init__ nor init has run."""
    holder = await Starting.child_spec().named("n").start_link()
    with pytest.raises(StartFailed) as caught:
        await Starting.child_spec("__init__", lambda: LOG.append("ran")).named("n").start_link()
    assert caught.value.reason == Exited(AlreadyStarted(pid_of(holder)))
    assert LOG == []


async def test_a_starter_that_traps_gets_the_exit_signal_of_a_failed_start_too() -> None:
    """As in OTP."""

    class Starter(GenServer):
        def __init__(self) -> None:
            trap_exit()
            self.got: list[object] = []

        @handle_call
        async def begin(self) -> object:
            try:
                await InInit.child_spec("init", raising(Stop(Shutdown("x")))).start_link()
            except StartFailed as error:
                return error.reason
            return None

        def handle_info(self, message: Any) -> None:
            self.got.append(message.reason)

        @handle_call
        def read(self) -> list[object]:
            return self.got

    starter = await Starter.start_link()
    assert await starter.call(Starter.begin) == Shutdown("x")
    assert await starter.call(Starter.read) == [Shutdown("x")]


async def test_start_is_not_linked_and_start_link_is() -> None:
    """The fate of the one is not the fate of the other."""

    class Starter(GenServer):
        @handle_call
        async def begin(self, *, link: bool) -> Any:
            spec = Starting.child_spec()
            return await (spec.start_link() if link else spec.start())

    probe = Probe.start()
    starter = await Starter.child_spec().start()
    linked = await starter.call(Starter.begin, link=True)
    free = await starter.call(Starter.begin, link=False)
    probe.watch(linked)
    await starter.stop(Shutdown())
    assert (await probe.next()).reason == Shutdown()
    assert pid_of(free).is_alive


async def test_wrong_arguments_and_options_are_found_before_anything_starts(runtime: Runtime) -> None:
    """One error lists all of them."""
    with pytest.raises(UsageError) as caught:
        await (
            Starting.child_spec("a", None, 3)  # type: ignore[call-arg]
            .options(restart="sometimes", shutdown=-1.0)  # type: ignore[arg-type]
            .start_link()
        )
    assert len(caught.value.problems) == 3
    assert runtime.processes() == ()


class Outliving(GenServer):
    """Starts for a second, and tells how it ends."""

    def __init__(self, *, trap: bool) -> None:
        trap_exit(trap)

    async def init(self) -> None:
        LOG.append("begins")
        await pause(1)
        LOG.append("up")

    def terminate(self, reason: ExitReason) -> None:
        LOG.append(reason)


class Parent(GenServer):
    """Starts such a server."""

    @handle_cast
    async def begin(self, *, trap: bool, link: bool) -> None:
        spec = Outliving.child_spec(trap=trap)
        await (spec.start_link() if link else spec.start())


@pytest.mark.parametrize(
    ("trap", "link", "what_follows"),
    [(True, True, ["up", Killed()]), (False, True, []), (True, False, ["up"]), (False, False, ["up"])],
)
async def test_when_its_starter_dies_during_init_its_link_says_what_becomes_of_it(
    *, trap: bool, link: bool, what_follows: list[Any]
) -> None:
    """As in OTP: one that traps exits ends its init, and then itself; one without a link is an orphan."""
    parent = await Parent.child_spec().start()
    parent.cast(Parent.begin, trap=trap, link=link)
    await wait_until_idle()
    kill(parent)
    await pause(2)
    assert ["begins", *what_follows] == LOG
