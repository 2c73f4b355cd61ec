"""``why``: what a process waits for, followed to the root cause. Each cause is planted, and must be named."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import sys
import threading
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import pytest

from mabeam import (
    GenServer,
    Lock,
    NoSuchProcess,
    Postpone,
    Ref,
    Runtime,
    Shutdown,
    StateMachine,
    Supervisor,
    Why,
    become,
    handle_call,
    handle_cast,
    idle_timeout,
    in_thread,
    kill,
    named_timeout,
    receive,
    self_pid,
    send_after,
    send_exit,
    spawn,
    state,
    state_timeout,
    suspend,
    trap_exit,
    unlink,
    wait_stopped,
    why,
)
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn
from tests.kernel._why_scenes import Worker, asker, busy, kinds, stuck_in_thread
from tests.otp._servers import pause, pid_of


async def test_a_call_to_a_busy_server() -> None:
    worker, _ = await busy()
    second = asker(worker, Worker.ping)
    await wait_until_idle()
    answer = why(second)
    assert kinds(answer) == ["call", "outside_lock"]
    assert answer.chain[0].what.endswith("to answer Worker.ping")
    assert answer.chain[0].since == 0.0
    assert answer.root.pid == worker.pid
    assert "(in Worker.hold)" in answer.root.what
    assert answer.root.stack[-2].function == "Worker.hold"


async def test_a_chain_of_three_calls() -> None:
    third, _ = await busy()
    second, first = await Worker.start_link(), await Worker.start_link()
    asker(second, Worker.ask, third)
    await wait_until_idle()
    asker(first, Worker.ask, second)
    start = asker(first, Worker.ping)
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["call", "call", "call", "outside_lock"]
    assert [cause.pid for cause in answer.chain] == [start, first.pid, second.pid, third.pid]


async def test_a_chain_may_be_longer_than_calls_can_be_nested() -> None:
    first, _ = await busy()
    for _ in range(sys.getrecursionlimit() // 2):
        behind, first = first, await Worker.start_link()
        asker(first, Worker.ask, behind)
        await wait_until_idle()
    answer = why(first)
    assert len(answer.chain) == sys.getrecursionlimit() // 2 + 1
    assert answer.root.kind == "outside_lock"


async def test_a_call_cycle() -> None:
    """One that the check at the call could not see."""
    first, second = await Worker.start_link(), await Worker.start_link()
    start = asker(first, Worker.ask_in_task, second, first)
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["call", "task", "call", "task", "call", "cycle"]
    assert answer.root.pid == first.pid
    for server in (first, second):
        unlink(server)
        kill(server)


async def test_a_lock_cycle_is_named_as_one() -> None:
    """Locks of different kinds are taken in different orders."""
    lock, ready = Lock("first"), asyncio.Event()

    class Holder(GenServer):
        @handle_call
        async def take_and_ask(self, other: Ref[Any]) -> None:
            async with lock:
                ready.set()
                await asyncio.create_task(other.options(timeout=None).call(Taker.take))

    class Taker(GenServer):
        @handle_call
        async def take(self) -> None:
            for taken in asyncio.as_completed([take()]):  # the check for cycles does not see through it
                await taken

    async def take() -> None:
        async with lock:
            pass

    holder, taker = await Holder.start_link(), await Taker.start_link()
    start = asker(holder, Holder.take_and_ask, taker)
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["call", "task", "call", "task", "lock", "cycle"]
    assert answer.root.pid == holder.pid


async def test_a_callee_that_took_the_caller_and_never_replies() -> None:
    worker = await Worker.start_link()
    start = asker(worker, Worker.keep)
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["call", "kept_caller"]
    assert answer.root.pid == worker.pid
    assert "took the caller" in answer.root.what


async def test_a_suspended_process() -> None:
    worker = await Worker.start_link()
    await suspend(worker)
    start = asker(worker, Worker.ping)
    await wait_until_idle()
    assert kinds(why(start)) == ["call", "suspended"]


async def test_a_suspended_plain_process_goes_on_until_it_receives() -> None:
    worker, _ = await busy()
    waits, receives = asker(worker, Worker.ping), spawn(receive)
    await wait_until_idle()
    for pid in (waits, receives):
        await suspend(pid)
    assert kinds(why(waits)) == ["call", "outside_lock"]
    assert why(waits).root.pid == worker.pid
    assert kinds(why(receives)) == ["suspended"]


async def test_a_full_mailbox_under_block() -> None:
    class Small(Worker):
        mailbox_limit: ClassVar[int] = 1
        on_full = "block"

        @handle_cast
        def put(self) -> None:
            return None

    small = await Small.start_link()
    asker(small, Worker.hold)
    await wait_until_idle()
    small.cast(Small.put)
    start = asker(small, Worker.ping)
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["room", "outside_lock"]
    assert "which has 1 messages" in answer.chain[0].what


async def test_a_lock_held_by_another_process() -> None:
    """The holder is named, and what keeps it."""
    lock, asyncio_lock, entered = Lock("printer"), asyncio.Lock(), asyncio.Event()

    async def hold() -> None:
        async with lock, asyncio_lock:
            entered.set()
            await receive()

    async def wait(what: Any) -> None:
        async with what:
            pass

    holder = spawn(hold)
    await entered.wait()
    ours, others = spawn(wait, lock), spawn(wait, asyncio_lock)
    await wait_until_idle()
    answer = why(ours)
    assert kinds(answer) == ["lock", "empty_mailbox"]
    assert answer.root.pid == holder
    assert "to release the printer" in answer.chain[0].what
    answer = why(others)
    assert kinds(answer) == ["outside_lock"]
    assert answer.root.stack[0].function.endswith("wait")


@pytest.mark.real_time
async def test_a_socket_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader, writer = await asyncio.open_connection(sock=ours)

        async def read() -> None:
            await reader.read(1)

        pid = spawn(read)
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        answer = why(pid)
        assert kinds(answer) == ["socket"]
        writer.close()
        await writer.wait_closed()


@pytest.mark.real_time
async def test_a_socket_that_is_read_without_a_stream() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        async def read() -> None:
            await loop.sock_recv(ours, 1)

        pid = spawn(read)
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        assert kinds(why(pid)) == ["socket"]
        kill(pid)
        await wait_until_idle()


@pytest.mark.real_time
async def test_a_socket_that_anyio_reads() -> None:
    """And so httpx: it waits for an event of asyncio, but that is not what it waits for."""

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep_silent, "127.0.0.1", 0)
    async with server, await anyio.connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1]) as stream:

        async def read() -> None:
            await stream.receive()

        pid = spawn(read)
        for _ in range(3):
            await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        assert kinds(why(pid)) == ["socket"]
        kill(pid)
        await wait_until_idle()


async def hanging_in_thread(run: Any) -> Why:
    """A process in whose thread a function hangs."""
    release, begun = threading.Event(), threading.Event()
    pid = spawn(run, stuck_in_thread, begun, release)
    try:
        await in_thread(begun.wait, 30)
        return why(pid)
    finally:
        release.set()
        while pid.is_alive:
            await in_thread(int)


@pytest.mark.real_time
async def test_a_thread_of_an_executor_that_does_not_return() -> None:
    """``asyncio.to_thread`` is not of ours, but its thread can be found."""
    answer = await hanging_in_thread(asyncio.to_thread)
    assert kinds(answer) == ["thread"]
    assert "stuck_in_thread" in {place.function for place in answer.root.stack}


@pytest.mark.real_time
def test_a_thread_of_anyio_that_does_not_return() -> None:
    """It is kept for the next until the main task ends."""
    answer = Runtime().run(hanging_in_thread, anyio.to_thread.run_sync)
    assert kinds(answer) == ["thread"]
    assert "stuck_in_thread" in {place.function for place in answer.root.stack}


async def test_an_os_thread_that_does_not_return() -> None:
    """Where the thread is, is told too."""
    release, begun = threading.Event(), [threading.Event(), threading.Event()]
    worker = await Worker.start_link()
    direct = spawn(in_thread, stuck_in_thread, begun[0], release)
    start = asker(worker, Worker.block_thread, begun[1], release)
    for _ in range(5):
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait: the threads hold up the virtual clock)
    try:
        for pid, expected, thread in ((start, ["call", "thread"], begun[1]), (direct, ["thread"], begun[0])):
            assert thread.wait(30)
            answer = why(pid)
            assert kinds(answer) == expected
            assert "stuck_in_thread" in {place.function for place in answer.root.stack}
    finally:
        release.set()
    await wait_until_idle()


class Slow(GenServer):
    """Hangs when it starts, or when it ends."""

    def __init__(self, gate: asyncio.Event, *, at: str) -> None:
        trap_exit()
        self.gate = gate
        self.at = at

    async def init(self) -> None:
        if self.at == "start":
            await self.gate.wait()

    async def terminate(self, reason: object) -> None:
        await self.gate.wait()


@pytest.mark.real_time
async def test_a_pool_of_threads_that_are_all_busy() -> None:
    """It names where one of them hangs."""
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    async with Runtime(max_threads=1):
        first, second = spawn(in_thread, hang), spawn(in_thread, int)
        while not begun.is_set():
            await Turn()
        answer = why(second)
        release.set()
        while first.is_alive or second.is_alive:
            await Turn()
    assert kinds(answer) == ["thread"]
    assert "one of the Runtime's 1 threads: all of them are busy" in answer.root.what
    assert "hang" in str(answer.root.stack)


class Alarmed(GenServer):
    """Sets timers."""

    @handle_call
    def wait(self, later: float, idle: float | None) -> None:
        send_after(later, self_pid(), "tick")
        if idle is not None:
            idle_timeout(idle)


class Door(StateMachine):
    """Sets timeouts."""

    def __init__(self, seconds: float, name: str | None) -> None:
        self.seconds = seconds
        self.name = name
        become(self.shut)

    @state
    def shut(self) -> None:
        if self.name is None:
            state_timeout(self.seconds)
        else:
            named_timeout(self.name, self.seconds)


async def test_which_timer_a_process_waits_for() -> None:
    """That which comes first; in loop time, and how long it takes from now."""
    server = await Alarmed.start_link()
    await server.call(Alarmed.wait, 30.0, None)
    by_message = why(server).root
    await server.call(Alarmed.wait, 30.0, 7.0)
    by_silence = why(server).root
    doors = [await Door.start_link(12.0, None), await Door.start_link(13.0, "bell")]
    sleeper, receiver = spawn(pause, 33.0), spawn(receive, timeout=20.0)
    await wait_until_idle()
    by_state, by_name = (why(door).root for door in doors)
    by_sleep, by_receive = why(sleeper).root, why(receiver).root
    now = asyncio.get_running_loop().time()
    found = (by_message, by_silence, by_state, by_name, by_receive)
    assert {each.kind for each in found} == {"empty_mailbox"}
    assert [each.due for each in found] == pytest.approx(
        [now + left for left in (30.0, 7.0, 12.0, 13.0, 20.0)]
    )
    assert "a message of send_after, in 30 s" in by_message.what
    assert "its idle timeout, in 7 s" in by_silence.what
    assert "its state timeout, in 12 s" in by_state.what
    assert "its timeout 'bell', in 13 s" in by_name.what
    assert "for 20 s at most" in by_receive.what
    assert by_sleep.kind == "unknown"  # it waits for a future of its own


async def test_how_long_a_process_sleeps() -> None:
    pid = spawn(asyncio.sleep, 33.0)  # noqa: TID251  (it is looked at)
    await wait_until_idle()
    root = why(pid).root
    assert root.kind == "timer"
    assert root.due == pytest.approx(asyncio.get_running_loop().time() + 33.0)
    assert "time to pass, 33 s more" in root.what


async def test_who_has_just_been_given_a_lock_is_ready() -> None:
    lock, gate = Lock("door"), asyncio.Event()

    async def first() -> None:
        async with lock:
            await gate.wait()

    async def second() -> None:
        async with lock:
            pass

    spawn(first)
    await wait_until_idle()
    pid = spawn(second)
    await wait_until_idle()
    assert kinds(why(pid)) == ["lock", "outside_lock"]
    gate.set()
    seen = []
    while pid.is_alive:
        seen.append(why(pid).root.kind)
        await Turn()
    assert "cycle" not in seen
    assert "ready" in seen


@pytest.mark.real_time
def test_it_can_be_asked_from_another_thread_at_any_time() -> None:
    """While the code that it looks at runs on."""
    runtime, looks = Runtime(), 2_000
    problems: list[Exception] = []

    def look(target: Any) -> None:
        for _ in range(looks):
            try:
                runtime.why(target)
            except Exception as error:
                problems.append(error)

    class Waits(GenServer):
        @handle_call
        async def work(self) -> None:
            await asyncio.gather(turned(), turned())

    async def turned() -> None:
        await Turn()

    async def body() -> None:
        server = await Waits.start_link()
        thread = threading.Thread(target=look, args=(server,))
        thread.start()
        while thread.is_alive():
            await server.call(Waits.work)

    runtime.run(body)
    assert problems == []


async def test_a_child_start_that_hangs_its_supervisor() -> None:
    gate = asyncio.Event()
    supervisor = await Supervisor.start_link([], strategy="one_for_one")
    start = asker(supervisor, Supervisor.start_child, Slow.child_spec(gate, at="start"))
    asking = asker(supervisor, Supervisor.which_children)
    await wait_until_idle()
    for pid in (start, asking):
        answer = why(pid)
        assert kinds(answer) == ["call", "start", "outside_lock"]
        assert answer.root.process.startswith("Slow")
        assert "(in init)" in answer.root.what
    gate.set()
    await wait_until_idle()


async def test_a_stop_that_waits_for_a_hanging_terminate() -> None:
    gate = asyncio.Event()
    child = Slow.child_spec(gate, at="end").named("slow").options(shutdown="infinity")
    supervisor = await Supervisor.start_link([child], strategy="one_for_one")
    start = asker(supervisor, Supervisor.terminate_child, "slow")
    await wait_until_idle()
    answer = why(start)
    assert kinds(answer) == ["call", "stop", "outside_lock"]
    assert "(in terminate)" in answer.root.what
    gate.set()
    await wait_until_idle()


@pytest.mark.real_time
async def test_a_blocked_loop(runtime: Runtime) -> None:
    """It is asked from another thread, while the loop is blocked."""
    answers: list[Why] = []
    blocking, seen = threading.Event(), threading.Event()

    class Blocker(GenServer):
        @handle_call
        def block(self) -> None:
            blocking.set()
            seen.wait(30)

    blocker = await Blocker.start_link()
    waiting = spawn(receive)

    def look() -> None:
        blocking.wait(30)
        while runtime.blocked is None and not seen.wait(0.01):
            pass  # until the watchdog has seen it
        answers.extend((runtime.why(waiting), runtime.why(blocker)))
        seen.set()

    looking = asyncio.ensure_future(in_thread(look))
    await in_thread(int)  # so that the thread looks before the loop is blocked
    await blocker.call(Blocker.block)
    await looking
    idle, own = answers
    assert idle.root.kind == own.root.kind == "blocked_loop"
    assert idle.root.pid == own.root.pid == blocker.pid
    assert "Blocker.block" in idle.root.what
    assert "Blocker.block" in {place.function.rpartition("<locals>.")[2] for place in own.root.stack}


async def test_what_waits_for_nothing_in_particular() -> None:
    """An empty mailbox, a message of another kind, a timer, one that is ready, one that is gone."""
    reader, choosy, sleeper, idle = (
        spawn(receive),
        spawn(receive, str),
        spawn(asyncio.sleep, 5.0),  # noqa: TID251  (it is looked at)
        await Worker.start_link(),
    )
    assert kinds(why(reader)) == ["ready"]
    await wait_until_idle()
    send_after(0.0, choosy, 1)
    await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
    await wait_until_idle()
    assert kinds(why(reader)) == kinds(why(choosy)) == kinds(why(idle)) == ["empty_mailbox"]
    assert "none of the 1 in its mailbox matches" in why(choosy).root.what
    assert kinds(why(sleeper)) == ["timer"]
    unlink(idle)
    with pytest.raises(NoSuchProcess):
        why("nobody")


async def test_a_call_that_a_state_machine_has_postponed() -> None:
    """Its mailbox is empty, and what it waits for is not just any message."""

    class Door(StateMachine):
        def __init__(self) -> None:
            self.gate = asyncio.Event()
            become(self.locked)

        @state
        def locked(self) -> None: ...

        @locked.handle_call
        def enter(self) -> None:
            raise Postpone

        @handle_call
        async def hold(self) -> None:
            await self.gate.wait()

    door = await Door.start_link()

    async def visitor() -> None:
        await door.options(timeout=None).call(Door.enter)

    pid = spawn(visitor)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["call", "kept_caller"]
    assert answer.root.pid == pid_of(door)
    assert "'locked' has postponed it" in answer.root.what
    spawn(lambda: door.options(timeout=None).call(Door.hold))
    await wait_until_idle()
    assert kinds(why(pid)) == [
        "call",
        "outside_lock",
    ]  # whatever is to change its state waits for that as well
    assert "Door.hold" in why(pid).root.what


async def test_a_call_that_waits_for_a_place_among_concurrent_handlers() -> None:
    class Desk(GenServer):
        @handle_call(concurrent=1)
        async def serve(self) -> None:
            await asyncio.Event().wait()

    desk = await Desk.start_link()
    asker(desk, Desk.serve)
    pid = asker(desk, Desk.serve)
    await wait_until_idle()
    answer = why(pid)
    assert kinds(answer) == ["call", "outside_lock"]
    assert "of which as many run as may: 1" in answer.chain[0].what
    assert "serve" in answer.root.what


@pytest.mark.real_time
async def test_the_output_of_an_os_process_that_does_not_end() -> None:
    """Asyncio reads it as it reads a socket; what has to happen is that the process ends."""
    begun = asyncio.Event()

    async def run() -> None:
        child = await asyncio.create_subprocess_exec("sleep", "60", stdout=asyncio.subprocess.PIPE)
        try:
            begun.set()
            await child.communicate()
        finally:
            child.kill()
            await child.wait()

    pid = spawn(run)
    await begun.wait()
    while why(pid).root.kind in {"ready", "running", "unknown", "task"}:
        await in_thread(int)
    assert why(pid).root.kind == "os_process"
    send_exit(pid, Shutdown())
    while pid.is_alive:
        await in_thread(int)


async def test_a_program_that_waits_to_be_stopped() -> None:
    pid = spawn(wait_stopped)
    await wait_until_idle()
    assert kinds(why(pid)) == ["stop_request"]


class Asks(GenServer):
    @handle_call
    def plain(self) -> list[str]:
        return kinds(why(self_pid()))

    @handle_call
    async def later(self) -> list[str]:
        return kinds(why(self_pid()))


async def test_who_asks_about_itself_runs() -> None:
    server = await Asks.start_link()
    assert await server.call(Asks.plain) == ["running"]
    assert await server.call(Asks.later) == ["running"]


async def test_a_job_that_no_thread_of_ours_has_may_be_in_another_os_process() -> None:
    async def body() -> None:
        await asyncio.wrap_future(concurrent.futures.Future[None]())

    pid = spawn(body)
    await wait_until_idle()
    assert why(pid).root.what.endswith("an executor: for a free thread of it, or for another OS process")
