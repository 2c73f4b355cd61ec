"""Coroutines that are ready in any number let the event loop have its turn, and one another."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mabeam import (
    GenServer,
    continue_with,
    handle_call,
    handle_cast,
    handle_stream,
    kill,
    receive,
    ref,
    send,
    send_exit,
    spawn,
    why,
)
from mabeam.kernel import Shutdown, current_kernel
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn, reason_of
from tests.otp._servers import begun, process_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mabeam import Pid, Ref
    from mabeam.kernel._steps import Steps

LOOK = 0.0004
"""What a look at the clock of these tests takes, in seconds: a turn is over after three of them."""


@pytest.fixture
def busy(runtime: Any) -> Steps:
    """The steps of a Runtime in which time passes while code runs."""
    steps: Steps = runtime.kernel.scheduler.steps
    now = [0.0]

    def stopwatch() -> float:
        now[0] += LOOK
        return now[0]

    steps._stopwatch = stopwatch
    return steps


class Turns:
    """Looks at something in each turn of the loop, as timers and sockets would be."""

    def __init__(self, look: Callable[[], int]) -> None:
        self.seen = [look()]
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.seen.append(self._look())
        self._handle = self._loop.call_soon(self._turn)

    def most(self) -> int:
        """The most that was done between two looks."""
        self._handle.cancel()
        return max(after - before for before, after in zip(self.seen, self.seen[1:], strict=False))


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop have turns until something holds; the one that looks never waits."""
    for _ in range(100_000):
        if condition():
            return
        await Turn()
    raise AssertionError("it never came to that")


async def test_a_ring_of_a_thousand_plain_processes_lets_the_loop_have_its_turn(busy: Steps) -> None:
    """Each is ready all the time; in the order of asyncio all thousand would take a step before the loop looks up."""
    steps: Counter[int] = Counter()

    async def node(number: int) -> None:
        for _ in range(20):
            message = await receive()
            steps[number] += 1
            send(pids[(number + 1) % len(pids)], message)
            await Turn()  # one step for each message, also when several have come meanwhile

    pids = [spawn(node, number) for number in range(1_000)]
    await wait_until_idle()
    turns = Turns(steps.total)
    for pid in pids:
        send(pid, "ball")
    await until(lambda: steps.total() == 20 * len(pids))
    assert turns.most() <= 128


class Ring(GenServer):
    def __init__(self, tally: Counter[str]) -> None:
        self.tally = tally

    @handle_cast
    async def hand_on(self, others: list[Ref[Ring]], count: int) -> None:
        self.tally["began"] += 1
        if count:
            others[count % len(others)].cast(Ring.hand_on, others, count - 1)

    @handle_cast
    async def yields(self) -> None:
        for _ in range(10):
            await Turn()
            self.tally["went on"] += 1

    @handle_call
    async def ask(self) -> str:
        self.tally["asked"] += 1
        return "answer"

    @handle_call
    def tell(self) -> str:
        return "answer"


async def test_async_handlers_that_begin_let_the_loop_have_its_turn() -> None:
    tally: Counter[str] = Counter()
    servers = [await Ring.start_link(tally) for _ in range(500)]
    turns = Turns(tally.total)
    for server in servers:
        server.cast(Ring.hand_on, servers, 10)
    await until(lambda: tally["began"] == 500 * 11)
    assert turns.most() <= 128


async def test_handlers_that_let_the_others_go_first_do(busy: Steps) -> None:
    tally: Counter[str] = Counter()
    servers = [await Ring.start_link(tally) for _ in range(500)]
    turns = Turns(tally.total)
    for server in servers:
        server.cast(Ring.yields)
    await until(lambda: tally["went on"] == 500 * 10)
    assert turns.most() <= 128


async def test_callers_that_are_answered_let_the_loop_have_its_turn(busy: Steps) -> None:
    tally: Counter[str] = Counter()

    async def client(number: int) -> None:
        for _ in range(10):
            assert await servers[number % 50].options(timeout=None).call(Ring.ask) == "answer"
            tally["answered"] += 1

    servers = [await Ring.start_link(tally) for _ in range(50)]
    turns = Turns(tally.total)
    for number in range(500):
        spawn(client, number)
    await until(lambda: tally["answered"] == 5_000)
    assert turns.most() <= 256


