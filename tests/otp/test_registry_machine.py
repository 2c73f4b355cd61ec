"""A running registry against a list of rows: processes register, take back and die, and the registry itself comes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import mabeam
from mabeam import AlreadyRegistered, Registry, RegistryKeys, Supervisor, kill
from tests._live import LiveRuntime
from tests.kernel._scenes import acting_as, process_of, spawn_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam import Pid, RegistryRef

SIZE = 4
WHO = st.integers(0, SIZE - 1)
KEYS = st.sampled_from(["a", "b", ("c", 1)])


@dataclass
class Row:
    """One registration."""

    key: object
    who: int
    value: int


class Registrations(RuleBasedStateMachine):
    """The real thing beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveRuntime()
        self.rows: list[Row] = []
        self.pids: list[Pid] = []
        self.unique = True
        self.registry: RegistryRef[Any, int] = Registry.at("registry")

    @initialize(keys=st.sampled_from(["unique", "duplicate"]))
    def begin(self, keys: RegistryKeys) -> None:
        self.unique = keys == "unique"

        async def start() -> None:
            spec = Registry.child_spec(keys=keys).named("registry")
            await Supervisor.child_spec([spec], strategy="one_for_one", max_restarts=1_000).start()

        self.live.do(start)
        self.pids = self.live.act(lambda: [spawn_idle() for _ in range(SIZE)])

    def teardown(self) -> None:
        self.live.close()

    def act(self, who: int, function: Callable[..., Any], *args: Any) -> Any:
        """As one of the processes."""
        return self.live.act(acting_as, self.pids[who], function, *args)

    # ---- the steps

    @rule(who=WHO, key=KEYS, value=st.integers(0, 9))
    def register(self, who: int, key: object, value: int) -> None:
        taken = [row for row in self.rows if row.key == key]
        try:
            self.act(who, self.registry.register, key, value)
        except AlreadyRegistered as error:
            holder = error.pid
            assert self.unique
            assert holder == self.pids[taken[0].who]
            return
        assert not (self.unique and taken)
        self.rows.append(Row(key, who, value))

    @rule(who=WHO, key=KEYS)
    def unregister(self, who: int, key: object) -> None:
        self.act(who, self.registry.unregister, key)
        self.rows = [row for row in self.rows if (row.who, row.key) != (who, key)]

    @rule(who=WHO, key=KEYS, value=st.integers(0, 9))
    def unregister_match(self, who: int, key: object, value: int) -> None:
        self.act(who, self.registry.unregister_match, key, lambda each: each == value)
        self.rows = [row for row in self.rows if (row.who, row.key, row.value) != (who, key, value)]

    @rule(who=WHO)
    def die(self, who: int) -> None:
        """Another takes its place, which has registered nothing."""
        self.live.act(kill, self.pids[who])
        self.pids[who] = self.live.act(spawn_idle)
        self.rows = [row for row in self.rows if row.who != who]

    @rule()
    def the_registry_dies(self) -> None:
        """Those who had registered are linked with it, and die with it; it comes again, empty."""
        self.live.act(lambda: kill("registry"))
        for who in {row.who for row in self.rows}:
            assert not self.pids[who].is_alive
            self.pids[who] = self.live.act(spawn_idle)
        self.rows = []

    # ---- what must hold

    @invariant()
    def they_agree(self) -> None:
        if self.pids:
            self.live.act(self.compare)

    def compare(self) -> None:
        registry, rows, pids = self.registry, self.rows, self.pids
        assert registry.count() == len(rows)
        for key in ("a", "b", ("c", 1)):
            here = [row for row in rows if row.key == key]
            assert registry.lookup(key) == [(pids[row.who], row.value) for row in here]
            if self.unique:
                assert registry.whereis(key) == (pids[here[0].who] if here else None)
                assert mabeam.whereis(registry_name(key)) == registry.whereis(key)
        for who, pid in enumerate(pids):
            mine = [row for row in rows if row.who == who]
            assert sorted(map(repr, registry.keys(pid))) == sorted(repr(row.key) for row in mine)
            # Whoever has registered something is linked with the registry, and nobody else.
            assert bool(process_of(pid).links) == bool(mine)


def registry_name(key: object) -> Any:
    """The name that a key of a unique registry makes."""
    return Registry.at("registry").via(key)


TestRegistrations = Registrations.TestCase
TestRegistrations.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=30, deadline=None
)
