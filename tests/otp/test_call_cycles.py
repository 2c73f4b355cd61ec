"""Calls that could never be answered raise ``CallCycle``; those that merely look like it do not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallCycle,
    CallTimeout,
    Crashed,
    DeadlineExceeded,
    Down,
    GenServer,
    Normal,
    Ref,
    StartFailed,
    Supervisor,
    TaskExit,
    TaskOk,
    TaskSupervisor,
    handle_call,
    handle_cast,
    receive,
    ref,
    reply_later,
    resume,
    send,
    spawn_monitor,
    suspend,
    why,
)
from mabeam.kernel import Caller, trap_exit
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, clock, pause, process_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mabeam import Pid


class Node(GenServer):
    """Calls others, in every way there is."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.kept: list[Caller[str]] = []
        self.gate = asyncio.Event()
        self.heard: list[str] = []

    @handle_call
    def who(self) -> str:
        return self.name

    @handle_call(raises=(CallCycle,))
    async def through(self, *route: Ref[Node]) -> str:
        """Ask the first of the route, which asks the next, and so on."""
        first, *rest = route
        return await (first.call(Node.through, *rest) if rest else first.call(Node.who))

    @handle_call(concurrent=4, raises=(CallCycle,))
    async def beside(self, *route: Ref[Node]) -> str:
        """The same, beside other handlers."""
        first, *rest = route
        return await (first.call(Node.through, *rest) if rest else first.call(Node.who))

    @handle_call(raises=(CallCycle,))
    async def through_beside(self, first: Ref[Node], *route: Ref[Node]) -> str:
        return await first.call(Node.beside, *route)

    @handle_call(raises=(CallCycle,))
    async def through_task(self, *route: Ref[Node]) -> str:
        """The same, in a task that the handler waits for."""
        return await asyncio.create_task(self.through(*route))

    @handle_call(raises=(CallCycle,))
    async def through_gather(self, *route: Ref[Node]) -> str:
        """The same, as one of several that all must be done."""
        return (await asyncio.gather(self.through(*route), self.wait_a_turn()))[0]

    @handle_call(raises=(CallCycle,))
    async def through_wait_for(self, *route: Ref[Node]) -> str:
        return await asyncio.wait_for(self.through(*route), 10.0)

    @handle_call(raises=(CallCycle,))
    async def through_timeout(self, *route: Ref[Node]) -> str:
        async with asyncio.timeout(10.0):
            return await self.through(*route)

    @handle_call(raises=(CallCycle,))
    async def through_shield(self, *route: Ref[Node]) -> str:
        return await asyncio.shield(self.through(*route))

    @handle_call(raises=(CallCycle,))
    async def through_wait(self, *route: Ref[Node]) -> str:
        """The same, as one of several that all must be done; their outcomes are looked at then."""
        asking = asyncio.create_task(self.through(*route))
        await asyncio.wait((asking, asyncio.create_task(self.wait_a_turn())))
        return await asking

    @handle_call(raises=(CallCycle,))
    async def through_nested(self, how: str, *route: Ref[Node]) -> str:
        """The same, deeper inside of what is awaited."""
        asking = self.through(*route)
        match how:
            case "gather of gather":
                await asyncio.gather(asyncio.gather(asking))
            case "shield of gather":
                await asyncio.shield(asyncio.gather(asking))
            case "gather of shield":
                await asyncio.gather(asyncio.shield(asking))
            case _:
                await asyncio.wait_for(asyncio.gather(asking), 10.0)
        return how

    @handle_call(raises=(ExceptionGroup,))
    async def through_group(self, *route: Ref[Node]) -> str:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self.through(*route))
        return asking.result()

    @handle_call(raises=(CallCycle,))
    async def through_first_of(self, returns_when: str, *route: Ref[Node]) -> str:
        asking = [asyncio.create_task(self.through(*route)) for _ in range(2)]
        await asyncio.wait(asking, return_when=returns_when)
        return (await asyncio.gather(*asking))[0]

    @handle_call(raises=(CallCycle,))
    async def ask_desk(self) -> str:
        return await ref("desk", Desk).call(Desk.serve)

    async def wait_a_turn(self) -> str:
        return self.name

    @handle_call
    def keep(self) -> str:
        return reply_later(self.kept.append)

    @handle_call(raises=(CallCycle,))
    async def hand_on(self, other: Ref[Node], back: Ref[Node]) -> str:
        """Have another keep its caller, and ask that other's caller meanwhile."""
        return await other.call(Node.forward, back)

    @handle_call
    def forward(self, back: Ref[Node]) -> str:
        """Keep the caller, and answer it when ``back`` has been asked."""

        def keep(caller: Caller[str]) -> None:
            self.kept.append(caller)

        return reply_later(keep)

    @handle_call(raises=(CallCycle,))
    async def stop(self, other: Ref[Node]) -> None:
        await other.stop()

    @handle_call
    async def stop_in_a_cycle(self, other: Ref[Node]) -> str:
        try:
            await other.call(Node.stop, ref("first", Node))
        except CallCycle:
            return "cycle"
        return "no cycle"

    @handle_call
    async def ask_to_keep(self, other: Ref[Node]) -> str:
        return await other.options(timeout=None).call(Node.keep)

    @handle_call
    async def ask_and_wait(self, other: Ref[Node]) -> str:
        """Ask another, and go on with something else when it has answered."""
        answer = await other.call(Node.who)
        await self.gate.wait()
        return answer

    @handle_call
    async def ask_briefly(self, other: Ref[Node], back: Ref[Node], *, how: str) -> str:
        """Ask another, which asks ``back``; give up soon, and go on with something else."""
        try:
            if how == "cancelled":
                async with asyncio.timeout(1.0):
                    await other.options(timeout=None).call(Node.wait_and_ask, back)
            else:
                await other.options(timeout=1.0).call(Node.wait_and_ask, back)
        except (TimeoutError, CallTimeout):
            await self.gate.wait()
        return self.name

    @handle_call
    async def wait_and_ask(self, other: Ref[Node]) -> None:
        await self.gate.wait()
        try:
            self.heard.append(await other.options(timeout=None).call(Node.who))
        except (CallCycle, DeadlineExceeded) as error:
            self.heard.append(type(error).__name__)

    @handle_call(raises=(CallCycle,))
    async def ask_both(self, first: Ref[Node], last: Ref[Node]) -> list[str]:
        """Ask two, of whom one asks the other."""
        return list(await asyncio.gather(first.call(Node.through, last), last.call(Node.who)))

    @handle_call
    async def wait(self) -> str:
        await self.gate.wait()
        return self.name

    @handle_cast
    def answer_kept(self) -> None:
        for caller in self.kept:
            caller.reply(self.name)


