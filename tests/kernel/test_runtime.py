"""The Runtime as a block: what it does to its body, in which order it stops, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mabeam.errors import ProcessDied, UsageError
from mabeam.kernel import (
    Crashed,
    Exited,
    ExitReason,
    Killed,
    Normal,
    Pid,
    Runtime,
    Shutdown,
    Stop,
    kill,
    link,
    receive,
    self_pid,
    send,
    send_exit,
    spawn,
    spawn_link,
    trap_exit,
    wait_stopped,
)
from mabeam.otp import GenServer, Supervisor, handle_call, ref
from mabeam.testing import VirtualLoop, wait_until_idle
from tests.kernel._scenes import (
    Turn,
    acting_as,
    never,
    reason_of,
    spawn_idle,
    swallow_for_ever,
    wait_for_ever,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """On a loop of its own, outside of any Runtime."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def _exit_without_trapping() -> None:
    trap_exit(False)
    send_exit(self_pid(), Killed())


async def _crash() -> None:
    raise ValueError("linked")


def test_the_body_acts_for_the_root_process() -> None:
    """It may spawn, send, receive; when the block is left there is no such process any more."""

    async def main() -> object:
        async with Runtime() as runtime:
            root = self_pid()
            assert root == runtime.root.pid
            spawn(send, root, "hello")
            message = await receive()
        with pytest.raises(UsageError):
            self_pid()
        assert not root.is_alive
        return message

    assert run(main) == "hello"


def test_an_abnormal_end_of_something_linked_cancels_the_body() -> None:
    """The block raises ``ProcessDied`` with the cause chained, and the task is not cancelled any more."""

    async def main() -> None:
        with pytest.raises(ProcessDied) as caught:
            async with Runtime():
                spawn_link(_crash)
                await never()
        assert caught.value.reason == Crashed(ValueError("linked"))
        assert isinstance(caught.value.__cause__, ValueError)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await Turn()

    run(main)


@pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown("x")], ids=repr)
def test_an_orderly_end_of_something_linked_leaves_the_body_alone(reason: ExitReason) -> None:
    """So does any end of something that is not linked."""

    async def end() -> None:
        raise Stop(reason)

    async def main() -> str:
        async with Runtime():
            spawn_link(end)
            spawn(_crash)
            await wait_until_idle()
            return "went on"

    assert run(main) == "went on"


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a turn"])
def test_the_bodys_own_exception_wins(*, waits: bool) -> None:
    """Whatever ended meanwhile."""

    async def main() -> None:
        with pytest.raises(KeyError, match="own"):
            async with Runtime():
                victim = spawn_link(wait_for_ever)
                await wait_until_idle()
                send_exit(victim, Exited("x"))
                try:
                    if waits:
                        await never()
                finally:
                    raise KeyError("own")

    run(main)


def test_a_body_that_swallows_its_cancellation_is_told_when_it_leaves() -> None:
    """The block raises all the same."""

    async def main() -> None:
        with pytest.raises(ProcessDied):
            async with Runtime():
                spawn_link(_crash)
                try:
                    await never()
                except asyncio.CancelledError:
                    await Turn()

    run(main)


def test_a_body_that_has_finished_before_the_cancellation_reached_it_is_told_too() -> None:
    """And what comes after the block is not cancelled by it."""

    async def main() -> None:
        with pytest.raises(ProcessDied):
            async with Runtime():
                victim = spawn_link(lambda: None)
                kill(victim)
                loop = asyncio.get_running_loop()
                done = loop.create_future()
                loop.call_soon(loop.call_soon, done.set_result, None)
                try:
                    await done
                finally:
                    pass
        await Turn()

    run(main)


