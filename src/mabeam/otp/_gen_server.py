"""GenServer: a process with state that answers calls, takes casts and messages, and is supervised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, cast

from mabeam.errors import UsageError
from mabeam.kernel import check_mailbox, current_process
from mabeam.otp._callbacks import CALLBACKS, callback_problems
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._handlers import handlers_of
from mabeam.otp._server import ServerBehaviour

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from mabeam.kernel import ExitReason, OnFull
    from mabeam.otp._handlers import Handler
    from mabeam.otp._ref import Ref

__all__ = ("GenServer", "behaviour_of")

P = ParamSpec("P")
S = TypeVar("S")


class GenServer:
    """Base of servers: subclass it, keep state in attributes, declare handlers.

    Messages are handled one at a time, in the order of arrival; handlers marked ``concurrent`` run beside them. The
    callbacks ``init``, ``handle_info``, ``handle_continue`` and ``terminate`` may be ``def`` or ``async def``. An exception
    that a handler does not declare ends the server; its supervisor starts a new one from ``__init__``.

    ``__init__`` runs in the new process; raising there fails the start. Then come the first half of ``lifespan`` and
    ``init``. ``class Cache(GenServer, shared=True)`` marks a service that many share and that must not wait for any of
    them.

    Example:
        from mabeam import GenServer, handle_call

        class Counter(GenServer):
            def __init__(self, start: int = 0) -> None:
                self.value = start

            @handle_call
            def add(self, amount: int) -> int:
                self.value += amount
                return self.value

        async def main() -> int:
            counter = await Counter.start_link(10)
            return await counter.call(Counter.add, 5)

        assert mabeam.run(main) == 15
    """

    mailbox_limit: ClassVar[int] = 100_000
    """Messages that may wait; what happens to more of them is up to ``on_full``. Streams that may be open; one more is refused."""
    on_full: ClassVar[OnFull] = "reject"
    """``reject``: a call raises ``RejectedError``, a cast or raw message becomes a dead letter. ``block``: a call waits for
    room within its timeout, ``cast_wait`` too; the rest become dead letters. ``drop_oldest``, ``drop_newest``: the caller
    of a dropped call gets ``RejectedError``, the rest are dead letters. Signals and requests to stop always fit."""
    is_supervisor: ClassVar[bool] = False
    runs_trusted_code: ClassVar[bool] = False
    """Its own coroutines may begin without a task: for supervisors of ours only."""
    __mabeam_behaviour__: ClassVar[ServerBehaviour]

    def __init_subclass__(cls, *, shared: bool = False, **options: Any) -> None:
        """Make the table of handlers.

        Raises:
            UsageError: handlers or callbacks are not what they must be; lists all problems.
        """
        super().__init_subclass__(**options)
        problems = check_mailbox(cls.mailbox_limit, cls.on_full) + callback_problems(cls)
        if not isinstance(shared, bool):
            problems.append(f"shared expects True or False, got {shared!r}")
        handlers: dict[str, Handler] = {}
        try:
            handlers = handlers_of(cls)
        except UsageError as error:
            problems += error.problems
        if problems:
            raise UsageError(f"{cls.__qualname__}: {'; '.join(problems)}", problems=problems)
        overridden = frozenset(
            name for name in CALLBACKS if getattr(cls, name) is not getattr(GenServer, name)
        )
        cls.__mabeam_behaviour__ = ServerBehaviour(cls, handlers, overridden, shared=shared)

    # ------------------------------------------------------------------------------------------- callbacks

    def init(self) -> Awaitable[None] | None:
        """Finish the start, waiting for others if need be. ``raise Ignore`` or ``raise Stop(reason)`` instead."""
        return None

    def handle_info(self, message: object, /) -> Awaitable[None] | None:
        """Take what is no call and no cast: ``Down``, ``ExitSignal``, timers, anything sent raw.

        This one makes a dead letter of it.
        """
        process = current_process()
        process.kernel.dead_letters.add(process.describe(), message, "not_understood")
        return None

    def handle_continue(self, argument: object, /) -> Awaitable[None] | None:
        """Go on with what ``continue_with`` was given, before any other message."""
        msg = f"{type(self).__qualname__} uses continue_with and must define handle_continue(self, argument)"
        raise UsageError(msg)

    def terminate(self, reason: ExitReason, /) -> Awaitable[None] | None:
        """Clean up at an orderly end: stopped, finished, crashed by a handler, or ended by the parent while trapping.

        It does not run after ``kill``, after an exit signal that is not trapped, or when the start failed. What it
        raises replaces the reason.
        """
        return None

    def code_change(self, old: type, extra: object, /) -> None:
        """Make the attributes fit, after this class has taken the place of ``old`` in a running server.

        It runs between two messages, and may ask for what a handler may. What it raises undoes the change: see
        :func:`mabeam.code_change`.
        """

    async def lifespan(self) -> AsyncGenerator[None]:
        """Hold what must be entered and left in one task: before ``yield`` is start-up, after it is clean-up.

        The clean-up runs at every end but ``kill``, after ``terminate``.
        """
        yield

    # ------------------------------------------------------------------------------------------- starting

    @classmethod
    def child_spec(cls: Callable[P, S], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec[S]:
        """How a supervisor starts and restarts it. Arguments are those of ``__init__``; options are apart.

        Each start is given the arguments as they are, the same objects every time: one that a server changes is changed for
        the next. ``__init__`` copies what the server is going to change.

        ``Counter.child_spec(10).named("counter").options(restart="transient", shutdown=2.0)``
        """
        return ChildSpec.of_server(cast("Any", cls), args, kwargs)

    @classmethod
    async def start_link(cls: Callable[P, S], /, *args: P.args, **kwargs: P.kwargs) -> Ref[S]:
        """Start one, linked to the calling process, and wait until it is up.

        For options use the spec: ``await Counter.child_spec(10).named("counter").start_link()``.

        Guarantees:
            Cancelled while it waits, it leaves nothing behind.

        Raises:
            StartFailed: it ended before it was up; the cause is chained.
            StartIgnored: its ``init`` raised ``Ignore``.
        """
        return await ChildSpec.of_server(cast("Any", cls), args, kwargs).start_link()


def behaviour_of(cls: type) -> ServerBehaviour:
    """The behaviour of a server class.

    Raises:
        UsageError: it is none.
    """
    behaviour = getattr(cls, "__mabeam_behaviour__", None)
    if behaviour is None:
        msg = f"expected a subclass of GenServer, got {cls!r}"
        raise UsageError(msg)
    return cast("ServerBehaviour", behaviour)