def names(error: CallCycle) -> list[str]:
    return [each.split("'")[1] for each in error.path]


async def nodes(count: int) -> list[Ref[Node]]:
    return [
        await Node.child_spec(name).named(name).start_link() for name in ("first", "second", "third")[:count]
    ]


# ---------------------------------------------------------------------------------------- those that must raise


async def test_a_server_that_calls_itself() -> None:
    (first,) = await nodes(1)
    with pytest.raises(CallCycle) as caught:
        await first.call(Node.through, first)
    assert names(caught.value) == ["first", "first"]


async def test_two_that_call_each_other() -> None:
    first, second = await nodes(2)
    with pytest.raises(CallCycle) as caught:
        await first.call(Node.through, second, first)
    assert names(caught.value) == ["second", "first", "second"]


async def test_a_chain_of_three_that_bites_its_tail() -> None:
    """The error names the whole path."""
    first, second, third = await nodes(3)
    with pytest.raises(CallCycle) as caught:
        await first.call(Node.through, second, third, first)
    assert names(caught.value) == ["third", "first", "second", "third"]


async def test_a_cycle_through_a_concurrent_handler() -> None:
    """The handler that answers the first is the one that calls it."""
    first, second = await nodes(2)
    with pytest.raises(CallCycle):
        await first.call(Node.through_beside, second, first)


async def test_a_cycle_through_a_task_that_a_handler_waits_for() -> None:
    first, second = await nodes(2)
    with pytest.raises(CallCycle):
        await first.call(Node.through_task, second, first)


async def test_a_cycle_through_a_gather() -> None:
    """All of it must be done, so one part that cannot be is enough."""
    first, second = await nodes(2)
    with pytest.raises(CallCycle):
        await first.call(Node.through_gather, second, first)


async def test_a_cycle_through_a_shield_and_through_a_wait_for_all() -> None:
    first, second = await nodes(2)
    for method in (Node.through_shield, Node.through_wait):
        with pytest.raises(CallCycle):
            await first.call(method, second, first)


