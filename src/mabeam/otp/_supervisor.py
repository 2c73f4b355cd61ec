"""Supervisor: starts its children in order, restarts them by a strategy, stops them in reverse."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeAlias, TypeVar, cast

from mabeam.errors import ChildError, StartFailed, StartIgnored, UsageError
from mabeam.kernel import (
    Crashed,
    ExitReason,
    ExitSignal,
    Shutdown,
    Stop,
    current_process,
    misfit,
    start_timer,
    trap_exit,
)
from mabeam.otp._asides import asides_of
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._child_info import ChildCounts, ChildInfo, FailedToStartChild, start_reason
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._gen_server import GenServer
from mabeam.otp._handlers import system_call
from mabeam.otp._ref import Ref
from mabeam.otp._restart_state import Backoff, RestartWindow, Retry
from mabeam.otp._stopping import stop_process
from mabeam.otp._supervisor_checks import (
    check_limits,
    check_option,
    child_problems,
    children_problems,
    raise_problems,
)
from mabeam.otp._supervisor_reports import (
    note_exit,
    note_restart,
    note_started,
    report_failed_restart,
    report_giving_up,
)
from mabeam.otp._supervisor_state import AutoShutdown, Child, Children, Strategy, restarts_after

if TYPE_CHECKING:
    from mabeam.kernel import Process

__all__ = ("Supervisor",)

P = ParamSpec("P")
S = TypeVar("S")

ChildList: TypeAlias = Sequence[ChildSpec[Any]]
ChildFunction: TypeAlias = Callable[[], ChildList | Awaitable[ChildList]]

_CALLER_ERRORS = (ChildError, StartFailed, StartIgnored, UsageError)


def _problems(
    children: Any,
    strategy: object,
    max_restarts: object,
    max_seconds: object,
    auto_shutdown: object,
    backoff: Backoff | None,
) -> list[str]:
    """What is wrong with the arguments of a supervisor; what a function of children returns is not known yet."""
    problems = check_option("strategy", strategy, Strategy)
    problems += check_limits(max_restarts, max_seconds, backoff)
    problems += check_option("auto_shutdown", auto_shutdown, AutoShutdown)
    if not callable(children) or isinstance(children, type):
        return problems + _problems_of_all(children, auto_shutdown)
    wrong = misfit(children, (), {})
    if wrong:
        problems.append(
            f"children is a function that is called without arguments, which does not fit: {wrong}"
        )
    return problems


def _problems_of_all(specs: object, auto_shutdown: object) -> list[str]:
    problems = children_problems(specs)
    if problems or not isinstance(specs, list | tuple):
        return problems
    seen: set[object] = set()
    for spec in specs:
        problems += _problems_of_one(spec, auto_shutdown)
        if not isinstance(spec, ChildSpec):
            continue
        if spec.id in seen:
            problems.append(
                f"child {spec.id!r}: the id is used twice; give each a name with .named(...), or an id with .options(id=...)"
            )
        seen.add(spec.id)
    return problems


def _problems_of_one(spec: object, auto_shutdown: object) -> list[str]:
    """What is wrong with a child: with its spec as such, or with it as a child of this supervisor."""
    problems = []
    if isinstance(spec, ChildSpec) and spec.significant is True and auto_shutdown == "never":
        problems.append(
            f"child {spec.id!r} is significant, but auto_shutdown is 'never', so its end would mean nothing"
        )
    return [*problems, *child_problems(spec)]


class Supervisor(GenServer):
    """A process that starts, watches, restarts and stops others.

    Children start first to last, each when the one before is up, and stop last to first. A child that ends is restarted
    as its spec says (``permanent``, ``transient``, ``temporary``), together with others as the strategy says. More than
    ``max_restarts`` restarts within ``max_seconds`` are too many: it stops all children and ends with ``Shutdown()``,
    which its own supervisor deals with.

    Calls to it wait without limit unless a timeout is given, since it may be starting or stopping a child.

    Example:
        from mabeam import GenServer, Supervisor, handle_call

        class Worker(GenServer):
            @handle_call
            def ping(self) -> str:
                return "pong"

        async def main() -> str:
            await Supervisor.start_link(
                [Worker.child_spec().named("one"), Worker.child_spec().named("two")], strategy="one_for_one"
            )
            return await mabeam.ref("two", Worker).call(Worker.ping)

        assert mabeam.run(main) == "pong"
    """

    is_supervisor: ClassVar[bool] = True
    runs_trusted_code: ClassVar[bool] = True

    @checked_up_front(_problems)
    def __init__(
        self,
        children: ChildList | ChildFunction,
        /,
        *,
        strategy: Strategy,
        max_restarts: int = 3,
        max_seconds: float = 5.0,
        auto_shutdown: AutoShutdown = "never",
        backoff: Backoff | None = None,
    ) -> None:
        """Check everything; nothing has started if anything is wrong.

        Args:
            children: specs in the order of their start; or a function that returns them, which runs once, in the new
                process, and may raise, or ``raise Ignore``.
            strategy: who is restarted with a child that ended: ``one_for_one``, ``one_for_all`` or ``rest_for_one``.
            max_restarts: restarts allowed within ``max_seconds``; 0 allows none.
            max_seconds: length of that window in seconds.
            auto_shutdown: whether ends of significant children end the supervisor: ``never``, ``any_significant`` or
                ``all_significant``.
            backoff: wait before restarts; none unless given.

        Raises:
            UsageError: lists all problems of the options and of the specs.
        """
        problems = _problems(children, strategy, max_restarts, max_seconds, auto_shutdown, backoff)
        raise_problems(type(self).__name__, problems)
        self._given: Any = children
        self._children = Children(strategy, auto_shutdown)
        self._window = RestartWindow(max_restarts, max_seconds)
        self._backoff = backoff

    @classmethod
    async def start_link(cls: Callable[P, S], /, *args: P.args, **kwargs: P.kwargs) -> Ref[S]:
        """Start a supervisor linked to the calling process, and wait until all its children are up.

        Arguments are those of ``__init__``, which runs in the new process.

        Raises:
            UsageError: the options or the specs are wrong; lists all problems, and nothing has started.
            StartFailed: a child did not start; those before it were stopped again.
            StartIgnored: the function of children raised ``Ignore``.
        """
        spec = ChildSpec.of_server(cast("Any", cls), args, kwargs)
        who = spec.behaviour.label
        raise_problems(who, [problem.removeprefix(f"{who}: ") for problem in spec.check()])
        return await spec.start_link()

    async def init(self) -> None:
        """Start the children."""
        trap_exit()
        if not hasattr(self, "_given"):
            name = type(self).__name__
            msg = (
                f"{name}.__init__ has not called super().__init__(...), which is told what {name} is to start"
            )
            raise UsageError(msg)
        specs = self._given
        if callable(specs):
            specs = specs()
            if inspect.isawaitable(specs):
                specs = await specs
            raise_problems(type(self).__name__, _problems_of_all(specs, self._children.auto_shutdown))
        self._given = None
        for spec in specs:
            self._children.add(Child(spec))
        failed = await self._start(list(self._children.by_id.values()))
        if failed is not None:
            child, reason = failed
            await self._stop(list(self._children.by_id.values()))
            cause = reason.exception if isinstance(reason, Crashed) else None
            raise Stop(Shutdown(FailedToStartChild(child.spec.id, reason))) from cause

    async def terminate(self, reason: ExitReason, /) -> None:
        """Stop the children, last to first."""
        await self._stop(list(self._children.by_id.values()))

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Take the end of a child; signals from strangers mean nothing to a supervisor."""
        if isinstance(message, ExitSignal):
            process = cast("Process", message.pid._process)
            child = self._children.by_process.get(process)
            return self._child_ended(child, message.reason) if child is not None else None
        if isinstance(message, Retry):
            waiting: Child = message.child
            if waiting.retry is message and self._children.by_id.get(waiting.spec.id) is waiting:
                return self._restart(waiting, counted=message.counted)
            return None
        return super().handle_info(message)

    # ------------------------------------------------------------------------------------------- calls

    @system_call(raises=_CALLER_ERRORS, starts=True)
    def start_child(self, spec: ChildSpec[S], /) -> Ref[S]:
        """Start one more child, last in order, and keep its spec.

        Returns:
            Its handle; ``start_info`` is what the child gave.

        Raises:
            UsageError: the spec is wrong.
            ChildError: ``already_started`` or ``already_present``: there is a child with this id.
            StartFailed: it did not start; its spec is not kept.
            StartIgnored: it chose not to run; its spec is kept, unless it is temporary.
        """
        problems = _problems_of_one(spec, self._children.auto_shutdown)
        if problems:
            raise UsageError("; ".join(problems), problems=problems)
        present = self._children.by_id.get(spec.id)
        if present is not None:
            if present.process is not None:
                raise ChildError("already_started", spec.id, pid=present.process.pid)
            raise ChildError("already_present", spec.id)
        return cast("Ref[S]", self._start_new(Child(spec)))

    @system_call(raises=_CALLER_ERRORS)
    def terminate_child(self, child_id: str, /) -> None:
        """Stop a child and keep its spec; a temporary one is forgotten. Ends the retries of one being restarted.

        Raises:
            ChildError: ``not_found``.
        """
        return cast("None", self._stop([self._child(child_id)]))

    @system_call(raises=_CALLER_ERRORS, starts=True)
    def restart_child(self, child_id: str, /) -> Ref[Any]:
        """Start a stopped child again. Does not count as a restart.

        Raises:
            ChildError: ``not_found``, ``running`` or ``restarting``.
            StartFailed: it did not start; its spec is kept.
            StartIgnored: it chose not to run.
        """
        return cast("Ref[Any]", self._start_again(self._stopped_child(child_id)))

    @system_call(raises=_CALLER_ERRORS)
    def delete_child(self, child_id: str, /) -> None:
        """Forget a stopped child.

        Raises:
            ChildError: ``not_found``, ``running`` or ``restarting``.
        """
        del self._children.by_id[self._stopped_child(child_id).spec.id]

    @system_call()
    def which_children(self) -> list[ChildInfo]:
        """The children in the order of their start."""
        return [_info(child) for child in self._children.by_id.values()]

    @system_call()
    def count_children(self) -> ChildCounts:
        """How many children there are."""
        children = self._children.by_id.values()
        supervisors = sum(child.spec.is_supervisor for child in children)
        return ChildCounts(
            specs=len(children),
            active=sum(child.process is not None and child.process.is_alive for child in children),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    @system_call(raises=_CALLER_ERRORS)
    def get_childspec(self, child_id: str, /) -> ChildSpec[Any]:
        """The spec of a child.

        Raises:
            ChildError: ``not_found``.
        """
        return self._child(child_id).spec

    # ------------------------------------------------------------------------------------------- inside

    def _child(self, child_id: str) -> Child:
        if not isinstance(child_id, str):
            msg = (
                f"expected the id of a child, which is a string, got {child_id!r}: its name unless it was given another, or its "
                "class; which_children lists them"
            )
            raise UsageError(msg)
        child = self._children.by_id.get(child_id)
        if child is None:
            raise ChildError("not_found", child_id)
        return child

    def _stopped_child(self, child_id: str) -> Child:
        child = self._child(child_id)
        if child.process is not None:
            raise ChildError("running", child_id)
        if child.restarting:
            raise ChildError("restarting", child_id)
        return child

    async def _start_new(self, child: Child) -> Ref[Any]:
        return await self._start_for_caller(child, is_new=True)

    async def _start_again(self, child: Child) -> Ref[Any]:
        return await self._start_for_caller(child, is_new=False)

    async def _start_for_caller(self, child: Child, *, is_new: bool) -> Ref[Any]:
        me = current_process()
        start = child.spec.begin(me)
        await start.wait()
        if start.outcome == "up":
            child.process = start.process
            self._children.by_process[start.process] = child
            note_started(me, child.spec)
        if is_new and (
            start.outcome == "up" or (start.outcome == "ignored" and child.spec.restart != "temporary")
        ):
            self._children.add(child)
        return Ref(start.result(), me.kernel, info=start.info)

    async def _start(self, children: list[Child]) -> tuple[Child, ExitReason] | None:
        """Start children in order; the first that fails, with its reason, ends the round."""
        me = current_process()
        for child in children:
            start = child.spec.begin(me)
            await start.wait()
            if start.outcome == "up":
                self._children.runs(child, start.process)
                note_started(me, child.spec)
            elif start.outcome == "ignored":
                self._children.stopped(child)
            else:
                self._children.halted(child)
                return child, start_reason(start)
        return None

    async def _stop(self, children: list[Child]) -> None:
        """Stop children, last to first."""
        me = current_process()
        for child in reversed(children):
            process = child.process
            if process is not None and process.is_alive:
                await stop_process(process, me, child.spec.shutdown_seconds)
            self._children.stopped(child)

    async def _child_ended(self, child: Child, reason: ExitReason) -> None:
        note_exit(current_process(), child.spec, reason)
        if restarts_after(child.spec, reason):
            note_restart(current_process(), child.spec, reason, child.row.attempts + 1)
            await self._restart(child, counted=False)
            return
        self._children.stopped(child)
        if self._children.ends_supervisor(child):
            raise Stop(Shutdown())

    async def _restart(self, child: Child, *, counted: bool) -> None:
        """Restart a child and those that the strategy restarts with it."""
        me = current_process()
        now = me.kernel.loop.time()
        if not counted:
            if not self._window.add(now):
                self._give_up(child)
            if self._backoff is not None:
                self._restart_later(child, now, self._backoff)
                return
        ended, child.restarting = child.process, False
        group = self._children.group_of(child)
        if ended is not None:
            self._children.halted(child)
        if group != [child]:
            await self._stop([each for each in group if each is not child])
            group = [each for each in group if each.spec.id in self._children.by_id]
        failed = await self._start(group)
        if failed is not None:
            failing, reason = failed
            failing.restarting = True
            report_failed_restart(me, failing.spec, reason)
            failing.retry = retry = Retry(failing, counted=False)
            me.kernel.scheduler.enqueue(me, retry)

    def _restart_later(self, child: Child, now: float, backoff: Backoff) -> None:
        self._children.halted(child)
        child.restarting = True
        delay, child.row = child.row.next(now, self._window.max_seconds, backoff)
        me = current_process()
        child.retry = retry = Retry(child, counted=True)
        start_timer(me.kernel, me, delay, retry, is_ours=True)

    def _give_up(self, child: Child) -> NoReturn:
        asides_of(current_process()).gave_up = True
        report_giving_up(current_process(), child.spec, self._window.count, self._window.max_seconds)
        self._children.stopped(child)
        raise Stop(Shutdown())


def _info(child: Child) -> ChildInfo:
    return ChildInfo(
        id=child.spec.id,
        state="running" if child.process is not None else ("restarting" if child.restarting else "stopped"),
        pid=child.process.pid if child.process is not None else None,
        is_supervisor=child.spec.is_supervisor,
    )
