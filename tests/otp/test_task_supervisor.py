"""The supervisor of tasks: starting, restarting, refusing, stopping."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Crashed,
    Down,
    DynamicSupervisor,
    Exited,
    ExitSignal,
    Killed,
    NoSuchProcess,
    Pid,
    ProcessDied,
    RejectedError,
    Shutdown,
    Stop,
    Supervisor,
    TaskExit,
    TaskOk,
    TaskRef,
    TaskSupervisor,
    UsageError,
    child_spec,
    kill,
    monitor,
    receive,
    self_pid,
    send,
    send_exit,
    spawn_supervised,
    trap_exit,
)
from tests.otp._owners import (
    Boom,
    double,
    fail,
    hang,
    obey,
    pause,
    process_of,
    refuse_to_end,
    spawn_owner,
    ties_of,
    wait_until_idle,
)

if TYPE_CHECKING:
    from mabeam import Runtime

pytestmark = pytest.mark.mabeam


async def _count(tasks: Any) -> int:
    counts = await tasks.call(TaskSupervisor.count_children)
    assert counts.specs == counts.workers
    return int(counts.specs)


# ------------------------------------------------------------------------------------------------- start_child


async def test_a_child_is_nobodys_but_the_supervisors() -> None:
    """Neither linked to the caller nor monitored by it; nothing arrives."""
    tasks = await TaskSupervisor.start_link()
    before = ties_of(self_pid())
    pid = await TaskSupervisor.start_child(tasks, obey)
    assert isinstance(pid, Pid)
    assert ties_of(self_pid()) == before
    assert process_of(pid).parent is process_of(tasks)
    assert await _count(tasks) == 1
    send(pid, "done")
    await wait_until_idle()
    assert await _count(tasks) == 0
    assert process_of(self_pid()).mailbox is None


async def test_a_failing_child_disturbs_nobody() -> None:
    tasks = await TaskSupervisor.start_link(max_restarts=0)
    await TaskSupervisor.start_child(tasks, fail)
    await wait_until_idle()
    assert await _count(tasks) == 0


async def test_arguments_belong_to_the_function() -> None:
    """Keywords too, whatever they are called."""
    seen: list[Any] = []

    async def note(*args: Any, **options: Any) -> None:
        seen.append((args, options))

    tasks = await TaskSupervisor.start_link()
    await TaskSupervisor.start_child(tasks, note, 1, restart="never", supervisor=2)
    await (await TaskSupervisor.start_task(tasks, note, 3, link=4, function=5))
    await wait_until_idle()
    assert sorted(seen, key=repr) == [
        ((1,), {"restart": "never", "supervisor": 2}),
        ((3,), {"link": 4, "function": 5}),
    ]


@pytest.mark.simulate(False, reason="through the mailbox the task has its turn before the owner goes on")
async def test_a_task_runs_after_its_owner_has_it() -> None:
    """Even a plain function: never inside the start."""
    order: list[str] = []
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task(tasks, order.append, "task")
    order.append("owner")
    await task
    assert order == ["owner", "task"]


@pytest.mark.parametrize(
    ("restart", "how", "restarted"),
    [
        ("temporary", "raise", False),
        ("temporary", "return", False),
        ("transient", "raise", True),
        ("transient", "return", False),
        ("permanent", "raise", True),
        ("permanent", "return", True),
    ],
)
async def test_a_child_is_restarted_as_its_options_say(restart: Any, how: str, *, restarted: bool) -> None:
    tasks = await TaskSupervisor.start_link(max_restarts=1)
    begun: list[Pid] = []

    async def work() -> None:
        begun.append(self_pid())
        if await receive() == "raise":
            raise Boom("boom")

    pid = await TaskSupervisor.options(restart=restart).start_child(tasks, work)
    await wait_until_idle()
    send(pid, how)
    await wait_until_idle()
    assert len(begun) == 1 + restarted
    assert await _count(tasks) == restarted


async def test_too_many_restarts_end_the_supervisor_and_all_tasks() -> None:
    async def own() -> Any:
        trap_exit()
        tasks = await TaskSupervisor.start_link(max_restarts=2)
        task = await TaskSupervisor.start_task_nolink(tasks, hang)
        await TaskSupervisor.options(restart="permanent").start_child(tasks, fail)
        return await receive(ExitSignal), await task.wait()

    _, probe = spawn_owner(own)
    _, (signal, outcome) = await probe.next()
    assert signal.reason == Shutdown()
    assert outcome == TaskExit(Shutdown())


@pytest.mark.parametrize(
    ("options", "problems"),
    [({"restart": "sometimes"}, 1), ({"shutdown": -1}, 1), ({"restart": "x", "shutdown": "y"}, 2)],
)
def test_bad_options_are_listed_at_once(options: dict[str, Any], problems: int) -> None:
    with pytest.raises(UsageError) as caught:
        TaskSupervisor.options(**options)
    assert len(caught.value.problems) == problems


async def test_a_task_with_an_owner_is_never_restarted() -> None:
    tasks = await TaskSupervisor.start_link()
    with pytest.raises(UsageError, match="start_child"):
        await TaskSupervisor.options(restart="transient").start_task(tasks, double, 1)
    assert await _count(tasks) == 0


# ------------------------------------------------------------------------------------------------- refusals


async def test_a_full_supervisor_rejects_and_starts_nothing() -> None:
    """Until one has ended."""
    tasks = await TaskSupervisor.start_link(max_children=2)
    before = ties_of(self_pid())
    first = await TaskSupervisor.start_child(tasks, obey)
    await TaskSupervisor.start_task_nolink(tasks, hang)
    for start in (
        TaskSupervisor.start_child(tasks, double, 1),
        TaskSupervisor.start_task(tasks, double, 1),
        TaskSupervisor.start_task_nolink(tasks, double, 1),
        spawn_supervised(double, 1, supervisor=tasks),
    ):
        with pytest.raises(RejectedError, match="max_children"):
            await start
    assert ties_of(self_pid()) == (before[0], before[1] + 1)
    assert await _count(tasks) == 2
    send(first, "done")
    await wait_until_idle()
    assert await (await TaskSupervisor.start_task(tasks, double, 1)) == 2


async def test_without_a_running_supervisor_nothing_is_started() -> None:
    """The error says how to start one."""
    dead = await TaskSupervisor.start_link()
    await dead.stop()
    seen: list[int] = []
    for supervisor in (dead, "tasks"):
        for start in (
            TaskSupervisor.start_child(supervisor, seen.append, 1),
            TaskSupervisor.start_task(supervisor, seen.append, 1),
            TaskSupervisor.start_task_nolink(supervisor, seen.append, 1),
            spawn_supervised(seen.append, 1, supervisor=supervisor),
            TaskSupervisor.async_stream(supervisor, seen.append, [1], max_concurrency=1).__aenter__(),
        ):
            with pytest.raises(
                NoSuchProcess, match=r'TaskSupervisor\.child_spec.*\.named\("tasks"\)'
            ) as caught:
                await start
            assert caught.value.operation == "start"
    await wait_until_idle()
    assert seen == []


async def test_a_coroutine_is_no_function() -> None:
    """The message shows the right form; the coroutine is closed."""
    tasks = await TaskSupervisor.start_link()
    given: Any = double(1)
    with pytest.raises(UsageError, match=r"start_task\(double, \.\.\.\)|right"):
        await TaskSupervisor.start_task(tasks, given)
    other: Any = 5
    with pytest.raises(UsageError, match="expects a function"):
        await spawn_supervised(other, supervisor=tasks)


async def test_only_a_task_supervisor_will_do() -> None:
    other: Any = await DynamicSupervisor.start_link()
    with pytest.raises(UsageError, match="TaskSupervisor"):
        await TaskSupervisor.start_child(other, double, 1)


async def test_a_task_supervisor_takes_no_child_specs() -> None:
    """Its children are tasks."""
    tasks: Any = await TaskSupervisor.start_link()
    with pytest.raises(UsageError):
        await tasks.call(DynamicSupervisor.start_child, child_spec(hang))


async def test_bad_limits_start_no_supervisor() -> None:
    with pytest.raises(UsageError) as caught:
        await TaskSupervisor.start_link(max_children=-1, max_seconds=0)
    assert len(caught.value.problems) == 2


# ------------------------------------------------------------------------------------------------- trees, stopping


async def test_a_name_follows_the_supervisor_across_restarts() -> None:
    """In a tree, found by its name; its tasks end with it."""
    await Supervisor.start_link(
        [TaskSupervisor.child_spec(max_children=2).named("tasks")], strategy="one_for_one"
    )
    first = await TaskSupervisor.start_task_nolink("tasks", hang)
    kill("tasks")
    assert await first.wait() == TaskExit(Killed())
    await wait_until_idle()
    assert await (await TaskSupervisor.start_task("tasks", double, 4)) == 8


async def test_tasks_are_stopped_all_at_once_each_within_its_time() -> None:
    """It takes as long as the slowest; what swallows its cancellation is killed."""
    tasks = await TaskSupervisor.start_link()
    slow = [
        await TaskSupervisor.options(shutdown=seconds).start_task_nolink(tasks, refuse_to_end)
        for seconds in (1.0, 2.0, 3.0)
    ]
    quick = await TaskSupervisor.options(shutdown="brutal_kill").start_task_nolink(tasks, hang)
    await wait_until_idle()
    await tasks.stop()
    assert asyncio.get_running_loop().time() == 3.0
    assert await quick.wait() == TaskExit(Killed())
    assert [await task.wait() for task in slow] == [TaskExit(Killed())] * 3


async def test_terminate_child_takes_a_pid_or_a_handle() -> None:
    tasks = await TaskSupervisor.start_link()
    pid = await TaskSupervisor.start_child(tasks, hang)
    task = await TaskSupervisor.start_task_nolink(tasks, hang)
    await tasks.call(TaskSupervisor.terminate_child, pid)
    await tasks.call(TaskSupervisor.terminate_child, task)
    assert await _count(tasks) == 0
    assert await task.wait(0) == TaskExit(Shutdown())


async def test_which_children_lists_the_tasks() -> None:
    tasks = await TaskSupervisor.start_link()
    pid = await TaskSupervisor.start_child(tasks, hang)
    (child,) = await tasks.call(TaskSupervisor.which_children)
    assert (child.pid, child.state, child.is_supervisor) == (pid, "running", False)


async def test_one_hanging_task_holds_up_nobody() -> None:
    """The supervisor runs no code of a task: everything else goes on in the same moment."""
    tasks = await TaskSupervisor.start_link()
    await TaskSupervisor.start_child(tasks, refuse_to_end)
    for number in range(200):
        assert await (await TaskSupervisor.start_task(tasks, double, number)) == 2 * number
    assert asyncio.get_running_loop().time() == 0.0


@pytest.mark.simulate(False, reason="about numbers: once takes seconds")
async def test_10_000_tasks_leave_nothing_behind(runtime: Runtime) -> None:
    """Returned, failed, stopped and killed ones."""
    tasks = await TaskSupervisor.start_link()
    before = ties_of(self_pid()), runtime.statistics()

    async def end(number: int) -> int:
        if number % 5 == 1:
            raise Stop(Exited(number))
        if number % 5 == 2:
            await hang()
        return number

    for start in range(0, 10_000, 500):
        started = [
            await TaskSupervisor.start_task_nolink(tasks, end, number) for number in range(start, start + 500)
        ]
        await wait_until_idle()
        for number, task in enumerate(started, start):
            outcome = await task.shutdown() if number % 5 == 2 else await task.wait()
            expected = {1: TaskExit(Exited(number)), 2: None}.get(number % 5, TaskOk(number))
            assert outcome == expected
    await wait_until_idle()
    assert (ties_of(self_pid()), runtime.statistics()) == before
    assert len(process_of(tasks).links) == 1


# ------------------------------------------------------------------------------------------------- spawn_supervised


async def test_spawn_supervised_is_a_child_of_the_named_supervisor() -> None:
    """By handle and by name; temporary, and not tied to the caller."""
    tasks = await TaskSupervisor.child_spec().named("tasks").start_link()
    for supervisor in (tasks, "tasks"):
        pid = await spawn_supervised(obey, supervisor=supervisor)
        assert process_of(pid).parent is process_of(tasks)
        ref = monitor(pid)
        send(pid, "done")
        assert (await receive(Down)).ref is ref


async def test_spawn_supervised_fails_loudly_inside_the_task(caplog: pytest.LogCaptureFixture) -> None:
    tasks = await TaskSupervisor.start_link()
    pid = await spawn_supervised(fail, "no luck", supervisor=tasks)
    monitor(pid)
    assert (await receive(Down)).reason == Crashed(Boom("no luck"))
    assert "no luck" in caplog.text


# ------------------------------------------------------------------------------------------------- events


async def test_each_task_is_told_of_at_its_beginning_and_its_end(runtime: Runtime) -> None:
    """With whom it works for, and how long it ran."""
    seen: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    subscription = runtime.bus.attach(
        lambda event, measurements, metadata: seen.append((event, dict(measurements), dict(metadata))),
        events=["task.*"],
    )
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, pause, 3.0)
    await task
    subscription.detach()
    common = {"pid": task.pid.serial, "label": "pause", "owner": self_pid().serial}
    assert seen == [
        ("task.started", {}, common),
        ("task.finished", {"duration": 3.0}, {**common, "reason": "Normal()"}),
    ]


async def test_a_task_may_use_its_own_mailbox_links_and_tasks() -> None:
    """It is a process like any other."""
    tasks = await TaskSupervisor.start_link()

    async def outer() -> int:
        inner = [await TaskSupervisor.start_task(tasks, double, number) for number in (1, 2, 3)]
        return sum([await each for each in inner], start=int(await receive()))

    task: TaskRef[int] = await TaskSupervisor.start_task(tasks, outer)
    send(task, 100)
    assert await task == 112


async def test_a_supervisor_that_is_ending_starts_nothing() -> None:
    """Whoever asks meanwhile hears of its end."""
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, refuse_to_end)
    await wait_until_idle()
    send_exit(tasks, Shutdown())
    seen: list[int] = []
    with pytest.raises(ProcessDied):
        await TaskSupervisor.start_child(tasks, seen.append, 1)
    assert seen == []
    assert await task.wait() == TaskExit(Killed())
