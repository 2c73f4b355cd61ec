"""``@cached``: a function whose results are kept in a cache."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast, final

from mabeam.errors import UsageError
from mabeam.resilience._cache import Cache
from mabeam.resilience._cache_options import Default, seconds_until_expiry

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ("CallKey", "cached", "call_key")

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


@final
class CallKey(NamedTuple):
    """The key of one call of a function; equal for calls that say the same in different ways.

    Attributes:
        function: its qualified name, with its module.
        arguments: the positional ones, those given by name included where they can be.
        keywords: the other ones, sorted by name.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()


def call_key(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> CallKey:
    """Return the key under which ``@cached`` keeps the result of a call, for ``cache.delete``.

    Args:
        function: the function, decorated or not.
        *args: as in the call.
        **kwargs: as in the call.

    Returns:
        The key. Arguments that are left out are not filled in from their defaults, so ``f(1)`` and ``f(1, b=2)`` are two
        calls although ``b`` is 2 by itself. ``1``, ``1.0`` and ``True`` are equal, as in every dict.

    Example:
        >>> def price(item: str, *, currency: str = "EUR") -> int: ...
        >>> call_key(price, "tea", currency="GBP") == call_key(price, item="tea", currency="GBP")
        True
    """
    function = inspect.unwrap(function)
    return _key(_name_of(function), function, args, kwargs)


def _name_of(function: Callable[..., object]) -> str:
    # Objects that can be called, and partial functions, have no name of their own.
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _key(
    name: str, function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> CallKey:
    if not kwargs:
        return CallKey(name, args)
    bound = inspect.signature(function).bind(*args, **kwargs)
    return CallKey(name, bound.args, tuple(sorted(bound.kwargs.items())))


def cached(
    cache: Cache[Any, Any],
    *,
    key: Callable[..., Hashable] | None = None,
    ttl: float | Default | None = Default.TTL,
) -> Callable[[F], F]:
    """Keep the results of a function, async or plain, in a cache.

    Guarantees:
        As ``Cache.get_or_load`` (``get_or_load_sync`` for a plain function): calls with the same key share one run, an error
        reaches all of them and is not kept unless the cache is told so. Functions may share a cache; the names of functions are
        part of their keys.

    Args:
        cache: where. Its limits hold for all functions that use it.
        key: makes the key from the arguments of a call; :func:`call_key` does unless given. With a key of your own, what else
            is in the cache is yours to tell apart.
        ttl: seconds for which a result is fresh; the ttl of the cache unless given.

    Returns:
        A decorator, which returns a function of the same signature. Of a method, ``self`` is part of the key, and kept alive
        by it.

    Raises:
        UsageError: ``cache`` is no :class:`Cache`, ``ttl`` is no time, or what is decorated is no function, or a generator.

    Example:
        calls: list[str] = []

        @cached(Cache(max_entries=1_000, ttl=60.0))
        def price(item: str) -> int:
            calls.append(item)
            return len(item)

        assert (price("tea"), price("tea"), price(item="tea")) == (3, 3, 3)
        assert calls == ["tea"]
    """
    if not isinstance(cache, Cache):
        raise UsageError(
            f"cached expects the Cache to keep results in, got {cache!r}.\n"
            "    wrong:  @cached\n"
            "    right:  @cached(Cache(max_entries=1_000, ttl=60.0))"
        )
    if ttl is not Default.TTL:
        seconds_until_expiry(ttl)  # a mistake is told where it is written

    def decorate(function: F) -> F:
        if (
            not callable(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise UsageError(
                f"cached expects a function that returns its result, got {function!r}. What a generator yields is used up by "
                "its first reader: return a tuple instead."
            )
        name = _name_of(function)

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
            return _key(name, function, args, kwargs) if key is None else key(*args, **kwargs)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                awaited = cast("Callable[..., Awaitable[Any]]", function)
                return await cache.get_or_load(
                    key_of(args, kwargs), lambda _key: awaited(*args, **kwargs), ttl=ttl
                )

            return cast("F", call)

        @functools.wraps(function)
        def call_sync(*args: Any, **kwargs: Any) -> Any:
            return cache.get_or_load_sync(
                key_of(args, kwargs), lambda _key: function(*args, **kwargs), ttl=ttl
            )

        return cast("F", call_sync)

    return decorate
