"""Servers, tasks and streams that are used wrongly: an error at once, which says what to write instead."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from mabeam import (
    Caller,
    Crashed,
    DynamicSupervisor,
    GenServer,
    HandlerFailed,
    Ignore,
    Normal,
    NoSuchProcess,
    Pid,
    ProcessDied,
    Ref,
    Registry,
    StartFailed,
    Stop,
    Supervisor,
    TaskExit,
    TaskSupervisor,
    UsageError,
    handle_call,
    handle_cast,
    handle_stream,
    idle_timeout,
    ref,
    reply_later,
    spawn_supervised,
    whereis,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")


class Counter(GenServer):
    """Adds, in every way there is."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.kept: list[Caller[Any]] = []

    @handle_call
    def add(self, amount: int = 1) -> int:
        self.value += amount
        return self.value

    @handle_call
    async def add_slowly(self, amount: int = 1) -> int:
        return self.add(amount)

    @handle_cast
    def reset(self) -> None:
        self.value = 0

    @handle_stream
    async def numbers(self) -> AsyncIterator[int]:
        yield self.value

    def plain(self) -> None: ...


class Louder(Counter):
    """Overrides."""

    @handle_call
    def add(self, amount: int = 1) -> int:
        return super().add(10 * amount)


class Mixed(Generic[T]):
    """Handlers that servers inherit."""

    @handle_call
    def mixed(self) -> str:
        return "mixed"


class Generic_(Mixed[T], GenServer, Generic[T]):
    """A generic server."""


async def job(number: int, *, double: bool = False) -> int:
    return 2 * number if double else number


async def generator(number: int) -> AsyncIterator[int]:
    yield number


# ---------------------------------------------------------------------------------------- what is called


async def test_a_coroutine_is_no_method() -> None:
    """Although it has the name of one; it is closed, so that nothing is said of one that was never awaited."""
    server = await Counter.start_link()
    coroutine = Counter().add_slowly()
    with pytest.raises(UsageError, match=r"right:  ref\.call\(Counter\.add_slowly, \.\.\.\)"):
        await server.call(coroutine)  # type: ignore[call-overload]  # what is wrong
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        (Counter(5).add, r"the method of one object, .*right:  ref\.call\(Counter\.add, \.\.\.\)"),
        ("add", r"right:  ref\.call\(Counter\.add, \.\.\.\)"),
        ("nothing", r"right:  ref\.call\(Counter\.method, \.\.\.\)"),
        (7, "was the method called"),
        (None, "was the method called"),
        (Counter.plain, "Its handlers are: add, add_slowly, reset, numbers"),
        (Counter.start_link, "no handler of"),
        (len, "no handler of"),
    ],
)
async def test_what_is_no_method_of_the_class_is_refused(method: Any, hint: str) -> None:
    server = await Counter.start_link()
    with pytest.raises(UsageError, match=f"(?s){hint}"):
        await server.call(method)
    assert await server.call(Counter.add) == 1


async def test_what_is_called_on_the_class_is_no_handler() -> None:
    """The functions of a TaskSupervisor take its handle."""
    tasks = await TaskSupervisor.start_link()
    with pytest.raises(UsageError, match=r"await TaskSupervisor\.start_task\(ref, \.\.\.\)"):
        await tasks.call(TaskSupervisor.start_task, job, 1)  # type: ignore[call-overload]  # what is wrong


async def test_the_method_of_a_base_leads_to_what_overrides_it() -> None:
    """As does that of whatever has a handler of that name."""
    server = await Louder.start_link()
    assert await server.call(Counter.add) == 10
    mixed: Ref[Generic_[int]] = await Generic_.child_spec().named("mixed").start_link()
    assert await mixed.call(Mixed.mixed) == "mixed"
    assert await ref("mixed", Mixed).call(Mixed.mixed) == "mixed"
    assert await ref("mixed", Generic_[int]).call(Mixed.mixed) == "mixed"
    untyped: Any = Any
    assert await ref("mixed", untyped).call(Mixed.mixed) == "mixed"


