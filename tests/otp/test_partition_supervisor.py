"""PartitionSupervisor: which partition a key leads to, how it is found, and what becomes of the others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import zlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam import (
    AlreadyStarted,
    Backoff,
    DynamicSupervisor,
    Exited,
    GenServer,
    Ignore,
    NoSuchProcess,
    PartitionName,
    PartitionSupervisor,
    Pid,
    ProcessDied,
    Ref,
    Registry,
    RegistryRef,
    StartFailed,
    StartIgnored,
    Supervisor,
    TaskSupervisor,
    UsageError,
    handle_call,
    kill,
    monitor,
    ref,
    register,
    self_pid,
    send,
    suspend,
    trap_exit,
    unregister,
    whereis,
)
from mabeam.otp._partition_supervisor_key import partition_of
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn
from tests.otp._servers import pid_of

if TYPE_CHECKING:
    from mabeam.kernel import Runtime


class Counter(GenServer):
    """A partition that knows what it was started with."""

    def __init__(self, start: object = None) -> None:
        self.start = start
        self.seen: list[object] = []

    @handle_call
    def pid(self) -> Pid:
        return self_pid()

    @handle_call
    def started_with(self) -> object:
        return self.start

    @handle_call
    def crash(self) -> None:
        raise ValueError("asked to")

    @handle_call
    def read(self) -> list[object]:
        return list(self.seen)

    def handle_info(self, message: object) -> None:
        self.seen.append(message)


async def counters(partitions: int = 3, **options: Any) -> Ref[PartitionSupervisor]:
    """A named supervisor under another one."""
    spec = PartitionSupervisor.child_spec(Counter.child_spec(), partitions=partitions, **options)
    await Supervisor.start_link([spec.named("counters")], strategy="one_for_one")
    return ref("counters", PartitionSupervisor)


async def pid_for(key: object) -> Pid:
    """The pid of the partition of a key."""
    return await PartitionSupervisor.ref("counters", key, Counter).call(Counter.pid)


# ------------------------------------------------------------------------------------------------- keys


def test_whole_numbers_are_counted_off_as_in_elixir() -> None:
    """Recorded from Elixir 1.14 with three partitions."""
    recorded = {-4: 1, -1: 1, 0: 0, 1: 1, 2: 2, 3: 0, 7: 1}
    assert {key: partition_of(key, 3) for key in recorded} == recorded


async def test_pids_are_counted_off_and_in_a_tuple_they_stand_for_their_number() -> None:
    pids = [pid_of(await Counter.start_link()) for _ in range(5)]
    assert [partition_of(pid, 3) for pid in pids] == [pid.serial % 3 for pid in pids]
    for pid in pids:
        part = b"Pid=%d" % pid.serial
        assert partition_of((pid,), 101) == zlib.crc32(b"%d:%s" % (len(part), part)) % 101


class Colour(StrEnum):
    """A kind of text."""

    RED = "red"


@dataclass(frozen=True)
class Key:
    """A value of a user's."""

    name: str
    number: int


class Named:
    """A value of a user's that shows its name as it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


KNOWN: list[tuple[Any, int]] = [
    ("ann", 41),
    ("bob", 27),
    ("", 0),
    (b"ann", 41),
    (Colour.RED, 10),
    ("red", 10),
    (("ann", 1), 43),
    (("ab", "c"), 87),
    (("a", "bc"), 86),
    (("1",), 99),
    ((1,), 66),
    (None, 14),
    (1.5, 56),
    (Key("ann", 7), 66),
    (frozenset({"a", "b", "c"}), 23),
    ("\udc80", 19),
    (Named("\udc80"), 19),
    (Key("meet at 0x10", 1), 50),
    (Key("it's at 0x10", 1), 34),
    (Key('it\'s "here" \\ at 0x10\n', 1), 9),
    (int, 35),
]


@pytest.mark.parametrize(("key", "partition"), KNOWN)
def test_a_key_has_the_same_partition_for_ever(key: Any, partition: int) -> None:
    """These are written down: another answer would lead a program that was updated to other processes."""
    assert partition_of(key, 101) == partition


class Int64:
    """A whole number that is no int, as numpy has them."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __index__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self.number == other

    def __hash__(self) -> int:
        return hash(self.number)


class Level(IntEnum):
    LOW = 1


class Digest(bytes):
    """Bytes that have a name of their own for their kind."""


