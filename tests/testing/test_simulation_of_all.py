"""Simulations of programs that use everything else: introspection, state machines, registries, partitions, streams."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import mabeam
from mabeam import (
    DynamicSupervisor,
    GenServer,
    PartitionSupervisor,
    ProcessDied,
    Registry,
    StateMachine,
    Supervisor,
    become,
    get_state,
    handle_call,
    handle_cast,
    handle_stream,
    receive,
    resume,
    self_pid,
    send,
    state,
    statistics,
    suspend,
    trace,
)
from mabeam.otp import code_change
from mabeam.testing import Faults, InjectedFault, simulate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mabeam.kernel import TraceEvent


class Tally(GenServer):
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    @handle_call
    def add(self, number: int) -> int:
        self.count += number
        return self.count

    @handle_cast
    def add_later(self, number: int) -> None:
        self.count += number

    @handle_stream
    async def up_to_now(self) -> AsyncIterator[int]:
        for number in range(self.count):
            yield number


class BetterTally(Tally):
    """Counts double."""

    @handle_call
    def add(self, number: int) -> int:
        self.count += 2 * number
        return self.count


class Door(StateMachine):
    """Open or shut."""

    def __init__(self) -> None:
        become(self.shut)

    @state
    def shut(self) -> None:
        pass

    @shut.handle_call
    def push(self) -> str:
        become(self.ajar)
        return "opens"

    @state
    def ajar(self) -> None:
        pass

    @ajar.on(push)
    def push_again(self) -> str:
        become(self.shut)
        return "shuts"


def test_a_process_can_be_looked_into_and_changed_while_it_is_simulated() -> None:
    """And goes on being watched: its messages are in the trace, and faults find it."""
    seen: Counter[str] = Counter()

    async def program() -> None:
        tally = await Tally.child_spec().start()
        events: list[TraceEvent] = []
        with trace(tally, events.append):
            assert await tally.call(Tally.add, 1) == 1
        assert [event.kind for event in events] == ["took", "returned"]
        statistics(tally, True)
        assert (await get_state(tally)).count == 1
        await suspend(tally)
        tally.cast(Tally.add_later, 1)
        await resume(tally)
        better = await code_change(tally, BetterTally)
        counted = statistics(better, False)
        assert counted is not None
        try:
            seen[str(await better.call(BetterTally.add, 1))] += 1
        except ProcessDied as died:
            seen["crashed"] += isinstance(died.__cause__, InjectedFault)

    simulate(program, seeds=range(60))
    assert seen == {"4": 60}
    seen.clear()
    simulate(
        program,
        seeds=range(100),
        faults=Faults(crash=0.1),
        max_faults=1,
        tolerate=(ProcessDied, AssertionError),
    )
    assert seen["4"] > 20
    assert seen["crashed"] > 2


def test_state_machines_are_hit_by_faults_like_other_servers() -> None:
    """A crash of one is a crash, though its handlers are found by its state."""
    seen: Counter[str] = Counter()

    async def program() -> None:
        await Supervisor.start_link([Door.child_spec().named("door")], strategy="one_for_one")
        door = mabeam.ref("door", Door)
        try:
            assert await door.call(Door.push) == "opens"
            assert await door.call(Door.push) == "shuts"
        except ProcessDied as died:
            seen["crashed"] += isinstance(died.__cause__, InjectedFault)
        else:
            seen["worked"] += 1

    simulate(program, seeds=range(60), faults=Faults(crash=0.3), max_faults=1)
    assert seen["crashed"] > 10
    assert seen["worked"] > 10


def test_a_program_of_many_parts_works_in_every_order() -> None:
    """Registry, partitions, dynamic children, streams, messages to topics."""

    async def program() -> None:
        await Supervisor.start_link(
            [
                Registry.child_spec(keys="duplicate").named("topics"),
                PartitionSupervisor.child_spec(Tally.child_spec(), partitions=3).named("tallies"),
                DynamicSupervisor.child_spec().named("pool"),
            ],
            strategy="rest_for_one",
        )
        topics: Any = Registry.at("topics")
        topics.register("news", 1)
        for pid, _value in topics.lookup("news"):
            send(pid, "hello")
        assert await receive() == "hello"
        pool = mabeam.ref("pool", DynamicSupervisor)
        tally = await pool.call(DynamicSupervisor.start_child, Tally.child_spec())
        for number in range(4):
            tally.cast(Tally.add_later, number)
        async with tally.stream(Tally.up_to_now) as numbers:
            assert [number async for number in numbers] == [0, 1, 2, 3, 4, 5]
        assert topics.keys(self_pid()) == ["news"]

    result = simulate(program, seeds=range(60), faults=Faults(delay=0.1, max_delay=1.0))
    assert result.faults > 10
