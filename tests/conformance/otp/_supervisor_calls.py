"""The calls of a supervisor, and their results as OTP has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.errors import ChildError, RejectedError, StartFailed, StartIgnored, UsageError
from mabeam.kernel import Pid
from mabeam.otp import ChildSpec, DynamicSupervisor, Supervisor
from tests.conformance.otp._specs import child_spec_of, is_dynamic, kind_of, simple_child_spec
from tests.conformance.otp._values import refusal_to_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.otp import ChildCounts, ChildInfo, Ref
    from tests.conformance.otp._values import Json
    from tests.conformance.otp._world import World

__all__ = ("supervisor_call",)


def supervisor_call(world: World, step: Json) -> Callable[[], Awaitable[Json]]:
    """A function that makes the call of a step, in whatever process, and returns its result.

    Raises:
        UnknownKeyError: the supervisor, or a child given by its process, never started.
    """
    supervisor = world.ref_of(step["sup"])
    spec = world.specs[step["sup"]]
    kind = DynamicSupervisor if is_dynamic(spec) else Supervisor
    operation = step["op"]
    method: Any = getattr(kind, operation, None)
    argument: tuple[Any, ...]
    if operation == "start_child":
        argument = (_child(world, spec, step["child"]),)
    elif operation in {"which_children", "count_children"}:
        argument = ()
    elif is_dynamic(spec) and step.get("by") != "id":
        argument = (world.pid_of(step["id"]),)
    else:
        argument = (step["id"],)

    async def call() -> Json:
        try:
            value = await supervisor.call(method, *argument)
        except ChildError as error:
            if error.code == "already_started":
                return ["error", ["already_started", world.value(error.pid)]]
            if error.code == "not_found" and _is_gone(world, spec, argument):
                return "ok"
            return ["error", error.code]
        except StartFailed as error:
            return ["error", world.reason(error.reason)]
        except StartIgnored:
            return _IGNORED[kind_of(spec)]
        except RejectedError:
            return ["error", "max_children"]
        except UsageError as error:
            return ["error", refusal_to_json(error)]
        return _RESULTS[operation](world, spec, value)

    return call


def _is_gone(world: World, supervisor: Json, argument: tuple[Any, ...]) -> bool:
    """Whether a call was about a dead process and a simple_one_for_one supervisor, which takes that for one it had."""
    (child,) = argument
    return kind_of(supervisor) == "simple_one_for_one" and isinstance(child, Pid) and not child.is_alive


def _child(world: World, supervisor: Json, child: Json) -> Any:
    if kind_of(supervisor) == "simple_one_for_one":
        return simple_child_spec(world, supervisor["template"], child)
    return child_spec_of(world, child)


def _started(world: World, _spec: Json, ref: Ref[Any]) -> Json:
    extra = [] if ref.start_info is None else [world.value(ref.start_info)]
    return ["ok", world.value(ref.pid), *extra]


def _done(_world: World, _spec: Json, _value: object) -> Json:
    return "ok"


def _children(world: World, _spec: Json, children: list[ChildInfo]) -> Json:
    return sorted(
        [
            child.id or "undefined",
            "restarting" if child.state == "restarting" else world.value(child.pid) or "undefined",
            "supervisor" if child.is_supervisor else "worker",
        ]
        for child in children
    )


def _counts(_world: World, spec: Json, counts: ChildCounts) -> Json:
    return {
        "active": counts.active,
        "specs": 1 if kind_of(spec) == "simple_one_for_one" else counts.specs,
        "supervisors": counts.supervisors,
        "workers": counts.workers,
    }


def _child_spec(_world: World, _spec: Json, child: ChildSpec[Any]) -> Json:
    shutdown = child.shutdown if isinstance(child.shutdown, str) else round(child.shutdown * 1000)
    shown = {
        "id": child.id,
        "restart": child.restart,
        "shutdown": shutdown,
        "significant": child.significant,
        "type": "supervisor" if child.is_supervisor else "worker",
    }
    return ["ok", shown]


_IGNORED: dict[str, Json] = {
    "static": ["ok", "undefined"],
    "simple_one_for_one": ["ok", "undefined"],
    "dynamic": "ignore",
}
"""What OTP says of a child that chose not to run. The children of a task supervisor have no such choice."""

_RESULTS: dict[str, Callable[[World, Json, Any], Json]] = {
    "start_child": _started,
    "restart_child": _started,
    "terminate_child": _done,
    "delete_child": _done,
    "which_children": _children,
    "count_children": _counts,
    "get_childspec": _child_spec,
}
