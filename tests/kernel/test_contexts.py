"""Contexts: each activation has a fresh copy of its process's, never the caller's."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING

from mabeam import run
from mabeam.kernel import here, receive, send, spawn, spawn_monitor
from mabeam.otp import DynamicSupervisor, GenServer, handle_call, handle_cast
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import Turn, process_of
from tests.otp._servers import pid_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mabeam import Ref

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Server(GenServer):
    """Says what it sees."""

    @handle_call
    def look(self) -> str:
        return variable.get()

    @handle_call
    async def look_async(self) -> str:
        await Turn()
        return variable.get()

    @handle_call(concurrent=2)
    async def look_concurrent(self) -> str:
        return variable.get()

    @handle_call(thread=True)
    def look_in_thread(self) -> str:
        return variable.get()

    @handle_cast
    def spoil(self) -> None:
        variable.set("spoilt")

    @handle_cast
    async def spoil_async(self) -> None:
        await Turn()
        variable.set("spoilt")


async def _looks(server_class: type[Server]) -> set[str]:
    server = await server_class.start_link()
    variable.set("caller's")
    return {
        await server.call(Server.look),
        await server.call(Server.look_async),
        await server.call(Server.look_concurrent),
        await server.call(Server.look_in_thread),
    }


async def test_a_handler_never_sees_the_variables_of_its_caller() -> None:
    """Run at once in the caller's turn, or later; in a task or in a thread."""
    assert await _looks(Server) == {"unset"}


async def test_what_the_start_sets_is_seen_by_every_handler() -> None:
    """In ``__init__`` as in ``init``."""

    class ByInit(Server):
        def init(self) -> None:
            variable.set("init")

    class ByAsyncInit(Server):
        async def init(self) -> None:
            await Turn()
            variable.set("async init")

    class ByConstructor(Server):
        def __init__(self) -> None:
            variable.set("__init__")

    assert await _looks(ByConstructor) == {"__init__"}
    assert await _looks(ByAsyncInit) == {"async init"}
    server = await ByInit.start_link()
    assert await server.call(Server.look_async) in {"init", "unset"}


async def test_what_a_handler_sets_is_gone_with_it() -> None:
    """The next has a fresh copy."""
    server = await Server.start_link()
    server.cast(Server.spoil)
    server.cast(Server.spoil_async)
    assert await server.call(Server.look) == "unset"
    assert await server.call(Server.look_async) == "unset"


async def test_a_spawned_process_starts_from_the_context_of_its_parent_process() -> None:
    """Not from that of the code that spawned it."""
    probe = Probe.start()

    async def child() -> None:
        send(probe.pid, variable.get())

    async def parent() -> None:
        variable.set("parent's")
        spawn(child)
        asyncio.get_running_loop().call_soon(lambda: send(probe.pid, variable.get()))
        await asyncio.create_task(child())

    spawn(parent)
    await wait_until_idle()
    assert sorted(probe.messages) == ["parent's", "parent's", "unset"]


async def test_a_process_does_not_see_the_variables_of_who_woke_it() -> None:
    """Neither does the one who woke it see what it set."""
    seen: list[str] = []

    async def body() -> None:
        await receive()
        seen.append(variable.get())
        variable.set("woken")

    pid, _ = spawn_monitor(body)
    variable.set("waker's")
    send(pid, "wake up")
    await receive()
    assert seen == ["unset"]
    assert variable.get() == "waker's"


async def test_the_clean_up_of_a_lifespan_sees_what_its_start_has_set() -> None:
    """It is one activation from beginning to end."""
    seen: list[str] = []

    class Holder(GenServer):
        async def lifespan(self) -> AsyncGenerator[None]:
            variable.set("lifespan")
            yield
            seen.append(variable.get())

    server = await Holder.start_link()
    await server.stop()
    assert seen == ["lifespan"]


class Quiet(GenServer):
    """Sets nothing at its start."""

    @handle_call
    def read(self) -> str:
        return variable.get()


class Setting(Quiet):
    """Sets something where it is said."""

    def __init__(self, where: str) -> None:
        self.where = where
        if where == "__init__":
            variable.set(where)

    async def init(self) -> None:
        if self.where == "init":
            variable.set(self.where)


