"""Portals of threads that belong to a process: what is done through them is done by that process."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallCycle,
    GenServer,
    Killed,
    NoSuchProcess,
    Pid,
    ProcessDied,
    Ref,
    Registry,
    Runtime,
    Shutdown,
    TaskSupervisor,
    UsageError,
    handle_call,
    handle_cast,
    in_thread,
    kill,
    portal,
    receive,
    ref,
    reply_later,
    self_pid,
    send,
    send_exit,
    spawn,
    why,
)
from mabeam.kernel import here
from mabeam.testing import Probe, wait_until_idle
from tests.kernel._scenes import never, process_of, reason_of
from tests.kernel._why_scenes import kinds
from tests.otp._servers import clock, pid_of, state_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Echo(GenServer):
    """Answers, and asks others."""

    @handle_call
    def echo(self, word: str) -> str:
        return word

    @handle_call(raises=(CallCycle,))
    async def ask_back(self, other: Ref[Threaded]) -> str:
        return await other.options(timeout=None).call(Threaded.ping)


class Threaded(GenServer):
    """Runs in threads whatever it is given."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.release = threading.Event()

    @handle_call(thread=True, raises=(CallCycle, ProcessDied, UsageError))
    def do(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    @handle_call(raises=(CallCycle,))
    async def do_later(self, function: Callable[..., Any], *args: Any) -> Any:
        return await in_thread(function, *args)

    async def do_in_task(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.create_task(in_thread(function, *args))

    @handle_call(raises=(CallCycle,))
    async def ask_through(self, how: Any, echo: Ref[Echo], me: Ref[Threaded]) -> Any:
        return await how(self, portal().call, echo.options(timeout=None), Echo.ask_back, me)

    @handle_call(concurrent=2, raises=(CallCycle,))
    async def do_beside(self, function: Callable[..., Any], *args: Any) -> Any:
        return await in_thread(function, *args)

    @handle_call
    async def give_up(
        self, function: Callable[[], object], begun: threading.Event, release: threading.Event
    ) -> None:
        """Stop waiting for a thread that goes on."""
        task = asyncio.get_running_loop().create_task(in_thread(function))
        with clock().outside():
            await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.wait([task])
        release.set()

    @handle_call
    def ping(self) -> str:
        return "pong"

    @handle_cast
    def note(self, what: object) -> None:
        self.seen.append(what)


def ping(server: Ref[Threaded]) -> Any:
    return portal().call(server.options(timeout=None), Threaded.ping)


# ---------------------------------------------------------------------------------------- cycles


@pytest.mark.parametrize("how", [Threaded.do, Threaded.do_later])
async def test_a_thread_that_calls_its_own_server_gets_call_cycle_at_once(how: Any) -> None:
    """As an async handler does: nothing is waited for."""
    server = await Threaded.start_link()
    with pytest.raises(CallCycle) as caught:
        await server.options(timeout=None).call(how, ping, server)
    assert len(caught.value.path) == 2
    assert caught.value.path[0] == caught.value.path[1]
    assert clock().time() == 0.0
    assert await server.call(Threaded.ping) == "pong"


async def test_a_thread_that_calls_one_that_calls_back_gets_call_cycle() -> None:
    """The path goes through the thread."""
    server = await Threaded.start_link()
    echo = await Echo.start_link()

    def ask() -> Any:
        return portal().call(echo, Echo.ask_back, server)

    with pytest.raises(CallCycle) as caught:
        await server.options(timeout=None).call(Threaded.do, ask)
    assert len(caught.value.path) == 3


@pytest.mark.parametrize("how", [Threaded.do_later, Threaded.do_in_task])
async def test_a_thread_that_was_given_the_portal_of_its_handler_gets_call_cycle_too(how: Any) -> None:
    """The handler made it, or a task of the handler has the thread: the path goes through the thread all the same."""
    server = await Threaded.start_link()
    echo = await Echo.start_link()
    with pytest.raises(CallCycle) as caught:
        await server.options(timeout=None).call(Threaded.ask_through, how, echo, server)
    assert len(caught.value.path) == 3


async def test_why_leads_through_a_thread_that_asks_through_the_portal_of_its_handler() -> None:
    probe, gate = Probe.start(), asyncio.Event()

    class Busy(GenServer):
        @handle_call
        async def work(self) -> None:
            send(probe.pid, "begun")
            await gate.wait()

    class Asks(GenServer):
        @handle_call
        async def ask(self, busy: Ref[Busy]) -> None:
            await in_thread(portal().call, busy, Busy.work)

    server, busy = await Asks.start_link(), await Busy.start_link()
    waiting = asyncio.get_running_loop().create_task(server.call(Asks.ask, busy))
    assert await probe.next() == "begun"
    await wait_until_idle()
    assert kinds(why(server)) == ["call", "call", "outside_lock"]
    gate.set()
    await waiting


async def test_a_thread_of_a_concurrent_handler_may_call_its_own_server() -> None:
    """The server takes messages meanwhile."""
    server = await Threaded.start_link()
    assert await server.call(Threaded.do_beside, ping, server) == "pong"


async def test_another_thread_that_was_given_the_portal_is_no_cycle() -> None:
    """The handler does not wait for it, so the call is served when the handler has returned."""
    server = await Threaded.start_link()
    outcome: list[object] = []
    threads: list[threading.Thread] = []

    def start_another() -> None:
        gate = portal()

        def call() -> None:
            outcome.append(gate.call(server.options(timeout=None), Threaded.ping))

        threads.append(threading.Thread(target=call))
        threads[0].start()

    await server.call(Threaded.do, start_another)
    with clock().outside():
        await asyncio.to_thread(threads[0].join)
    assert outcome == ["pong"]


async def test_what_a_thread_asks_for_has_the_deadline_of_its_handler() -> None:
    """So nothing new is begun for a caller who has stopped waiting."""
    server = await Threaded.start_link()

    async def look() -> float | None:
        return here.get().deadline

    assert await server.options(timeout=7.0).call(Threaded.do, lambda: portal().run(look)) == 7.0


# ---------------------------------------------------------------------------------------- who acts


async def test_code_run_through_the_portal_is_code_of_the_process() -> None:
    """It has its pid, what it links is linked to it, and what it registers is registered for it."""
    server = await Threaded.start_link()
    agents = Registry.at(await Registry.start_link(keys="unique"))

    async def look() -> Pid:
        agents.register("it")
        return self_pid()

    def work() -> tuple[Pid, Ref[Echo]]:
        return portal().run(look), portal().run(Echo.start_link)

    pid, echo = await server.call(Threaded.do, work)
    assert pid == pid_of(server) == agents.whereis("it")
    assert process_of(pid_of(echo)) in process_of(pid).links
    assert await echo.call(Echo.echo, "alive") == "alive"  # the thread has ended, its process has not


async def test_casts_and_messages_from_a_thread_arrive_in_the_order_sent(runtime: Runtime) -> None:
    server = await Threaded.start_link()
    probe = Probe.start()

    def work() -> None:
        for number in range(3):
            portal().cast(server, Threaded.note, number)
            portal().send(probe.pid, number)
        portal().send("nobody", "lost")

    await server.call(Threaded.do, work)
    await wait_until_idle()
    assert state_of(server).seen == [0, 1, 2] == list(probe.messages)
    assert runtime.dead_letters.counts == {"no_name": 1}


async def test_a_task_that_a_thread_starts_is_awaited_through_the_portal() -> None:
    """It belongs to the process, so a later step of the thread can take its value."""
    server = await Threaded.start_link()
    tasks = await TaskSupervisor.start_link()

    async def double(number: int) -> int:
        return 2 * number

    async def outcome_of(task: Any) -> Any:
        return await task

    def work() -> Any:
        task = portal().run(TaskSupervisor.start_task, tasks, double, 21)
        return portal().run(outcome_of, task)

    assert await server.call(Threaded.do, work) == 42


async def test_a_thread_may_answer_later() -> None:
    """It takes the caller of its handler."""
    server = await Threaded.start_link()
    kept: list[Any] = []
    probe = Probe.start()

    async def keep() -> Any:
        answer = reply_later(kept.append)
        send(probe.pid, "kept")
        return answer

    waiting = asyncio.get_running_loop().create_task(server.call(Threaded.do, lambda: portal().run(keep)))
    assert await probe.next() == "kept"
    assert await server.call(Threaded.ping) == "pong"
    assert not waiting.done()
    kept[0].reply("later")
    assert await waiting == "later"


async def test_the_portal_of_a_plain_process_leaves_its_mailbox_alone() -> None:
    """``receive`` belongs to the function of the process itself."""
    probe = Probe.start()

    async def body() -> None:
        try:
            await in_thread(lambda: portal().run(receive))
        except UsageError as error:
            send(probe.pid, error)

    spawn(body)
    assert "function of a plain process" in str(await probe.next())


# ---------------------------------------------------------------------------------------- ends


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_thread_that_waits_hears_of_the_end_of_its_process(*, swallows: bool) -> None:
    """What it waits for is ended with the process; what resists is frozen, and the thread is told all the same."""
    server = await Threaded.child_spec().start()
    probe = Probe.start()
    outcome: list[BaseException] = []
    left = threading.Event()

    async def stay() -> None:
        send(probe.pid, "waits")
        while True:
            try:
                await never()
            except asyncio.CancelledError:
                if not swallows:
                    raise

    def work() -> None:
        try:
            portal().run(stay)
        except BaseException as error:
            outcome.append(error)
        left.set()

    call = asyncio.get_running_loop().create_task(server.options(timeout=None).call(Threaded.do, work))
    assert await probe.next() == "waits"
    probe.watch(server)
    kill(server)
    await probe.next()
    with clock().outside():
        await asyncio.to_thread(left.wait, 30)
    assert isinstance(outcome[0], ProcessDied)
    assert outcome[0].reason == Killed() == reason_of(pid_of(server))
    with pytest.raises(ProcessDied):
        await call


async def test_a_thread_that_waits_when_its_process_is_told_to_end_goes_on_at_once() -> None:
    """It does not wait for the death, which may wait for the thread's own clean-up elsewhere."""
    server = await Threaded.child_spec().start()
    probe = Probe.start()

    async def stay() -> None:
        send(probe.pid, "waits")
        await never()

    def work() -> None:
        try:
            portal().run(stay)
        except BaseException as error:
            outcome.append(error)
        left.set()

    outcome: list[BaseException] = []
    left = threading.Event()
    call = asyncio.get_running_loop().create_task(server.options(timeout=None).call(Threaded.do, work))
    assert await probe.next() == "waits"
    send_exit(server, Shutdown("enough"))
    with clock().outside():
        await asyncio.to_thread(left.wait, 30)
    assert isinstance(outcome[0], ProcessDied)
    assert outcome[0].reason == Shutdown("enough")
    with pytest.raises(ProcessDied):
        await call


@pytest.mark.real_time  # the thread only seems to wait
async def test_an_interrupted_wait_ends_what_was_waited_for_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody needs it any more, and the process has more to do."""
    import concurrent.futures
    from types import SimpleNamespace

    ended: list[str] = []
    waits = threading.Event()

    class Interrupted(concurrent.futures.Future[object]):
        def result(self, timeout: float | None = None) -> object:
            waits.wait(30)
            raise KeyboardInterrupt

    async def stay() -> None:
        waits.set()
        try:
            await never()
        finally:
            ended.append("stay")

    def work() -> str:
        try:
            portal().run(stay)
        except KeyboardInterrupt:
            return "interrupted"
        return "not reached"

    server = await Threaded.start_link()
    monkeypatch.setattr(
        "mabeam.kernel._portal.concurrent", SimpleNamespace(futures=SimpleNamespace(Future=Interrupted))
    )
    assert await server.options(timeout=None).call(Threaded.do, work) == "interrupted"
    await wait_until_idle()
    assert ended == ["stay"]
    assert await server.call(Threaded.ping) == "pong"


async def test_a_thread_that_nobody_waits_for_is_told_so() -> None:
    """Its process lives, so it must not be told that it is dead."""
    server = await Threaded.start_link()
    begun, release, left = (threading.Event() for _ in range(3))
    outcome: list[BaseException] = []

    def work() -> None:
        begun.set()
        release.wait(30)
        try:
            portal().call(ref("anybody", Echo), Echo.echo, "x")
        except NoSuchProcess as error:
            outcome.append(error)
        left.set()

    call = asyncio.get_running_loop().create_task(server.call(Threaded.give_up, work, begun, release))
    with clock().outside():
        await asyncio.to_thread(left.wait, 30)
    await call
    assert "left behind" in str(outcome[0])
    assert await server.call(Threaded.ping) == "pong"
