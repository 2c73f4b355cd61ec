"""Registries: the step and the act ``reg``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam.errors import AlreadyRegistered, NotRegistered
from mabeam.kernel import send
from mabeam.otp import Registry
from tests.conformance.otp._messages import Info
from tests.conformance.otp._values import Json, in_erlang_order, value_from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Pid
    from tests.conformance.otp._world import World

__all__ = ("registry_operation", "start_registry")


async def start_registry(world: World, spec: Json) -> None:
    """Start a registry of the scenario. Partitions are about speed and cannot be seen."""
    registry = await Registry.child_spec(keys=spec.get("keys", "unique")).start_link()
    world.registries[spec["id"]] = Registry.at(registry)


def registry_operation(world: World, arguments: Json) -> Json:
    """Ask a registry in the running process, and return the answer."""
    function, name, *rest = arguments
    registry = world.registries[name]
    match function, [value_from_json(each) for each in rest]:
        case "register", [key, value]:
            try:
                registry.register(key, value)
            except AlreadyRegistered as error:
                return ["error", ["already_registered", world.name_of(error.pid)]]
        case "unregister", [key]:
            registry.unregister(key)
        case "unregister_match", [key, pattern]:
            registry.unregister_match(key, _matching(pattern))
        case "lookup", [key]:
            return _found(world, registry.lookup(key))
        case "match", [key, pattern]:
            return _found(world, registry.match(key, _matching(pattern)))
        case "keys", [process]:
            return in_erlang_order(world.value(registry.keys(world.pid_of(process))))
        case "count", []:
            return registry.count()
        case "update_value", [key, value]:
            try:
                return world.value(registry.update_value(key, lambda _: value))
            except NotRegistered:
                return "error"
        case "dispatch", [key, value]:
            registry.dispatch(key, lambda found: _send_all(found, Info(value)))
        case "whereis", [key]:
            found = registry.whereis(key)
            return None if found is None else world.name_of(found)
        case _:
            raise AssertionError(f"unknown registry operation {arguments}")
    return "ok"


def _send_all(entries: list[tuple[Pid, Any]], message: object) -> None:
    for pid, _ in entries:
        send(pid, message)


def _found(world: World, entries: list[tuple[Pid, Any]]) -> Json:
    return in_erlang_order([[world.name_of(pid), world.value(value)] for pid, value in entries])


def _matching(pattern: Any) -> Callable[[Any], bool]:
    """What an Erlang match pattern accepts; ``_`` stands for anything."""

    def accepts(value: object, pattern: object) -> bool:
        if pattern == "_":
            return True
        if isinstance(pattern, tuple):
            return (
                isinstance(value, tuple) and len(value) == len(pattern) and all(map(accepts, value, pattern))
            )
        return value == pattern

    return lambda value: accepts(value, pattern)