@pytest.mark.parametrize(
    "end",
    [
        lambda: kill(self_pid()),
        lambda: send_exit(self_pid(), Killed()),
        _exit_without_trapping,
        lambda: acting_as(spawn(wait_for_ever), send_exit, self_pid(), Killed()),
        lambda: acting_as(spawn(wait_for_ever), kill, self_pid()),
    ],
    ids=["kill itself", "exit itself", "exit itself, not trapping", "exit by another", "kill by another"],
)
@pytest.mark.parametrize("waits", [False, True], ids=["leaves", "waits"])
def test_the_root_cannot_die_but_the_block_ends(end: Callable[[], object], *, waits: bool) -> None:
    """Killing it, or sending it an exit, is an abnormal end of the program."""

    async def main() -> None:
        with pytest.raises(ProcessDied) as caught:
            async with Runtime() as runtime:
                pid = spawn(wait_for_ever)
                await wait_until_idle()
                end()
                if waits:
                    await never()
        assert caught.value.reason == Killed()
        assert not pid.is_alive
        assert runtime.statistics().processes == 0
        await Turn()

    run(main)


def test_a_cancellation_from_outside_stays_one() -> None:
    """The block stops everything, and lets it pass."""
    pids: list[Pid] = []

    async def block() -> None:
        async with Runtime():
            pids.append(spawn(wait_for_ever))
            await never()

    async def main() -> None:
        task = asyncio.create_task(block())
        await Turn()
        await Turn()
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert reason_of(pids[0]) == Shutdown()

    run(main)


def test_a_cancellation_from_outside_is_not_taken_for_the_one_of_a_link() -> None:
    """Both come when the block has been left: the task is cancelled, as whoever cancelled it expects."""

    async def block() -> None:
        async with Runtime():
            victim = spawn_idle(link=True)
            await wait_until_idle()
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            kill(victim)

    async def main() -> None:
        task = asyncio.create_task(block())
        await asyncio.wait((task,))
        assert task.cancelled()

    run(main)


def test_a_timeout_around_the_block_stays_one() -> None:
    """It ends the block, and is not mistaken for an end of something inside."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3), Runtime():
                spawn(wait_for_ever)
                await never()
        return asyncio.get_running_loop().time()

    assert run(main) == 3.0


def test_everything_is_stopped_in_reverse_order_one_after_the_other() -> None:
    """Each has its time: 5 s for what does not end by itself."""
    log: list[tuple[str, float]] = []

    async def worker(name: str, seconds: float | None) -> None:
        try:
            await never()
        finally:
            if seconds is None:
                try:
                    await never()
                finally:
                    log.append((name, asyncio.get_running_loop().time()))
            else:
                with pytest.raises(TimeoutError):
                    await receive(timeout=seconds)
                log.append((name, asyncio.get_running_loop().time()))

    async def main() -> float:
        async with Runtime():
            spawn(worker, "first", 1.0)
            spawn(worker, "hangs", None)
            spawn(worker, "last", 2.0)
            await wait_until_idle()
        return asyncio.get_running_loop().time()

    assert run(main) == 8.0
    assert log == [("last", 2.0), ("hangs", 7.0), ("first", 8.0)]


def test_what_starts_while_the_runtime_stops_is_stopped_too() -> None:
    """A process that spawns another in its clean-up does not keep it alive."""
    pids: list[Pid] = []

    async def replaced() -> None:
        try:
            await never()
        finally:
            pids.append(spawn(wait_for_ever))

    async def main() -> None:
        async with Runtime():
            spawn(replaced)
            await wait_until_idle()

    run(main)
    assert [pid.is_alive for pid in pids] == [False]


def test_processes_that_start_the_next_without_end_do_not_keep_it_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says so, and kills them; what has to be stopped in order has been, as long as that led anywhere."""

    async def start_next() -> None:
        spawn(start_next)
        await never()

    async def main() -> int:
        async with Runtime() as runtime:
            spawn(start_next)
            for _ in range(10):
                await Turn()
        return len(runtime.processes())

    assert run(main) == 0
    assert "thousands of others were started" in caplog.text


