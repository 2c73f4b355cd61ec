"""Starting and stopping a supervisor: what is checked, in which order, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from mabeam import (
    Backoff,
    ExitReason,
    FailedToStartChild,
    GenServer,
    Ignore,
    PartitionSupervisor,
    Runtime,
    StartFailed,
    StartIgnored,
    Stop,
    Supervisor,
    UsageError,
    child_spec,
    handle_call,
    kill,
    self_pid,
    whereis,
)
from mabeam.kernel import Crashed, Shutdown, trap_exit
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause

LOG: list[Any] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


class Child(GenServer):
    """Notes its start and its end, and takes a while for each if told so."""

    def __init__(self, name: str, *, starting: float = 0, stopping: float = 0, error: Any = None) -> None:
        trap_exit()
        self.name, self.starting, self.stopping, self.error = name, starting, stopping, error

    async def init(self) -> None:
        await pause(self.starting)
        if self.error is not None:
            raise self.error
        LOG.append(f"+{self.name}")

    @handle_call
    def ping(self) -> str:
        return self.name

    async def terminate(self, reason: ExitReason) -> None:
        await pause(self.stopping)
        LOG.append(f"-{self.name}")


def child(name: str, **options: Any) -> Any:
    """A named child."""
    return Child.child_spec(name, **options).named(name)


# ------------------------------------------------------------------------------------------------- checks


async def poll() -> None:
    """A function that might be given where a spec belongs."""


async def test_all_problems_are_listed_in_one_error_and_nothing_has_started(runtime: Runtime) -> None:
    """Of the flags, of each spec, of what is no spec at all."""
    running = await Child.child_spec("running").start()
    before = runtime.processes()
    with pytest.raises(UsageError) as caught:
        await Supervisor.start_link(
            [
                child("a"),
                child("a"),
                child("b").options(significant=True),
                child("c").options(restart="transient", significant=True),
                child("d").options(shutdown=-1),
                Child.child_spec().named("e"),  # type: ignore[call-arg]
                poll(),  # type: ignore[list-item]
                poll,  # type: ignore[list-item]
                Child,  # type: ignore[list-item]
                running,  # type: ignore[list-item]
                7,  # type: ignore[list-item]
                None,  # type: ignore[list-item]
            ],
            strategy="one_for_none",  # type: ignore[arg-type]
            max_restarts=-1,
            max_seconds=0,
            auto_shutdown="sometimes",  # type: ignore[arg-type]
            backoff=Backoff(factor=0.1),
        )
    text = str(caught.value)
    for part in (
        "strategy expects one of one_for_one, one_for_all, rest_for_one, got 'one_for_none'",
        "max_restarts expects a whole number >= 0, got -1",
        "max_seconds expects seconds > 0, got 0",
        "auto_shutdown expects one of",
        "Backoff.factor expects",
        "child 'a': the id is used twice",
        "a permanent child cannot be significant",
        "child 'd': shutdown expects",
        "missing a required argument: 'name'",
        "got the coroutine poll(...)",
        "got the function poll",
        "got the class Child",
        "which runs already",
        "got 7",
        "got None",
    ):
        assert part in text, part
    assert len(caught.value.problems) >= 15
    assert runtime.processes() == before
    assert LOG == ["+running"]


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (Child.child_spec("a"), "a list of specs"),
        ("abc", "a list of specs"),
        (None, "a list of specs"),
        (7, "list"),
    ],
)
async def test_children_that_are_no_list_are_refused(given: Any, hint: str) -> None:
    """One spec without its brackets is the likeliest."""
    with pytest.raises(UsageError, match=hint):
        await Supervisor.start_link(given, strategy="one_for_one")


async def test_a_server_instance_is_no_child() -> None:
    """It has not been started by anybody, and cannot be restarted."""

    class Simple(GenServer):
        pass

    with pytest.raises(UsageError, match="expects a spec"):
        await Supervisor.start_link([Simple()], strategy="one_for_one")  # type: ignore[list-item]


async def test_a_significant_child_needs_auto_shutdown() -> None:
    """Its end would mean nothing."""
    spec = child("a").options(restart="transient", significant=True)
    with pytest.raises(UsageError, match="auto_shutdown is 'never'"):
        await Supervisor.start_link([spec], strategy="one_for_one")
    await Supervisor.start_link([spec], strategy="one_for_one", auto_shutdown="any_significant")


@pytest.mark.parametrize("seconds", [0, -1, True, "5", math.nan, 10**400])
async def test_the_length_of_the_window_is_a_time(seconds: Any) -> None:
    """Of all that are none it is said before anything starts; without end is one."""
    with pytest.raises(UsageError, match="max_seconds expects seconds > 0, got"):
        await Supervisor.start_link([child("a")], strategy="one_for_one", max_seconds=seconds)
    assert LOG == []
    await Supervisor.start_link([child("a")], strategy="one_for_one", max_seconds=math.inf)
    assert LOG == ["+a"]


async def test_arguments_that_do_not_fit_are_told_like_wrong_options() -> None:
    """Nothing has started."""
    with pytest.raises(UsageError, match=r"Supervisor was not started.*\n  - missing .*'strategy'"):
        await Supervisor.start_link([child("a")])  # type: ignore[call-arg]  # what is wrong
    assert LOG == []


# ------------------------------------------------------------------------------------------------- subclasses


class Shop(Supervisor):
    """A supervisor that knows its children itself, and who has made it."""

    def __init__(self, *names: str, strategy: Any = "one_for_one") -> None:
        LOG.append(self_pid())
        super().__init__([child(name) for name in names], strategy=strategy)


class Shards(PartitionSupervisor):
    """The same with partitions."""

    def __init__(self, count: int) -> None:
        LOG.append(self_pid())
        super().__init__(lambda number: child(f"shard {number}"), partitions=count)


async def test_a_subclass_has_arguments_of_its_own_and_is_made_once_in_its_own_process() -> None:
    """Whatever its ``__init__`` does, links or registers, it does as the supervisor."""
    shop = await Shop.start_link("a", "b")
    assert [shop.pid, "+a", "+b"] == LOG
    LOG.clear()
    shards = await Shards.start_link(2)
    assert [shards.pid, "+shard 0", "+shard 1"] == LOG
    assert PartitionSupervisor.partitions(shards) == 2


async def test_a_subclass_is_a_child_like_any_other() -> None:
    """Its arguments are looked at up front, and it is made anew with them when it is restarted."""
    await Supervisor.start_link([Shop.child_spec("a").named("shop")], strategy="one_for_one")
    kill("shop")
    await wait_until_idle()
    assert [each for each in LOG if isinstance(each, str)] == ["+a", "-a", "+a"]
    with pytest.raises(UsageError, match="unexpected keyword argument 'children'"):
        await Supervisor.start_link([Shop.child_spec(children=[])], strategy="one_for_one")  # type: ignore[call-arg]


async def test_what_a_subclass_says_itself_is_checked_when_it_runs() -> None:
    """That it forgot to say it, too."""

    class Forgetful(Supervisor):
        def __init__(self) -> None:
            """Do nothing."""

    with pytest.raises(StartFailed) as caught:
        await Shop.start_link("a", strategy="nonsense")
    assert "Shop was not started, nothing has begun:\n  - strategy expects" in str(caught.value.__cause__)
    with pytest.raises(StartFailed) as caught:
        await Forgetful.start_link()
    assert "has not called super().__init__(...)" in str(caught.value.__cause__)


# ------------------------------------------------------------------------------------------------- start


async def test_children_start_in_order_each_when_the_one_before_is_up() -> None:
    """And the supervisor is up when all are."""
    starting = await begun(
        Supervisor.start_link(
            [child("a", starting=1), child("b", starting=2), child("c")], strategy="one_for_one"
        )
    )
    assert LOG == []
    await clock().advance(1)
    assert LOG == ["+a"]
    assert not starting.done()
    await clock().advance(2)
    assert LOG == ["+a", "+b", "+c"]
    await starting


@pytest.mark.parametrize("error", [ValueError("no"), Stop(Shutdown("no"))])
async def test_a_child_that_fails_fails_the_start_and_those_before_it_are_stopped(
    error: BaseException, runtime: Runtime
) -> None:
    """Last to first; the reason names the child."""
    with pytest.raises(StartFailed) as caught:
        await Supervisor.start_link(
            [child("a"), child("b"), child("c", error=error), child("d")], strategy="one_for_one"
        )
    inner = Crashed(error) if isinstance(error, ValueError) else Shutdown("no")
    assert caught.value.reason == Shutdown(FailedToStartChild("c", inner))
    assert LOG == ["+a", "+b", "-b", "-a"]
    assert runtime.processes() == ()


async def test_a_child_that_ignores_its_start_is_kept_as_a_spec() -> None:
    """A temporary one is forgotten."""
    top = await Supervisor.start_link(
        [
            child("a", error=Ignore()),
            child("b", error=Ignore()).options(restart="temporary"),
            child("c"),
        ],
        strategy="one_for_one",
    )
    infos = await top.call(Supervisor.which_children)
    assert [(info.id, info.state) for info in infos] == [("a", "stopped"), ("c", "running")]


async def test_a_start_that_is_cancelled_leaves_nothing_behind(runtime: Runtime) -> None:
    """Children that were up are gone with their supervisor."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await Supervisor.start_link([child("a"), child("b", starting=100)], strategy="one_for_one")
    await wait_until_idle()
    assert (runtime.processes(), whereis("a"), whereis("b")) == ((), None, None)