async def test_an_attribute_that_a_handle_does_not_have_is_one_of_the_server() -> None:
    """Which is another process. Protocols that ask for attributes get the answer that they expect."""
    server: Any = await Counter.start_link()
    with pytest.raises(AttributeError, match=r"(?s)wrong:  ref\.add\(.*right:  await ref\.call\(Server\.add"):
        server.add(1)
    with pytest.raises(AttributeError, match=r"wrong:  ref\.value"):
        Counter.add(server, 1)
    with pytest.raises(AttributeError, match=r"Server\.method\(ref"):
        await DynamicSupervisor.start_child(await DynamicSupervisor.start_link(), Counter.child_spec())  # type: ignore[arg-type, misc]  # what is wrong
    with pytest.raises(AttributeError, match=r"Registry\.at\(name or ref\)"):
        (await Registry.start_link(keys="unique")).register("key")  # type: ignore[attr-defined]  # what is wrong
    assert not hasattr(server, "value")
    assert copy.copy(server) == copy.deepcopy([server])[0] == server


async def test_a_handle_that_is_to_be_pickled_says_that_it_leads_to_nobody_elsewhere() -> None:
    server = await Counter.start_link()
    with pytest.raises(
        UsageError,
        match=r"<ref <pid \d+ Counter>> cannot be pickled: .* Send what is to be worked on instead",
    ):
        pickle.dumps(("work", server))


async def test_an_attribute_that_a_pid_does_not_have_is_one_of_a_handle() -> None:
    pid: Any = pid_of(await Counter.start_link())
    with pytest.raises(AttributeError, match=r"mabeam\.ref\(pid, Server\)\.call"):
        await pid.call(Counter.add)
    assert not hasattr(pid, "call")
    assert pickle.loads(pickle.dumps(pid)) == copy.copy(pid) == pid


async def test_a_timeout_among_the_arguments_says_where_it_belongs() -> None:
    server = await Counter.start_link()
    with pytest.raises(UsageError, match=r"ref\.options\(timeout=\.\.\.\)\.call"):
        await server.call(Counter.add, timeout=3)  # type: ignore[call-overload]  # what is wrong
    with pytest.raises(UsageError, match=r"ref\.options\(timeout=\.\.\.\)\.stream"):
        async with server.stream(Counter.numbers, timeout=3):  # type: ignore[call-arg]  # what is wrong
            pass


async def test_a_name_that_nobody_has_and_a_process_that_has_ended_are_told_apart() -> None:
    """What helps is another thing."""
    server = await Counter.start_link()
    await server.stop()
    with pytest.raises(NoSuchProcess, match="It has ended; a process that is restarted is another one"):
        await server.call(Counter.add)
    with pytest.raises(NoSuchProcess, match=r"'counter' is not one\. Nobody has this name"):
        await ref("counter", Counter).call(Counter.add)
    with pytest.raises(NoSuchProcess, match=r"'counter' is not one\. Nobody has this name"):
        async with ref("counter", Counter).stream(Counter.numbers):
            pass
    with pytest.raises(UsageError, match="no handler"):
        server.stream(Counter.plain)  # type: ignore[arg-type]  # what is wrong


@pytest.mark.parametrize("timeout", [-1, math.nan, "3", True])
async def test_what_is_no_duration_is_refused_everywhere(timeout: Any) -> None:
    """Nothing is begun, and nothing waits for ever."""
    server = await Counter.start_link()
    tasks = await TaskSupervisor.start_link()
    task = await TaskSupervisor.start_task_nolink(tasks, job, 1)
    with pytest.raises(UsageError, match="options expects timeout in seconds >= 0"):
        server.options(timeout=timeout)
    with pytest.raises(UsageError, match="stop expects timeout in seconds >= 0"):
        await server.stop(timeout=timeout)
    with pytest.raises(UsageError, match="options expects timeout in seconds >= 0"):
        task.options(timeout=timeout)
    with pytest.raises(UsageError, match="wait expects timeout in seconds >= 0"):
        await task.wait(timeout)
    with pytest.raises(UsageError, match="shutdown expects seconds >= 0"):
        await task.shutdown(timeout)
    assert await task == 1
    assert await server.call(Counter.add) == 1


# ---------------------------------------------------------------------------------------- ref


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (None, r"Did whereis\(\) find nobody"),
        ("", "non-empty string"),
        (3, "got 3"),
        (Counter, "The name comes first"),
    ],
)
async def test_a_handle_is_made_for_a_name(name: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"ref expects the name of a process.*{hint}"):
        ref(name, Counter)