@pytest.mark.parametrize(
    ("key", "equal"),
    [
        (1, 1.0),
        (-7, -7.0),
        (1, True),
        (Level.LOW, 1.0),
        (Int64(-7), -7),
        (("a", Int64(7)), ("a", 7.0)),
        (("a", 1), ("a", True)),
        (("a", 1), ("a", 1.0)),
        (("a", Level.LOW), ("a", 1)),
        (("t", Colour.RED), ("t", "red")),
        (frozenset({1, "red"}), frozenset({True, Colour.RED})),
        (Colour.RED, "red"),
        (("d", Digest(b"x")), ("d", b"x")),
        (0.0, -0.0),
    ],
)
def test_equal_keys_have_one_partition(key: Any, equal: Any) -> None:
    """Whatever their types: names by them are equal, too."""
    assert key == equal
    assert [partition_of(key, count) for count in (16, 101)] == [
        partition_of(equal, count) for count in (16, 101)
    ]


async def test_a_partition_cannot_be_taken_from_its_process() -> None:
    """Nor does the process lose another name by that."""
    supervisor = await PartitionSupervisor.start_link(Counter.child_spec(), partitions=2)
    name = PartitionSupervisor.via(supervisor, 1)
    process = whereis(name)
    assert process is not None
    register("s1", process)
    with pytest.raises(UsageError, match="cannot be taken"):
        unregister(name)
    assert (whereis("s1"), whereis(name)) == (process, process)


def test_a_key_has_the_same_partition_in_every_run() -> None:
    """Unlike Python's hash of text."""
    program = (
        "from mabeam.otp._partition_supervisor_key import partition_of as p\n"
        "print([p(k, 101) for k in ('ann', b'ann', ('ab', 'c'), frozenset({'a', 'b', 'c'}))])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@given(
    key=st.recursive(
        st.one_of(st.integers(), st.text(), st.binary(), st.none(), st.floats(allow_nan=False)), st.tuples
    ),
    count=st.integers(1, 64),
)
def test_every_key_has_one_partition(key: Any, count: int) -> None:
    """Whatever it is made of."""
    assert partition_of(key, count) == partition_of(key, count) in range(count)


def test_keys_are_spread_over_all_partitions() -> None:
    """Text and numbers, evenly enough."""
    for keys in ([f"user {number}" for number in range(8_000)], range(8_000)):
        counts = [0] * 8
        for key in keys:
            counts[partition_of(key, 8)] += 1
        assert min(counts) > 900


def test_a_key_that_looks_different_in_each_run_is_refused() -> None:
    """Also inside of a tuple or of a value, whatever text is beside it; so is one that is not hashable."""
    beside: Any = object()
    for key in (object(), ("a", object()), Key("it's", beside), Key('"\\', beside), lambda: "'", {}.get):
        with pytest.raises(UsageError, match="repr that is the same in each run"):
            PartitionSupervisor.via("counters", key)
    with pytest.raises(UsageError, match=r"hashable, got .*A tuple is"):
        PartitionSupervisor.via("counters", ["a"])


# ------------------------------------------------------------------------------------------------- starting


async def test_there_is_one_child_for_each_partition_and_its_id_is_the_number() -> None:
    """Started in order; the counts are those of a supervisor."""
    supervisor = await counters(3)
    children = await supervisor.call(PartitionSupervisor.which_children)
    assert [(child.id, child.state, child.is_supervisor) for child in children] == [
        ("0", "running", False),
        ("1", "running", False),
        ("2", "running", False),
    ]
    counts = await supervisor.call(PartitionSupervisor.count_children)
    assert (counts.specs, counts.active, counts.workers) == (3, 3, 3)
    assert PartitionSupervisor.partitions("counters") == PartitionSupervisor.partitions(supervisor) == 3
    assert [await pid_for(number) for number in range(3)] == [child.pid for child in children]


