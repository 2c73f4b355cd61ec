"""What a server answers to: the decorators that declare it, and the table made from them for each class."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Never, Protocol, TypeAlias, TypeVar, overload

from mabeam.errors import UsageError

__all__ = (
    "Handler",
    "Raises",
    "declares_handlers",
    "handle_call",
    "handle_cast",
    "handle_stream",
    "handlers_of",
    "is_start",
)

F = TypeVar("F", bound=Callable[..., object])
AF = TypeVar("AF", bound=Callable[..., Coroutine[Any, Any, object]])
GF = TypeVar("GF", bound=Callable[..., AsyncIterator[object]])
Raises: TypeAlias = tuple[type[Exception], ...]
"""The exceptions of a handler that are answers, not crashes."""

_MARK: Final = "__mabeam_handler__"
_NO_METHOD: Final[Any] = object()
Kind: TypeAlias = Literal["call", "cast", "stream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declaration:
    """What a decorator says about a method."""

    kind: Kind
    concurrent: int = 0
    thread: bool = False
    raises: Raises = ()
    timeout: float | None = 5.0
    trusted: bool = False
    starts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One method that a server answers to.

    Attributes:
        what: ``Class.method``.
        function: the method of the most derived class.
        kind: ``call``, ``cast`` or ``stream``.
        inline: it runs to its end in the scheduler, so it can be handed a call directly.
        in_task: taking a message for it runs none of its code, which a task or a thread does later.
        waits: calling it gives a coroutine, and runs none of it.
        concurrent: how many of it may run at once beside the serial handler; 0 when it is a serial one itself.
        thread: it runs in a thread.
        raises: exceptions that are answers.
        timeout: seconds that a call waits unless the reference says otherwise.
        trusted: code of ours that may return a coroutine to be awaited.
        starts: it starts a process; a call of it carries no deadline.
    """

    what: str
    function: Callable[..., Any]
    kind: Kind
    inline: bool
    in_task: bool
    waits: bool
    concurrent: int
    thread: bool
    raises: Raises
    timeout: float | None
    trusted: bool
    starts: bool


class _Mark(Protocol):
    def __call__(self, method: F, /) -> F: ...


class _AsyncMark(Protocol):
    def __call__(self, method: AF, /) -> AF: ...


@overload
def handle_call(method: F, /) -> F: ...
@overload
def handle_call(*, concurrent: int, raises: Raises = ()) -> _AsyncMark: ...
@overload
def handle_call(*, thread: Literal[True], raises: Raises = ()) -> _Mark: ...
@overload
def handle_call(*, raises: Raises) -> _Mark: ...
def handle_call(
    method: Any = None,
    /,
    *,
    concurrent: int | None = None,
    thread: bool = False,
    raises: Raises = (),
    **unknown: Any,
) -> Any:
    """Declare that a method answers calls: ``await ref.call(Server.method, ...)``.

    A plain ``def`` runs to its end and cannot be interleaved. An ``async def`` may wait; the server takes no other
    message meanwhile, unless it is ``concurrent``.

    Guarantees:
        An exception that is not declared in ``raises`` crashes the server (let it crash): the caller gets
        ``ProcessDied`` with the cause chained. In a concurrent handler the caller gets ``HandlerFailed`` and the server
        lives. A caller that is cancelled stops waiting; the handler goes on.

    Args:
        method: the method, when used without parentheses.
        concurrent: run in a task of its own, at most so many of this method at once; the server stays responsive.
        thread: run in one of the Runtime's threads: for code that blocks. The server waits for it.
        raises: exceptions that are answers: the caller gets them, the server goes on.
        **unknown: refused; so that the error can say what was meant.

    Raises:
        UsageError: the combination makes no sense; raised where the class is defined.
    """
    problems = [f"there is no option {name}{_MEANT.get(name, '')}" for name in unknown]
    if concurrent is not None and (
        not isinstance(concurrent, int) or isinstance(concurrent, bool) or concurrent < 1
    ):
        problems.append(
            f"concurrent expects a number of handlers >= 1, got {concurrent!r}; a handler that runs by itself is declared "
            "without it"
        )
    if not isinstance(thread, bool):
        problems.append(f"thread expects True, or is left away, got {thread!r}")
    if concurrent and thread:
        problems.append("concurrent and thread exclude each other")
    if not isinstance(raises, tuple) or not all(
        isinstance(each, type) and issubclass(each, Exception) for each in raises
    ):
        problems.append(f"raises expects a tuple of exception classes such as (ValueError,), got {raises!r}")
    if problems:
        raise UsageError(f"handle_call: {'; '.join(problems)}", problems=problems)
    declaration = _Declaration(kind="call", concurrent=concurrent or 0, thread=thread, raises=raises)
    return _marker(declaration, method)