class _Stopper(GenServer):
    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        trap_exit()

    @handle_call(raises=(UsageError,))
    async def stop_all(self) -> None:
        await self.runtime.stop()

    @handle_call(raises=(UsageError,))
    async def stop_all_in_a_task(self) -> None:
        await asyncio.create_task(self.runtime.stop())


@pytest.mark.parametrize("method", [_Stopper.stop_all, _Stopper.stop_all_in_a_task])
def test_a_process_cannot_wait_until_all_have_ended(method: Any) -> None:
    """It would wait for its own end. The block may, and so may a process of another Runtime."""

    async def main() -> None:
        async with Runtime() as outer, Runtime() as runtime:
            server = await _Stopper.start_link(runtime)
            with pytest.raises(UsageError, match=r"_Stopper \(pid 1\) is one of them.*request_stop\(\)"):
                await server.call(method)
            assert runtime.statistics().processes == 1
            await runtime.stop()
            assert runtime.statistics().processes == 0
            server = await _Stopper.start_link(outer)
            await server.call(method)
            assert outer.statistics().processes == 0

    run(main)


def test_a_runtime_that_stops_everything_lets_much_be_started_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A few for each that there is, and thousands besides."""
    ended: list[int] = []

    async def replaced() -> None:
        try:
            await never()
        finally:
            for _ in range(200):
                spawn(ended.append, 1)

    async def main() -> None:
        async with Runtime():
            for _ in range(20):
                spawn(replaced)
            await wait_until_idle()

    run(main)
    assert not caplog.records


def test_cancelled_while_it_stops_it_kills_what_is_left() -> None:
    """Without waiting for anybody."""
    pids: list[Pid] = []

    async def block() -> None:
        async with Runtime():
            pids.extend(spawn(swallow_for_ever) for _ in range(3))
            await wait_until_idle()

    async def main() -> float:
        task = asyncio.create_task(block())
        loop = asyncio.get_running_loop()
        loop.call_later(2, task.cancel)
        await asyncio.wait((task,))
        assert task.cancelled()
        return loop.time()

    assert run(main) == 2.0
    assert [reason_of(pid) for pid in pids] == [Killed()] * 3


def test_when_the_block_is_left_nothing_is_left() -> None:
    """No task but the body's, no task factory, no process, no thread that idles; whatever the processes did."""

    def before(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **options)

    async def nested(depth: int) -> None:
        if depth:
            await asyncio.create_task(nested(depth - 1))
        else:
            await never()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(before)
        async with Runtime() as runtime:
            for _ in range(5):
                spawn(wait_for_ever)
            spawn(nested, 10)
            killed = spawn(nested, 10)
            spawn(swallow_for_ever)
            await wait_until_idle()
            kill(killed)
        assert loop.get_task_factory() is before
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert runtime.processes() == ()
        assert runtime.statistics().threads == 0

    run(main)


def test_a_runtime_runs_once() -> None:
    """Another one has to be made, and the error says so."""

    async def main() -> None:
        runtime = Runtime()
        with pytest.raises(UsageError, match="does not run yet"):
            _ = runtime.kernel
        async with runtime:
            with pytest.raises(UsageError, match="run once"):
                async with runtime:
                    pass
        with pytest.raises(UsageError, match="run once"):
            async with runtime:
                pass

    run(main)


def test_a_runtime_may_be_left_in_another_task_than_it_was_entered_in() -> None:
    """As the fixtures of some frameworks do; all that runs in it is stopped there."""

    async def main() -> None:
        runtime = Runtime()
        loop = asyncio.get_running_loop()

        async def enter() -> Pid:
            await runtime.__aenter__()
            return spawn(wait_for_ever)

        pid = await loop.create_task(enter())
        assert pid.is_alive
        await loop.create_task(runtime.__aexit__(None, None, None))
        assert not pid.is_alive

    run(main)


