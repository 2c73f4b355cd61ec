"""What a supervisor has to know about a child, checked with no process running."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    final,
    get_args,
)

from mabeam.errors import UsageError
from mabeam.kernel import (
    Behaviour,
    Body,
    PlainBehaviour,
    ViaName,
    check_function,
    current_process,
    label_of,
    misfit,
    short_name,
)
from mabeam.otp._ref import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mabeam.kernel import Name, Process, Start
    from mabeam.otp._server import ServerBehaviour

__all__ = ("ChildSpec", "Restart", "ShutdownTime", "child_spec")

P = ParamSpec("P")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child is restarted: always; after an abnormal end; never."""
ShutdownTime: TypeAlias = float | Literal["brutal_kill", "infinity"]
"""How a child is stopped: within so many seconds; by ``kill``; without limit."""


_NO_KWARGS: Final[Mapping[str, Any]] = MappingProxyType({})
"""Shared by the specs of all servers that are given none."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec(Generic[S_co]):
    """How to start, restart and stop a child. Made by ``child_spec`` of a server class, or by :func:`child_spec`.

    Attributes:
        id: what the supervisor calls the child; follows its name, else its class or function.
        name: the process name it gets before it starts.
        restart: permanent unless said otherwise.
        shutdown: 5 s for a worker, no limit for a supervisor, unless said otherwise.
        significant: its end may end its supervisor: see ``auto_shutdown``.
        is_supervisor: whether it is a supervisor itself.
    """

    behaviour: Behaviour = field(repr=False)
    body: Any = field(repr=False)
    default_id: str = field(repr=False)
    explicit_id: str | None = field(default=None, repr=False)
    name: Name | None = None
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    significant: bool = False
    problems: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of_server(cls, server: type[S], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildSpec[S]:
        """The spec of a server class with the arguments of its ``__init__``."""
        try:
            behaviour: ServerBehaviour = server.__mabeam_behaviour__  # type: ignore[attr-defined]  # every GenServer has it
        except AttributeError:
            msg = f"{server.__name__} is the base of servers and none itself: class Counter({server.__name__}): ..., and start that"
            raise UsageError(msg) from None
        shutdown: ShutdownTime = "infinity" if behaviour.is_supervisor else 5.0
        body = (server, args, kwargs or _NO_KWARGS)
        return ChildSpec(
            behaviour=behaviour,
            body=body,
            default_id=server.__name__,
            shutdown=shutdown,
            problems=behaviour.misfit(args, kwargs),
        )

    @property
    def id(self) -> str:
        """What the supervisor calls the child."""
        if self.explicit_id is not None:
            return self.explicit_id
        return self.default_id if self.name is None else str(self.name)

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is a supervisor itself."""
        return self.behaviour.is_supervisor

    @property
    def shutdown_seconds(self) -> float | None:
        """Seconds that the child has to end; ``None`` when it is killed at once."""
        if self.shutdown == "brutal_kill":
            return None
        return math.inf if self.shutdown == "infinity" else float(self.shutdown)

    def named(self, process_name: Name, /) -> Self:
        """The same with a process name; the id follows it."""
        if process_name is None:
            nothing = "named() expects a non-empty string or a via name, got None; leave it away for a child without a name"
            return replace(self, problems=(*self.problems, nothing))
        return type(self)(  # dataclasses.replace takes as long as the rest of a start
            behaviour=self.behaviour,
            body=self.body,
            default_id=self.default_id,
            explicit_id=self.explicit_id,
            name=process_name,
            restart=self.restart,
            shutdown=self.shutdown,
            significant=self.significant,
            problems=self.problems,
        )

    def options(
        self,
        *,
        id: str | None = None,
        restart: Restart | None = None,
        shutdown: ShutdownTime | None = None,
        significant: bool | None = None,
    ) -> Self:
        """The same with other options; what is left out stays.

        Args:
            id: what the supervisor calls the child.
            restart: ``permanent``, ``transient`` or ``temporary``.
            shutdown: seconds, ``"brutal_kill"`` or ``"infinity"``.
            significant: its end may end its supervisor.
        """
        changes = {"explicit_id": id, "restart": restart, "shutdown": shutdown, "significant": significant}
        return replace(
            self, **cast("Any", {key: value for key, value in changes.items() if value is not None})
        )

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __await__(self) -> None:
            """Refuse: a spec says how to start something, and has not started it."""
            msg = "a spec starts nothing by itself. Give it to a supervisor, or write await spec.start_link()"
            raise UsageError(msg)

    def check(self) -> tuple[str, ...]:
        """All that is wrong with it, a sentence each."""
        who = f"child {self.id!r}"
        found = list(self.problems)
        if found and self.id != self.default_id:
            found = [f"{who}: {problem}" for problem in found]  # which of several of that class it is
        if not isinstance(self.id, str) or not self.id:
            found.append(f"{who}: id expects a non-empty string")
        if self.name is not None and not (isinstance(self.name, str | ViaName) and self.name):
            found.append(f"{who}: named() expects a non-empty string or a via name, got {self.name!r}")
        if self.restart not in get_args(Restart):
            found.append(
                f"{who}: restart expects one of {', '.join(get_args(Restart))}, got {self.restart!r}"
            )
        if not _is_shutdown(self.shutdown):
            found.append(
                f"{who}: shutdown expects seconds >= 0, 'brutal_kill' or 'infinity', got {self.shutdown!r}"
            )
        if not isinstance(self.significant, bool):
            found.append(f"{who}: significant expects True or False, got {self.significant!r}")
        elif self.significant and self.restart == "permanent":
            found.append(
                f"{who}: a permanent child cannot be significant: it never ends for good; make it transient"
            )
        return tuple(found)

    def begin(self, parent: Process, *, link: bool = True) -> Start:
        """Start it as a child of ``parent``; tells how that goes."""
        body = self.body() if callable(self.body) else self.body
        return parent.kernel.start(self.behaviour, body, parent, self.name, link=link)

    async def start_link(self) -> Ref[S_co]:
        """Start it outside any supervisor, linked to the calling process, and wait until it is up.

        Raises:
            UsageError: the spec is wrong.
            StartFailed: it ended before it was up; the cause is chained.
            StartIgnored: it chose not to run.
        """
        return await self._start(link=True)

    async def start(self) -> Ref[S_co]:
        """As :meth:`start_link`, but not linked: the caller does not share its fate."""
        return await self._start(link=False)

    async def _start(self, *, link: bool) -> Ref[S_co]:
        problems = self.check()
        if problems:
            raise UsageError("; ".join(problems), problems=problems)
        begun = self.begin(current_process(), link=link)
        await begun.wait()
        return Ref(begun.result(), begun.process.kernel, info=begun.info)


def _is_shutdown(value: object) -> bool:
    if isinstance(value, str):
        return value in {"brutal_kill", "infinity"}
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def child_spec(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec[None]:
    """The spec of a plain process that runs ``function``: a child without handlers.

    Raises:
        UsageError: it is no function: a coroutine, say, because it was called already; or it would run nothing.
    """
    owner = getattr(function, "__self__", None)
    if isinstance(function, type) or (isinstance(owner, type) and hasattr(owner, "start_link")):
        name = (owner if isinstance(owner, type) else function).__name__
        msg = (
            f"child_spec expects a function and its arguments, got {function!r}. A server class makes its own specs:\n"
            f"    right:  {name}.child_spec(...)"
        )
        raise UsageError(msg)
    check_function(function, "child_spec")
    wrong = misfit(function, args, kwargs)
    return ChildSpec(
        behaviour=_SuperviseFunction(label_of(function)),
        body=lambda: Body(function, args, kwargs),
        default_id=getattr(function, "__name__", "function"),
        problems=(f"{short_name(function)}: {wrong}",) if wrong else (),
    )


class _SuperviseFunction(PlainBehaviour):
    """A plain process whose starter waits until it runs, which is at once."""

    __slots__ = ()
