"""What the code in a storm may do, wherever it runs: handlers, ``init``, ``terminate``, ``lifespan``, plain processes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from mabeam import (
    DynamicSupervisor,
    Exited,
    ExitReason,
    Killed,
    MabeamError,
    Normal,
    NoSuchProcess,
    Pid,
    Registry,
    Shutdown,
    Supervisor,
    TaskSupervisor,
    in_thread,
    kill,
    link,
    ref,
    send,
    send_after,
    send_exit,
    spawn,
    spawn_link,
    unlink,
)
from mabeam.kernel import current_process
from tests.proof._world import World, pause

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("REASONS", "act", "do_something")

REASONS: tuple[ExitReason, ...] = (Normal(), Shutdown(), Killed(), Exited("storm"))


async def act(world: World, depth: int = 0, *, most: int = 3) -> None:
    """Do a few things, one after the other."""
    for _ in range(world.random.randrange(most + 1)):
        if not world.calm:
            await do_something(world, depth)


async def do_something(world: World, depth: int) -> None:
    """Do one thing. Its typed errors are expected and end here, as those of a careful program do."""
    number = world.random.randrange(len(_QUICK) + (len(_WAITING) if depth < 3 else 0))
    try:
        if number < len(_QUICK):
            _QUICK[number](world)
        else:
            await _WAITING[number - len(_QUICK)](world, depth)
    except NoSuchProcess:
        world.outcomes["done at once", "NoSuchProcess"] += 1


# --------------------------------------------------------------------------------------------- things done at once


def _send(world: World) -> None:
    if (pid := world.somebody()) is not None:
        send(pid, "hello")


def _send_later(world: World) -> None:
    if (pid := world.somebody()) is not None:
        timer = send_after(world.random.random(), pid, "later")
        if world.happens(0.3):
            timer.cancel()


def _cast(world: World) -> None:
    from tests.proof._actors import Worker

    if (name := world.one_of(world.servers)) is not None:
        ref(name, Worker).cast(world.random.choice((Worker.note, Worker.note_slowly)))


def _watch(world: World) -> None:
    if (pid := world.somebody()) is not None:
        world.watch(pid)


def _unwatch(world: World) -> None:
    world.unwatch()


def _link(world: World) -> None:
    if (pid := world.somebody()) is not None and world.happens(0.1):
        link(pid)


def _unlink(world: World) -> None:
    pid = world.somebody()
    # Whoever cuts the link to its own supervisor, or to a registry, is on its own: that is no storm but sabotage.
    if pid is not None and world.happens(0.5) and not _owns(pid):
        unlink(pid)


def _owns(pid: Pid) -> bool:
    me, other = current_process(), pid._process
    return other is None or other is me.parent or other.parent is me or other.behaviour.shared


def _register(world: World) -> None:
    if (name := world.one_of(world.registries)) is not None:
        registry = Registry.at(name)
        key = world.random.randrange(5)
        try:
            if world.happens(0.7):
                registry.register(key, world.random.random())
            else:
                registry.unregister(key)
        except MabeamError as error:
            world.outcomes["register", type(error).__name__] += 1


def _kill_somebody(world: World) -> None:
    pid = world.somebody()
    if pid is not None and world.happens(0.05):
        kill(pid)


def _end_somebody(world: World) -> None:
    pid = world.somebody()
    # Not to one's own supervisor, who takes it for the sender's end, as OTP's does, and starts another one.
    if pid is not None and world.happens(0.1) and pid._process is not current_process().parent:
        send_exit(pid, world.random.choice(REASONS))


def _spawn(world: World) -> None:
    start = spawn if world.happens(0.5) else spawn_link
    if len(world.free) < 200:
        world.free.add(start(_short_life, world))


async def _short_life(world: World) -> None:
    await act(world, 2)
    if world.happens(0.2):
        raise ValueError("a short life")


# --------------------------------------------------------------------------------------------- things that take time


async def _rest(world: World, depth: int) -> None:
    await pause(world.random.choice((0.0, 0.01, 0.2, world.random.random())))


async def _call(world: World, depth: int) -> None:
    from tests.proof._actors import Worker

    if (name := world.one_of(world.servers)) is None:
        return
    # Only a plain process may wait for ever: others would keep their supervisor, who waits for their start or end.
    timeout = None if depth == 0 and world.happens(0.5) else world.random.choice((0.05, 1.0, 3.0))
    server = ref(name, Worker).options(timeout=timeout)
    pid = server.pid
    of = pid._process if pid is not None and timeout is None else None
    methods: list[Any] = [Worker.ping, Worker.fail, Worker.fail_politely, Worker.later, Worker.stubborn]
    going_on: list[Any] = [Worker.work, Worker.beside]
    if world.threads:
        methods.append(Worker.in_a_thread)
    if world.happens(0.5):
        method = world.random.choice(going_on)
        await world.ask(method.__name__, server.call(method, depth + 1), of=of)
    else:
        method = world.random.choice(methods)
        await world.ask(method.__name__, server.call(method), of=of)


async def _stop(world: World, depth: int) -> None:
    from tests.proof._actors import Worker

    if (name := world.one_of(world.servers)) is not None and world.happens(0.3):
        reason = world.random.choice((Normal(), Shutdown(), Exited("stopped")))
        await world.ask("stop", ref(name, Worker).stop(reason, timeout=3.0))


async def _read(world: World, depth: int) -> None:
    from tests.proof._actors import Worker

    if (name := world.one_of(world.servers)) is None:
        return

    async def read() -> None:
        wanted = world.random.randrange(1, 20)
        async with ref(name, Worker).options(timeout=1.0).stream(Worker.rows, 15) as rows:
            async for _ in rows:
                wanted -= 1
                if not wanted:
                    break
                if world.happens(0.1):
                    await pause(0.1)

    await world.ask("stream", read())


async def _start_tasks(world: World, depth: int) -> None:
    if (pool := world.one_of(world.pools)) is None:
        return

    async def tasks() -> None:
        start = world.random.choice((TaskSupervisor.start_task_nolink, TaskSupervisor.start_task))
        task = await start(pool, _task, world, depth)
        if world.happens(0.5):
            await task
        elif world.happens(0.5):
            await task.shutdown(0.1)

    await world.ask("task", tasks())


async def _task(world: World, depth: int) -> int:
    await act(world, depth + 1, most=2)
    if world.happens(0.15):
        raise ValueError("a task")
    return depth


async def _stream_tasks(world: World, depth: int) -> None:
    if (pool := world.one_of(world.pools)) is None:
        return

    async def item(number: int) -> int:
        await pause(world.random.random() / 10)
        if world.happens(0.1):
            raise ValueError(number)
        return number

    async def read() -> None:
        async with TaskSupervisor.async_stream_nolink(
            pool,
            item,
            range(world.random.randrange(12)),
            max_concurrency=3,
            ordered=world.happens(0.5),
            timeout=0.08,
        ) as outcomes:
            async for _ in outcomes:
                if world.happens(0.05):
                    break

    await world.ask("async_stream", read())


async def _grow(world: World, depth: int) -> None:
    from tests.proof._trees import worker_spec

    if (name := world.one_of(world.dynamics)) is not None:
        spec = worker_spec(world, named=world.happens(0.5))
        await world.ask(
            "start_child",
            ref(name, DynamicSupervisor).options(timeout=2.0).call(DynamicSupervisor.start_child, spec),
        )


async def _rule(world: World, depth: int) -> None:
    """Use the calls of a supervisor."""
    if (name := world.one_of(world.supervisors)) is None:
        return
    top = ref(name, Supervisor).options(timeout=2.0)
    infos = await world.ask("which_children", top.call(Supervisor.which_children))
    if not infos or not world.happens(0.5):
        return
    child = world.random.choice(infos).id
    world.set_aside |= {name, child}
    await world.ask("terminate_child", top.call(Supervisor.terminate_child, child))
    if world.happens(0.8):
        await world.ask("restart_child", top.call(Supervisor.restart_child, child))
    elif world.happens(0.5):
        await world.ask("delete_child", top.call(Supervisor.delete_child, child))


async def _use_asyncio(world: World, depth: int) -> None:
    """What any library does: tasks of its own, groups, timeouts."""
    way = world.random.randrange(3)
    if way == 0:
        asyncio.get_running_loop().create_task(_background(world))
    elif way == 1:
        async with asyncio.TaskGroup() as group:
            for _ in range(world.random.randrange(1, 4)):
                group.create_task(_background(world))
    else:
        try:
            async with asyncio.timeout(0.1):
                await act(world, depth + 1)
        except TimeoutError:
            world.outcomes["asyncio.timeout", "TimeoutError"] += 1


async def _background(world: World) -> None:
    await act(world, 3)
    await pause(world.random.random() / 5)


async def _use_a_thread(world: World, depth: int) -> None:
    if world.threads:
        await world.ask("in_thread", in_thread(sum, range(world.random.randrange(10_000))))


_QUICK: tuple[Callable[[World], None], ...] = (
    _send,
    _send_later,
    _cast,
    _watch,
    _watch,
    _unwatch,
    _link,
    _unlink,
    _register,
    _kill_somebody,
    _end_somebody,
    _spawn,
)
_WAITING: tuple[Callable[[World, int], Any], ...] = (
    _rest,
    _call,
    _call,
    _call,
    _stop,
    _read,
    _start_tasks,
    _stream_tasks,
    _grow,
    _rule,
    _use_asyncio,
    _use_a_thread,
)