async def test_as_many_partitions_as_cores_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that this OS process may use."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 2, 5}, raising=False)
    assert PartitionSupervisor.partitions(await PartitionSupervisor.start_link(Counter.child_spec())) == 3
    monkeypatch.delattr("os.sched_getaffinity")
    for cores, expected in ((7, 7), (None, 1)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        found = PartitionSupervisor.partitions(await PartitionSupervisor.start_link(Counter.child_spec()))
        assert found == expected


async def test_a_function_gives_each_partition_a_spec_of_its_own() -> None:
    """With arguments, a name and options; the id is the number all the same. It runs once for each, also over restarts."""
    asked: list[int] = []

    def spec(number: int) -> Any:
        asked.append(number)
        return Counter.child_spec(number * 10).named(f"counter {number}").options(id="other", shutdown=1.0)

    supervisor = await PartitionSupervisor.start_link(spec, partitions=2)
    assert [child.id for child in await supervisor.call(Supervisor.which_children)] == ["0", "1"]
    one = PartitionSupervisor.ref(supervisor, 1, Counter)
    assert await one.call(Counter.started_with) == 10
    assert one.pid == whereis("counter 1")
    assert (await supervisor.call(Supervisor.get_childspec, "1")).shutdown == 1.0
    with pytest.raises(ProcessDied):
        await one.call(Counter.crash)
    await wait_until_idle()
    assert await one.call(Counter.started_with) == 10
    assert asked == [0, 1]


async def test_wrong_options_are_told_at_once_before_anything_starts() -> None:
    """All of them, to whoever starts it."""
    with pytest.raises(UsageError) as caught:
        await PartitionSupervisor.start_link(
            Counter.child_spec(1, 2).named("one").options(restart="always"),  # type: ignore[call-arg,arg-type]
            partitions=0,
            max_restarts=-1,
            backoff=Backoff(first=-1.0),
        )
    problems = caught.value.problems
    for words in (
        "max_restarts expects",
        "Backoff.first expects",
        "partitions expects a whole number >= 1, got 0",
        "too many positional arguments",
        "restart expects one of",
        "its name 'one' cannot lead to all partitions",
    ):
        assert [each for each in problems if words in each], words
    assert len(problems) == 6
    for wrong in (Counter, 7, True):
        with pytest.raises(UsageError, match="a child expects a spec"):
            await PartitionSupervisor.start_link(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="partitions expects"):
        await PartitionSupervisor.start_link(Counter.child_spec(), partitions=True)


async def test_a_function_that_gives_no_spec_fails_the_start() -> None:
    """As a list of children would; raising and Ignore mean what they mean elsewhere."""
    with pytest.raises(StartFailed) as caught:
        await PartitionSupervisor.start_link(lambda number: number, partitions=2)  # type: ignore[arg-type,return-value]
    assert isinstance(caught.value.__cause__, UsageError)
    assert len(caught.value.__cause__.problems) == 2

    def ignore(number: int) -> Any:
        raise Ignore

    with pytest.raises(StartIgnored):
        await PartitionSupervisor.start_link(ignore, partitions=2)


async def test_a_partition_that_does_not_start_fails_the_start() -> None:
    """And those before it are stopped."""

    class Failing(Counter):
        def __init__(self, number: int) -> None:
            super().__init__(number)
            if number == 1:
                raise ValueError(number)

    with pytest.raises(StartFailed):
        await PartitionSupervisor.start_link(
            lambda number: Failing.child_spec(number).named(f"failing {number}"), partitions=3
        )
    assert whereis("failing 0") is None


# ------------------------------------------------------------------------------------------------- finding


async def test_a_key_leads_to_its_partition_whatever_is_done_with_the_name() -> None:
    """Calls, messages, monitors; equal names are one."""
    await counters(3)
    name = PartitionSupervisor.via("counters", "ann")
    pid = whereis(name)
    assert pid == await pid_for("ann") == await ref(name, Counter).call(Counter.pid)
    assert name == PartitionSupervisor.via("counters", "ann") != PartitionSupervisor.via("counters", "bob")
    assert {name: 1}[PartitionName("counters", "ann")] == 1
    assert repr(name) == "counters[partition of 'ann']"
    send(name, "hello")
    monitor(name)
    assert await ref(name, Counter).call(Counter.read) == ["hello"]
    assert pid_for is not None


async def test_the_calling_process_may_be_the_key() -> None:
    """By its serial number, so a process always talks to the same partition."""
    await counters(3)
    me = self_pid()
    assert await pid_for(me) == await pid_for(me.serial)
    assert isinstance(partition_of((me, "x"), 3), int)


async def test_nobody_waits_for_the_supervisor_to_find_a_partition() -> None:
    """It may be busy, or suspended."""
    supervisor = await counters(2)
    await suspend(supervisor)
    assert await pid_for(0) != await pid_for(1)
    assert PartitionSupervisor.partitions(supervisor) == 2


async def test_a_supervisor_may_be_given_by_pid_handle_or_name_of_a_registry() -> None:
    """As anything that leads to a process."""
    groups = Registry.at("groups")
    spec = PartitionSupervisor.child_spec(Counter.child_spec(), partitions=2)
    await Supervisor.start_link(
        [Registry.child_spec(keys="unique").named("groups"), spec.named(groups.via("counters"))],
        strategy="rest_for_one",
    )
    supervisor = ref(groups.via("counters"), PartitionSupervisor)
    found = {
        await PartitionSupervisor.ref(each, 1, Counter).call(Counter.pid)
        for each in (supervisor, pid_of(supervisor), groups.via("counters"))
    }
    assert len(found) == 1
    inner = PartitionSupervisor.via(pid_of(supervisor), 1)
    assert "partition of 1" in repr(inner)


async def test_a_partition_is_no_name_to_be_given() -> None:
    """Neither to a child that is started nor to a process that runs."""
    await counters(2)
    name = PartitionSupervisor.via("counters", 1)
    with pytest.raises(StartFailed) as caught:
        await Counter.child_spec().named(name).start()
    assert "cannot be given to one" in str(caught.value.__cause__)
    with pytest.raises(UsageError, match="cannot be given to one"):
        register(name)


async def test_without_the_supervisor_a_name_leads_nowhere() -> None:
    """And asking for the number of partitions says how to start it."""
    nowhere = PartitionSupervisor.ref("counters", "ann", Counter)
    assert nowhere.pid is None
    with pytest.raises(NoSuchProcess):
        await nowhere.call(Counter.pid)
    with pytest.raises(NoSuchProcess, match=r"PartitionSupervisor.child_spec\(.*named\('counters'\)"):
        PartitionSupervisor.partitions("counters")


async def test_something_else_in_its_place_is_told() -> None:
    """A mistake that would otherwise look like a partition that is being restarted."""
    await Supervisor.start_link([Counter.child_spec().named("counters")], strategy="one_for_one")
    for attempt in (
        lambda: PartitionSupervisor.partitions("counters"),
        lambda: whereis(PartitionSupervisor.via("counters", 1)),
    ):
        with pytest.raises(UsageError, match="expected the handle or the name of a PartitionSupervisor"):
            attempt()
    for wrong in ("", None, 7):
        with pytest.raises(UsageError, match="expects the name of a supervisor"):
            PartitionSupervisor.via(wrong, "key")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="class of the server"):
        PartitionSupervisor.ref("counters", 1, "Counter")  # type: ignore[arg-type]