@pytest.mark.parametrize(
    ("server", "hint"),
    [
        (int, "no GenServer and declares no handlers"),
        (Counter(), "an object of that class: write Counter"),
        ("Counter", "got 'Counter' for the class"),
        (None, "got None for the class"),
    ],
)
async def test_a_handle_is_made_for_a_class_of_servers(server: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"ref expects a name and then the class of the server.*{hint}"):
        ref("counter", server)


async def test_a_handle_can_be_made_for_a_pid() -> None:
    """That is what a registry finds and what a ``Down`` names; it leads to that process, and to no other."""
    server = await Counter.child_spec(7).named("counter").start_link()
    pid = whereis("counter")
    assert pid is not None
    assert await ref(pid, Counter).call(Counter.add) == 8
    assert ref(pid, Counter) == server
    with pytest.raises(NoSuchProcess):
        ref(pickle.loads(pickle.dumps(pid)), Counter)
    await server.stop()
    with pytest.raises(NoSuchProcess):
        await ref(pid, Counter).call(Counter.add)


async def test_a_handle_is_one_already() -> None:
    with pytest.raises(UsageError, match="a handle already"):
        ref(await Counter.start_link(), Counter)  # type: ignore[arg-type]  # what is wrong


# ---------------------------------------------------------------------------------------- what handlers return


def _answer(caller: Caller[Any]) -> None:
    caller.reply("at once")


