"""What comes of a task, and how the process that started it takes it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    Crashed,
    Down,
    Exited,
    ExitSignal,
    GenServer,
    Killed,
    NoProcess,
    Normal,
    ProcessDied,
    Ref,
    Shutdown,
    Stop,
    TaskExit,
    TaskOk,
    TaskRef,
    TaskResult,
    TaskSupervisor,
    UsageError,
    demonitor,
    handle_call,
    kill,
    receive,
    self_pid,
    send,
    send_exit,
    trap_exit,
)
from tests.otp._owners import (
    Boom,
    double,
    double_plain,
    fail,
    hang,
    obey,
    obey_or_fail,
    pause,
    process_of,
    refuse_to_end,
    spawn_owner,
    ties_of,
    turn,
    wait_until_idle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.mabeam


# ------------------------------------------------------------------------------------------------- await


@pytest.mark.parametrize("function", [double, double_plain])
async def test_await_takes_the_value(function: Any) -> None:
    """Of an async function and of a plain one."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, function, 4)
    assert await task == 8


async def test_await_leaves_nothing_of_the_task_behind() -> None:
    """No message, no monitor, no link, no child."""
    tasks = await TaskSupervisor.start_link()
    before = ties_of(self_pid())
    for linked in (TaskSupervisor.start_task, TaskSupervisor.start_task_nolink):
        task = await linked(tasks, double, 4)
        assert ties_of(self_pid())[1] == before[1] + 1
        await task
    await wait_until_idle()
    assert ties_of(self_pid()) == before
    assert process_of(self_pid()).mailbox is None
    assert (await tasks.call(TaskSupervisor.count_children)).specs == 0


async def test_await_works_when_the_task_has_ended_long_ago() -> None:
    """The value waits in the mailbox, behind other messages, and those stay."""
    tasks = await TaskSupervisor.start_link()
    send(self_pid(), "before")
    task = await TaskSupervisor.start_task(tasks, double, 4)
    await wait_until_idle()
    send(self_pid(), "after")
    assert await task == 8
    assert [await receive(timeout=0), await receive(timeout=0)] == ["before", "after"]
    with pytest.raises(TimeoutError):
        await receive(timeout=0)


async def test_values_can_be_taken_in_any_order() -> None:
    tasks = await TaskSupervisor.start_link()
    started = [await TaskSupervisor.start_task(tasks, double, number) for number in range(20)]
    assert [await task for task in reversed(started)] == [2 * number for number in reversed(range(20))]


async def test_a_failed_task_raises_where_it_is_awaited() -> None:
    """With its reason, and the exception that crashed it as the cause."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, fail, "no luck")
    with pytest.raises(ProcessDied) as caught:
        await task
    assert caught.value.operation == "await"
    assert caught.value.reason == Crashed(Boom("no luck"))
    assert isinstance(caught.value.__cause__, Boom)
    assert caught.value.pid == task.pid


@pytest.mark.parametrize("reason", [Normal(), Shutdown("later"), Exited("gone")])
async def test_a_task_that_stops_has_no_value(reason: Any) -> None:
    """``raise Stop(Normal())`` is an end without a value, as in OTP."""

    async def stop() -> None:
        raise Stop(reason)

    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, stop)
    with pytest.raises(ProcessDied) as caught:
        await task
    assert caught.value.reason == reason


async def test_a_crash_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """To logging, with the name of the function; being awaited or not changes nothing."""
    tasks = await TaskSupervisor.start_link()
    await TaskSupervisor.start_child(tasks, fail)
    task = await TaskSupervisor.start_task_nolink(tasks, fail)
    with pytest.raises(ProcessDied):
        await task
    await wait_until_idle()
    assert len([record for record in caplog.records if "crashed in fail" in record.getMessage()]) == 2


async def test_a_linked_task_that_fails_takes_its_owner_along() -> None:
    """The owner does not get as far as seeing ``ProcessDied``."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> None:
        await (await TaskSupervisor.start_task(tasks, fail))

    _, probe = spawn_owner(own)
    down = await probe.next()
    assert down.reason == Crashed(Boom("boom"))


