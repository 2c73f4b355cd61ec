"""Processes that do what a test tells them: whoever registers with a registry must be a process."""

from collections.abc import Callable

from mabeam.errors import MabeamError
from mabeam.kernel import Pid, Process, Target, current_kernel, find, trap_exit
from mabeam.otp import GenServer, Ref, Registry, RegistryKeys, RegistryRef, handle_call, handle_cast


class Actor(GenServer):
    """Does in its own process what it is told, and keeps the messages that it gets."""

    def __init__(self, *, traps: bool = False) -> None:
        self.messages: list[object] = []
        if traps:
            trap_exit()

    @handle_call(raises=(MabeamError, LookupError))
    def do(self, function: Callable[[], object]) -> object:
        return function()

    @handle_cast
    def crash(self, error: Exception) -> None:
        raise error

    @handle_call
    def received(self) -> list[object]:
        return list(self.messages)

    def handle_info(self, message: object, /) -> None:
        self.messages.append(message)


async def actor(*, traps: bool = False) -> Ref[Actor]:
    """Start one that is linked to nobody."""
    return await Actor.child_spec(traps=traps).start()


async def do(who: Ref[Actor], function: Callable[[], object]) -> object:
    """Have it done by ``who``."""
    return await who.call(Actor.do, function)


def pid_of(who: Ref[Actor]) -> Pid:
    """The pid of one that is alive."""
    pid = who.pid
    assert pid is not None
    return pid


def process_of(target: "Target | None") -> Process:
    """The inside of a process, alive or dead."""
    assert target is not None
    process = find(current_kernel(), target)
    assert process is not None
    return process


async def registry(keys: RegistryKeys) -> RegistryRef[str, object]:
    """Start a registry, linked to the test."""
    handle: RegistryRef[str, object] = Registry.at(await Registry.start_link(keys=keys))
    return handle


async def register(who: Ref[Actor], r: RegistryRef[str, object], *keys: str, value: object = None) -> None:
    """Have ``who`` register itself under each of the keys."""

    def register_all() -> None:
        for key in keys:
            r.register(key, value)

    await do(who, register_all)
