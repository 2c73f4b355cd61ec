"""One limit of a rate limiter in its three forms: a caller of functions, a decorator, a context manager."""

from __future__ import annotations

import functools
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from mabeam.resilience._policy import PolicyBase, check_function, is_async, refuse_coroutine, settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from types import TracebackType
    from typing import Self

    from mabeam.resilience._rate_limiter import RateLimiter

__all__ = ("RateLimit",)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Callable[..., Any]")


class RateLimit(PolicyBase):
    """The limit of one key of a :class:`RateLimiter`; made by its ``for_key``. The limiter itself is the one of key ``None``.

    Guarantees:
        What it runs, runs in the caller, once it is admitted; rejected, nothing is run. An admission is used up whatever
        becomes of the function.

    Example:
        import asyncio, mabeam

        limiter = mabeam.RateLimiter(limit=2, period=60.0, on_limit="reject")

        @limiter.for_key("ann")
        async def greet(name: str) -> str:
            return f"hello {name}"

        async def main() -> float | None:
            await greet("bob")
            async with limiter.for_key("ann"):
                pass
            try:
                await greet("eve")
            except mabeam.RejectedError as error:
                return error.retry_after

        assert 29 < asyncio.run(main()) < 31
    """

    __slots__ = ("_key", "_limiter")

    def __init__(self, limiter: RateLimiter, key: Hashable, name: str) -> None:
        super().__init__(name)
        self._limiter = limiter
        self._key = key

    async def call(self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run an async function once it is admitted.

        Args:
            function: what to run, in the caller.
            *args: for the function.
            **kwargs: for the function.

        Returns:
            What the function returns.

        Raises:
            RejectedError: it was not admitted, and not run.
            Exception: whatever the function raises.
        """
        await self._enter()
        return await settle(function(*args, **kwargs))

    def call_sync(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a plain function once it is admitted.

        Args:
            function: what to run, in the caller.
            *args: for the function.
            **kwargs: for the function.

        Returns:
            What the function returns.

        Raises:
            RejectedError: it was not admitted, and not run; also when it would have to wait in a thread whose loop runs.
            UsageError: the function returned a coroutine; it was closed before it began.
            Exception: whatever the function raises.
        """
        self._enter_sync()
        result = function(*args, **kwargs)
        if type(result) is CoroutineType:  # it was let in as plain code, which never waits where a loop runs
            refuse_coroutine(self, function, result)
        return result

    def __call__(self, function: F) -> F:
        """Decorate a function, async or plain: each call is admitted first.

        Args:
            function: what to limit.

        Returns:
            A function of the same signature.

        Raises:
            UsageError: it is no function, or a generator: of that, limit what runs for each item.
        """
        check_function(self, function)
        if is_async(function):

            @functools.wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                await self._enter()
                return await function(*args, **kwargs)

            return cast("F", call)

        @functools.wraps(function)
        def call_sync(*args: Any, **kwargs: Any) -> Any:
            self._enter_sync()
            result = function(*args, **kwargs)
            if type(result) is CoroutineType:
                refuse_coroutine(self, function, result)
            return result

        return cast("F", call_sync)

    def describe(self) -> str:
        """Return one line that says what it is and how it is set."""
        limiter = self._limiter
        key = "" if self._key is None else f" for {self._key!r}"
        return (
            f"RateLimiter({self.name!r}, {limiter.limit} per {limiter.period:g} s, burst {limiter.burst}, "
            f"on_limit={limiter.on_limit!r}){key}"
        )

    async def __aenter__(self) -> Self:
        """Be admitted.

        Raises:
            RejectedError: it was not; the block is not entered.
        """
        await self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing: an admission is used up by entering."""

    def __enter__(self) -> Self:
        """Be admitted.

        Raises:
            RejectedError: it was not; the block is not entered.
        """
        self._enter_sync()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing: an admission is used up by entering."""

    def __repr__(self) -> str:
        return f"<RateLimit of {self._key!r} by {self._limiter!r}>"

    async def _enter(self) -> None:
        if self._limiter.on_limit == "wait":
            await self._limiter.acquire(self._key)
        else:
            self._limiter.acquire_nowait(self._key)

    def _enter_sync(self) -> None:
        if self._limiter.on_limit == "wait":
            self._limiter.acquire_sync(self._key)
        else:
            self._limiter.acquire_nowait(self._key)
