"""The fallback: another answer when there is none."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeAlias, TypeVar, final

from mabeam.errors import UsageError
from mabeam.resilience._checks import refuse_problems, surroundings
from mabeam.resilience._on import On, OnResult, on_of, problems_of_on
from mabeam.resilience._policy import PolicyBase, is_async, refuse_coroutine, refuse_uncallable, settle
from mabeam.telemetry import Bus, current_bus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ("Fallback", "FallbackStatistics")

P = ParamSpec("P")
T = TypeVar("T")
Using: TypeAlias = "Callable[[Any], Any]"


class _NotGiven:
    def __repr__(self) -> str:
        return "(not given)"


_NOT_GIVEN: Final = _NotGiven()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackStatistics:
    """What a :class:`Fallback` has come to.

    Attributes:
        used: calls that were answered by it.
    """

    used: int


@final
class Fallback(PolicyBase):
    """Answers when the function fails: with a value, or with what another function says.

    Guarantees:
        The other function runs in the caller, after the first has failed, and gets the failure: the exception, or the value
        that counts as one. What it raises is raised, from the failure. Cancellations are passed on and never answered.

    Args:
        value: the answer. The same object for every call: do not change it.
        using: gives the answer; async or plain. A plain function under this policy cannot use an async one.
        on: which exceptions are answered: types, or a function that says so. All but
            :class:`UsageError` and :class:`DeadlineExceeded` unless given.
        on_result: which returned values are answered as if they were failures; a function that says so.
        name: how it is called in events.
        bus: where its events go; the bus of the surrounding Runtime unless given.

    Raises:
        UsageError: not exactly one of ``value`` and ``using``, or another setting that cannot be right.

    Example:
        from mabeam import Fallback

        @Fallback(value="no weather", on=ConnectionError)
        def weather() -> str:
            raise ConnectionError("no route")

        assert weather() == "no weather"
    """

    __slots__ = ("_bus", "_is_failure", "_lock", "_on_result", "_used", "_using", "_value")

    def __init__(
        self,
        *,
        value: object = _NOT_GIVEN,
        using: Using | None = None,
        on: On | None = None,
        on_result: OnResult | None = None,
        name: str = "fallback",
        bus: Bus | None = None,
    ) -> None:
        super().__init__(name)
        refuse_problems("a fallback", (*_problems(value, using, on, on_result), *surroundings(name, bus)))
        self._value = value
        self._using = using
        self._is_failure = on_of(on)
        self._on_result = on_result
        self._bus = current_bus.get() if bus is None else bus
        self._lock = threading.Lock()
        self._used = 0

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function, and answer for it if it fails.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns, or the other answer.

        Raises:
            BaseException: what the function raises, if it is not answered; what ``using`` raises.
        """
        try:
            result = await settle(function(*args, **kwargs))
        except Exception as error:
            refuse_uncallable(self, function)
            if not self._is_failure(error):
                raise
            answer: Any = self._answer(error)
            try:
                return await settle(answer)
            except Exception as second:
                raise second from error
        if self._on_result is None or not self._on_result(result):
            return result
        return await settle(self._answer(result))

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function, and answer for it if it fails.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the function returns, or the other answer.

        Raises:
            UsageError: ``using`` is async, or gave a coroutine, or the function returned one; nothing was run.
            BaseException: what the function raises, if it is not answered; what ``using`` raises.
        """
        if self._using is not None and is_async(self._using):
            raise UsageError(
                f"{self!r} expects an async function, got the plain {function!r}: its answer comes from the async function "
                f"{self._using!r}, for which a plain one cannot wait. Give it a plain `using`."
            )
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            refuse_uncallable(self, function)
            if not self._is_failure(error):
                raise
            return self._answer_sync(error)  # type: ignore[no-any-return]  # the user's answer
        if type(result) is CoroutineType:
            refuse_coroutine(self, function, result)
        if self._on_result is None or not self._on_result(result):
            return result
        return self._answer_sync(result)  # type: ignore[no-any-return]  # as above

    def statistics(self) -> FallbackStatistics:
        """Return counts, as of now."""
        return FallbackStatistics(used=self._used)

    def describe(self) -> str:
        """Return one line: where the answer comes from."""
        answer = f"value={self._value!r}" if self._using is None else f"using={_named(self._using)}"
        return f"Fallback({self._name!r}, {answer})"

    def _answer_sync(self, failure: object) -> Any:
        answer = self._answer(failure)
        if type(answer) is CoroutineType:
            refuse_coroutine(self, self._using, answer)
        return answer

    def _answer(self, failure: object) -> Any:
        with self._lock:
            self._used += 1
        bus = self._bus
        if bus is not None and bus.listening:
            metadata = {"fallback": self._name, "reason": type(failure).__name__}
            bus.emit("fallback.used", {"count": 1}, metadata)
        if self._using is None:
            return self._value
        if not isinstance(failure, Exception):
            return self._using(failure)
        try:
            return self._using(failure)
        except Exception as second:
            raise second from failure


def _named(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))


def _problems(value: object, using: object, on: object, on_result: object) -> Iterator[str]:
    if (value is _NOT_GIVEN) == (using is None):
        yield f"exactly one of value and using is expected, got value={value!r} and using={using!r}"
    if using is not None and not callable(using):
        yield f"using expects a function of the failure, got {using!r}"
    yield from problems_of_on("on", on, on_result)