def test_a_request_to_stop_wakes_all_who_wait_for_it() -> None:
    """In processes and outside; later ones do not wait at all."""
    log: list[str] = []

    async def body(name: str) -> None:
        await wait_stopped()
        log.append(name)

    async def main() -> None:
        async with Runtime() as runtime:
            spawn(body, "process")
            await wait_until_idle()
            runtime.request_stop()
            await runtime.wait_stopped()
            spawn(body, "late")
            await wait_until_idle()

    run(main)
    assert log == ["process", "late"]


def test_a_runtime_tells_what_it_owns() -> None:
    """In numbers, in words, and who waits for what."""

    async def main() -> None:
        runtime = Runtime()
        assert "not started" in repr(runtime)
        async with runtime:
            pids = (spawn(wait_for_ever), spawn(wait_for_ever))
            await wait_until_idle()
            assert runtime.processes() == pids
            assert runtime.statistics().processes == 2
            assert "2 processes" in repr(runtime)
            lines = runtime.describe_blocked()
            assert len(lines) == 2
            assert "receive" in lines[0] or "take_matching" in lines[0]
        assert "0 processes" in repr(runtime)

    run(main)


def test_link_of_the_body_to_a_process_is_a_link_of_the_program() -> None:
    """As if it had been started with ``spawn_link``."""

    async def main() -> None:
        with pytest.raises(ProcessDied):
            async with Runtime():
                pid = spawn(wait_for_ever)
                link(pid)
                kill(pid)
                await never()

    run(main)


class Fragile(GenServer):
    """Crashes when asked to."""

    @handle_call
    def crash(self) -> None:
        msg = "asked to"
        raise ValueError(msg)


def test_a_supervisor_that_gives_up_ends_the_block() -> None:
    """What it held is gone, and a block that went on without it would not be told."""

    async def main() -> None:
        async with Runtime():
            await Supervisor.start_link(
                [Fragile.child_spec().named("fragile")], strategy="one_for_one", max_restarts=0
            )
            with pytest.raises(ProcessDied):
                await ref("fragile", Fragile).call(Fragile.crash)
            await receive()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner, pytest.raises(ProcessDied) as died:
        runner.run(main())
    assert died.value.reason == Shutdown()


def test_run_inside_a_running_loop_says_what_to_write() -> None:
    """The first mistake in a notebook."""

    async def nothing() -> None: ...

    async def main() -> None:
        with pytest.raises(UsageError, match=r"async with mabeam\.Runtime"):
            Runtime().run(nothing)

    asyncio.run(main())


async def test_a_foreign_thread_cannot_touch_processes_by_its_inherited_context() -> None:
    """asyncio.to_thread copies the context; the processes are another thread's all the same."""
    server = await Fragile.start_link()

    def work() -> list[type[BaseException]]:
        found: list[type[BaseException]] = []
        for attempt in (self_pid, lambda: asyncio.run(server.call(Fragile.crash))):
            try:
                attempt()
            except UsageError as error:
                found.append(type(error))
        return found

    loop: Any = asyncio.get_running_loop()
    with loop.outside():
        assert await asyncio.to_thread(work) == [UsageError, UsageError]


@pytest.mark.parametrize("reason", ["why", Shutdown, None, 3])
async def test_what_is_no_exit_reason_is_refused(reason: Any) -> None:
    """And nothing has ended."""
    server = await Fragile.start_link()
    with pytest.raises(UsageError, match="exit reason"):
        await server.stop(reason)
    with pytest.raises(UsageError, match="exit reason"):
        send_exit(server, reason)
    with pytest.raises(UsageError, match="exit reason"):
        Stop(reason)
    assert server.pid is not None
    assert server.pid.is_alive


async def test_a_block_that_is_cancelled_ends_though_what_it_kills_starts_more() -> None:
    async def hydra() -> None:
        try:
            await never()
        finally:
            try:
                await never()
            finally:
                spawn(receive)

    async def block() -> None:
        async with Runtime():
            spawn(hydra)
            await never()

    task = asyncio.create_task(block())
    await wait_until_idle()
    task.cancel()
    await wait_until_idle()
    task.cancel()  # out of patience
    await wait_until_idle()
    assert task.cancelled()
