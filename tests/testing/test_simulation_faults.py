"""Injected faults: where they were asked for, as often as allowed, and never a failure by themselves."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections import Counter
from typing import Any

import pytest

import mabeam
from mabeam import (
    DynamicSupervisor,
    GenServer,
    HandlerFailed,
    Killed,
    ProcessDied,
    Supervisor,
    fault_point,
    handle_call,
    handle_cast,
    handle_stream,
    receive,
    self_pid,
    send,
    send_after,
    spawn,
    spawn_monitor,
)
from mabeam.errors import UsageError
from mabeam.kernel import Crashed, Down, in_thread
from mabeam.testing import Fault, Faults, InjectedFault, SimulationFailed, replay, simulate
from tests.testing import _programs


class Echo(GenServer):
    """Answers in every way there is."""

    @handle_call
    def plain(self) -> str:
        return "plain"

    @handle_call
    async def slow(self) -> str:
        await asyncio.get_running_loop().run_in_executor(None, int)
        return "slow"

    @handle_call(concurrent=2)
    async def beside(self) -> str:
        return "beside"

    @handle_call(thread=True)
    def blocking(self) -> str:
        return "blocking"

    @handle_stream
    async def items(self) -> Any:
        yield "item"

    @handle_cast
    def tell(self, pid: Any) -> None:
        send(pid, "told")

    def handle_info(self, message: object) -> None:
        if isinstance(message, tuple):
            send(message[0], "info")


def _is_crash(error: ProcessDied) -> bool:
    cause = error.__cause__
    return (
        isinstance(error.reason, Crashed) and isinstance(cause, InjectedFault) and cause.fault.kind == "crash"
    )


def test_a_program_that_survives_crashes_is_no_failure() -> None:
    """Crash reports, restarts and answers that did not come are its everyday life."""
    faults = Faults(crash=0.1, kill=0.1, delay=0.1, late=0.1)
    result = simulate(_programs.survivor, seeds=range(100), faults=faults, max_faults=3)
    assert result.faults > 50
    assert result.virtual_seconds > 10.0


@pytest.mark.parametrize("method", [Echo.plain, Echo.slow, Echo.beside, Echo.blocking])
def test_a_crash_is_as_if_the_handler_had_raised(method: Any) -> None:
    """Whatever kind of handler it is, handed off or from the mailbox."""
    seen: Counter[str] = Counter()

    async def program() -> None:
        echo = await Echo.child_spec().start()
        try:
            await echo.call(method)
        except ProcessDied as died:
            seen["died"] += _is_crash(died)
        except HandlerFailed as failed:
            seen["failed"] += isinstance(failed.__cause__, InjectedFault)
        else:
            seen["answered"] += 1

    simulate(program, seeds=range(60), faults=Faults(crash=0.5), max_faults=1)
    assert seen["answered"] > 10
    assert seen["failed" if method is Echo.beside else "died"] > 10


def test_a_crash_in_a_stream_or_in_handle_info_is_one_of_that() -> None:
    """The reader is told; a raw message has no caller."""
    seen: Counter[str] = Counter()

    async def program() -> None:
        echo = await Echo.child_spec().start()
        ref = mabeam.monitor(echo)
        try:
            async with echo.stream(Echo.items) as items:
                assert [item async for item in items] == ["item"]
        except HandlerFailed as failed:
            seen["stream"] += isinstance(failed.__cause__, InjectedFault)
        send(echo, (self_pid(),))
        message = await receive()
        if isinstance(message, Down):
            assert message.ref is ref
            assert isinstance(message.reason, Crashed)
            seen["info"] += 1

    simulate(program, seeds=range(60), faults=Faults(crash=0.3), max_faults=1)
    assert seen["stream"] > 5
    assert seen["info"] > 5


def test_a_kill_comes_before_the_message_is_taken() -> None:
    """Of a server, whose caller is told, and of a plain process."""
    seen: Counter[str] = Counter()

    async def echo_once() -> None:
        send(*(await receive()))

    async def program() -> None:
        echo = await Echo.child_spec().start()
        try:
            await echo.call(Echo.slow)
        except ProcessDied as died:
            seen["server"] += died.reason == Killed()
        pid, ref = spawn_monitor(echo_once)
        send(pid, (self_pid(), "echo"))
        message = await receive()
        if message == Down(ref, pid, Killed()):
            seen["plain"] += 1
        else:
            assert message == "echo"

    simulate(program, seeds=range(100), faults=Faults(kill=0.3), max_faults=1)
    assert seen["server"] > 5
    assert seen["plain"] > 5


def test_a_delay_keeps_the_order_and_lets_time_pass() -> None:
    """The server is slow; what came first is taken first."""
    times: list[float] = []

    class Ledger(GenServer):
        def __init__(self) -> None:
            self.lines: list[int] = []

        @handle_cast
        def note(self, number: int) -> None:
            self.lines.append(number)

        @handle_call
        def read(self) -> tuple[int, ...]:
            return tuple(self.lines)

    async def program() -> None:
        ledger = await Ledger.start_link()
        for number in range(5):
            ledger.cast(Ledger.note, number)
        assert await ledger.options(timeout=None).call(Ledger.read) == (0, 1, 2, 3, 4)
        times.append(asyncio.get_running_loop().time())

    simulate(program, seeds=range(50), faults=Faults(delay=0.5, max_delay=4.0), max_faults=2)
    assert sum(time > 0.0 for time in times) > 30
    assert max(times) > 1.0
    assert max(times) <= 8.0


def test_a_server_can_be_ended_while_it_is_slow() -> None:
    """Its caller hears of it, and nothing is left."""
    seen: Counter[object] = Counter()

    async def program() -> None:
        echo = await Echo.child_spec().start()
        asking = asyncio.get_running_loop().create_task(echo.options(timeout=None).call(Echo.slow))
        send_after(2.0, self_pid(), "enough")
        await receive()
        mabeam.kill(echo)
        try:
            seen[await asking] += 1
        except mabeam.NoSuchProcess:
            seen["gone"] += 1
        except ProcessDied as died:
            seen["killed"] += died.reason == Killed()

    simulate(program, seeds=range(60), faults=Faults(delay=0.5, max_delay=10.0), max_faults=1)
    assert seen["killed"] > 3
    assert seen["slow"] > 10


def test_late_timers_are_late_and_never_early() -> None:
    """Only those of processes that faults may hit."""
    delays: list[float] = []

    async def child(parent: Any) -> None:
        send_after(1.0, self_pid(), "now")
        begun = asyncio.get_running_loop().time()
        await receive()
        delays.append(asyncio.get_running_loop().time() - begun)
        send(parent, "done")

    async def program() -> None:
        spawn(child, self_pid())
        await receive()

    simulate(program, seeds=range(60), faults=Faults(late=0.5, max_delay=3.0), max_faults=1)
    assert min(delays) == 1.0
    assert max(delays) > 1.5
    assert max(delays) <= 4.0


def test_a_fault_point_finds_what_is_half_done() -> None:
    """The bug needs one crash at one place, and that is what is shown."""
    with pytest.raises(SimulationFailed) as caught:
        simulate(_programs.half_written, faults=Faults(points={"journal.*": 0.2}))
    failed = caught.value
    assert failed.choices == ()
    assert [fault.kind for fault in failed.faults] == ["point"]
    assert failed.faults[0].site == "fault point 'journal.written' in Journal 'journal'"
    with pytest.raises(SimulationFailed):
        replay(_programs.half_written, failed.token)


def test_a_fault_point_in_a_thread_or_awaited() -> None:
    """The first can fail, the other wait as well."""
    seen: Counter[str] = Counter()

    def blocking() -> None:
        fault_point("blocking")

    async def child(parent: Any) -> None:
        loop = asyncio.get_running_loop()
        try:
            await in_thread(blocking)
        except InjectedFault as error:
            seen[error.fault.site] += 1
        begun = loop.time()
        await fault_point("waiting")
        seen["late"] += loop.time() > begun
        send(parent, "done")

    async def program() -> None:
        spawn(child, self_pid())
        fault_point("blocking")  # of the program itself: never hit
        await receive()

    simulate(program, seeds=range(60), faults=Faults(points={"blocking": 0.5}, delay=0.5), max_faults=2)
    assert seen["fault point 'blocking' in child"] > 10
    assert seen["late"] > 10


def test_only_and_never_say_whom_faults_may_hit() -> None:
    """By class, name or function; supervisors only if they are named."""
    hit: Counter[str] = Counter()

    class Other(Echo):
        """A server of its own class."""

    async def one() -> None:
        await receive()

    async def program() -> None:
        pool = await DynamicSupervisor.start_link(max_restarts=100)
        echo = await pool.call(DynamicSupervisor.start_child, Echo.child_spec().named("echo"))
        other = await pool.call(DynamicSupervisor.start_child, Other.child_spec().named("other"))
        for server in (echo, other):
            try:
                await server.call(Echo.plain)
            except ProcessDied:
                hit[server.pid._process.label.rpartition(".")[2]] += 1  # type: ignore[union-attr]  # it had a process
        for _ in range(3):
            await pool.call(DynamicSupervisor.count_children)
        pid, _ = spawn_monitor(one)
        send(pid, "go")
        down = await receive(Down)
        hit["one"] += down.reason == Killed()

    def run(**options: Any) -> set[str]:
        hit.clear()
        simulate(program, seeds=range(60), faults=Faults(crash=0.3, kill=0.3, **options), max_faults=1)
        return {name for name, count in hit.items() if count}

    assert run() == {"Echo", "Other", "one"}
    assert run(only=[Other]) == {"Other"}
    assert run(only=["echo"]) == {"Echo"}
    assert run(only=[one]) == {"one"}
    with pytest.warns(UserWarning, match="in no run was there a place for that"):
        assert run(never=[Echo, one]) == set()  # Other is an Echo, too
    assert run(never=["echo", "other"]) == {"one"}


def test_the_number_of_faults_is_limited() -> None:
    """In each run."""

    async def program() -> None:
        echo = await Echo.child_spec().named("echo").start()
        for _ in range(20):
            echo.cast(Echo.tell, self_pid())
        for _ in range(20):
            await receive(timeout=1_000.0)

    result = simulate(program, seeds=range(10), faults=Faults(delay=1.0), max_faults=4)
    assert result.faults <= 40


def test_a_supervisor_that_gives_up_is_a_failure_with_its_faults() -> None:
    """More crashes than it allows, and just so many are left."""

    async def program() -> None:
        await Supervisor.start_link([Echo.child_spec().named("echo")], strategy="one_for_one", max_restarts=1)
        echo = mabeam.ref("echo", Echo)
        for _ in range(10):
            try:
                await echo.call(Echo.plain)
            except ProcessDied:
                continue
        await receive(timeout=1.0)

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, faults=Faults(crash=0.3), max_faults=5, tolerate=(TimeoutError,))
    assert [fault.kind for fault in caught.value.faults] == ["crash", "crash"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"crash": 2}, "crash expects a probability"),
        ({"kill": -0.1}, "kill expects a probability"),
        ({"delay": "often"}, "delay expects a probability"),
        ({"late": True}, "late expects a probability"),
        ({"points": 1.5}, "points expects a probability"),
        ({"points": {"a.*": 2}}, r"points\['a.\*'\] expects a probability"),
        ({"max_delay": 0}, "max_delay expects seconds"),
        ({"max_delay": math.inf}, "max_delay expects seconds"),
        ({"only": Echo}, r"write only=\[...\]"),
        ({"never": [7]}, "never expects classes, names or functions"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], problem: str) -> None:
    """All of them at once, where they are written."""
    with pytest.raises(UsageError, match=problem):
        Faults(**options)
    with pytest.raises(UsageError) as caught:
        Faults(**(options | {"crash": 7, "kill": 7}))
    assert len(caught.value.problems) >= 2


def test_an_injected_fault_says_which_and_survives_pickle() -> None:
    """It may be the cause of what a caller gets."""
    fault = Fault("delay", "Echo takes Echo.plain", 2, 1.5)
    error = pickle.loads(pickle.dumps(InjectedFault(fault)))
    assert error.fault == fault
    assert "delay by 1.5 s: Echo takes Echo.plain (2nd time)" in str(error)


class Clock(GenServer):
    """Answers a call with the time at which it did."""

    @handle_call
    def now(self) -> float:
        return asyncio.get_running_loop().time()


@pytest.mark.parametrize("seed", range(8))
def test_a_call_that_is_answered_at_once_may_be_slow_as_well(seed: int) -> None:
    """Whatever road it takes; and it is done when its time has come, not before."""

    async def program() -> None:
        clock = await Clock.start_link()
        before = asyncio.get_running_loop().time()
        assert await clock.options(timeout=None).call(Clock.now) == before, "late"

    with pytest.raises(SimulationFailed) as caught:
        simulate(program, seeds=[seed], faults=Faults(delay=1.0, max_delay=3.0))
    assert [fault.kind for fault in caught.value.faults] == ["delay"]
    with pytest.raises(SimulationFailed, match="late"):
        replay(program, caught.value.token)


@pytest.mark.parametrize("seed", range(8))
def test_a_server_may_be_killed_before_it_answers_at_once(seed: int) -> None:
    done: list[str] = []

    class Fragile(GenServer):
        @handle_call
        def work(self) -> None:
            done.append("worked")

    async def program() -> None:
        server = await Fragile.child_spec().start()
        with pytest.raises(ProcessDied) as died:
            await server.call(Fragile.work)
        assert died.value.reason == Killed()

    simulate(program, seeds=[seed], faults=Faults(kill=1.0))
    assert done == []


async def _clockless() -> None:
    echo = await Echo.child_spec().start()
    await echo.call(Echo.plain)
    fault_point("echoed")


@pytest.mark.parametrize(
    ("faults", "impossible"),
    [
        (Faults(late=0.5), ("late",)),
        (Faults(crash=0.5, only=["ehco"]), ("crash",)),
        (Faults(points={"ehcoed": 0.5, "echo.*": 0.0}), ("points['ehcoed']",)),
    ],
)
def test_faults_that_have_no_place_are_warned_of(faults: Faults, impossible: tuple[str, ...]) -> None:
    """Whoever asks for them is not left to believe that they were tested."""
    with pytest.warns(UserWarning, match="in no run was there a place") as caught:
        result = simulate(_clockless, seeds=5, faults=faults)
    assert result.impossible == impossible
    assert f"no place for {impossible[0]}" in str(result)
    assert caught[0].filename == __file__


def test_a_place_that_was_spared_by_chance_is_a_place() -> None:
    """What was possible is told apart from what was not, by each rate that was given."""
    faults = Faults(crash=1e-9, late=0.5, points={"no.*": 0.5, "never": 0.5})
    result = simulate(_clockless, seeds=5, faults=faults, max_faults=0)
    assert result.impossible == ("late", "points['no.*']", "points['never']")
    assert simulate(_clockless, seeds=5).impossible == ()


class Tolerant(GenServer):
    """Declares every exception to be an answer."""

    @handle_call(raises=(Exception,))
    def plain(self) -> None:
        fault_point("inside")

    @handle_call(raises=(Exception,))
    async def slow(self) -> None:
        fault_point("inside")

    @handle_call(concurrent=2, raises=(Exception,))
    async def beside(self) -> None:
        fault_point("inside")


@pytest.mark.parametrize("method", [Tolerant.plain, Tolerant.slow, Tolerant.beside])
def test_a_crash_is_never_a_declared_answer(method: Any) -> None:
    """Whatever road the call takes; what a fault point raises is."""
    seen: Counter[str] = Counter()

    async def program() -> None:
        server = await Tolerant.child_spec().start()
        try:
            await server.call(method)
        except (InjectedFault, ProcessDied, HandlerFailed) as error:
            seen[type(error).__name__] += 1

    simulate(program, seeds=20, faults=Faults(crash=1.0), max_faults=1)
    assert seen == {"HandlerFailed" if method is Tolerant.beside else "ProcessDied": 20}
    seen.clear()
    simulate(program, seeds=20, faults=Faults(points=1.0), max_faults=1)
    assert seen == {"InjectedFault": 20}