@pytest.mark.parametrize(
    "how", ["gather of gather", "shield of gather", "gather of shield", "limit of gather"]
)
async def test_a_cycle_through_what_is_nested(how: str) -> None:
    first, second = await nodes(2)
    with pytest.raises(CallCycle):
        await first.call(Node.through_nested, how, second, first)


async def test_a_cycle_through_a_task_group() -> None:
    first, second = await nodes(2)
    with pytest.raises(ExceptionGroup) as caught:
        await first.call(Node.through_group, second, first)
    assert caught.group_contains(CallCycle)


async def test_a_cycle_through_a_wait_with_a_limit() -> None:
    """Only time would end it, as with a call."""
    first, second = await nodes(2)
    for limited in (Node.through_wait_for, Node.through_timeout):
        with pytest.raises(CallCycle):
            await first.call(limited, second, first)


class Desk(GenServer):
    """Serves two at a time, who may have to wait, and to ask elsewhere, first."""

    @handle_call(concurrent=2, raises=(CallCycle,))
    async def serve(self, gate: asyncio.Event | None = None, other: Ref[Node] | None = None) -> str:
        if gate is not None:
            await gate.wait()
        return "served" if other is None else await other.call(Node.ask_desk)


async def test_a_place_that_only_those_have_who_wait_for_the_one_that_asks() -> None:
    """Both places are taken by calls that wait for the first, which asks for a third."""
    (first,) = await nodes(1)
    desk = await Desk.child_spec().named("desk").start_link()
    held = await begun(first.call(Node.wait))
    serving = [await begun(desk.call(Desk.serve, None, first)) for _ in range(2)]
    state_of(first).gate.set()
    cycle, served = await asyncio.gather(*serving, return_exceptions=True)
    assert isinstance(cycle, CallCycle)
    assert names(cycle) == ["first", "desk", "first"]
    assert served == "served"  # the one that was refused has left its place
    assert await held == "first"


async def test_a_wait_for_who_waits_for_a_place_of_those_that_ask() -> None:
    """The other way round: the first asks for a place, then those who have them ask the first."""
    (first,) = await nodes(1)
    desk = await Desk.child_spec().named("desk").start_link()
    gates = [asyncio.Event(), asyncio.Event()]
    serving = [await begun(desk.call(Desk.serve, gate, first)) for gate in gates]
    asking = await begun(first.call(Node.ask_desk))
    gates[0].set()
    await wait_until_idle()
    assert not asking.done()  # the other may still leave its place
    gates[1].set()
    with pytest.raises(CallCycle) as caught:
        await serving[1]
    assert names(caught.value) == ["desk", "first", "desk"]
    assert await asking == "served"
    assert await serving[0] == "served"


async def test_a_place_that_somebody_else_will_leave_is_no_cycle() -> None:
    (first,) = await nodes(1)
    desk = await Desk.child_spec().named("desk").start_link()
    gate = asyncio.Event()
    other = await begun(desk.call(Desk.serve, gate))
    asking = await begun(desk.call(Desk.serve, None, first))
    assert not asking.done()
    gate.set()
    assert list(await asyncio.gather(other, asking)) == ["served", "served"]


@pytest.mark.parametrize("returns_when", [asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION])
async def test_a_wait_for_whichever_comes_first_when_none_can_is_a_cycle(returns_when: str) -> None:
    first, second = await nodes(2)
    with pytest.raises(CallCycle):
        await first.call(Node.through_first_of, returns_when, second, first)


async def test_a_cycle_that_a_stop_closes() -> None:
    """The stop of a server waits for the handler that asks for it."""
    first, second = await nodes(2)
    assert await first.call(Node.stop_in_a_cycle, second) == "cycle"


