"""What all policies share: how a function is run under them, and how they say what they are."""

from __future__ import annotations

import functools
import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, runtime_checkable

from mabeam.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("Policy", "PolicyBase", "is_async", "refuse_coroutine", "refuse_sync", "settle")

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")


@runtime_checkable
class Policy(Protocol):
    """What runs a function under a rule, in the caller: a breaker, a retry, a limit. What a :class:`Pipeline` is made of.

    Guarantees:
        The function runs in the task or thread that calls, with the arguments given, and what it returns or raises is
        passed on unless the policy says otherwise. One policy is used by any number of tasks, threads and event loops.

    Attributes:
        name: how it is called in errors and events.
        async_only: whether it refuses plain functions, which cannot be interrupted.
    """

    @property
    def name(self) -> str:
        """How it is called in errors and events."""
        ...

    @property
    def async_only(self) -> bool:
        """Whether it refuses plain functions."""
        ...

    def describe(self) -> str:
        """Return one line that says what it is and how it is set."""
        ...

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function under the policy and return what it returns."""
        ...

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function under the policy and return what it returns."""
        ...

    def __call__(self, function: F, /) -> F:
        """Return the function under the policy: as a decorator, for async and plain functions."""
        ...


class PolicyBase:
    """The decorator form, and the representation, of the policies of this package."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        """A policy of that name."""
        self._name = name

    @property
    def name(self) -> str:
        """How it is called in errors and events."""
        return self._name

    @property
    def async_only(self) -> bool:
        """Whether it refuses plain functions."""
        return False

    def describe(self) -> str:
        """Return one line that says what it is and how it is set."""
        return f"{type(self).__name__}({self._name!r})"

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function under the policy."""
        raise NotImplementedError

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function under the policy."""
        raise NotImplementedError

    def __call__(self, function: F, /) -> F:
        """Return the function under this policy; use it as a decorator.

        Args:
            function: an async or a plain function; a method as well.

        Returns:
            A function of the same kind, name and signature.

        Raises:
            UsageError: it is not a function, or a generator, whose end the policy would never see; or it is a plain one and
                the policy is for async ones only.
        """
        check_function(self, function)
        run: Any
        if is_async(function):
            call = self.call

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                return await call(function, *args, **kwargs)

            run = run_async
        else:
            call_sync = self.call_sync

            @functools.wraps(function)
            def run_sync(*args: Any, **kwargs: Any) -> Any:
                return call_sync(function, *args, **kwargs)

            run = run_sync
        return run  # type: ignore[no-any-return]  # it has the signature of the function that it wraps

    def __repr__(self) -> str:
        return f"<{self.describe()}>"


def is_async(function: object) -> bool:
    """Tell whether calling it gives a coroutine, as far as can be seen without calling it."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_run_by(function))


def is_generator(function: object) -> bool:
    """Tell whether calling it gives a generator, plain or async, likewise."""
    run = _run_by(function)
    return inspect.isgeneratorfunction(run) or inspect.isasyncgenfunction(run)


def _run_by(function: object) -> object:
    """The function that runs when it is called: in partial functions, and of objects that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return getattr(type(function), "__call__", None)  # noqa: B004 - asks for the method itself, not whether there is one


def check_function(policy: PolicyBase, function: object) -> None:
    """Refuse what a policy cannot be put around.

    Raises:
        UsageError: not a function, or of a kind that the policy does not serve.
    """
    if inspect.iscoroutine(function):
        function.close()
        raise UsageError(
            f"{policy!r} expects a function, got the coroutine {function!r}. It looks as if the function was called.\n"
            "    wrong:  policy.call(fetch(url))\n    right:  policy.call(fetch, url)"
        )
    if inspect.iscoroutinefunction(function):
        return
    if isinstance(function, staticmethod | classmethod):
        kind = type(function).__name__
        raise UsageError(
            f"{policy!r} expects a function, got the {kind} of {function.__func__!r}. Write the policy below @{kind}: it is put "
            "around the function, and the class makes a method of that."
        )
    if not callable(function):
        raise UsageError(f"{policy!r} expects a function, got {function!r}.")
    if is_generator(function):
        raise UsageError(
            f"{policy!r} expects a function that returns, got the generator function {function!r}: a policy ends when the "
            "function returns, and a generator has not begun then. Put the policy around what each step calls."
        )
    if policy.async_only and not is_async(function):
        refuse_sync(policy, function)


def refuse_uncallable(policy: PolicyBase, function: object) -> None:
    """Refuse what cannot be called, once it has failed: so that a mistake in the program is no failure of the service.

    Raises:
        UsageError: it is no function, the coroutine of a call for instance.
    """
    if not callable(function):
        check_function(policy, function)


def refuse_sync(policy: PolicyBase, function: object) -> None:
    """Refuse a plain function.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"{policy!r} expects an async function, got {function!r}: a plain function cannot be interrupted. Make it async, or "
        "give it a time limit of its own (most clients have one). A lambda or another wrapper that returns a coroutine "
        "counts as plain: write it with async def."
    )


def refuse_coroutine(policy: PolicyBase, function: object, result: object) -> None:
    """Refuse a result that has yet to be awaited, where a plain function was expected. It is closed, so nothing has run.

    Raises:
        UsageError: always.
    """
    if isinstance(result, CoroutineType):
        result.close()
    raise UsageError(
        f"{policy!r} expects call_sync and decorated plain functions to return values, but {function!r} returned a coroutine; it "
        "was closed and nothing was run. Use `await policy.call(function, ...)`, or write the function with async def."
    )


async def settle(result: Awaitable[T]) -> T:
    """Await what a function returned, if it has to be: a quick plain function may be given to ``call`` as well."""
    if type(result) is CoroutineType or inspect.isawaitable(result):
        return await result
    return result