class Forgetful(GenServer):
    """Forgets an await, or a return."""

    def __init__(self) -> None:
        self.kept: list[Caller[Any]] = []

    @handle_call
    async def forget_await(self) -> Any:
        return job(1)

    @handle_call(thread=True)
    def forget_await_in_thread(self) -> Any:
        return job(1)

    @handle_call(concurrent=2)
    async def forget_await_beside(self) -> Any:
        return job(1)

    @handle_call
    def forget_return(self) -> Any:
        reply_later(self.kept.append)

    @handle_call
    async def forget_return_slowly(self) -> Any:
        reply_later(self.kept.append)

    @handle_call(concurrent=2)
    async def forget_return_beside(self) -> Any:
        reply_later(self.kept.append)

    @handle_call
    def answer_at_once(self) -> Any:
        reply_later(_answer)

    @handle_call
    def ignore(self) -> None:
        raise Ignore

    @handle_call
    def keep_nothing(self, keep: Any) -> Any:
        return reply_later(keep)

    @handle_call
    def keep(self) -> Any:
        return reply_later(self.kept.append)

    @handle_call(raises=(UsageError,))
    def fail(self, error: Any) -> None:
        self.kept[0].fail(error)


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        (Forgetful.forget_await, r"return await job\(\.\.\.\)"),
        (Forgetful.forget_return, r"Write return reply_later\(\.\.\.\)"),
        (Forgetful.forget_return_slowly, r"Write return reply_later\(\.\.\.\)"),
        (Forgetful.ignore, r"raise Stop\(Normal\(\)\)"),
    ],
)
async def test_a_handler_that_forgets_something_crashes_with_what_it_is(
    method: Any, hint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the caller, who would get a coroutine, or nothing, for an answer."""
    server = await Forgetful.child_spec().start()
    with pytest.raises(ProcessDied, match=hint) as caught:
        await server.call(method)
    assert isinstance(caught.value.reason, Crashed)
    assert isinstance(caught.value.__cause__, UsageError)
    assert len([record for record in caplog.records if record.name == "mabeam"]) == 1


@pytest.mark.parametrize("method", [Forgetful.forget_await_beside, Forgetful.forget_return_beside])
async def test_a_concurrent_handler_that_forgets_something_has_failed(method: Any) -> None:
    """Its server goes on."""
    server = await Forgetful.start_link()
    with pytest.raises(HandlerFailed, match="is missing"):
        await server.call(method)
    assert pid_of(server).is_alive


async def test_a_caller_that_was_answered_already_may_be_left_alone() -> None:
    """There is nothing to return any more."""
    server = await Forgetful.start_link()
    assert await server.call(Forgetful.answer_at_once) == "at once"


@pytest.mark.parametrize("keep", [None, "append", job])
async def test_what_keeps_a_caller_is_a_plain_function(keep: Any) -> None:
    server = await Forgetful.child_spec().start()
    with pytest.raises(ProcessDied, match=r"return reply_later\(self\.waiting\.append\)"):
        await server.call(Forgetful.keep_nothing, keep)


async def test_a_caller_fails_with_an_exception() -> None:
    """It goes on waiting until it gets one."""
    server = await Forgetful.start_link()
    waiting = await begun(server.call(Forgetful.keep))
    for wrong in ("no", ValueError, None):
        with pytest.raises(UsageError, match=r"caller\.fail\(ValueError"):
            await server.call(Forgetful.fail, wrong)
    for ends_more in (KeyboardInterrupt(), asyncio.CancelledError(), Stop(Normal())):
        with pytest.raises(UsageError, match="is no Exception: it would end"):
            await server.call(Forgetful.fail, ends_more)
    await server.call(Forgetful.fail, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await waiting


@pytest.mark.parametrize("seconds", [-1, math.nan, "1", None])
async def test_silence_is_waited_for_in_seconds(seconds: Any) -> None:
    """What is no duration fails the start, and hangs nobody."""

    class Idle(GenServer):
        def init(self) -> None:
            idle_timeout(seconds)

    with pytest.raises(StartFailed) as caught:
        await Idle.start_link()
    assert "idle_timeout expects seconds >= 0" in str(caught.value.__cause__)


# ---------------------------------------------------------------------------------------- casts from threads


@pytest.mark.real_time  # a simulation decides itself when the loop hears of a thread
async def test_a_cast_from_a_thread_that_turns_out_wrong_is_a_dead_letter(
    runtime: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The name may belong to another class of server when the loop comes to it."""
    counter = ref("counter", Counter)

    class Other(GenServer):
        """Has no such handler."""

    thread = threading.Thread(target=counter.cast, args=(Counter.reset, 7))
    thread.start()
    thread.join()
    await Other.child_spec().named("counter").start_link()
    await wait_until_idle()
    assert runtime.dead_letters.counts == {"not_understood": 1}
    assert repr(runtime.dead_letters.latest[0].message) == "cast of Counter.reset(7)"
    (report,) = [record.getMessage() for record in caplog.records if record.name == "mabeam"]
    assert "a cast from a thread was not delivered: Counter.reset is no handler of" in report


# ---------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize(
    "start",
    [
        TaskSupervisor.start_task,
        TaskSupervisor.start_task_nolink,
        TaskSupervisor.start_child,
        TaskSupervisor.options(shutdown=1.0).start_task,
        TaskSupervisor.options(restart="permanent").start_child,
        lambda tasks, function, *args, **kwargs: spawn_supervised(
            function, *args, supervisor=tasks, **kwargs
        ),
    ],
)
async def test_arguments_that_do_not_fit_start_no_task(start: Any) -> None:
    """The caller is told, not the log."""
    tasks = await TaskSupervisor.start_link()
    with pytest.raises(
        UsageError, match=r"do not fit job: missing a required argument: 'number'. Nothing was"
    ):
        await start(tasks, job)
    with pytest.raises(UsageError, match="do not fit job: too many positional arguments"):
        await start(tasks, job, 1, 2)
    counts = await tasks.call(TaskSupervisor.count_children)
    assert counts.specs == 0


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (None, "got None"),
        (Counter, r"await Counter\.start_link\(\.\.\.\)"),
        (generator, "has 'yield' in it"),
        (Counter.child_spec(), r"await spec\.start_link\(\)"),
    ],
)
async def test_what_would_run_nothing_is_no_task(function: Any, hint: str) -> None:
    tasks = await TaskSupervisor.start_link()
    for start in (TaskSupervisor.start_task, TaskSupervisor.start_child):
        with pytest.raises(UsageError, match=f"(?s)expects a function.*{hint}"):
            await start(tasks, function, 1)
    with pytest.raises(UsageError, match=f"(?s)expects a function.*{hint}"):
        TaskSupervisor.async_stream(tasks, function, [1], max_concurrency=1)


async def test_whatever_can_be_called_with_the_arguments_is_a_task() -> None:
    """Plain functions, methods, classes, partial ones, code written in C."""
    tasks = await TaskSupervisor.start_link()
    for function, args, value in (
        (len, ("four",), 4),
        (int, ("7",), 7),
        (Counter(3).add, (4,), 7),
        (lambda *numbers: sum(numbers), (3, 4), 7),
        (lambda number, other=4: number + other, (3,), 7),
    ):
        assert await (await TaskSupervisor.start_task_nolink(tasks, function, *args)) == value
    assert await (await TaskSupervisor.start_task_nolink(tasks, job, 4, double=True)) == 8