async def test_answers_let_the_loop_have_its_turn_so_that_those_who_got_them_need_not_wait() -> None:
    tally: Counter[str] = Counter()
    server = await Ring.start_link(tally)

    async def client() -> None:
        for _ in range(10):
            assert await server.call(Ring.tell) == "answer"
            tally["answered"] += 1

    turns = Turns(tally.total)
    for _ in range(500):
        spawn(client)
    await until(lambda: tally["answered"] == 5_000)
    assert turns.most() <= 128


async def _in_line(busy: Steps, count: int = 100) -> tuple[list[Pid], list[object]]:
    """Processes that have been woken and wait for their step; and what they have got."""
    got: list[object] = []

    async def body() -> None:
        got.append(await receive())

    pids = [spawn(body) for _ in range(count)]
    await wait_until_idle()
    for number, pid in enumerate(pids):
        send(pid, number)
    while not busy.is_crowded:
        await Turn()
    return pids, got


async def test_whom_a_timer_wakes_goes_ahead_of_all_who_wait(busy: Steps) -> None:
    done: list[int] = []

    async def sleeper() -> None:
        future = asyncio.get_running_loop().create_future()
        futures.append(future)
        await future
        done.append(len(got))

    futures: list[asyncio.Future[None]] = []
    spawn(sleeper)
    await wait_until_idle()
    _, got = await _in_line(busy)
    futures[0].set_result(None)
    await wait_until_idle()
    assert got == list(range(100))  # in the order in which they were woken
    assert done[0] < 50


@pytest.mark.parametrize("ends", [kill, lambda pid: send_exit(pid, Shutdown())], ids=["kill", "exit"])
async def test_who_waits_for_a_step_can_be_ended(ends: Callable[[Pid], None], busy: Steps) -> None:
    pids, got = await _in_line(busy)
    last = pids[-1]
    ends(last)
    await wait_until_idle()
    assert not last.is_alive
    assert reason_of(last) is not None
    assert got == list(range(99))
    assert not busy.is_crowded


@pytest.mark.parametrize("ends", [kill, lambda pid: send_exit(pid, Shutdown())], ids=["kill", "exit"])
async def test_what_waits_for_its_first_step_can_be_ended(ends: Callable[[Pid], None], busy: Steps) -> None:
    """A plain process, and tasks that another has made."""
    await _in_line(busy)
    began: list[str] = []

    async def task() -> None:
        began.append("task")

    async def maker() -> None:
        tasks = [asyncio.create_task(task()) for _ in range(50)]
        await asyncio.wait(tasks)

    making = spawn(maker)
    pids = [spawn(task) for _ in range(200)]
    await Turn()
    await Turn()
    assert busy.is_crowded
    for pid in (making, *pids):
        ends(pid)
    await wait_until_idle()
    assert not any(pid.is_alive for pid in (making, *pids))
    assert len(began) < 250
    assert not busy.is_crowded


async def test_why_of_who_waits_for_a_step_is_that_it_is_ready(busy: Steps) -> None:
    pids, _ = await _in_line(busy)
    assert why(pids[-1]).root.kind == "ready"
    await wait_until_idle()


async def test_an_answer_that_waits_to_be_taken_closes_no_cycle(busy: Steps) -> None:
    """The first has its answer but not yet a step; the second, which gave it, asks the first."""

    class Peer(GenServer):
        @handle_call
        async def ask(self, other: str) -> str:
            return await ref(other, Peer).call(Peer.answer)

        @handle_call
        def answer(self) -> str:
            return "answer"

        @handle_cast
        async def hold(self) -> None:
            await gate.wait()

        @handle_cast
        async def ask_back(self) -> None:
            got.append(await ref("first", Peer).call(Peer.answer))

    gate, got = asyncio.Event(), list[str]()
    first = await Peer.child_spec().named("first").start_link()
    second = await Peer.child_spec().named("second").start_link()
    second.cast(Peer.hold)
    asking = await begun(first.call(Peer.ask, "second"))
    second.cast(Peer.ask_back)
    await _in_line(busy)
    gate.set()
    assert await asking == "answer"
    await wait_until_idle()
    assert got == ["answer"]