async def test_a_name_leads_nowhere_before_its_supervisor_has_begun() -> None:
    """Also in the moment in which that is there already, and has not run."""
    spec = PartitionSupervisor.child_spec(Counter.child_spec(), partitions=2).named("counters")
    starting = asyncio.create_task(spec.start())
    seen: list[Pid | None] = []
    while not starting.done():
        seen.append(whereis(PartitionSupervisor.via("counters", 1)))
        await Turn()
    assert set(seen[:2]) == {None}
    assert whereis(PartitionSupervisor.via("counters", 1)) is not None


async def test_a_partition_that_is_still_starting_the_others_is_not_there_yet() -> None:
    """A child may look for its siblings while it starts: those before it are there."""
    found: list[Pid | None] = []

    class Curious(Counter):
        async def init(self) -> None:
            found.extend(whereis(PartitionSupervisor.via("counters", number)) for number in range(2))

    spec = PartitionSupervisor.child_spec(Curious.child_spec(), partitions=2).named("counters")
    await Supervisor.start_link([spec], strategy="one_for_one")
    assert [pid is not None for pid in found] == [False, False, True, False]


# ------------------------------------------------------------------------------------------------- ends


async def test_a_partition_is_restarted_alone_and_its_keys_lead_to_the_new_one() -> None:
    """In between they lead nowhere; the others are not affected."""
    await counters(2)
    before = [await pid_for(number) for number in range(2)]
    kill(before[0])
    assert whereis(PartitionSupervisor.via("counters", 0)) is None
    with pytest.raises(NoSuchProcess):
        await PartitionSupervisor.ref("counters", 2, Counter).call(Counter.pid)
    assert await pid_for(1) == before[1]
    await wait_until_idle()
    assert await pid_for(0) not in before
    assert await pid_for(1) == before[1]


async def test_too_many_restarts_end_all_partitions() -> None:
    """Those of all of them are counted together, and its own supervisor starts it again."""
    supervisor = await counters(2, max_restarts=1, max_seconds=5.0)
    first = supervisor.pid
    for number in range(2):
        kill(PartitionSupervisor.via("counters", number))
        await wait_until_idle()
    assert supervisor.pid not in {None, first}
    assert await pid_for(0) != await pid_for(1)


