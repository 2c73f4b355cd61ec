"""What a server answers to: the decorators that declare it, and the table made from them for each class."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar, overload

from mabeam.errors import UsageError

__all__ = ("Handler", "Raises", "handle_call", "handle_cast", "handle_stream", "handlers_of")

F = TypeVar("F", bound=Callable[..., object])
AF = TypeVar("AF", bound=Callable[..., Coroutine[Any, Any, object]])
GF = TypeVar("GF", bound=Callable[..., AsyncIterator[object]])
Raises: TypeAlias = tuple[type[Exception], ...]
"""The exceptions of a handler that are answers, not crashes."""

_MARK: Final = "__mabeam_handler__"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One method that a server answers to.

    Attributes:
        what: ``Class.method``.
        function: the method of the most derived class.
        kind: ``call``, ``cast`` or ``stream``.
        inline: it runs to its end in the scheduler, so it can be handed a call directly.
        waits: calling it gives a coroutine, and runs none of it.
        concurrent: how many of it may run at once beside the serial handler; 0 when it is a serial one itself.
        thread: it runs in a thread.
        raises: exceptions that are answers.
        timeout: seconds that a call waits unless the reference says otherwise.
        trusted: code of ours that may return a coroutine to be awaited.
    """

    what: str
    function: Callable[..., Any]
    kind: Kind
    inline: bool
    waits: bool
    concurrent: int
    thread: bool
    raises: Raises
    timeout: float | None
    trusted: bool


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
    method: Any = None, /, *, concurrent: int = 0, thread: bool = False, raises: Raises = ()
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

    Raises:
        UsageError: the combination makes no sense; raised where the class is defined.
    """
    declaration = _Declaration(kind="call", concurrent=concurrent, thread=thread, raises=raises)
    problems = []
    if not isinstance(concurrent, int) or concurrent < 0:
        problems.append(f"concurrent expects a number of handlers >= 1, got {concurrent!r}")
    if concurrent and thread:
        problems.append("concurrent and thread exclude each other")
    if not isinstance(raises, tuple) or not all(
        isinstance(each, type) and issubclass(each, Exception) for each in raises
    ):
        problems.append(f"raises expects a tuple of exception classes such as (ValueError,), got {raises!r}")
    if problems:
        raise UsageError(f"handle_call: {'; '.join(problems)}", problems=problems)
    return _marker(declaration, method)


def handle_cast(method: F, /) -> F:
    """Declare that a method takes casts: ``ref.cast(Server.method, ...)``. Nobody waits and nothing is returned.

    An exception in it crashes the server.
    """
    return _mark(method, _Declaration(kind="cast"))


def handle_stream(method: GF, /) -> GF:
    """Declare an async generator that others read: ``async with ref.stream(Server.method, ...) as items:``.

    It runs beside the server's handlers, in a task of its own for each reader, and is held back by a slow reader. It is
    closed when the reader leaves its block or dies. An exception in it reaches the reader as ``HandlerFailed``.
    """
    return _mark(method, _Declaration(kind="stream"))


def system_call(*, raises: Raises = (), timeout: float | None = None) -> _Mark:
    """Declare a call handler of our own: a plain ``def`` that answers, or returns a coroutine that will."""

    def mark(method: F, /) -> F:
        return _mark(method, _Declaration(kind="call", raises=raises, timeout=timeout, trusted=True))

    return mark


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
    setattr(method, _MARK, declaration)
    return method


def _problem(method: object, declaration: _Declaration) -> str:
    """What is wrong with a declaration; nothing when it is empty."""
    if not inspect.isfunction(method):
        return f"expected a method defined with def, got {method!r}; put it below staticmethod and the like, or leave those away"
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


def handlers_of(cls: type) -> dict[str, Handler]:
    """The table of handlers of a server class: by name, the most derived definition of each.

    Raises:
        UsageError: a handler is overridden without its decorator.
    """
    table: dict[str, Handler] = {}
    problems = []
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            declaration: _Declaration | None = getattr(value, _MARK, None)
            if declaration is not None:
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


def _handler(cls: type, name: str, function: Callable[..., Any], declaration: _Declaration) -> Handler:
    is_plain = not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))
    return Handler(
        what=f"{cls.__qualname__}.{name}",
        function=function,
        kind=declaration.kind,
        inline=is_plain and not declaration.thread,
        waits=inspect.iscoroutinefunction(function),
        concurrent=declaration.concurrent,
        thread=declaration.thread,
        raises=declaration.raises,
        timeout=declaration.timeout,
        trusted=declaration.trusted,
    )