_MEANT: Final = {
    "timeout": ": how long to wait is said by the caller, ref.options(timeout=...).call(...)",
    "concurrency": ": it is called concurrent",
    "max_concurrency": ": it is called concurrent",
    "threaded": ": it is called thread",
}


def handle_cast(method: F = _NO_METHOD, /, **options: Never) -> F:
    """Declare that a method takes casts: ``ref.cast(Server.method, ...)``. Nobody waits and nothing is returned.

    An exception in it crashes the server.

    Raises:
        UsageError: it cannot be a handler; or there are options, of which casts have none.
    """
    _refuse_options("handle_cast", method, options)
    return _mark(method, _Declaration(kind="cast"))


def handle_stream(method: GF = _NO_METHOD, /, **options: Never) -> GF:
    """Declare an async generator that others read: ``async with ref.stream(Server.method, ...) as items:``.

    It runs beside the server's handlers, in a task of its own for each reader, and is held back by a slow reader. It is
    closed when the reader leaves its block or dies. An exception in it reaches the reader as ``HandlerFailed``.

    Raises:
        UsageError: it is no async generator; or there are options, of which streams have none.
    """
    _refuse_options("handle_stream", method, options)
    return _mark(method, _Declaration(kind="stream"))


def system_call(*, raises: Raises = (), timeout: float | None = None, starts: bool = False) -> _Mark:
    """Declare a call handler of our own: a plain ``def`` that answers, or returns a coroutine that will.

    One that ``starts`` a process carries no deadline, as a spawn carries none.
    """
    declaration = _Declaration(kind="call", raises=raises, timeout=timeout, trusted=True, starts=starts)

    def mark(method: F, /) -> F:
        return _mark(method, declaration)

    return mark


def is_start(method: object) -> bool:
    """Whether what is called was declared to start a process."""
    declared = getattr(method, _MARK, None)
    return type(declared) is _Declaration and declared.starts


def _refuse_options(how: str, method: object, options: dict[str, Any]) -> None:
    if method is _NO_METHOD or options:
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        msg = f"@{how} has no options{f', got {given}' if given else ''}: write it without parentheses, right above the method"
        raise UsageError(msg)


def _marker(declaration: _Declaration, method: Any) -> Any:
    if method is None:
        return lambda each: _mark(each, declaration)
    return _mark(method, declaration)


def _mark(method: F, declaration: _Declaration) -> F:
    problem = _problem(method, declaration)
    if problem:
        raise UsageError(
            f"handle_{declaration.kind} on {getattr(method, '__qualname__', method)!r}: {problem}"
        )
    before: _Declaration | None = getattr(method, _MARK, None)
    if before is not None and before.kind != declaration.kind:
        msg = (
            f"{method.__qualname__!r} is declared twice, with @handle_{before.kind} and @handle_{declaration.kind}: a handler is "
            "one thing. Give each a method of its own."
        )
        raise UsageError(msg)
    _refuse_second_of_a_name(method)
    setattr(method, _MARK, declaration)
    return method