async def test_a_backoff_holds_for_partitions() -> None:
    """As for any supervisor."""
    supervisor = await counters(2, backoff=Backoff(first=1.0))
    kill(PartitionSupervisor.via("counters", 1))
    await wait_until_idle()
    children = await supervisor.call(PartitionSupervisor.which_children)
    assert [child.state for child in children] == ["running", "restarting"]


async def test_a_partition_can_be_stopped_and_started_again_and_none_added_or_removed() -> None:
    """A key would lead to another one from then on."""
    supervisor = await counters(2)
    await supervisor.call(PartitionSupervisor.terminate_child, "1")
    assert whereis(PartitionSupervisor.via("counters", 1)) is None
    await supervisor.call(PartitionSupervisor.restart_child, "1")
    assert whereis(PartitionSupervisor.via("counters", 1)) is not None
    with pytest.raises(UsageError, match="start_child: a PartitionSupervisor has the partitions"):
        await supervisor.call(PartitionSupervisor.start_child, Counter.child_spec())
    with pytest.raises(UsageError, match="delete_child"):
        await supervisor.call(PartitionSupervisor.delete_child, "1")


async def test_it_stops_its_partitions_last_to_first(runtime: Runtime) -> None:
    """As a supervisor does."""
    log: list[object] = []

    class Leaving(Counter):
        def __init__(self, number: int) -> None:
            super().__init__(number)
            trap_exit()

        def terminate(self, reason: object) -> None:
            log.append(self.start)

    supervisor = await PartitionSupervisor.start_link(lambda number: Leaving.child_spec(number), partitions=3)
    await supervisor.stop()
    assert log == [2, 1, 0]


# ------------------------------------------------------------------------------------------------- what is partitioned


async def test_dynamic_supervisors_task_supervisors_and_registries_can_be_partitioned() -> None:
    """Each key has its own of them."""
    await Supervisor.start_link(
        [
            PartitionSupervisor.child_spec(DynamicSupervisor.child_spec(max_children=10), partitions=2).named(
                "sessions"
            ),
            PartitionSupervisor.child_spec(TaskSupervisor.child_spec(max_children=10), partitions=2).named(
                "tasks"
            ),
            PartitionSupervisor.child_spec(Registry.child_spec(keys="unique"), partitions=2).named("topics"),
        ],
        strategy="one_for_one",
    )
    sessions = [PartitionSupervisor.ref("sessions", number, DynamicSupervisor) for number in range(2)]
    session = await sessions[1].call(DynamicSupervisor.start_child, Counter.child_spec("ann"))
    assert await session.call(Counter.started_with) == "ann"
    counts = [(await each.call(DynamicSupervisor.count_children)).active for each in sessions]
    assert counts == [0, 1]

    async def double(number: int) -> int:
        return 2 * number

    task = await TaskSupervisor.start_task(PartitionSupervisor.via("tasks", "ann"), double, 4)
    assert await task == 8
    async with TaskSupervisor.async_stream(
        PartitionSupervisor.via("tasks", 1), double, [1, 2], max_concurrency=2
    ) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 2

    topics: list[RegistryRef[str, int]] = [
        Registry.at(PartitionSupervisor.via("topics", number)) for number in range(2)
    ]
    topics[1].register("news", 1)
    assert [topic.count() for topic in topics] == [0, 1]
    assert [value for _, value in topics[1].lookup("news")] == [1]


async def test_partitioned_supervisors_are_counted_as_such() -> None:
    """And a partition of partitions is found by two keys."""
    outer = await PartitionSupervisor.start_link(
        PartitionSupervisor.child_spec(Counter.child_spec(), partitions=2), partitions=2
    )
    assert (await outer.call(PartitionSupervisor.count_children)).supervisors == 2
    names = {
        whereis(PartitionSupervisor.via(PartitionSupervisor.via(outer, one), two))
        for one in range(2)
        for two in range(2)
    }
    assert len(names) == 4
    assert None not in names


async def test_a_name_that_is_taken_fails_the_start_as_ever() -> None:
    """Of the supervisor itself."""
    await counters(1)
    with pytest.raises(StartFailed) as caught:
        await PartitionSupervisor.child_spec(Counter.child_spec(), partitions=1).named("counters").start()
    assert isinstance(caught.value.reason, Exited)
    assert isinstance(caught.value.reason.value, AlreadyStarted)
