"""Children that are given wrongly: all problems in one error, before anything has started."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from mabeam import (
    AlreadyStarted,
    Backoff,
    Crashed,
    DynamicSupervisor,
    Exited,
    FailedToStartChild,
    GenServer,
    PartitionSupervisor,
    Registry,
    Shutdown,
    StartFailed,
    Supervisor,
    TaskSupervisor,
    UsageError,
    child_spec,
    handle_call,
    ref,
)
from tests.otp._servers import for_ever

STARTED: list[str] = []


class Worker(GenServer):
    """Notes that it was started."""

    def __init__(self, name: str) -> None:
        STARTED.append(name)

    @handle_call
    def ping(self) -> str:
        return "pong"


async def job(number: int) -> int:
    return number


@pytest.fixture(autouse=True)
def nothing_started() -> None:
    STARTED.clear()


async def _problems(*children: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        await Supervisor.start_link(
            [Worker.child_spec("first").named("first"), *children], strategy="one_for_one"
        )
    assert STARTED == []
    return list(caught.value.problems)


# ---------------------------------------------------------------------------------------- flags, up front


async def test_flags_of_supervisors_and_registries_are_checked_before_anything_starts() -> None:
    """They are part of the one error of the supervisor that has them for children."""
    problems = await _problems(
        Registry.child_spec(keys="uniq").named("keys"),  # type: ignore[arg-type]  # what is wrong
        DynamicSupervisor.child_spec(max_children=-1, max_restarts="3").named("sessions"),  # type: ignore[arg-type]
        TaskSupervisor.child_spec(max_seconds=0, backoff=1.0).named("tasks"),  # type: ignore[arg-type]
    )
    assert problems == [
        "child 'keys': Registry: expects keys='unique' or keys='duplicate', got 'uniq'",
        "child 'sessions': DynamicSupervisor: max_restarts expects a whole number >= 0, got '3'",
        "child 'sessions': DynamicSupervisor: max_children expects a whole number >= 0, or None for no limit, got -1",
        "child 'tasks': TaskSupervisor: max_seconds expects seconds > 0, got 0",
        "child 'tasks': TaskSupervisor: backoff expects a Backoff, got 1.0",
    ]


async def test_what_nested_supervisors_were_given_is_checked_before_anything_starts() -> None:
    """Their flags and their children, however deep."""
    deep = Supervisor.child_spec([Worker], strategy="one_for_one").named("deep")  # type: ignore[list-item]  # what is wrong
    problems = await _problems(
        Supervisor.child_spec([deep], strategy="one_by_one").named("top"),  # type: ignore[arg-type]  # what is wrong
        PartitionSupervisor.child_spec(Worker.child_spec(), partitions=0).named("parts"),  # type: ignore[call-arg]
    )
    assert problems == [
        "child 'top': Supervisor: strategy expects one of one_for_one, one_for_all, rest_for_one, got 'one_by_one'",
        "child 'top': Supervisor: child 'deep': Supervisor: a child expects a spec, got the class Worker. Write Worker.child_spec(...)",
        "child 'parts': PartitionSupervisor: partitions expects a whole number >= 1, got 0",
        "child 'parts': PartitionSupervisor: Worker: missing a required argument: 'name'",
    ]


async def test_what_a_function_of_children_returns_is_checked_when_its_turn_comes() -> None:
    """Nobody knows it before. Those that have started are stopped again."""
    wrong = Supervisor.child_spec(lambda: [Worker], strategy="one_for_one")  # type: ignore[list-item]  # what is wrong
    with pytest.raises(StartFailed) as caught:
        await Supervisor.start_link([Worker.child_spec("first"), wrong], strategy="one_for_one")
    assert STARTED == ["first"]
    assert "Worker.child_spec(...)" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "start",
    [
        lambda: DynamicSupervisor.start_link(max_children=-1),
        lambda: TaskSupervisor.start_link(max_children=-1),
        lambda: DynamicSupervisor.child_spec(max_children=-1).start(),
        lambda: Registry.start_link(keys="uniq"),  # type: ignore[arg-type]
        lambda: Registry.child_spec(keys=None).start(),  # type: ignore[arg-type]
    ],
)
async def test_flags_are_checked_where_one_is_started_by_itself(start: Any) -> None:
    with pytest.raises(UsageError, match="expects"):
        await start()


async def test_flags_of_a_dynamic_child_are_checked_by_its_supervisor() -> None:
    top = await DynamicSupervisor.start_link()
    wrong = DynamicSupervisor.child_spec(max_children="3")  # type: ignore[arg-type]  # what is wrong
    with pytest.raises(UsageError, match="max_children"):
        await top.call(DynamicSupervisor.start_child, wrong)


async def test_a_class_with_arguments_of_its_own_checks_its_flags_itself() -> None:
    """What it passes on is known when it runs."""

    class Sessions(DynamicSupervisor):
        def __init__(self, limit: int) -> None:
            super().__init__(max_children=limit)

    await Supervisor.start_link([Sessions.child_spec(3).named("sessions")], strategy="one_for_one")
    assert await (await Sessions.start_link(3)).call(DynamicSupervisor.which_children) == []
    with pytest.raises(StartFailed) as caught:
        await Sessions.start_link(-3)
    assert "max_children expects" in str(caught.value.__cause__)


# ---------------------------------------------------------------------------------------- what is no spec


async def test_whatever_is_given_for_a_spec_the_error_says_what_to_write() -> None:
    """A class, a function, a method, an object, a handle, a coroutine, a value."""
    coroutine, starting = job(1), Worker.start_link("x")
    running = await Worker.start_link("running")
    STARTED.clear()
    assert await _problems(
        Worker,
        dict,
        running,
        job,
        coroutine,
        starting,
        Worker.start_link,
        None,
    ) == [
        "a child expects a spec, got the class Worker. Write Worker.child_spec(...)",
        "a child expects a spec, got the class dict, which is no GenServer",
        f"a child expects a spec, got {running!r}, which runs already. Give its spec, so that it can be restarted",
        "a child expects a spec, got the function job. Write child_spec(job, ...)",
        "a child expects a spec, got the coroutine job(...): the function was called. Write child_spec(job, ...)",
        "a child expects a spec, got the coroutine GenServer.start_link(...), which starts it here. Write Worker.child_spec(...)",
        "a child expects a spec, got GenServer.start_link of Worker, not called. Write Worker.child_spec(...)",
        "a child expects a spec such as Counter.child_spec(10), got None",
    ]
    for closed in (coroutine, starting):
        with pytest.raises(RuntimeError, match="cannot reuse"):
            closed.send(None)


async def test_an_object_of_a_server_class_is_no_spec() -> None:
    """It runs in no process."""
    made = Worker("made")
    STARTED.clear()
    (problem,) = await _problems(made)
    assert problem.endswith("Write Worker.child_spec(...)")


@pytest.mark.parametrize(
    ("children", "hint"),
    [
        (lambda: Worker.child_spec("x"), r"Write \[spec\]"),
        (lambda: Worker, r"Write \[Worker\.child_spec\(\.\.\.\)\]"),
        (lambda: {"x": Worker.child_spec("x")}, "A list has an order"),
        (lambda: (Worker.child_spec(name) for name in "ab"), r"Write list\(\.\.\.\)"),
        (lambda: job(1), "Give it as it is, job"),
        (lambda: None, "got None"),
        (lambda: "Worker", "got 'Worker'"),
    ],
)
async def test_whatever_is_given_for_the_list_the_error_says_what_to_write(children: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=f"children expects a list of specs.*{hint}"):
        await Supervisor.start_link(children(), strategy="one_for_one")
    assert STARTED == []


async def test_a_function_that_needs_arguments_cannot_be_asked_for_children() -> None:
    """It is found before a process is made; ``partial`` helps."""

    def children(number: int) -> Any:
        return [Worker.child_spec(str(index)).options(id=str(index)) for index in range(number)]

    with pytest.raises(UsageError, match=r"called without arguments, which does not fit: .*'number'"):
        await Supervisor.start_link(children, strategy="one_for_one")  # type: ignore[arg-type]  # what is wrong
    await Supervisor.start_link(functools.partial(children, 2), strategy="one_for_one")
    assert STARTED == ["0", "1"]


# ---------------------------------------------------------------------------------------- specs


@pytest.mark.parametrize(
    ("option", "right"),
    [("name", ".named(...)"), ("restart", ".options(restart=...)"), ("id", ".options(id=...)")],
)
def test_an_option_among_the_arguments_says_where_it_belongs(option: str, right: str) -> None:
    class Plain(GenServer):
        """Takes no arguments."""

    (problem,) = Plain.child_spec(**{option: "y"}).check()
    assert problem.endswith(
        f"unexpected keyword argument '{option}'. Options are apart from the arguments: Plain.child_spec(...){right}"
    )


async def test_nothing_is_no_name() -> None:
    """A child without one is written without ``named``."""
    with pytest.raises(UsageError, match="got None; leave it away"):
        await Worker.child_spec("x").named(None).start_link()  # type: ignore[arg-type]  # what is wrong


async def test_a_spec_is_not_awaited() -> None:
    spec: Any = Worker.child_spec("x")
    with pytest.raises(UsageError, match=r"await spec\.start_link\(\)"):
        await spec
    assert STARTED == []


def test_a_decorated_function_is_checked_by_what_the_decorator_takes() -> None:
    """Which may be less than what it passes on."""

    @functools.wraps(job)
    async def with_number() -> int:
        return await job(1)

    assert child_spec(with_number).check() == ()
    assert child_spec(job).check() != ()  # type: ignore[call-arg]  # what is wrong

    class Injected(GenServer):
        def _init(self, database: object, name: str) -> None: ...

        @functools.wraps(_init)  # type: ignore[misc]  # a decorated constructor
        def __init__(self, name: str) -> None:
            self._init(object(), name)

    assert Injected.child_spec("x").check() == ()


# ---------------------------------------------------------------------------------------- starts that fail


async def test_a_start_that_fails_because_a_name_is_taken_says_so() -> None:
    """Which is found when it is its turn, as in OTP."""
    with pytest.raises(StartFailed, match=r"The name is taken, by <pid .*Worker>") as caught:
        await Supervisor.start_link(
            [Worker.child_spec("a").named("x"), Worker.child_spec("b").named("x").options(id="y")],
            strategy="one_for_one",
        )
    reason = caught.value.reason
    assert isinstance(reason, Shutdown)
    assert isinstance(reason.detail, FailedToStartChild)
    assert isinstance(reason.detail.reason, Exited)
    assert isinstance(reason.detail.reason.value, AlreadyStarted)


async def test_the_exception_at_the_bottom_of_a_failed_tree_is_chained() -> None:
    """However deep the child is that raised it."""

    class Broken(GenServer):
        def __init__(self) -> None:
            raise KeyError("the cause")

    inner = Supervisor.child_spec([Broken.child_spec()], strategy="one_for_one").named("inner")
    with pytest.raises(StartFailed) as caught:
        await Supervisor.start_link([inner], strategy="one_for_one")
    assert isinstance(caught.value.__cause__, KeyError)
    alone = Broken.child_spec()
    with pytest.raises(StartFailed) as caught:
        await alone.start_link()
    assert caught.value.reason == Crashed(KeyError("the cause"))


# ---------------------------------------------------------------------------------------- operations on children


@pytest.mark.parametrize(
    "operation",
    [Supervisor.terminate_child, Supervisor.restart_child, Supervisor.delete_child, Supervisor.get_childspec],
)
async def test_what_is_no_id_of_a_child_is_refused_and_the_supervisor_lives(operation: Any) -> None:
    """Even what cannot be looked up at all."""
    top = await Supervisor.start_link([Worker.child_spec("x").named("x")], strategy="one_for_one")
    for wrong in ([1], ref("x", Worker).pid, None):
        with pytest.raises(UsageError, match="expected the id of a child"):
            await top.call(operation, wrong)
    assert await ref("x", Worker).call(Worker.ping) == "pong"


async def test_restarts_with_a_wrong_backoff_are_refused_with_the_rest() -> None:
    with pytest.raises(UsageError) as caught:
        await Supervisor.start_link(
            [child_spec(for_ever).options(shutdown=-1)],
            strategy="one_for_one",
            backoff=Backoff(first=-1.0, factor=0),
        )
    assert len(caught.value.problems) == 3