async def test_children_may_be_given_by_a_function_that_runs_once_in_the_new_process() -> None:
    """Plain or async."""
    runs: list[str | None] = []

    def plain() -> list[Any]:
        from mabeam import self_pid

        runs.append(str(self_pid()))
        return [child("a")]

    async def slow() -> list[Any]:
        await pause(1)
        runs.append("slow")
        return [child("b")]

    one = await Supervisor.start_link(plain, strategy="one_for_one")
    await Supervisor.start_link(slow, strategy="one_for_one")
    assert LOG == ["+a", "+b"]
    assert runs == [str(one.pid), "slow"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError("x"), StartFailed), (Ignore(), StartIgnored), (Stop(Shutdown("x")), StartFailed)],
)
async def test_the_function_may_raise(
    error: BaseException, expected: type[Exception], runtime: Runtime
) -> None:
    """Nothing is left then."""

    def children() -> list[Any]:
        raise error

    with pytest.raises(expected):
        await Supervisor.start_link(children, strategy="one_for_one")
    assert runtime.processes() == ()


async def test_what_the_function_returns_is_checked_like_a_list() -> None:
    """The failed start carries the error that lists all problems."""
    with pytest.raises(StartFailed) as caught:
        await Supervisor.start_link(lambda: [child("a"), child("a"), 7], strategy="one_for_one")
    cause = caught.value.__cause__
    assert isinstance(cause, UsageError)
    assert len(cause.problems) == 2
    assert LOG == []