class Owner(GenServer):
    """Has tasks that ask it, and waits for them."""

    def __init__(self, tasks: Ref[Any]) -> None:
        self.tasks = tasks

    @handle_call
    def who(self) -> str:
        return "owner"

    async def ask(self, _item: object = None) -> str:
        return await ref("owner", Owner).call(Owner.who)

    async def wait_first(self, _item: object = None) -> str:
        await pause(1.0)
        return await self.ask()

    async def one_asks(self, item: int) -> str:
        """The one that can end does so when the other has asked."""
        if item:
            return await self.ask()
        await pause(1.0)
        return "first"

    async def mixed(self, item: int) -> str:
        return await self.ask() if item else "first"

    @handle_call(raises=(CallCycle,))
    async def await_task(self, how: str) -> object:
        task = await TaskSupervisor.start_task_nolink(self.tasks, self.ask)
        await wait_until_idle()  # it has asked
        match how:
            case "await":
                return await task
            case "options":
                return await task.options(timeout=1.0)
            case "wait":
                return await task.wait(None)
            case _:
                return await task.wait(1.0)

    @handle_call
    async def await_suspended(self) -> object:
        task = await TaskSupervisor.start_task_nolink(self.tasks, self.wait_first)
        await wait_until_idle()  # it has begun
        await suspend(task)  # which keeps messages from it, and nothing else
        return await task.wait(None)

    @handle_call(raises=(CallCycle,))
    async def read_now(self, function: str, items: Any, order: str = "kept") -> list[Any]:
        stream = TaskSupervisor.async_stream_nolink(
            self.tasks,
            getattr(self, function),
            items,
            max_concurrency=2,
            timeout=None,
            ordered=order == "kept",
        )
        async with stream as outcomes:
            return [outcome async for outcome in outcomes]

    @handle_call
    async def read_first(self, items: Any, order: str = "any") -> object:
        stream = TaskSupervisor.async_stream_nolink(
            self.tasks, self.one_asks, items, max_concurrency=2, ordered=order == "kept"
        )
        async with stream as outcomes:
            return await anext(outcomes)

    @handle_call(raises=(CallCycle,))
    async def read_later(self, function: str, items: Any, order: str = "kept") -> list[Any]:
        """The same, when the tasks of the first items have asked already."""
        stream = TaskSupervisor.async_stream_nolink(
            self.tasks,
            getattr(self, function),
            items,
            max_concurrency=2,
            timeout=None,
            ordered=order == "kept",
        )
        async with stream as outcomes:
            got = [await anext(outcomes)]
            await wait_until_idle()
            return got + [outcome async for outcome in outcomes]


async def owner_of(max_children: int | None = None) -> tuple[Ref[Owner], Ref[Any]]:
    tasks = await TaskSupervisor.start_link(max_children=max_children)
    return await Owner.child_spec(tasks).named("owner").start_link(), tasks


@pytest.mark.parametrize("how", ["await", "options", "wait"])
async def test_a_task_that_has_asked_the_one_that_awaits_it(how: str) -> None:
    """Whoever comes second closes the cycle, the task or its owner."""
    owner, _ = await owner_of()
    with pytest.raises(CallCycle) as caught:
        await owner.call(Owner.await_task, how)
    owner_again, task, owner_now = caught.value.path
    assert owner_again == owner_now == process_of(owner).describe()
    assert task.startswith("Owner.ask")


async def test_a_task_that_is_suspended_and_asks_the_one_that_awaits_it() -> None:
    owner, _ = await owner_of()
    outcome = await owner.call(Owner.await_suspended)
    assert isinstance(outcome, TaskExit)
    assert isinstance(outcome.reason, Crashed)
    assert isinstance(outcome.reason.exception, CallCycle)


@pytest.mark.parametrize("order", ["kept", "any"])
async def test_a_stream_whose_tasks_have_all_asked_the_one_that_reads_it(order: str) -> None:
    owner, _ = await owner_of()
    with pytest.raises(CallCycle):
        await owner.call(Owner.read_later, "mixed", [0, 1, 1], order)


@pytest.mark.parametrize("order", ["kept", "any"])
async def test_a_task_of_a_stream_that_asks_the_one_that_reads_it(order: str) -> None:
    """It fails, and its reader hears of that: it is the task that closes the cycle."""
    owner, _ = await owner_of()
    (outcome,) = await owner.call(Owner.read_now, "wait_first", [1], order)
    assert isinstance(outcome, TaskExit)
    assert isinstance(outcome.reason, Crashed)
    assert isinstance(outcome.reason.exception, CallCycle)


async def test_an_async_iterable_that_asks_the_one_that_reads_the_stream() -> None:
    owner, _ = await owner_of()

    async def items() -> AsyncIterator[str]:
        yield await ref("owner", Owner).call(Owner.who)

    with pytest.raises(CallCycle):
        await owner.call(Owner.read_now, "ask", items())


