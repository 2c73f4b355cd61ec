"""A running supervisor against a plan made by a naive model of OTP's rules: who is stopped, and who started, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mabeam import (
    ChildError,
    Exited,
    ExitReason,
    GenServer,
    Normal,
    ProcessDied,
    Ref,
    Restart,
    Shutdown,
    Strategy,
    Supervisor,
    handle_call,
    kill,
    stop_self,
    trap_exit,
)
from tests._live import LiveRuntime
from tests.kernel._scenes import process_of
from tests.otp._servers import pid_of

if TYPE_CHECKING:
    from mabeam import ChildSpec

IDS = ("a", "b", "c", "d")
MAX_SECONDS = 5.0
REASONS: list[ExitReason] = [Normal(), Shutdown(), Shutdown("done"), Exited("odd")]


class Worker(GenServer):
    """Writes down its beginning and its orderly end."""

    def __init__(self, id: str, log: list[tuple[str, str]]) -> None:
        trap_exit()
        self.id = id
        self.log = log
        log.append(("start", id))

    @handle_call
    def end(self, reason: ExitReason) -> None:
        stop_self(reason)

    @handle_call
    def crash(self) -> None:
        raise LookupError

    def terminate(self, reason: ExitReason) -> None:
        self.log.append(("stop", self.id))


@dataclass
class Child:
    """One child as OTP describes it."""

    id: str
    restart: Restart
    runs: bool = True


class Supervision(RuleBasedStateMachine):
    """The real thing beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.live = LiveRuntime()
        self.log: list[tuple[str, str]] = []
        self.plan: list[tuple[str, str]] = []
        self.children: list[Child] = []
        self.restarts: list[float] = []
        self.max_restarts = 0
        self.strategy: Strategy = "one_for_one"
        self.now = 0.0
        self.is_up = True
        self.supervisor: Ref[Supervisor]

    @initialize(
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        restarts=st.lists(st.sampled_from(["permanent", "transient", "temporary"]), max_size=3),
        max_restarts=st.integers(0, 4),
    )
    def begin(self, strategy: Strategy, restarts: list[Restart], max_restarts: int) -> None:
        self.strategy, self.max_restarts = strategy, max_restarts
        self.children = [Child(each, restart) for each, restart in zip(IDS, restarts, strict=False)]
        specs = [self.spec(child.id, child.restart) for child in self.children]

        async def start() -> Ref[Supervisor]:
            spec = Supervisor.child_spec(
                specs, strategy=strategy, max_restarts=max_restarts, max_seconds=MAX_SECONDS
            )
            return await spec.start()

        self.supervisor = self.live.do(start)
        self.plan += [("start", child.id) for child in self.children]

    def teardown(self) -> None:
        self.live.close()

    def spec(self, id: str, restart: Restart) -> ChildSpec[Worker]:
        return Worker.child_spec(id, self.log).options(id=id, restart=restart)

    def find(self, id: str) -> Child | None:
        return next((child for child in self.children if child.id == id), None)

    # ---- the model

    def stopped(self, child: Child) -> None:
        """It does not run any more."""
        child.runs = False
        if child.restart == "temporary":
            self.children.remove(child)

    def stop(self, children: list[Child]) -> None:
        """Stop children, last to first."""
        for child in reversed(children):
            if child.runs:
                self.plan.append(("stop", child.id))
            self.stopped(child)

    def ended(self, child: Child, *, abnormally: bool) -> None:
        """A child has ended by itself."""
        if child.restart == "temporary" or (child.restart == "transient" and not abnormally):
            self.stopped(child)
            return
        self.restarts = [time for time in self.restarts if time >= self.now - MAX_SECONDS] + [self.now]
        child.runs = False
        if len(self.restarts) > self.max_restarts:
            self.stop(list(self.children))
            self.is_up = False
            return
        if self.strategy == "one_for_one":
            group = [child]
        else:
            first = self.children.index(child) if self.strategy == "rest_for_one" else 0
            group = self.children[first:]
        self.stop([each for each in group if each is not child])
        for each in group:
            if each in self.children:
                each.runs = True
                self.plan.append(("start", each.id))

    # ---- the steps

    async def child_of(self, id: str) -> Ref[Worker]:
        """The handle of a child that runs."""
        infos = await self.supervisor.call(Supervisor.which_children)
        pid = next(info.pid for info in infos if info.id == id)
        assert pid is not None
        return Ref(process_of(pid), self.live.runtime.kernel)

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS), reason=st.sampled_from(REASONS))
    def child_ends(self, id: str, reason: ExitReason) -> None:
        child = self.find(id)
        if child is None or not child.runs:
            return

        async def end() -> None:
            await (await self.child_of(id)).call(Worker.end, reason)

        self.live.do(end)
        self.plan.append(("stop", id))
        self.ended(child, abnormally=isinstance(reason, Exited))

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS), how=st.sampled_from(["raise", "kill"]))
    def child_crashes(self, id: str, how: str) -> None:
        child = self.find(id)
        if child is None or not child.runs:
            return

        async def crash() -> None:
            ref = await self.child_of(id)
            if how == "kill":
                kill(ref)
                return
            try:
                await ref.call(Worker.crash)
            except ProcessDied:
                return

        self.live.do(crash)
        if how == "raise":  # a kill runs no terminate
            self.plan.append(("stop", id))
        self.ended(child, abnormally=True)

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS))
    def terminate_child(self, id: str) -> None:
        child = self.find(id)
        answer = self.ask(Supervisor.terminate_child, id)
        assert answer == ("not_found" if child is None else None)
        if child is not None:
            self.stop([child])

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS))
    def restart_child(self, id: str) -> None:
        child = self.find(id)
        answer = self.ask(Supervisor.restart_child, id)
        assert answer == ("not_found" if child is None else "running" if child.runs else None)
        if child is not None and not child.runs:
            child.runs = True
            self.plan.append(("start", id))

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS))
    def delete_child(self, id: str) -> None:
        child = self.find(id)
        answer = self.ask(Supervisor.delete_child, id)
        assert answer == ("not_found" if child is None else "running" if child.runs else None)
        if child is not None and not child.runs:
            self.children.remove(child)

    @precondition(lambda self: self.is_up)
    @rule(id=st.sampled_from(IDS), restart=st.sampled_from(["permanent", "transient", "temporary"]))
    def start_child(self, id: str, restart: Restart) -> None:
        child = self.find(id)
        answer = self.ask(Supervisor.start_child, self.spec(id, restart))
        expected = None if child is None else "already_started" if child.runs else "already_present"
        assert answer == expected
        if child is None:
            self.children.append(Child(id, restart))
            self.plan.append(("start", id))

    def ask(self, method: Any, argument: Any) -> str | None:
        """Call the supervisor; the code of the error that it answers with."""

        async def asking() -> str | None:
            try:
                await self.supervisor.call(method, argument)
            except ChildError as error:
                return str(error.code)
            return None

        return self.live.do(asking)

    @rule(seconds=st.sampled_from([0.5, 2.5, 5.0, 6.0]))
    def advance(self, seconds: float) -> None:
        self.live.advance(seconds)
        self.now += seconds

    # ---- what must hold

    @invariant()
    def they_agree(self) -> None:
        assert self.log == self.plan
        pid = pid_of(self.supervisor)
        assert pid.is_alive == self.is_up
        if not self.is_up:
            assert process_of(pid).reason == Shutdown()
            return

        async def look() -> tuple[Any, Any]:
            return (
                await self.supervisor.call(Supervisor.which_children),
                await self.supervisor.call(Supervisor.count_children),
            )

        infos, counts = self.live.do(look)
        assert [(info.id, info.state) for info in infos] == [
            (child.id, "running" if child.runs else "stopped") for child in self.children
        ]
        assert (counts.specs, counts.active) == (
            len(self.children),
            sum(child.runs for child in self.children),
        )
        assert all(info.pid.is_alive for info in infos if info.pid is not None)


TestSupervision = Supervision.TestCase
TestSupervision.settings = settings(
    max_examples=settings().max_examples // 2, stateful_step_count=25, deadline=None
)