# ------------------------------------------------------------------------------------------------- stop


async def test_children_stop_last_to_first_each_when_the_one_after_it_is_down() -> None:
    """So the time of a stop is the sum of theirs."""
    top = await Supervisor.start_link(
        [child("a", stopping=1), child("b", stopping=2), child("c", stopping=3)], strategy="one_for_one"
    )
    await top.stop()
    assert LOG[3:] == ["-c", "-b", "-a"]
    assert clock().time() == 6.0


@pytest.mark.parametrize(
    ("shutdown", "seconds", "terminated"),
    [
        ("brutal_kill", 0.0, False),
        (0, 0.0, False),
        (2.0, 2.0, False),
        (60.0, 50.0, True),
        ("infinity", 50.0, True),
    ],
)
async def test_the_shutdown_of_a_child_says_how_long_it_has(
    shutdown: Any, seconds: float, *, terminated: bool
) -> None:
    """Then it is killed."""
    probe = Probe.start()
    top = await Supervisor.start_link(
        [child("a", stopping=50).options(shutdown=shutdown)], strategy="one_for_one"
    )
    probe.watch("a")
    await top.stop()
    await wait_until_idle()
    assert clock().time() == seconds
    assert ("-a" in LOG) == terminated


async def test_everything_works_inside_a_runtime_block_of_a_foreign_loop() -> None:
    """As in a web framework's start-up and clean-up; leaving the block stops the tree in order."""
    loop_task = asyncio.current_task()
    async with Runtime() as inner:
        await Supervisor.start_link([child("a"), child("b")], strategy="one_for_one")
        await Supervisor.start_link([child("c"), child_spec(for_ever)], strategy="rest_for_one")
        answers = await asyncio.gather(*(_ask(name) for name in "abc"))
        assert answers == ["a", "b", "c"]
    assert LOG == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert inner.processes() == ()
    assert asyncio.current_task() is loop_task


async def _ask(name: str) -> str:
    from mabeam import ref

    return await ref(name, Child).call(Child.ping)