async def test_room_that_only_those_have_who_wait_for_the_one_that_reads() -> None:
    owner, tasks = await owner_of(max_children=1)
    await suspend(owner)
    reading = await begun(owner.call(Owner.read_now, "ask", [1]))
    await TaskSupervisor.start_child(tasks, _ask_owner)
    await wait_until_idle()
    await resume(owner)
    with pytest.raises(CallCycle):
        await reading


async def _ask_owner() -> None:
    await ref("owner", Owner).call(Owner.who)


class Impatient(GenServer):
    """Asks its own supervisor for something before it is up."""

    async def init(self) -> None:
        await ref("top", Supervisor).call(Supervisor.which_children)


async def test_a_start_that_asks_its_own_supervisor() -> None:
    """The classic of OTP, where it hangs until the call times out."""
    with pytest.raises(StartFailed) as caught:
        await (
            Supervisor.child_spec([Impatient.child_spec()], strategy="one_for_one").named("top").start_link()
        )
    assert "CallCycle" in repr(caught.value)


# ---------------------------------------------------------------------------------------- look-alikes


async def test_a_callee_that_answers_beside_is_no_cycle() -> None:
    """The second asks the first, which waits for the second only in a concurrent handler."""
    first, second = await nodes(2)
    assert await first.call(Node.beside, second, first) == "first"


async def test_a_call_to_a_concurrent_handler_of_a_waiting_server_is_a_cycle_only_if_it_waits_itself() -> (
    None
):
    """A server whose serial handler waits takes no message at all, so this one is."""
    first, second = await nodes(2)
    waiting = await begun(second.call(Node.wait))
    calling = await begun(first.call(Node.beside, second))
    assert not calling.done()  # it waits, and somebody will open the gate: no cycle
    state_of(second).gate.set()
    assert await calling == "second"
    await waiting


async def test_a_task_that_is_looked_for_now_and_then_is_no_cycle() -> None:
    """Its owner goes on when it has looked, and answers."""
    owner, _ = await owner_of()
    assert await owner.call(Owner.await_task, "look") is None


async def test_a_stream_of_which_one_task_can_end_is_no_cycle() -> None:
    """That of an item that is read first, or any when the order does not matter."""
    owner, _ = await owner_of()

    async def helper(item: int) -> int:
        await pause(1.0)
        return item

    async def read(**options: Any) -> int:
        stream = TaskSupervisor.async_stream(owner_tasks, helper, [1, 2], max_concurrency=2, **options)
        async with stream as outcomes:
            return len([outcome async for outcome in outcomes])

    owner_tasks = state_of(owner).tasks
    assert [await read(), await read(ordered=False)] == [2, 2]
    assert await owner.call(Owner.read_first, [0, 1], "kept") == TaskOk("first")
    assert await owner.call(Owner.read_first, [1, 0], "any") == TaskOk("first")


async def test_a_handler_beside_is_waited_for_and_not_what_its_server_does() -> None:
    """The first waits for a concurrent handler of the second, whose serial one asks the first."""
    first, second, third = await nodes(3)
    busy = await begun(third.call(Node.wait))
    calling = await begun(first.call(Node.through_beside, second, third))
    asking = await begun(second.call(Node.through, first))
    assert not calling.done()
    assert not asking.done()
    state_of(third).gate.set()
    assert list(await asyncio.gather(busy, calling, asking)) == ["third", "third", "first"]


async def test_a_caller_that_was_taken_is_no_cycle() -> None:
    """Whoever keeps a caller may answer it from any handler, so that nothing waits for anything in particular."""
    first, second = await nodes(2)
    calling = await begun(first.options(timeout=None).call(Node.hand_on, second, first))
    asking = await begun(second.call(Node.through, first))
    assert not calling.done()
    assert not asking.done()  # the first is busy with a call that the second keeps
    state_of(second).kept[0].reply("from outside")
    assert list(await asyncio.gather(calling, asking)) == ["from outside", "first"]


async def test_a_forwarded_caller_is_no_cycle() -> None:
    """The second has handed it to the third, and asks the first, which waits for the answer."""
    first, second, third = await nodes(3)
    calling = await begun(first.call(Node.ask_to_keep, second))
    state_of(third).kept.append(state_of(second).kept.pop())
    asking = await begun(second.call(Node.through, first))
    assert not calling.done()
    assert not asking.done()
    third.cast(Node.answer_kept)
    assert list(await asyncio.gather(calling, asking)) == ["third", "first"]


