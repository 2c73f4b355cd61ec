"""What a supervisor has to know about a child, checked with no process running."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import (
    TYPE_CHECKING,
    Any,
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
    heed_end,
    is_seconds,
    label_of,
    misfit,
    short_name,
)
from mabeam.otp._ref import Ref
from mabeam.otp._requests import Arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.kernel import Name, Process, Start
    from mabeam.otp._server import ServerBehaviour

__all__ = ("ChildOptions", "ChildSpec", "Restart", "ShutdownTime", "child_spec")

P = ParamSpec("P")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child is restarted: always; after an abnormal end; never."""
ShutdownTime: TypeAlias = float | Literal["brutal_kill", "infinity"]
"""How a child is stopped: within so many seconds; by ``kill``; without limit."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """What is said about a child besides what it runs. All specs of a class that say nothing special share one.

    Attributes:
        default_id: the id of a child that has neither an id nor a name.
        id: what the supervisor calls the child.
        restart: when it is restarted.
        shutdown: how it is stopped.
        significant: its end may end its supervisor.
        problems: what is wrong with its arguments.
    """

    default_id: str
    id: str | None = None
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    significant: bool = False
    problems: tuple[str, ...] = ()
    is_right: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Look once at what many children share."""
        object.__setattr__(self, "is_right", not self.check(""))

    def check(self, who: str) -> list[str]:
        """All that is wrong with it, a sentence each."""
        found = list(self.problems)
        if self.id is not None and not (isinstance(self.id, str) and self.id):
            found.append(f"{who}: id expects a non-empty string, got {self.id!r}")
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
        return found


