"""``@cached``: a function whose results are kept in a cache."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast, final

from mabeam.errors import UsageError
from mabeam.resilience._cache import Cache
from mabeam.resilience._cache_options import Default, seconds_until_expiry
from mabeam.resilience._policy import is_async, is_generator

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
        arguments: the positional ones, those given by name included where they can be. Before them what is bound to the
            function: the object of a method, the arguments of a partial function, an object that can be called.
        keywords: the other ones, sorted by name.
        itself: the function, where its name may be that of others: of a lambda, and of what is defined in a function.
    """

    function: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()
    itself: Callable[..., Any] | None = None


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
    return _Keys(function).key(args, kwargs)


class _Keys:
    """The keys of the calls of one function. Two functions never share one: that would be the result of another."""

    __slots__ = ("_bound", "_function", "_itself", "_name", "_named")

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        bound: tuple[Any, ...] = ()
        named: dict[str, Any] = {}
        inner: Any = function
        while True:
            if isinstance(inner, functools.partial):
                bound, named, inner = (*inner.args, *bound), {**inner.keywords, **named}, inner.func
            elif isinstance(inner, types.MethodType):
                bound, inner = (inner.__self__, *bound), inner.__func__
            elif hasattr(inner, "__wrapped__"):
                inner = inner.__wrapped__
            else:
                break
        if isinstance(inner, types.BuiltinMethodType) and not isinstance(inner.__self__, types.ModuleType):
            bound = (inner.__self__, *bound)
        name = getattr(inner, "__qualname__", None)
        if name is None:  # an object that can be called
            bound, name = (inner, *bound), type(inner).__qualname__
        self._name = f"{inner.__module__}.{name}"
        self._bound, self._named = bound, named
        self._itself: Callable[..., Any] | None = inner if "<" in name else None  # <locals>, <lambda>

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CallKey:
        named = self._named
        if kwargs:
            given = inspect.signature(self._function).bind(*args, **kwargs)
            args, named = given.args, {**named, **given.kwargs}
        if self._bound:
            args = (*self._bound, *args)
        return CallKey(self._name, args, tuple(sorted(named.items())) if named else (), self._itself)


def cached(
    cache: Cache[Any, Any],
    *,
    key: Callable[..., Hashable] | None = None,
    ttl: float | Default | None = Default.TTL,
) -> Callable[[F], F]:
    """Keep the results of a function, async or plain, in a cache.

    Guarantees:
        As ``Cache.get_or_load`` (``get_or_load_sync`` for a plain function): calls with the same key share one run, an error
        reaches all of them and is not kept unless the cache is told so. Functions may share a cache: whose call it is, is part
        of the key. Of a lambda, or what is defined in a function, each one that is made has results of its own.

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
            or isinstance(function, staticmethod)  # to be decorated as a function, below @staticmethod
            or is_generator(function)
        ):
            raise UsageError(
                f"cached expects a function that returns its result, got {function!r}. What a generator yields is used up by "
                "its first reader: return a tuple instead."
            )
        keys = _Keys(function)

        def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
            return keys.key(args, kwargs) if key is None else key(*args, **kwargs)

        if is_async(function):

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
