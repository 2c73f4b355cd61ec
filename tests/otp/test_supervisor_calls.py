"""What can be asked of a running supervisor, in every state that a child can be in."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from mabeam import (
    Backoff,
    CallTimeout,
    ChildCounts,
    ChildError,
    GenServer,
    Ignore,
    Ref,
    Restart,
    StartFailed,
    StartIgnored,
    Supervisor,
    UsageError,
    handle_call,
    kill,
    ref,
    start_info,
    whereis,
)
from mabeam.kernel import Crashed
from mabeam.testing import wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause, pid_of

OUTCOMES: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _no_outcomes() -> None:
    OUTCOMES.clear()


class Child(GenServer):
    """Its next starts go as told."""

    def __init__(self, name: str) -> None:
        start_info(f"info of {name}")
        self.name = name

    async def init(self) -> None:
        outcome = OUTCOMES.get(self.name)
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome == "hang":
            await for_ever()

    @handle_call
    def ping(self) -> str:
        return self.name


def child(name: str, restart: Restart = "permanent") -> Any:
    """A named child."""
    return Child.child_spec(name).named(name).options(restart=restart)


async def tree(*children: Any, **options: Any) -> Ref[Supervisor]:
    """A supervisor that is not linked to the test."""
    return await Supervisor.child_spec(list(children), strategy="one_for_one", **options).start()


async def in_state(state: str) -> Ref[Supervisor]:
    """A supervisor with a child ``a`` in a state."""
    top = await tree(child("a"), backoff=Backoff(first=1.0))
    if state == "stopped":
        await top.call(Supervisor.terminate_child, "a")
    if state == "restarting":
        kill("a")
        await wait_until_idle()
    if state == "not there":
        await top.call(Supervisor.terminate_child, "a")
        await top.call(Supervisor.delete_child, "a")
    return top


CODES = [
    ("running", Supervisor.restart_child, "running"),
    ("running", Supervisor.delete_child, "running"),
    ("restarting", Supervisor.restart_child, "restarting"),
    ("restarting", Supervisor.delete_child, "restarting"),
    ("not there", Supervisor.restart_child, "not_found"),
    ("not there", Supervisor.delete_child, "not_found"),
    ("not there", Supervisor.terminate_child, "not_found"),
    ("not there", Supervisor.get_childspec, "not_found"),
]


@pytest.mark.parametrize(("state", "method", "code"), CODES)
async def test_what_a_childs_state_does_not_allow_is_a_child_error(
    state: str, method: Any, code: str
) -> None:
    """With the code, the id, and what to do instead; the supervisor and its child go on."""
    top = await in_state(state)
    with pytest.raises(ChildError) as caught:
        await top.call(method, "a")
    assert (caught.value.code, caught.value.child) == (code, "a")
    await top.call(Supervisor.which_children)


@pytest.mark.parametrize(
    ("state", "code"),
    [("running", "already_started"), ("stopped", "already_present"), ("restarting", "already_present")],
)
async def test_an_id_that_is_there_cannot_be_started_again(state: str, code: str) -> None:
    """A running one comes with its pid."""
    top = await in_state(state)
    with pytest.raises(ChildError) as caught:
        await top.call(Supervisor.start_child, child("a"))
    assert caught.value.code == code
    assert caught.value.pid == (whereis("a") if state == "running" else None)


def test_every_code_of_a_child_error_is_known_here() -> None:
    """The tables above leave none out."""
    assert {code for _, _, code in CODES} | {"already_started", "already_present"} == set(
        get_args(ChildError.Code)
    )


async def test_start_child_adds_one_last_and_returns_its_handle() -> None:
    """With what it gave as start information."""
    top = await tree(child("a"))
    started = await top.call(Supervisor.start_child, child("b"))
    assert (started.pid, started.start_info) == (whereis("b"), "info of b")
    infos = await top.call(Supervisor.which_children)
    assert [(info.id, info.state, info.pid) for info in infos] == [
        ("a", "running", whereis("a")),
        ("b", "running", whereis("b")),
    ]


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
async def test_start_child_of_one_that_does_not_start(restart: Restart) -> None:
    """A failed one is not kept; an ignored one is, unless it is temporary."""
    top = await tree()
    OUTCOMES["x"] = ValueError("no")
    with pytest.raises(StartFailed) as caught:
        await top.call(Supervisor.start_child, child("x", restart))
    assert caught.value.reason == Crashed(ValueError("no"))
    assert await top.call(Supervisor.which_children) == []
    OUTCOMES["x"] = Ignore()
    with pytest.raises(StartIgnored):
        await top.call(Supervisor.start_child, child("x", restart))
    infos = await top.call(Supervisor.which_children)
    assert [info.state for info in infos] == (["stopped"] if restart == "permanent" else [])
    assert pid_of(top).is_alive


async def test_start_child_refuses_what_is_no_spec() -> None:
    """The supervisor lives."""
    top = await tree()
    mistakes: list[Any] = [Child, "x", None, child("a").options(shutdown=-1), Child.child_spec()]  # type: ignore[call-arg]
    for wrong in mistakes:
        with pytest.raises(UsageError):
            await top.call(Supervisor.start_child, wrong)
    with pytest.raises(UsageError, match="does not fit"):
        await top.call(Supervisor.start_child)  # type: ignore[call-overload]
    assert await top.call(Supervisor.which_children) == []


async def test_terminate_child_stops_it_for_good_and_restart_child_brings_it_back() -> None:
    """Neither counts as a restart."""
    top = await tree(child("a"), max_restarts=0)
    for _ in range(5):
        before = whereis("a")
        await top.call(Supervisor.terminate_child, "a")
        await wait_until_idle()
        assert whereis("a") is None
        again = await top.call(Supervisor.restart_child, "a")
        assert again.pid == whereis("a") != before
    await top.call(Supervisor.terminate_child, "a")
    await top.call(Supervisor.terminate_child, "a")


async def test_a_temporary_child_is_forgotten_when_it_is_terminated() -> None:
    """There is nothing to restart it for."""
    top = await tree(child("a", "temporary"))
    await top.call(Supervisor.terminate_child, "a")
    with pytest.raises(ChildError, match="not_found"):
        await top.call(Supervisor.restart_child, "a")


async def test_restart_child_that_fails_keeps_the_spec_stopped() -> None:
    """It can be tried again."""
    top = await in_state("stopped")
    OUTCOMES["a"] = ValueError("no")
    with pytest.raises(StartFailed):
        await top.call(Supervisor.restart_child, "a")
    OUTCOMES["a"] = Ignore()
    with pytest.raises(StartIgnored):
        await top.call(Supervisor.restart_child, "a")
    (info,) = await top.call(Supervisor.which_children)
    assert info.state == "stopped"
    OUTCOMES.clear()
    assert (await top.call(Supervisor.restart_child, "a")).pid == whereis("a")


async def test_get_childspec_returns_the_spec_as_it_was_given() -> None:
    """In every state."""
    spec = child("a", "transient")
    top = await tree(spec)
    assert await top.call(Supervisor.get_childspec, "a") is spec
    await top.call(Supervisor.terminate_child, "a")
    assert await top.call(Supervisor.get_childspec, "a") is spec


async def test_count_children_counts_by_kind_and_by_state() -> None:
    """Stopped ones are there and not active."""
    nested = Supervisor.child_spec([child("deep")], strategy="one_for_one").named("nested")
    top = await tree(child("a"), child("b"), nested, backoff=Backoff(first=1.0))
    assert await top.call(Supervisor.count_children) == ChildCounts(
        specs=3, active=3, supervisors=1, workers=2
    )
    await top.call(Supervisor.terminate_child, "nested")
    kill("a")
    await wait_until_idle()
    assert await top.call(Supervisor.count_children) == ChildCounts(
        specs=3, active=1, supervisors=1, workers=2
    )


async def test_the_id_is_the_name_unless_it_is_given() -> None:
    """Two of one class need names or ids."""
    top = await tree(
        Child.child_spec("x").named("x"), Child.child_spec("y").options(id="y"), Child.child_spec("z")
    )
    infos = await top.call(Supervisor.which_children)
    assert [info.id for info in infos] == ["x", "y", "Child"]


async def test_a_call_to_a_supervisor_waits_without_limit_unless_one_is_given() -> None:
    """It may be starting or stopping a child."""
    top = await tree()
    OUTCOMES["slow"] = "hang"
    starting = await begun(top.call(Supervisor.start_child, child("slow")))
    with pytest.raises(CallTimeout):
        await top.options(timeout=2.0).call(Supervisor.which_children)
    await clock().advance(1_000)
    assert not starting.done()
    kill("slow")
    with pytest.raises(StartFailed):
        await starting


async def test_a_caller_that_gives_up_a_start_does_not_stop_it() -> None:
    """The child is there afterwards, under its supervisor."""

    class Slow(GenServer):
        async def init(self) -> None:
            await pause(3)

    top = await tree()
    with pytest.raises(CallTimeout):
        await top.options(timeout=1.0).call(Supervisor.start_child, Slow.child_spec())
    (info,) = await top.call(Supervisor.which_children)
    assert (info.state, clock().time()) == ("running", 3.0)


async def test_a_stop_during_a_start_comes_after_it() -> None:
    """The child is stopped with the others."""
    top = await tree(child("a"))

    class Slow(GenServer):
        async def init(self) -> None:
            await pause(3)

    starting = await begun(top.call(Supervisor.start_child, Slow.child_spec().named("slow")))
    await top.stop()
    assert clock().time() == 3.0
    assert (await starting).start_info is None
    assert (whereis("slow"), whereis("a")) == (None, None)


async def test_a_killed_supervisor_leaves_no_half_started_child() -> None:
    """The start is cancelled, and the child with it."""
    top = await tree()
    OUTCOMES["slow"] = "hang"
    starting = await begun(top.call(Supervisor.start_child, child("slow")))
    assert whereis("slow") is not None
    kill(top)
    await wait_until_idle()
    assert whereis("slow") is None
    with pytest.raises(Exception, match="Killed"):
        await starting


async def test_unknown_messages_do_not_harm_a_supervisor() -> None:
    """Nor do calls of another class's methods."""
    from mabeam import send

    top = await tree(child("a"))
    send(pid_of(top), "hello")
    with pytest.raises(UsageError):
        await top.call(Child.ping)  # type: ignore[call-overload]
    assert await ref("a", Child).call(Child.ping) == "a"