async def test_the_function_of_a_stream_takes_one_item() -> None:
    async def two(first: int, second: int) -> None: ...

    tasks = await TaskSupervisor.start_link()
    for stream in (TaskSupervisor.async_stream, TaskSupervisor.async_stream_nolink):
        with pytest.raises(UsageError, match=r"do not fit .*two: missing a required argument: 'second'"):
            stream(tasks, two, [1], max_concurrency=1)  # type: ignore[arg-type]  # what is wrong
    async with TaskSupervisor.async_stream_nolink(tasks, job, [1], max_concurrency=1) as outcomes:
        assert not isinstance(await anext(outcomes), TaskExit)


async def test_an_attribute_that_a_task_does_not_have_says_what_it_has() -> None:
    """It is no future, and no server."""
    tasks = await TaskSupervisor.start_link()
    task: Any = await TaskSupervisor.start_task_nolink(tasks, job, 1)
    for name in ("result", "cancel", "done", "call"):
        with pytest.raises(AttributeError, match="value = await task takes its value"):
            getattr(task, name)
    assert not hasattr(task, "__nothing__")
    assert await task == 1


# ---------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("items", "hint"),
    [(5, "got 5$"), (generator, r"was it to be called\? generator\(\.\.\.\)"), (job, r"job\(\.\.\.\)")],
)
async def test_the_items_of_a_stream_can_be_iterated(items: Any, hint: str) -> None:
    tasks = await TaskSupervisor.start_link()
    with pytest.raises(UsageError, match=f"items expects an iterable or an async iterable.*{hint}"):
        TaskSupervisor.async_stream(tasks, job, items, max_concurrency=1)


async def test_items_that_were_not_awaited_are_no_items() -> None:
    """The coroutine is closed, so that nothing more is said of it."""
    tasks, coroutine = await TaskSupervisor.start_link(), job(1)
    with pytest.raises(UsageError, match=r"await it first, await job\(\.\.\.\)"):
        TaskSupervisor.async_stream(tasks, job, coroutine, max_concurrency=1)  # type: ignore[call-overload]  # what is wrong
    with pytest.raises(RuntimeError, match="cannot reuse"):
        coroutine.send(None)


async def test_a_stream_is_read_in_its_block_and_in_no_other_way() -> None:
    """Each error shows what was written, and what to write."""
    server = await Counter.start_link()
    tasks = await TaskSupervisor.start_link()
    streams: list[Any] = [
        server.stream(Counter.numbers),
        TaskSupervisor.async_stream_nolink(tasks, job, [1], max_concurrency=1),
    ]
    for stream in streams:
        with pytest.raises(UsageError, match=r"(?s)wrong:  for .*right:  async with"):
            list(stream)
        with pytest.raises(UsageError, match=r"(?s)wrong:  \w+ = await .*right:  async with"):
            await stream
        with pytest.raises(UsageError, match=r"(?s)wrong:  with .*right:  async with"), stream:
            pass
        with pytest.raises(UsageError, match=r"(?s)wrong:  async for .*right:  async with"):
            aiter(stream)


# ---------------------------------------------------------------------------------------- registry


async def test_the_keys_of_a_process_are_found_by_whatever_leads_to_it() -> None:
    """And not only by its pid, under which nothing would be found otherwise."""
    registry = Registry.at(await Registry.start_link(keys="unique"))

    class Registered(GenServer):
        def __init__(self) -> None:
            registry.register("key", "value")

    server = await Registered.child_spec().named("registered").start_link()
    for target in (server, "registered", pid_of(server)):
        assert registry.keys(target) == ["key"]
        assert registry.values("key", target) == ["value"]
    assert registry.keys("nobody") == registry.values("key", "nobody") == []
    with pytest.raises(UsageError, match="expected a pid"):
        registry.keys(3)  # type: ignore[arg-type]  # what is wrong


async def test_a_supervisor_answers_to_its_own_handlers() -> None:
    """Named in the error, so that one sees what there is."""
    top = await Supervisor.start_link([], strategy="one_for_one")
    with pytest.raises(UsageError, match=r"Its handlers are: .*start_child"):
        await top.call(Counter.plain)  # type: ignore[call-overload]  # what is wrong
    assert isinstance(top.pid, Pid)
    assert state_of(top) is not None