def _problem(method: object, declaration: _Declaration) -> str:
    """What is wrong with a declaration; nothing when it is empty."""
    if not inspect.isfunction(method):
        return f"expected a method defined with def, got {method!r}; put it below staticmethod and the like, or leave those away"
    if not method.__code__.co_argcount and not method.__code__.co_flags & inspect.CO_VARARGS:
        return f"a handler is a method of its server and must take it: def {method.__name__}(self, ...)"
    is_async = inspect.iscoroutinefunction(method)
    is_generator = inspect.isasyncgenfunction(method)
    if declaration.kind == "stream":
        return "" if is_generator else "expected 'async def' with 'yield' in it"
    if is_generator or inspect.isgeneratorfunction(method):
        return "a generator cannot answer; declare it with @handle_stream"
    if declaration.concurrent and not is_async:
        return "concurrent=N needs 'async def'; for code that blocks use thread=True"
    if declaration.thread and is_async:
        return "thread=True needs a plain 'def': it blocks a thread, not the loop"
    return ""


def _refuse_second_of_a_name(method: Any) -> None:
    """Refuse a second handler of one name in one class body: the first would be gone without a word."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    body = frame.f_locals if frame is not None else {}
    # Only in a class body; there a function is found by its name once it is defined.
    other = body.get(method.__name__) if "__qualname__" in body and "__module__" in body else None
    if other is not None and other is not method and hasattr(other, _MARK):
        msg = f"{method.__qualname__!r} is defined twice in its class, and only the second would answer. Rename one of them."
        raise UsageError(msg)


def declares_handlers(cls: type) -> bool:
    """Whether a class has handlers: a server, or something that servers inherit from."""
    return any(hasattr(value, _MARK) for base in cls.__mro__ for value in vars(base).values())


def handlers_of(cls: type) -> dict[str, Handler]:
    """The table of handlers of a server class: by name, the most derived definition of each.

    Raises:
        UsageError: a handler is overridden without its decorator; it takes a name that means something else; or it is no
            method.
    """
    table: dict[str, Handler] = {}
    problems = []
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            wrapped = value.fget if isinstance(value, property) else getattr(value, "__func__", None)
            if hasattr(wrapped, _MARK):
                problems.append(
                    f"{base.__qualname__}.{name} is a {type(value).__name__} around a handler, which is a plain method of its "
                    f"server; leave @{type(value).__name__} away"
                )
                continue
            declaration: _Declaration | None = getattr(value, _MARK, None)
            if declaration is not None:
                problems += _taken(base, name) if name not in table else []
                table[name] = _handler(cls, name, value, declaration)
            elif name in table and table[name].trusted and isinstance(value, staticmethod | classmethod):
                del table[name]  # a supervisor of ours offers it as an operation of the class instead
            elif name in table:
                kind = table[name].kind
                problems.append(
                    f"{base.__qualname__}.{name} overrides a handler but is none itself; decorate it with @handle_{kind}"
                )
    if problems:
        raise UsageError(f"{cls.__qualname__}: {'; '.join(problems)}", problems=problems)
    return table


def _taken(base: type, name: str) -> list[str]:
    """What a handler would take the place of without being it."""
    what = f"{base.__qualname__}.{name}"
    for other in base.__mro__[1:]:
        if other.__module__.startswith("mabeam.otp.") and name in vars(other):
            return [
                f"{what} is a handler, but {name} means something else in {other.__name__}; call it otherwise"
            ]
    if name == "__init__":
        return [f"{what} is what makes the server, and cannot be a handler; leave the decorator away"]
    return []


def _handler(cls: type, name: str, function: Callable[..., Any], declaration: _Declaration) -> Handler:
    is_plain = not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))
    return Handler(
        what=f"{cls.__qualname__}.{name}",
        function=function,
        kind=declaration.kind,
        inline=is_plain and not declaration.thread,
        in_task=inspect.iscoroutinefunction(function) or declaration.thread,
        waits=inspect.iscoroutinefunction(function),
        concurrent=declaration.concurrent,
        thread=declaration.thread,
        raises=declaration.raises,
        timeout=declaration.timeout,
        trusted=declaration.trusted,
        starts=declaration.starts,
    )
