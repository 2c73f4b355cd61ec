"""Random supervision trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mabeam import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    DynamicSupervisor,
    Registry,
    Supervisor,
    TaskSupervisor,
    child_spec,
)
from tests.proof._actors import Holder, Polite, Worker, client, stubborn

if TYPE_CHECKING:
    from tests.proof._world import World

__all__ = ("tree_spec", "worker_spec")


def worker_spec(world: World, *, named: bool = True) -> ChildSpec[Any]:
    """A server or a plain process, with options drawn for it."""
    random = world.random
    server = random.choice((Worker, Worker, Polite, Holder))
    spec: ChildSpec[Any] = server.child_spec(world, traps=world.happens(0.5), odd=world.happens(0.4))
    if world.happens(0.3):
        spec = child_spec(client, world, traps=world.happens(0.5))
    elif world.happens(0.15):
        spec = child_spec(stubborn)
    elif named:
        spec = spec.named(world.name("server", world.servers))
    return _with_options(world, spec)


def tree_spec(world: World, depth: int = 0) -> ChildSpec[Any]:
    """A supervisor with children, which may be supervisors."""
    random = world.random
    makers = [worker_spec, worker_spec, worker_spec, _registry_spec, _dynamic_spec, _pool_spec]
    if depth < 2:
        makers += [lambda world: tree_spec(world, depth + 1)] * 2
    children = [random.choice(makers)(world) for _ in range(random.randrange(1, 6))]
    auto_shutdown: AutoShutdown = random.choice(("never", "never", "any_significant", "all_significant"))
    children = [_ready(world, spec, significant=auto_shutdown != "never") for spec in children]
    spec = Supervisor.child_spec(
        children,
        strategy=random.choice(("one_for_one", "one_for_all", "rest_for_one")),
        auto_shutdown=auto_shutdown,
        **_budget(world),
    )
    return _with_options(world, spec.named(world.name("supervisor", world.supervisors)))


def _ready(world: World, spec: ChildSpec[Any], *, significant: bool) -> ChildSpec[Any]:
    """Give a child an id of its own, and mark it where that means something."""
    unnamed = spec.name is None
    if unnamed:
        spec = spec.options(id=world.name("child", []))
    may_be = significant and spec.restart != "permanent" and world.happens(0.3)
    return spec.options(significant=may_be)


def _budget(world: World) -> dict[str, Any]:
    backoff = Backoff(first=0.01, limit=0.5) if world.happens(0.2) else None
    return {
        "max_restarts": world.random.choice((0, 1, 3, 10, 100, 100)),
        "max_seconds": world.random.choice((0.5, 5.0)),
        "backoff": backoff,
    }


def _registry_spec(world: World) -> ChildSpec[Any]:
    keys: Any = world.random.choice(("unique", "duplicate"))
    return Registry.child_spec(keys=keys).named(world.name("registry", world.registries))


def _dynamic_spec(world: World) -> ChildSpec[Any]:
    spec = DynamicSupervisor.child_spec(max_children=world.random.choice((None, 4)), **_budget(world))
    return _with_options(world, spec.named(world.name("dynamic", world.dynamics)))


def _pool_spec(world: World) -> ChildSpec[Any]:
    spec = TaskSupervisor.child_spec(max_children=world.random.choice((None, 4)), **_budget(world))
    return _with_options(world, spec.named(world.name("pool", world.pools)))


def _with_options(world: World, spec: ChildSpec[Any]) -> ChildSpec[Any]:
    shutdowns: list[Any] = ["infinity"] * 3 if spec.is_supervisor else [0.0, 0.1, 1.0]
    return spec.options(
        restart=world.random.choice(("permanent", "permanent", "transient", "temporary")),
        shutdown=world.random.choice([*shutdowns, "brutal_kill"]),
    )