async def test_who_has_its_answer_is_not_waiting_any_more() -> None:
    """The handler that asked the second is still busy, with something else, when the second asks back."""
    first, second = await nodes(2)
    calling = await begun(first.call(Node.ask_and_wait, second))
    asking = await begun(second.call(Node.through, first))
    assert not asking.done()
    state_of(first).gate.set()
    assert list(await asyncio.gather(calling, asking)) == ["second", "first"]


@pytest.mark.parametrize(("how", "heard"), [("cancelled", "first"), ("timed out", "DeadlineExceeded")])
async def test_a_caller_that_has_given_up_is_no_cycle(how: str, heard: str) -> None:
    """Its handler is still busy, with something else, when its callee asks it at last; where the time was the call's, too late."""
    first, second = await nodes(2)
    calling = await begun(first.options(timeout=None).call(Node.ask_briefly, second, first, how=how))
    await clock().advance(1.5)
    state_of(second).gate.set()
    await wait_until_idle()
    assert not calling.done()
    assert state_of(second).heard == ([] if how == "cancelled" else [heard])
    state_of(first).gate.set()
    assert await calling == "first"
    await wait_until_idle()
    assert state_of(second).heard == [heard]


async def test_two_that_call_each_other_one_after_the_other_are_no_cycle() -> None:
    first, second = await nodes(2)
    assert await first.call(Node.through, second) == "second"
    assert await second.call(Node.through, first) == "first"


async def test_two_ways_to_one_busy_server_are_no_cycle() -> None:
    """The first asks the third, and the second, which asks the third as well."""
    first, second, third = await nodes(3)
    busy = await begun(third.call(Node.wait))
    asking = await begun(first.call(Node.ask_both, second, third))
    other = await begun(second.call(Node.through, third))
    assert not asking.done()
    state_of(third).gate.set()
    assert await asking == ["third", "third"]
    assert list(await asyncio.gather(busy, other)) == ["third"] * 2


async def test_a_cast_back_is_no_cycle() -> None:
    """Nobody waits for it."""

    class Teller(GenServer):
        def __init__(self) -> None:
            self.told: list[str] = []

        @handle_call
        async def ask(self, other: Ref[Any]) -> object:
            return await other.call(Echo.echo)

        @handle_cast
        def tell(self, word: str) -> None:
            self.told.append(word)

    class Echo(GenServer):
        @handle_call
        async def echo(self) -> str:
            ref("teller", Teller).cast(Teller.tell, "hello")
            return "echo"

    teller = await Teller.child_spec().named("teller").start_link()
    echo = await Echo.start_link()
    assert await teller.call(Teller.ask, echo) == "echo"


async def test_waiting_for_whichever_comes_first_is_no_cycle() -> None:
    """One of the two may be answered, so the wait is not for the one that cannot."""

    class Racer(GenServer):
        @handle_call
        def name(self) -> str:
            return "racer"

        @handle_call
        async def race(self, other: Ref[Any]) -> str:
            calls = [
                asyncio.create_task(other.options(timeout=1.0).call(Back.back)),
                asyncio.create_task(in_turn()),
            ]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            return ",".join(str(task.result()) for task in done)

    class Back(GenServer):
        @handle_call
        async def back(self) -> str:
            return await ref("racer", Racer).options(timeout=0.1).call(Racer.name)

    async def in_turn() -> str:
        return "first"

    trap_exit()
    racer = await Racer.child_spec().named("racer").start_link()
    back = await Back.start_link()
    assert await racer.call(Racer.race, back) == "first"


class Keeper(GenServer):
    """Looks at a plain process that waits for it."""

    @handle_call
    async def look(self, waiting: Pid) -> str:
        send(waiting, "ask")
        await pause(1.0)
        await suspend(waiting)
        await resume(waiting)
        return why(waiting).root.kind

    @handle_call
    def answer(self) -> None:
        pass


async def test_a_plain_process_that_waits_for_whoever_suspends_it_answers_at_once() -> None:
    keeper = await Keeper.child_spec().start()

    async def ask() -> None:
        await receive()
        await keeper.call(Keeper.answer)

    pid, _ = spawn_monitor(ask)
    assert await keeper.call(Keeper.look, pid) == "running"
    assert (await receive(Down)).reason == Normal()
