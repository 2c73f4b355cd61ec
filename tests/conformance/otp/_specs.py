"""Child specs: from the scenario's to mabeam's; and the supervisors behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mabeam.kernel import Ignore, self_pid
from mabeam.otp import ChildSpec, DynamicSupervisor, Supervisor, TaskSupervisor
from tests.conformance.otp._values import Json, Scripted, stopping, throw, value_from_json
from tests.conformance.otp._worker import Worker

if TYPE_CHECKING:
    from tests.conformance.otp._world import World

__all__ = ("child_spec_of", "is_dynamic", "kind_of", "simple_child_spec")

_OPTIONS: Final = ("restart", "shutdown", "significant")


def kind_of(spec: Json) -> str:
    """The strategy of those supervisors that are a class of their own; else ``static``."""
    strategy = spec.get("strategy")
    return strategy if strategy in {"simple_one_for_one", "dynamic", "task"} else "static"


def is_dynamic(spec: Json) -> bool:
    """Whether its children have no ids."""
    return kind_of(spec) != "static"


def child_spec_of(world: World, spec: Json) -> Any:
    """The spec of a child, or whatever stands for one that cannot be written with mabeam."""
    if "start" in spec.get("omit", ()):
        return spec  # there is nothing to be started: no spec
    if spec.get("type") == "supervisor":
        made = _supervisor_spec(world, spec)
    elif spec.get("type") == "worker":
        made = _worker_spec(world, spec)
    else:
        return spec.get("type")  # neither class: no spec
    return made.options(**_options(spec))


def simple_child_spec(world: World, template: Json, child: Json) -> Any:
    """The spec of a child of a simple_one_for_one supervisor: its options are those of the template."""
    made = _worker_spec(world, {**template, **child})
    return made.options(**{**_options(template), "id": child["id"]})


def _options(spec: Json) -> dict[str, Any]:
    omitted = spec.get("omit", ())
    options = {key: spec[key] for key in _OPTIONS if key in spec and key not in omitted}
    shutdown = options.get("shutdown")
    if isinstance(shutdown, int | float):
        options["shutdown"] = shutdown / 1000
    options["id"] = "" if "id" in omitted else spec.get("id")
    return options


def _worker_spec(world: World, spec: Json) -> ChildSpec[Worker]:
    made = Worker.child_spec(world, spec)
    if "name" in spec:
        return made.named(spec["name"])
    if "via" in spec:
        registry, key = spec["via"]
        return made.named(world.registries[registry].via(value_from_json(key)))
    return made


def _supervisor_spec(world: World, spec: Json) -> ChildSpec[Any]:
    servers: dict[str, type] = {
        "static": ScriptedSupervisor,
        "simple_one_for_one": ScriptedDynamicSupervisor,
        "dynamic": ScriptedDynamicSupervisor,
        "task": ScriptedTaskSupervisor,
    }
    return ChildSpec.of_server(servers[kind_of(spec)], (world, spec), {})


class ScriptedSupervisor(Supervisor):
    """A supervisor that logs its start, and whose function of children does what the spec says."""

    def __init__(self, world: World, spec: Json, /) -> None:
        outcome = enter_supervisor(world, spec)

        def children() -> list[Any]:
            perform(outcome)
            return [child_spec_of(world, child) for child in spec.get("children", ())]

        super().__init__(
            children,
            strategy=spec.get("strategy", "one_for_one"),
            auto_shutdown=spec.get("auto_shutdown", "never"),
            **limits(spec),
        )


class ScriptedDynamicSupervisor(DynamicSupervisor):
    """A DynamicSupervisor that logs its start. Only as a ``simple_one_for_one`` has it outcomes."""

    def __init__(self, world: World, spec: Json, /) -> None:
        is_simple = kind_of(spec) == "simple_one_for_one"
        perform(enter_supervisor(world, spec if is_simple else spec | {"init": ["ok"]}))
        super().__init__(max_children=spec.get("max_children"), **limits(spec))


class ScriptedTaskSupervisor(TaskSupervisor):
    """A TaskSupervisor that logs its start, which has no outcomes."""

    def __init__(self, world: World, spec: Json, /) -> None:
        enter_supervisor(world, spec | {"init": ["ok"]})
        super().__init__(max_children=spec.get("max_children"), **limits(spec))


def perform(outcome: Json) -> None:
    """Do what the init of a supervisor is to do, if it is not to go well."""
    match outcome:
        case "ok":
            return
        case "ignore":
            raise Ignore
        case ["raise", value]:
            raise Scripted(value_from_json(value))
        case ["exit", reason]:
            raise stopping(reason)
    raise throw(outcome[1])


def limits(spec: Json) -> dict[str, Any]:
    """How many restarts in how many seconds; OTP's defaults."""
    return {"max_restarts": spec.get("intensity", 1), "max_seconds": spec.get("period", 5)}


def enter_supervisor(world: World, spec: Json) -> Json:
    """Take in a supervisor that has just begun; what its init is to do."""
    world.specs[spec["id"]] = spec
    name, number = world.enter(spec["id"], self_pid(), is_up=False, is_supervisor=True)
    outcomes = spec.get("init") or ["ok"]
    outcome = outcomes[min(number, len(outcomes)) - 1]
    world.log("init", name, outcome)
    return outcome