async def test_an_owner_that_traps_exits_survives_its_linked_task() -> None:
    """It gets the error from ``await``, and the exit signal as a message."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        trap_exit()
        task = await TaskSupervisor.start_task(tasks, fail)
        with pytest.raises(ProcessDied):
            await task
        return await receive(timeout=0), task.pid

    _, probe = spawn_owner(own)
    _, (message, pid) = await probe.next()
    assert message == ExitSignal(pid, Crashed(Boom("boom")))


async def test_a_linked_task_ends_with_its_owner_and_another_does_not() -> None:
    """Unless the owner ends normally."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        linked = await TaskSupervisor.start_task(tasks, hang)
        return linked, await TaskSupervisor.start_task_nolink(tasks, hang)

    for reason, ends in ((Exited("gone"), True), (Normal(), False)):
        owner, probe = spawn_owner(own)
        _, (linked, other) = await probe.next()
        if ends:
            send_exit(owner, reason)
        else:
            send(owner, "end")
        await wait_until_idle()
        assert not owner.is_alive
        assert (linked.pid.is_alive, other.pid.is_alive) == (not ends, True)
        assert not process_of(other).watchers


async def test_an_outcome_is_given_out_once() -> None:
    """Without a limit a second await says so at once; with one it times out, as in OTP."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 4)
    await task
    with pytest.raises(UsageError, match="taken already"):
        await task
    with pytest.raises(CallTimeout):
        await task.options(timeout=2.0)
    assert asyncio.get_running_loop().time() == 2.0
    assert await task.wait(0) is None


async def test_only_the_owner_may_take_the_outcome() -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 4)

    async def take() -> None:
        await task

    for what in (take, task.wait, task.shutdown):
        _, probe = spawn_owner(what)
        kind, error = await probe.next()
        assert kind == "error"
        assert isinstance(error, UsageError)
        assert "the process that started it" in str(error)
    assert await task == 8


async def test_two_cannot_wait_for_one_task() -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, obey)
    first = asyncio.ensure_future(task.wait())
    await wait_until_idle()
    with pytest.raises(UsageError, match="waited for already"):
        await task
    send(task, "value")
    assert await first == TaskOk("value")


async def test_tasks_can_be_gathered() -> None:
    """asyncio wraps each in a task of its own; all of those belong to the owner."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        started = [await TaskSupervisor.start_task(tasks, double, number) for number in range(5)]
        return await asyncio.gather(*started)

    _, probe = spawn_owner(own)
    assert await probe.next() == ("value", [0, 2, 4, 6, 8])


# ------------------------------------------------------------------------------------------------- limits


async def test_await_with_a_limit_gives_up_for_good() -> None:
    """A late value reaches nobody, and the monitor is gone; the task goes on."""
    tasks = await TaskSupervisor.start_link()
    monitors = ties_of(self_pid())[1]
    task = await TaskSupervisor.start_task_nolink(tasks, obey)
    with pytest.raises(CallTimeout) as caught:
        await task.options(timeout=3.0)
    assert (caught.value.handler, caught.value.timeout) == ("await", 3.0)
    assert asyncio.get_running_loop().time() == 3.0
    assert task.pid.is_alive
    assert ties_of(self_pid())[1] == monitors
    send(task, "late")
    await wait_until_idle()
    assert process_of(self_pid()).mailbox is None


async def test_wait_leaves_the_task_alone() -> None:
    """Not ready is ``None``; then the outcome is given out once."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, obey)
    assert await task.wait(1.0) is None
    assert await task.wait(0) is None
    assert asyncio.get_running_loop().time() == 1.0
    send(task, "value")
    assert await task.wait() == TaskOk("value")
    assert await task.wait(1.0) is None


async def test_wait_tells_of_a_failure_without_raising() -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, fail)
    assert await task.wait() == TaskExit(Crashed(Boom("boom")))


@pytest.mark.parametrize("timeout", [-1, "soon"])
async def test_a_limit_has_to_be_one(timeout: Any) -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 1)
    with pytest.raises(UsageError, match="timeout"):
        task.options(timeout=timeout)
    with pytest.raises(UsageError, match="shutdown"):
        await task.shutdown(timeout)
    await task


# ------------------------------------------------------------------------------------------------- shutdown


@pytest.mark.parametrize("start", [TaskSupervisor.start_task, TaskSupervisor.start_task_nolink])
@pytest.mark.parametrize("how", [5.0, 0, "infinity", "brutal_kill"])
async def test_shutdown_ends_a_task_and_nothing_of_it_arrives(start: Any, how: Any) -> None:
    """It answers ``None``: the task ended as it was told to. The owner, linked or not, gets no message."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        trap_exit()
        task = await start(tasks, hang)
        outcome = await task.shutdown(how)
        return outcome, task.pid.is_alive, process_of(self_pid()).mailbox, ties_of(self_pid())

    _, probe = spawn_owner(own)
    assert await probe.next() == ("value", (None, False, None, (0, 0)))


