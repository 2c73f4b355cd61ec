"""The driver: performs the steps of a scenario one by one, each to its rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.errors import CallCycle, CallTimeout, ProcessDied, StartFailed, StartIgnored, UsageError
from mabeam.kernel import (
    Down,
    demonitor,
    monitor,
    receive,
    self_pid,
    send,
    spawn,
    spawn_monitor,
    trap_exit,
    whereis,
)
from tests.conformance.otp._acts import Act, call_server, exit_signal, seconds, started_result
from tests.conformance.otp._plain import plain_process
from tests.conformance.otp._registries import registry_operation, start_registry
from tests.conformance.otp._specs import child_spec_of
from tests.conformance.otp._supervisor_calls import supervisor_call
from tests.conformance.otp._values import Json, failure_to_json, reason_from_json, refusal_to_json
from tests.conformance.otp._world import UnknownKeyError, World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.kernel import Process

__all__ = ("run_steps",)

LONGEST_REST: Final = 15.0
SUPERVISOR_CALLS: Final = frozenset(
    {
        "start_child",
        "terminate_child",
        "restart_child",
        "delete_child",
        "which_children",
        "count_children",
        "get_childspec",
    }
)


async def run_steps(world: World, scenario: Json) -> list[Json]:
    """Run a scenario in the calling process: it is the parent of top-level supervisors."""
    trap_exit()
    driver = _Driver(world)
    for registry in scenario.get("registries", ()):
        await start_registry(world, registry)
    steps = list(scenario["steps"])
    if "root" in scenario:
        steps.insert(0, {"op": "start_sup", "spec": scenario["root"]})
    done = []
    for step in steps:
        try:
            result = await driver.step(step)
        except UnknownKeyError:
            result = "unknown"
        rested = await driver.rest()
        entry = {"r": result, "e": world.collect()}
        done.append(entry if rested else {**entry, "timeout": True})
    return done


class _Driver:
    def __init__(self, world: World) -> None:
        self.world = world
        self.pid = self_pid()
        self.waiting: dict[str, object] = {}

    async def step(self, step: Json) -> Json:
        """Perform a step; its result."""
        world = self.world
        match step["op"]:
            case "start_sup":
                return await self._start(step["spec"])
            case "parent_exit":
                exit_signal(world.pid_of(step["who"]), step.get("reason", "shutdown"))
                return "ok"
            case "signal":
                return await self._signal(step["to"], step["reason"])
            case "spawn":
                return await self._spawn(step)
            case "do":
                return await self._do(step)
            case "call":
                return await self._call(step)
            case "gs_stop":
                return await self._stop(step)
            case "async":
                self.waiting[step["ref"]] = self._ask(supervisor_call(world, step["step"]))
                return "pending"
            case "await":
                return await self._answer(self.waiting.pop(step["ref"]), 8.0)
            case "open":
                gate = world.gates.pop(step["who"], None)
                if gate is None:
                    return "no_gate"
                if not gate.done():
                    gate.set_result(None)
                return "ok"
            case "sleep":
                await world.nap(step["ms"])
                return "ok"
            case "whereis":
                found = whereis(step["name"])
                return None if found is None else world.name_of(found)
            case "reg":
                return await self._api(lambda: _now(registry_operation(world, step["args"])))
            case "alive":
                return world.alive()
            case "dump":
                return await self._dump()
            case operation if operation in SUPERVISOR_CALLS:
                return await self._api(supervisor_call(world, step))
        raise AssertionError(f"unknown step {step}")

    # ------------------------------------------------------------------------------------------- asking

    def _ask(self, function: Callable[[], Awaitable[Json]]) -> object:
        """Have a process of its own, unrelated to all others, run a function."""
        ref = object()
        spawn(_ask_alone, self.world, function, self.pid, ref)
        return ref

    async def _answer(self, ref: object, timeout: float) -> Json:
        try:
            return (await receive(_answer_to(ref), timeout=timeout))[1]
        except TimeoutError:
            return "TIMEOUT"

    async def _api(self, function: Callable[[], Awaitable[Json]]) -> Json:
        return await self._answer(self._ask(function), 10.0)

    # ------------------------------------------------------------------------------------------- steps

    async def _start(self, spec: Json) -> Json:
        try:
            started = await child_spec_of(self.world, spec).start_link()
        except StartIgnored:
            return "ignore"
        except StartFailed as error:
            return ["error", self.world.reason(error.reason)]
        except UsageError as error:
            return ["error", ["start_spec", refusal_to_json(error)]]
        return started_result(self.world, started)

    async def _signal(self, key: str, reason: Json) -> Json:
        pid = self.world.pid_of(key)
        was_alive = pid.is_alive

        async def signal() -> Json:
            exit_signal(pid, reason)

        await self._api(signal)
        return "ok" if was_alive else "dead"

    async def _spawn(self, step: Json) -> Json:
        ref = object()
        _, watch = spawn_monitor(plain_process, self.world, step["id"], step, self.pid, ref)
        answer = await receive(_answer_or_down(ref, watch))
        demonitor(watch, flush=True)
        return "died" if isinstance(answer, Down) else answer[1]

    async def _do(self, step: Json) -> Json:
        pid = self.world.pid_of(step["who"])
        if not pid.is_alive:
            return "dead"
        tag = step.get("async", "sync")
        ref = object()
        watch = monitor(pid)
        send(pid, Act(step["act"], self.pid, tag, ref))
        result = "async" if tag != "sync" else await self._await_act(step["who"], ref, watch)
        demonitor(watch, flush=True)
        return result

    async def _await_act(self, key: str, ref: object, watch: object) -> Json:
        for _ in range(80):
            try:
                answer = await receive(_answer_or_down(ref, watch), timeout=0.1)
            except TimeoutError:
                if self.world.name_of(self.world.pid_of(key)) in self.world.stuck:
                    return "stuck"
            else:
                return "died" if isinstance(answer, Down) else answer[1]
        return "TIMEOUT"

    async def _call(self, step: Json) -> Json:
        world, key = self.world, step["to"]
        world.pid_of(key)

        async def call() -> Json:
            try:
                return ["reply", await call_server(world, key, step["act"], step.get("timeout", 5000))]
            except (ProcessDied, CallTimeout, CallCycle) as error:
                return ["exit", ["call_failed", failure_to_json(error, world.name_of)]]

        return await self._api(call)

    async def _stop(self, step: Json) -> Json:
        world, ref = self.world, self.world.ref_of(step["who"])

        async def stop() -> Json:
            try:
                await ref.stop(
                    reason_from_json(step.get("reason", "normal")),
                    timeout=seconds(step.get("timeout", "infinity")),
                )
            except (ProcessDied, CallTimeout) as error:
                return ["exit", failure_to_json(error, world.name_of)]
            return "ok"

        return await self._api(stop)

    async def _dump(self) -> Json:
        tree = {}
        for name, key in self.world.supervisors():
            looks = [
                await self._api(supervisor_call(self.world, {"op": op, "sup": key}))
                for op in ("which_children", "count_children")
            ]
            tree[name] = looks
        return {"alive": self.world.alive(), "tree": tree}

    # ------------------------------------------------------------------------------------------- rest

    async def rest(self) -> bool:
        """Let virtual time pass until every supervisor is idle and no script sleeps; whether that came about."""
        loop = self.world.loop
        give_up = loop.time() + LONGEST_REST
        while True:
            await loop.wait_until_idle()
            if not self._is_busy():
                return True
            due = [timer.when() for timer in loop._scheduled if not timer.cancelled()]
            if not due or min(due) > give_up:
                return False
            await loop.advance(min(due) - loop.time())

    def _is_busy(self) -> bool:
        if self.world.naps:
            return True
        at_gate = bool(self.world.gates)  # then no time that passes ends a wait for a start
        return any(
            process.behaviour.is_supervisor and process.status and not (at_gate and _waits_for_start(process))
            for process in self.world.kernel.table.values()
        )


async def _ask_alone(world: World, function: Callable[[], Awaitable[Json]], driver: Any, ref: object) -> None:
    try:
        answer = await function()
    except UnknownKeyError:
        answer = "unknown"
    except (ProcessDied, CallTimeout) as error:
        answer = ["exit", ["call_failed", failure_to_json(error, world.name_of)]]
    except Exception as error:
        answer = ["raise", f"{type(error).__name__}: {error}"]
    send(driver, (ref, answer))


async def _now(value: Json) -> Json:
    return value


def _answer_to(ref: object) -> Callable[[Any], bool]:
    return lambda message: isinstance(message, tuple) and message[0] is ref


def _answer_or_down(ref: object, watch: object) -> Callable[[Any], bool]:
    is_answer = _answer_to(ref)
    return lambda message: is_answer(message) or (isinstance(message, Down) and message.ref is watch)


def _waits_for_start(process: Process) -> bool:
    wait = process.serial.waits_for if process.serial is not None else None
    return wait is not None and wait.kind == "start"
