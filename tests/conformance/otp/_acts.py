"""What a script can make any process do, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import (
    CallCycle,
    CallTimeout,
    NoSuchProcess,
    ProcessDied,
    StartFailed,
    StartIgnored,
    UsageError,
)
from mabeam.kernel import (
    Down,
    ExitSignal,
    demonitor,
    kill,
    link,
    monitor,
    register,
    self_pid,
    send,
    send_exit,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unlink,
    unregister,
)
from mabeam.otp import IdleTimeout
from tests.conformance.otp._messages import Info
from tests.conformance.otp._registries import registry_operation
from tests.conformance.otp._tasks import WAITING_TASK_ACTS, log_task_message, task_act
from tests.conformance.otp._values import (
    Json,
    badarg_or_text,
    failure_to_json,
    reason_from_json,
    value_from_json,
)
from tests.conformance.otp._world import UnknownKeyError, World

if TYPE_CHECKING:
    from mabeam.kernel import MonitorRef, Pid
    from mabeam.otp import Ref

__all__ = (
    "Act",
    "Actor",
    "call_server",
    "exit_signal",
    "log_message",
    "perform",
    "perform_at_once",
    "seconds",
    "started_result",
    "waits",
)

_WAITING: Final = frozenset({"call", "call!", "start_link", "gs_stop", *WAITING_TASK_ACTS})


@dataclass(frozen=True, slots=True)
class Act:
    """The driver's message: perform an act, and answer with its value; or log that, under a tag."""

    act: Json
    driver: Pid
    tag: Json
    ref: object

    def answer(self, actor: Actor, value: Json) -> None:
        """Tell the driver, or the log."""
        if self.tag == "sync":
            send(self.driver, (self.ref, value))
        else:
            actor.world.log("ret", actor.name, self.tag, value)


class Actor:
    """One scripted process: its name, and what it has to remember (Erlang's process dictionary).

    Attributes:
        world: the scenario.
        key: what the scenario calls it.
        name: its incarnation.
        monitors: those that it holds, the latest last, by the key of the process.
        tasks: the tasks that it started, by key.
        task_keys: their keys, until they are known to have ended.
    """

    def __init__(self, world: World, key: str, name: str) -> None:
        self.world = world
        self.key = key
        self.name = name
        self.monitors: dict[str, list[MonitorRef]] = {}
        self.tasks: dict[str, Any] = {}
        self.task_keys: dict[MonitorRef, str] = {}


def waits(act: Json) -> bool:
    """Whether an act has to wait for others."""
    return any(waits(each) for each in act[1]) if act[0] == "seq" else act[0] in _WAITING


async def perform(actor: Actor, act: Json) -> Json:
    """Perform an act that may wait, and return its value."""
    try:
        if act[0] == "seq":
            return [await perform(actor, each) for each in act[1]]
        if waits(act):
            return await _perform_waiting(actor, act)
    except UnknownKeyError:
        return "unknown"
    return perform_at_once(actor, act)


def perform_at_once(actor: Actor, act: Json) -> Json:
    """Perform an act that does not wait, and return its value."""
    try:
        return _perform_at_once(actor, act)
    except UnknownKeyError:
        return "unknown"


def _perform_at_once(actor: Actor, act: Json) -> Json:
    world = actor.world
    match act:
        case ["nop"]:
            pass
        case ["seq", acts]:
            return [perform_at_once(actor, each) for each in acts]
        case ["link", key]:
            link(world.pid_of(key))
        case ["unlink", key]:
            unlink(world.pid_of(key))
        case ["monitor", key]:
            actor.monitors.setdefault(key, []).append(monitor(world.pid_of(key)))
        case ["demonitor", key]:
            if not actor.monitors.get(key):
                return "none"
            demonitor(actor.monitors[key].pop(), flush=True)
        case ["trap", flag]:
            trap_exit(flag)
        case ["signal", key, reason]:
            exit_signal(world.pid_of(key), reason)
        case ["self_signal", reason]:
            exit_signal(self_pid(), reason)
        case ["send", key, value]:
            send(world.pid_of(key), Info(value_from_json(value)))
        case ["send_many", key, count]:
            for number in range(1, count + 1):
                send(world.pid_of(key), Info(number))
        case ["send_name", name, value]:
            try:
                send(name, Info(value_from_json(value)))
            except NoSuchProcess:
                return "badarg"
        case ["register", name]:
            try:
                register(name)
            except UsageError as error:
                return badarg_or_text(error, "is taken by", "a process has one name")
        case ["unregister", name]:
            try:
                unregister(name)
            except UsageError as error:
                return badarg_or_text(error, "no process is called")
        case ["cast", key, inner]:
            from tests.conformance.otp._worker import Worker

            world.ref_of(key).cast(Worker.take_cast, inner)
        case ["spawn" | "spawn_link" | "spawn_monitor" as how, key, options]:
            _spawn(actor, how, key, options)
        case ["reg", *arguments]:
            return registry_operation(world, arguments)
        case _:
            return ["unknown_act", act]
    return "ok"