async def test_shutdown_of_a_task_that_has_returned_gives_its_value() -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 4)
    await wait_until_idle()
    assert await task.shutdown() == TaskOk(8)


async def test_shutdown_takes_a_value_that_is_returned_meanwhile() -> None:
    async def last_words() -> str:
        trap_exit()
        await receive(ExitSignal)
        return "goodbye"

    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, last_words)
    await wait_until_idle()
    assert await task.shutdown() == TaskOk("goodbye")


@pytest.mark.parametrize(
    ("reason", "how", "outcome"),
    [
        (Exited("gone"), 5.0, TaskExit(Exited("gone"))),
        (Normal(), 5.0, TaskExit(Normal())),
        (Shutdown(), 5.0, None),
        (Shutdown("why"), 5.0, TaskExit(Shutdown("why"))),
        (Shutdown(), "brutal_kill", TaskExit(Shutdown())),
        (Killed(), "brutal_kill", None),
        (Killed(), 5.0, TaskExit(Killed())),
    ],
)
async def test_shutdown_of_a_task_that_has_failed_gives_its_reason(
    reason: Any, how: Any, outcome: Any
) -> None:
    """Unless it is the one that the shutdown would have given, as in OTP."""

    async def stop() -> None:
        raise Stop(reason)

    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, stop)
    await wait_until_idle()
    assert await task.shutdown(how) == outcome
    assert process_of(self_pid()).mailbox is None


async def test_shutdown_kills_what_does_not_end_in_time() -> None:
    """A coroutine that swallows its cancellation is frozen."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, refuse_to_end)
    await wait_until_idle()
    assert await task.shutdown(2.0) == TaskExit(Killed())
    assert asyncio.get_running_loop().time() == 2.0


async def test_shutdown_after_the_outcome_was_taken_says_so() -> None:
    """Also when it was taken as a message; a task whose await timed out is ended as any other."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 4)
    await task
    assert await task.shutdown() == TaskExit(NoProcess())
    task = await TaskSupervisor.start_task(tasks, double, 4)
    assert await receive(TaskResult) == TaskResult(task.ref, 8)
    await receive(Down)
    assert await task.shutdown() == TaskExit(NoProcess())
    given_up = await TaskSupervisor.start_task_nolink(tasks, hang)
    with pytest.raises(CallTimeout):
        await given_up.options(timeout=0)
    assert await given_up.shutdown() is None


async def test_a_cancelled_shutdown_goes_on() -> None:
    """The limit holds although nobody waits."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, refuse_to_end)
    await wait_until_idle()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await task.shutdown(4.0)
    assert task.pid.is_alive
    await pause(3.5)
    assert not task.pid.is_alive


# ------------------------------------------------------------------------------------------------- unread outcomes


async def test_what_nobody_awaits_is_a_message_of_the_plain_process() -> None:
    """The value first, then ``Down`` with the same reference; a failure is a ``Down`` alone."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        task = await TaskSupervisor.start_task_nolink(tasks, double, 4)
        got = [await receive(), await receive()]
        failing = await TaskSupervisor.start_task_nolink(tasks, fail)
        return task, got, failing, await receive()

    _, probe = spawn_owner(own)
    _, (task, got, failing, last) = await probe.next()
    assert got == [TaskResult(task.ref, 8), Down(task.ref, task.pid, Normal())]
    assert last == Down(failing.ref, failing.pid, Crashed(Boom("boom")))


async def test_messages_of_tasks_keep_their_place_among_the_others() -> None:
    """In the order of arrival, as in OTP."""
    tasks = await TaskSupervisor.start_link()

    async def own() -> Any:
        first = await TaskSupervisor.start_task_nolink(tasks, obey)
        second = await TaskSupervisor.start_task_nolink(tasks, obey)
        for target, message in ((second.pid, "b"), (self_pid(), "x"), (first.pid, "a")):
            send(target, message)
            await wait_until_idle()
        got = [await receive() for _ in range(5)]
        return [
            getattr(message, "value", message) if not isinstance(message, Down) else Down for message in got
        ]

    _, probe = spawn_owner(own)
    assert await probe.next() == ("value", ["b", Down, "x", "a", Down])