@final
class ChildSpec(Generic[S_co]):
    """How to start, restart and stop a child. Made by ``child_spec`` of a server class, or by :func:`child_spec`.

    A value: it never changes, ``named`` and ``options`` make another one. It holds the arguments as they are and copies none,
    so a list among them is the same list at every start.

    Attributes:
        name: the process name it gets before it starts.
    """

    __slots__ = ("_options", "behaviour", "body", "name")

    behaviour: Behaviour
    body: Any
    name: Name | None
    _options: ChildOptions

    def __init__(
        self, behaviour: Behaviour, body: Any, options: ChildOptions, name: Name | None = None
    ) -> None:
        """Made by the functions named above only."""
        _set_behaviour(self, behaviour)
        _set_body(self, body)
        _set_options(self, options)
        _set_name(self, name)

    @classmethod
    def of_server(cls, server: type[S], args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildSpec[S]:
        """The spec of a server class with the arguments of its ``__init__``."""
        try:
            behaviour: ServerBehaviour = server.__mabeam_behaviour__  # type: ignore[attr-defined]  # every GenServer has it
        except AttributeError:
            msg = f"{server.__name__} is the base of servers and none itself: class Counter({server.__name__}): ..., and start that"
            raise UsageError(msg) from None
        options = behaviour.child_options
        if options is None:
            shutdown: ShutdownTime = "infinity" if behaviour.is_supervisor else 5.0
            options = behaviour.child_options = ChildOptions(default_id=server.__name__, shutdown=shutdown)
        problems = behaviour.misfit(args, kwargs)
        options = replace(options, problems=problems) if problems else options  # shared by all that fit
        return ChildSpec(behaviour, Arguments(args, kwargs) if kwargs else args, options)

    @property
    def id(self) -> str:
        """What the supervisor calls the child; follows its name, else its class or function."""
        if self._options.id is not None:
            return self._options.id
        return self._options.default_id if self.name is None else str(self.name)

    @property
    def restart(self) -> Restart:
        """When the child is restarted: permanent unless said otherwise."""
        return self._options.restart

    @property
    def shutdown(self) -> ShutdownTime:
        """How the child is stopped: 5 s for a worker, no limit for a supervisor, unless said otherwise."""
        return self._options.shutdown

    @property
    def significant(self) -> bool:
        """Whether its end may end its supervisor: see ``auto_shutdown``."""
        return self._options.significant

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
            options = replace(self._options, problems=(*self._options.problems, nothing))
            return type(self)(self.behaviour, self.body, options)
        return type(self)(self.behaviour, self.body, self._options, process_name)

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
        changes = {"id": id, "restart": restart, "shutdown": shutdown, "significant": significant}
        given = cast("Any", {key: value for key, value in changes.items() if value is not None})
        return type(self)(self.behaviour, self.body, replace(self._options, **given), self.name)

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __await__(self) -> None:
            """Refuse: a spec says how to start something, and has not started it."""
            msg = "a spec starts nothing by itself. Give it to a supervisor, or write await spec.start_link()"
            raise UsageError(msg)

        def __setattr__(self, name: str, value: object) -> None:
            """Refuse: it may be shared, and a supervisor has checked it."""
            msg = f"a spec is a value, its {name} cannot be set. Make another: spec.named(...), spec.options(...)"
            raise FrozenInstanceError(msg)

    def check(self) -> tuple[str, ...]:
        """All that is wrong with it, a sentence each."""
        name, options = self.name, self._options
        is_named = name is None or (isinstance(name, str | ViaName) and bool(name))
        if options.is_right and is_named:
            return ()  # so does what follows, in five times the time
        who = f"child {self.id!r}"
        if self.id != options.default_id:  # which of several of that class it is
            options = replace(options, problems=tuple(f"{who}: {problem}" for problem in options.problems))
        found = options.check(who)
        if not is_named:
            found.append(f"{who}: named() expects a non-empty string or a via name, got {name!r}")
        return tuple(found)

    def begin(self, parent: Process, *, link: bool = True) -> Start:
        """Start it as a child of ``parent``; tells how that goes."""
        body = self.body() if callable(self.body) else self.body
        return parent.kernel.start(self.behaviour, body, parent, self.name, link=link)

    def __eq__(self, other: object) -> bool:
        """Equal when all is equal that was said; that of a plain function equals itself only."""
        return isinstance(other, ChildSpec) and self._parts() == other._parts()

    def __copy__(self) -> Self:
        """Itself: it never changes."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """Itself, as above."""
        return self

    def __hash__(self) -> int:
        """Hash by what was said, arguments aside: they may have no hash."""
        return hash((self.behaviour, self._options, self.name))

    def _parts(self) -> tuple[object, ...]:
        given = self.body
        if type(given) is Arguments:
            given = (given.args, given.kwargs)
        return self.behaviour, given, self._options, self.name

    def __repr__(self) -> str:
        """Show the child and its options, not its arguments: they may be large, or secret."""
        options = self._options
        return (
            f"<spec of {self.behaviour.label}, id {self.id!r}, name {self.name!r}, {options.restart}, shutdown "
            f"{options.shutdown!r}{', significant' if options.significant else ''}>"
        )

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
        await heed_end()
        begun = self.begin(current_process(), link=link)
        await begun.wait()
        return Ref(begun.result(), begun.process.kernel, info=begun.info)


# How a value is made that cannot be changed. A start makes two, and object.__setattr__ would take twice as long.
_set_behaviour, _set_body, _set_options, _set_name = (
    cast("Any", ChildSpec).__dict__[each].__set__ for each in ("behaviour", "body", "_options", "name")
)


def _is_shutdown(value: object) -> bool:
    if isinstance(value, str):
        return value in {"brutal_kill", "infinity"}
    return is_seconds(value)


def child_spec(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> ChildSpec[None]:
    """The spec of a plain process that runs ``function``: a child without handlers.

    Each start is given the arguments as they are, the same objects every time.

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
    problems = (f"{short_name(function)}: {wrong}",) if wrong else ()
    options = ChildOptions(default_id=getattr(function, "__name__", "function"), problems=problems)
    return ChildSpec(_SuperviseFunction(label_of(function)), lambda: Body(function, args, kwargs), options)


class _SuperviseFunction(PlainBehaviour):
    """A plain process whose starter waits until it runs, which is at once."""

    __slots__ = ()
