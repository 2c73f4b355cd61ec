"""Task supervisors, scripted tasks, and what their owners do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import CallTimeout, ProcessDied, RejectedError
from mabeam.kernel import receive, self_pid, trap_exit
from mabeam.otp import TaskExit, TaskOk, TaskResult, TaskSupervisor
from tests.conformance.otp._values import (
    Json,
    Scripted,
    failure_to_json,
    stopping,
    throw,
    value_from_json,
)

if TYPE_CHECKING:
    from mabeam.otp import TaskRef
    from tests.conformance.otp._acts import Actor
    from tests.conformance.otp._world import World

__all__ = ("WAITING_TASK_ACTS", "log_task_message", "task_act")

WAITING_TASK_ACTS: Final = frozenset({"task", "task_await", "task_await!", "task_yield", "task_shutdown"})


async def task_act(actor: Actor, act: Json) -> Json:
    """Start a task, or do something with one that this process has started."""
    match act:
        case ["task", how, key, supervisor, script, options]:
            return await _start(actor, how, key, supervisor, script, options)
        case ["task_await", key, timeout]:
            try:
                return ["ok", await _await(actor, key, timeout)]
            except (ProcessDied, CallTimeout) as error:
                return ["exit", ["await", failure_to_json(error, actor.world.name_of)]]
        case ["task_await!", key, timeout]:
            return ["ok", await _await(actor, key, timeout)]
        case ["task_yield", key, timeout]:
            return _outcome(actor, await _task(actor, key).wait(_seconds(timeout)))
        case ["task_shutdown", key, "brutal_kill" | "infinity" as how]:
            return _outcome(actor, await _task(actor, key).shutdown(how))
        case ["task_shutdown", key, milliseconds]:
            return _outcome(actor, await _task(actor, key).shutdown(milliseconds / 1000))
    return ["unknown_act", act]


async def _start(actor: Actor, how: str, key: str, supervisor: str, script: Json, options: Json) -> Json:
    world = actor.world
    settings: dict[str, Any] = {name: options[name] for name in ("restart", "shutdown") if name in options}
    if isinstance(settings.get("shutdown"), int | float):
        settings["shutdown"] /= 1000
    starter = TaskSupervisor.options(**settings)
    ref = world.ref_of(supervisor)
    try:
        if how == "start_child":
            await starter.start_child(ref, scripted_task, world, key, script, options)
            return "ok"
        start = starter.start_task if how == "async" else starter.start_task_nolink
        task = await start(ref, scripted_task, world, key, script, options)
    except RejectedError:
        return ["error" if how == "start_child" else "raise", "max_children"]
    except ProcessDied as error:
        return ["exit", ["call_failed", failure_to_json(error, world.name_of)]]
    actor.tasks[key] = task
    actor.task_keys[task.ref] = key
    return "ok"


async def scripted_task(world: World, key: str, script: Json, options: Json) -> Any:
    """Do what the script says, or wait for the driver to say it."""
    name, _ = world.enter(key, self_pid(), is_up=True)
    trap_exit(options.get("trap", False))
    world.log("init", name, "ok")
    return await _wait(world, key, name) if script == ["wait"] else _end(script)


async def _wait(world: World, key: str, name: str) -> Any:
    from tests.conformance.otp._acts import Act, Actor, log_message, perform

    actor = Actor(world, key, name)
    while True:
        message = await receive()
        if not isinstance(message, Act):
            log_message(actor, message)
        elif message.act[0] in {"return", "raise", "exit", "throw"}:
            if message.act[0] == "return":
                message.answer(actor, "ok")
            return _end(message.act)
        else:
            message.answer(actor, await perform(actor, message.act))


def _end(script: Json) -> Any:
    match script:
        case ["return", value]:
            return value_from_json(value)
        case ["raise", value]:
            raise Scripted(value_from_json(value))
        case ["exit", reason]:
            raise stopping(reason)
        case ["throw", value]:
            raise throw(value)
    raise AssertionError(f"unknown script of a task: {script}")


def _task(actor: Actor, key: str) -> TaskRef[Any]:
    if key not in actor.tasks:
        raise Scripted("function_clause")  # none was started, so Elixir is given no task
    task: TaskRef[Any] = actor.tasks[key]
    return task


async def _await(actor: Actor, key: str, timeout: Json) -> Json:
    return actor.world.value(await _task(actor, key).options(timeout=_seconds(timeout)))


def _seconds(milliseconds: Json) -> float | None:
    return None if milliseconds == "infinity" else milliseconds / 1000


def _outcome(actor: Actor, outcome: TaskOk[Any] | TaskExit | None) -> Json:
    match outcome:
        case TaskOk(value):
            return ["ok", actor.world.value(value)]
        case TaskExit(reason=reason):
            return ["exit", actor.world.reason(reason)]
    return None


def log_task_message(actor: Actor, message: object) -> None:
    """Write down the value of a task that nobody took."""
    assert isinstance(message, TaskResult), f"{actor.name} got {message!r}"
    value = actor.world.value(message.value)
    key = actor.task_keys.get(message.ref)
    if key is None:
        actor.world.log("late_reply", actor.name, value)
    else:
        actor.world.log("task_msg", actor.name, key, value)
