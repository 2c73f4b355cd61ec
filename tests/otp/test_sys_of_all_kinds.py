"""Every ``sys`` function with every kind of process: it works, or says clearly why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from mabeam import (
    DynamicSupervisor,
    GenServer,
    NoSuchProcess,
    PartitionSupervisor,
    Registry,
    StateMachine,
    Supervisor,
    TaskSupervisor,
    UsageError,
    become,
    code_change,
    get_state,
    handle_call,
    info,
    kill,
    receive,
    replace_state,
    resume,
    send,
    spawn,
    state,
    statistics,
    suspend,
    trace,
    unlink,
    why,
)
from mabeam.testing import wait_until_idle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Server(GenServer):
    """Any server."""

    @handle_call
    def ask(self) -> str:
        return "answer"


class Machine(StateMachine):
    """Any machine."""

    def __init__(self) -> None:
        become(self.only)

    @state
    def only(self) -> None: ...


async def _read() -> None:
    while True:
        await receive()


async def _plain() -> Any:
    return spawn(_read)


async def _task() -> Any:
    return await TaskSupervisor.start_task(await TaskSupervisor.start_link(), _read)


KINDS: Final[dict[str, tuple[Callable[[], Awaitable[Any]], type[Any] | None]]] = {
    "plain process": (_plain, None),
    "task": (_task, None),
    "GenServer": (Server.start_link, Server),
    "StateMachine": (Machine.start_link, Machine),
    "Supervisor": (lambda: Supervisor.start_link([], strategy="one_for_one"), Supervisor),
    "DynamicSupervisor": (DynamicSupervisor.start_link, DynamicSupervisor),
    "PartitionSupervisor": (
        lambda: PartitionSupervisor.start_link(Server.child_spec(), partitions=2),
        PartitionSupervisor,
    ),
    "TaskSupervisor": (TaskSupervisor.start_link, TaskSupervisor),
    "Registry": (lambda: Registry.start_link(keys="unique"), Registry),
}


async def _info(target: Any, _cls: Any) -> None:
    assert info(target).state in {"idle", "receiving"}


async def _why(target: Any, _cls: Any) -> None:
    assert why(target).root.kind == "empty_mailbox"


async def _get_state(target: Any, cls: Any) -> None:
    assert isinstance(await get_state(target), cls)


async def _replace_state(target: Any, cls: Any) -> None:
    before = await get_state(target)
    assert await replace_state(target, lambda old: old) is before
    with pytest.raises(UsageError, match=f"is an instance of {cls.__qualname__}"):
        await replace_state(target, lambda _old: 5)


async def _suspend(target: Any, _cls: Any) -> None:
    await suspend(target)
    assert info(target).state == "suspended"
    send(target, "later")
    await wait_until_idle()
    assert info(target).messages == 1
    assert why(target).root.kind == "suspended"


async def _resume(target: Any, cls: Any) -> None:
    await _suspend(target, cls)
    await resume(target)
    await wait_until_idle()
    assert info(target).messages == 0
    assert info(target).state in {"idle", "receiving"}


async def _trace(target: Any, _cls: Any) -> None:
    seen: list[object] = []
    with trace(target, lambda event: seen.append(event.message)):
        send(target, "word")
        await wait_until_idle()
    send(target, "another")
    await wait_until_idle()
    assert "word" in seen
    assert "another" not in seen


async def _statistics(target: Any, _cls: Any) -> None:
    statistics(target, True)
    send(target, "word")
    await wait_until_idle()
    seen = statistics(target, False)
    assert seen is not None
    assert seen.messages_in == 1
    assert statistics(target) is None


async def _code_change(target: Any, cls: Any) -> None:
    new: Any = type("New", (cls or Server,), {})
    changed: Any = await code_change(target, new)
    assert info(changed).label == "New"
    assert type(await get_state(changed)) is new


FUNCTIONS: Final = {
    "info": _info,
    "why": _why,
    "get_state": _get_state,
    "replace_state": _replace_state,
    "suspend": _suspend,
    "resume": _resume,
    "trace": _trace,
    "statistics": _statistics,
    "code_change": _code_change,
}
NOT_OF_FUNCTIONS: Final = {
    "get_state": "keeps its state in local variables",
    "replace_state": "keeps its state in local variables",
    "code_change": "runs a function",
}
"""What a process that runs a function refuses."""


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", KINDS)
async def test_each_works_or_says_why_it_does_not(kind: str, function: str) -> None:
    start, cls = KINDS[kind]
    target = await start()
    await wait_until_idle()
    use = FUNCTIONS[function]
    if cls is not None or function not in NOT_OF_FUNCTIONS:
        await use(target, cls)
        return
    with pytest.raises(UsageError, match=NOT_OF_FUNCTIONS[function]):
        await use(target, cls)
    assert info(target).state == "receiving"


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", ["plain process", "GenServer"])
async def test_nothing_of_it_finds_one_that_has_ended(kind: str, function: str) -> None:
    target = await KINDS[kind][0]()
    unlink(target)
    kill(target)
    await wait_until_idle()
    with pytest.raises(NoSuchProcess):
        await FUNCTIONS[function](target, Server)


async def test_a_server_changes_to_its_own_kind_only() -> None:
    servers = {name: start for name, (start, cls) in KINDS.items() if cls is not None}
    for name, start in servers.items():
        server = await start()
        for other, (_, cls) in KINDS.items():
            if other != name and cls is not None:
                with pytest.raises(UsageError, match="a server class of the same kind"):
                    await code_change(server, cls)