class Unlike:
    """Refuses to be compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("is an array")

    __hash__ = None  # type: ignore[assignment]  # as an array


async def test_a_context_that_nothing_was_set_in_is_made_when_it_is_needed() -> None:
    """What it is made from is the same object for brothers; what was set at the start is kept from then on."""
    quiet = [await Quiet.start_link() for _ in range(2)]
    processes = [process_of(pid_of(each)) for each in quiet]
    assert [each.context for each in processes] == [None, None]
    assert processes[0].origin is processes[1].origin
    assert here not in processes[0].origin or processes[0].origin[here] is not processes[0]
    for each, process in zip(quiet, processes, strict=True):
        assert await each.call(Quiet.read) == "unset"
        assert process.own_context()[here] is process
    for where in ("__init__", "init", "nowhere"):
        setting = await Setting.start_link(where)
        has_own = process_of(pid_of(setting)).context is not None
        assert (has_own, await setting.call(Quiet.read)) == (
            (True, where) if where != "nowhere" else (False, "unset")
        )


async def test_what_a_parent_sets_at_its_start_reaches_the_children_it_starts_from_then_on() -> None:
    """Each child has what its parent had when it was started, and not what came later."""
    seen: list[str] = []

    class Parent(GenServer):
        def __init__(self) -> None:
            self.children: list[Ref[Quiet]] = []

        async def init(self) -> None:
            self.children.append(await Quiet.start_link())
            variable.set("from the parent")

        @handle_call
        async def ask(self) -> None:
            self.children.append(await Quiet.start_link())
            seen.extend([await each.call(Quiet.read) for each in self.children])

    parent = await Parent.start_link()
    await parent.call(Parent.ask)
    assert seen == ["unset", "from the parent"]


async def test_values_that_cannot_be_compared_do_no_harm() -> None:
    """An array, say, whose comparison is no yes or no."""
    value: contextvars.ContextVar[object] = contextvars.ContextVar("value")
    value.set(Unlike())

    class Carrying(GenServer):
        def __init__(self) -> None:
            value.set(Unlike())

        @handle_call
        def carries(self) -> bool:
            return isinstance(value.get(), Unlike)

    assert await (await Carrying.start_link()).call(Carrying.carries)


items: contextvars.ContextVar[list[str]] = contextvars.ContextVar("items")


class Collector(GenServer):
    """Begins with a list of its own, which is equal to any other empty list."""

    def __init__(self) -> None:
        items.set([])

    @handle_call
    def add(self, item: str) -> list[str]:
        items.get().append(item)
        return items.get()


def test_what_a_start_sets_is_its_own_though_it_equals_what_was_there() -> None:
    """Equal is not the same: one who changes it would change it for its starter, and for its brothers."""
    outer: list[str] = []

    async def main() -> None:
        first, second = await Collector.start_link(), await Collector.start_link()
        assert await first.call(Collector.add, "first") == ["first"]
        assert await second.call(Collector.add, "second") == ["second"]

    context = contextvars.copy_context()
    context.run(items.set, outer)
    context.run(run, main)
    assert outer == []


class Curious(GenServer):
    """Looks around while it starts."""

    def __init__(self) -> None:
        self.seen = _surroundings()

    @handle_call
    def at_start(self) -> object:
        return self.seen


def _surroundings() -> tuple[object, object]:
    return asyncio.current_task(), sys.exception()


async def test_a_start_sees_neither_the_task_of_its_starter_nor_the_exception_that_it_handles() -> None:
    """It could cancel the one, and would chain the other to its own exceptions."""
    children = await DynamicSupervisor.start_link()
    try:
        raise ValueError("the starter's")
    except ValueError:
        linked = await Curious.start_link()
        child = await children.call(DynamicSupervisor.start_child, Curious.child_spec())
    assert await linked.call(Curious.at_start) == (None, None)
    assert await child.call(Curious.at_start) == (None, None)
    later = await Curious.start_link()
    assert await later.call(Curious.at_start) == (None, None)
    assert asyncio.current_task() is not None