class Asked(GenServer):
    """Waits for another, who asks it before it has gone on."""

    mailbox_limit = 8

    @handle_call
    async def start_one(self, crowd: Callable[[], None]) -> None:
        await Starting.start_link("asked", crowd)

    @handle_call
    async def cast_to(self, other: str) -> None:
        await ref(other, Full).cast_wait(Full.wait)

    @handle_call
    async def read(self) -> None:
        self.stream = ref("source", Source).stream(Source.items)  # it stays open
        items = await self.stream.__aenter__()
        assert await anext(items) == 1
        assert await anext(items) == 2

    @handle_call
    def answer(self) -> str:
        return "answer"


class Starting(GenServer):
    """Has started, and asks its starter."""

    got: ClassVar[list[str]] = []

    def __init__(self, starter: str, crowd: Callable[[], None]) -> None:
        self.starter, self.crowd = starter, crowd

    async def init(self) -> None:
        await Turn()
        continue_with(None)
        self.crowd()

    async def handle_continue(self, _: object, /) -> None:
        self.got.append(await ref(self.starter, Asked).call(Asked.answer))


class Full(GenServer):
    """Its mailbox has room for one."""

    mailbox_limit, on_full = 1, "block"

    def __init__(self, gate: asyncio.Event, crowd: Callable[[], None]) -> None:
        self.gate, self.crowd, self.got = gate, crowd, list[str]()

    @handle_cast
    async def wait(self) -> None:
        await self.gate.wait()
        self.crowd()

    @handle_cast
    async def ask(self) -> None:
        self.got.append(await ref("asked", Asked).call(Asked.answer))

    @handle_call
    def what_it_got(self) -> list[str]:
        return self.got


class Source(GenServer):
    """Gives an item, and asks the reader while that is on its way."""

    got: ClassVar[list[str]] = []

    @handle_stream
    async def items(self) -> AsyncIterator[int]:
        yield 1
        await Turn()
        yield 2
        self.got.append(await ref("asked", Asked).call(Asked.answer))


def _crowd() -> Callable[[], None]:
    """A hundred that wait for a message, and what wakes them."""

    async def body() -> None:
        await receive()

    pids = [spawn(body) for _ in range(100)]

    def wake() -> None:
        for pid in pids:
            send(pid, None)

    return wake


async def test_a_start_that_its_starter_has_not_heard_of_yet_closes_no_cycle(busy: Steps) -> None:
    Starting.got.clear()
    asked = await Asked.child_spec().named("asked").start_link()
    crowd = _crowd()
    await wait_until_idle()
    await asked.call(Asked.start_one, crowd)
    await wait_until_idle()
    assert Starting.got == ["answer"]


async def test_room_that_is_there_and_not_taken_yet_closes_no_cycle(busy: Steps) -> None:
    gate = asyncio.Event()
    asked = await Asked.child_spec().named("asked").start_link()
    full = await Full.child_spec(gate, _crowd()).named("full").start_link()
    full.cast(Full.wait)
    await wait_until_idle()
    full.cast(Full.ask)
    casting = await begun(asked.call(Asked.cast_to, "full"))
    gate.set()
    await casting
    await wait_until_idle()
    assert await full.call(Full.what_it_got) == ["answer"]


async def test_an_item_that_is_on_its_way_closes_no_cycle() -> None:
    Source.got.clear()
    asked = await Asked.child_spec().named("asked").start_link()
    await Source.child_spec().named("source").start_link()
    await asked.call(Asked.read)
    await wait_until_idle()
    assert Source.got == ["answer"]


async def test_a_runtime_ends_with_those_who_wait() -> None:
    """See the fixture: nothing is left behind, though they were in the middle of it."""
    steps = current_kernel().scheduler.steps
    now = [0.0]

    def stopwatch() -> float:
        now[0] += LOOK
        return now[0]

    steps._stopwatch = stopwatch
    pids, _ = await _in_line(steps, 1_000)
    assert steps.is_crowded
    assert pids[-1].is_alive


async def test_a_suspended_server_is_not_held_up_by_them(busy: Steps) -> None:
    server = await Ring.start_link(Counter())
    await _in_line(busy)
    calling = await begun(server.call(Ring.ask))
    assert await calling == "answer"
    assert process_of(server).is_alive