async def test_demonitor_says_that_the_outcome_is_not_wanted() -> None:
    """The value does not arrive either."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, obey)
    demonitor(task.ref, flush=True)
    send(task, "value")
    await wait_until_idle()
    assert not task.pid.is_alive
    assert process_of(self_pid()).mailbox is None


class Desk(GenServer):
    """Starts tasks in every way that a server has."""

    def __init__(self, tasks: Ref[TaskSupervisor]) -> None:
        self.tasks = tasks
        self.got: list[Any] = []
        self.task: TaskRef[Any] | None = None

    @handle_call
    async def start(self) -> TaskRef[Any]:
        self.task = await TaskSupervisor.start_task_nolink(self.tasks, obey_or_fail)
        return self.task

    @handle_call
    async def start_and_await(self, value: int) -> int:
        return await (await TaskSupervisor.start_task_nolink(self.tasks, double, value))

    @handle_call
    async def await_it(self) -> Any:
        assert self.task is not None
        return await self.task

    @handle_call(concurrent=4)
    async def start_beside(self, wait_for: asyncio.Future[None]) -> TaskRef[Any]:
        task = await TaskSupervisor.start_task_nolink(self.tasks, double, 4)
        await wait_for
        return task

    @handle_call(concurrent=4)
    async def start_and_await_beside(self, wait_for: asyncio.Future[None]) -> int:
        task = await TaskSupervisor.start_task_nolink(self.tasks, double, 4)
        await wait_for
        return await task

    @handle_call(concurrent=4)
    async def many_beside(self, count: int) -> int:
        return sum(
            [
                await (await TaskSupervisor.start_task_nolink(self.tasks, double, each))
                for each in range(count)
            ]
        )

    @handle_call
    def what_came(self) -> list[Any]:
        return self.got

    def handle_info(self, message: object, /) -> None:
        self.got.append(message)


async def _desk() -> Ref[Desk]:
    return await Desk.start_link(await TaskSupervisor.start_link())


async def test_a_serial_handler_awaits_its_task() -> None:
    desk = await _desk()
    assert await desk.call(Desk.start_and_await, 4) == 8
    assert await desk.call(Desk.what_came) == []
    assert ties_of(desk)[1] == 0


async def test_what_a_handler_leaves_arrives_in_handle_info() -> None:
    """In the order of arrival: the value, then ``Down``."""
    desk = await _desk()
    task = await desk.call(Desk.start)
    send(task, "value")
    await wait_until_idle()
    assert await desk.call(Desk.what_came) == [
        TaskResult(task.ref, "value"),
        Down(task.ref, task.pid, Normal()),
    ]
    task = await desk.call(Desk.start)
    send(task, Boom("boom"))
    await wait_until_idle()
    assert (await desk.call(Desk.what_came))[2:] == [Down(task.ref, task.pid, Crashed(Boom("boom")))]


async def test_a_later_handler_may_await_what_an_earlier_one_started() -> None:
    """If the outcome has not reached handle_info yet."""
    desk = await _desk()
    task = await desk.call(Desk.start)
    answer = asyncio.ensure_future(desk.call(Desk.await_it))
    await wait_until_idle()
    send(task, "value")
    assert await answer == "value"
    assert await desk.call(Desk.what_came) == []


async def test_a_concurrent_handler_gets_its_value_while_the_server_goes_on() -> None:
    """The serial handler does not take the message away, however late it is awaited."""
    desk = await _desk()
    go = asyncio.get_running_loop().create_future()
    answer = asyncio.ensure_future(desk.call(Desk.start_and_await_beside, go))
    await wait_until_idle()
    assert await desk.call(Desk.what_came) == []
    assert await desk.call(Desk.start_and_await, 1) == 2
    go.set_result(None)
    assert await answer == 8
    await wait_until_idle()
    assert await desk.call(Desk.what_came) == []
    assert ties_of(desk)[1] == 0


async def test_what_a_concurrent_handler_leaves_arrives_when_it_has_ended() -> None:
    """Not earlier: until then it could still await."""
    desk = await _desk()
    go = asyncio.get_running_loop().create_future()
    answer = asyncio.ensure_future(desk.call(Desk.start_beside, go))
    await wait_until_idle()
    assert await desk.call(Desk.what_came) == []
    go.set_result(None)
    task = await answer
    await wait_until_idle()
    assert await desk.call(Desk.what_came) == [TaskResult(task.ref, 8), Down(task.ref, task.pid, Normal())]


async def test_a_concurrent_handler_may_start_any_number_of_tasks() -> None:
    desk = await _desk()
    assert await desk.options(timeout=None).call(Desk.many_beside, 3_000) == 2 * sum(range(3_000))
    assert await desk.call(Desk.what_came) == []


async def test_lifespan_may_await_at_its_end_what_it_started_at_its_beginning() -> None:
    """It is one activation; the server serves meanwhile and does not get the message."""
    tasks = await TaskSupervisor.start_link()
    got: list[Any] = []

    class Holder(GenServer):
        async def lifespan(self) -> AsyncGenerator[None]:
            task = await TaskSupervisor.start_task_nolink(tasks, double, 4)
            yield
            got.append(await task)

        def handle_info(self, message: object, /) -> None:
            got.append(message)

    holder = await Holder.start_link()
    await wait_until_idle()
    assert got == []
    await holder.stop()
    assert got == [8]


# ------------------------------------------------------------------------------------------------- cancellation, leaks


async def test_a_cancelled_await_can_be_repeated() -> None:
    """Nothing was taken, whenever the cancellation came."""
    tasks = await TaskSupervisor.start_link()
    for turns in range(12):
        task = await TaskSupervisor.start_task_nolink(tasks, double, 4)

        async def take(task: TaskRef[int] = task) -> int:
            return await task

        waiting = asyncio.ensure_future(take())
        for _ in range(turns):
            await turn()
        waiting.cancel()
        try:
            assert await waiting == 8
        except asyncio.CancelledError:
            assert await task == 8
        await wait_until_idle()
        assert process_of(self_pid()).mailbox is None
        assert ties_of(self_pid()) == (1, 0)


async def test_a_start_that_is_cancelled_leaves_nothing_behind() -> None:
    """Whenever the cancellation comes, there is a task with an owner, or none."""
    tasks = await TaskSupervisor.start_link()
    for turns in range(6):
        starting = asyncio.ensure_future(TaskSupervisor.start_task(tasks, hang))
        keep_busy = asyncio.ensure_future(tasks.call(TaskSupervisor.which_children))
        for _ in range(turns):
            await turn()
        starting.cancel()
        try:
            task = await starting
        except asyncio.CancelledError:
            pass
        else:
            assert await task.shutdown() is None
        await keep_busy
        await wait_until_idle()
        assert (await tasks.call(TaskSupervisor.count_children)).specs == 0
        assert ties_of(self_pid()) == (1, 0)


async def test_an_owner_killed_while_it_starts_a_task_leaves_none_behind() -> None:
    tasks = await TaskSupervisor.start_link()
    for turns in range(8):
        owner, _ = spawn_owner(lambda: TaskSupervisor.start_task(tasks, hang))
        for _ in range(turns):
            await turn()
        kill(owner)
        await wait_until_idle()
        assert (await tasks.call(TaskSupervisor.count_children)).specs == 0


async def test_a_task_ended_by_others_tells_its_owner() -> None:
    """By a kill, by its supervisor, by the end of its supervisor."""
    tasks = await TaskSupervisor.start_link()
    started = [await TaskSupervisor.start_task_nolink(tasks, hang) for _ in range(3)]
    kill(started[0])
    await tasks.call(TaskSupervisor.terminate_child, started[1])
    await tasks.stop()
    assert [await task.wait() for task in started] == [
        TaskExit(Killed()),
        TaskExit(Shutdown()),
        TaskExit(Shutdown()),
    ]


async def test_a_handle_is_freed_with_its_last_reference() -> None:
    """No cycle has to be collected, taken or not."""
    tasks = await TaskSupervisor.start_link()
    gc.collect()
    gc.disable()
    try:
        for take in (True, False):
            task = await TaskSupervisor.start_task(tasks, double, 4)
            if take:
                await task
            else:
                await receive(TaskResult)
                await receive(Down)
            await wait_until_idle()
            gone = weakref.ref(task)
            del task
            assert gone() is None
    finally:
        gc.enable()


async def test_a_handle_shows_what_runs() -> None:
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, double, 4)
    assert repr(task) == f"<task double {task.pid.serial}>"
    await task
    await wait_until_idle()
    assert repr(task) == f"<task double {task.pid.serial}, ended>"