def exit_signal(pid: Pid, reason: Json) -> None:
    """Erlang's ``exit(Pid, Reason)``."""
    if reason == "kill":
        kill(pid)
    else:
        send_exit(pid, reason_from_json(reason))


def _spawn(actor: Actor, how: str, key: str, options: Json) -> None:
    from tests.conformance.otp._plain import plain_process

    if how == "spawn_monitor":
        _, ref = spawn_monitor(plain_process, actor.world, key, options)
        actor.monitors[key] = [ref]
    else:
        (spawn_link if how == "spawn_link" else spawn)(plain_process, actor.world, key, options)


async def _perform_waiting(actor: Actor, act: Json) -> Json:
    world = actor.world
    match act:
        case ["call", key, inner, timeout]:
            try:
                return ["reply", await call_server(world, key, inner, timeout)]
            except (ProcessDied, CallTimeout, CallCycle) as error:
                return ["exit", ["call_failed", failure_to_json(error, world.name_of)]]
        case ["call!", key, inner, timeout]:
            return ["reply", await call_server(world, key, inner, timeout)]
        case ["gs_stop", key, reason, timeout]:
            try:
                await world.ref_of(key).stop(reason_from_json(reason), timeout=seconds(timeout))
            except (ProcessDied, CallTimeout, CallCycle) as error:
                return ["exit", failure_to_json(error, world.name_of)]
            return "ok"
        case ["start_link", spec]:
            from tests.conformance.otp._specs import child_spec_of

            try:
                started = await child_spec_of(world, spec).start_link()
            except StartIgnored:
                return "ignore"
            except StartFailed as error:
                return ["error", world.reason(error.reason)]
            return started_result(world, started)
    return await task_act(actor, act)


def started_result(world: World, ref: Ref[Any]) -> Json:
    """The result of a start outside of any supervisor."""
    if ref.start_info is None:
        return ["ok", world.value(ref.pid)]
    return [
        "weird",
        ["ok", world.value(ref.pid), world.value(ref.start_info)],
    ]  # OTP has that for supervisors only


async def call_server(world: World, key: str, act: Json, timeout: Json) -> Json:
    """Call a scripted server and return its answer as JSON."""
    from tests.conformance.otp._worker import answering

    ref = world.ref_of(key).options(timeout=seconds(timeout))
    return world.value(await ref.call(answering(act), act))


def seconds(milliseconds: Json) -> float | None:
    """A timeout."""
    return None if milliseconds == "infinity" else milliseconds / 1000


def log_message(actor: Actor, message: object) -> None:
    """Write down a message that is none of the driver's."""
    world = actor.world
    match message:
        case ExitSignal(pid=pid, reason=reason):
            world.log("EXIT", actor.name, world.name_of(pid), world.reason(reason))
        case Down(ref=ref, pid=pid, reason=reason):
            actor.task_keys.pop(ref, None)
            sender = world.name_of(pid) if pid is not None else "other"
            world.log("DOWN", actor.name, sender, world.reason(reason))
        case Info(value=value):
            world.log("info", actor.name, world.value(value))
        case IdleTimeout():
            world.log("info", actor.name, "timeout")
        case _:
            log_task_message(actor, message)
