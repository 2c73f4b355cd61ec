"""The pipeline: several policies around one function, in the order in which they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, final

from mabeam.resilience._checks import refuse_problems, surroundings
from mabeam.resilience._policy import Policy, PolicyBase, check_function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ("Pipeline",)

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")


@final
class Pipeline(PolicyBase):
    """Puts several policies around a function; the first is the outermost.

    ``Pipeline(fallback, retry, breaker, limit)`` is ``fallback(retry(breaker(limit(function))))``: the limit holds for one
    attempt, the breaker counts each attempt, the retry sees refusals of the breaker, the fallback answers when all has failed.

    Guarantees:
        Nothing of its own: what each policy guarantees about what is inside it. The policies are shared with whoever else
        uses them, so two pipelines with the same breaker have one circuit. A pipeline is a policy.

    Args:
        *policies: from the outermost to the innermost, at least one.
        name: how it is called where it is described.

    Raises:
        UsageError: nothing, or something that is no policy, or one policy twice, in a pipeline inside as well.

    Example:
        import asyncio
        from mabeam import CircuitBreaker, Fallback, Pipeline, Retry, TimeLimit

        ask = Pipeline(
            Fallback(value="later"),
            Retry(attempts=2, on=TimeoutError),
            CircuitBreaker("model"),
            TimeLimit(0.01),
            name="model",
        )

        @ask
        async def answer() -> str:
            await asyncio.Event().wait()
            return "now"

        assert asyncio.run(answer()) == "later"
    """

    __slots__ = ("policies",)

    def __init__(self, *policies: Policy, name: str = "pipeline") -> None:
        super().__init__(name)
        refuse_problems("a pipeline", (*_problems(policies), *surroundings(name, None)))
        self.policies = policies

    @property
    def async_only(self) -> bool:
        """Whether one of its policies is."""
        return any(policy.async_only for policy in self.policies)

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an async function under all policies.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the outermost policy makes of it.

        Raises:
            UsageError: a policy refuses the function; nothing was run.
            BaseException: what the outermost policy raises.
        """
        if self.async_only:
            check_function(self, function)
        outermost, *inner = self.policies
        call: Any = outermost.call
        return await call(*(policy.call for policy in inner), function, *args, **kwargs)  # type: ignore[no-any-return]  # each call takes the next as its function

    def call_sync(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a plain function under all policies.

        Guarantees:
            As of the class.

        Args:
            function: called with the rest.
            *args: its arguments.
            **kwargs: its arguments by name.

        Returns:
            What the outermost policy makes of it.

        Raises:
            UsageError: a policy refuses the function; nothing was run.
            BaseException: what the outermost policy raises.
        """
        if self.async_only:
            check_function(self, function)
        outermost, *inner = self.policies
        call: Any = outermost.call_sync
        return call(*(policy.call_sync for policy in inner), function, *args, **kwargs)  # type: ignore[no-any-return]  # as in call

    def __call__(self, function: F, /) -> F:
        """Return the function under all policies; use it as a decorator, for async and plain functions.

        Args:
            function: an async or a plain function; a method as well.

        Returns:
            A function of the same kind, name and signature.

        Raises:
            UsageError: a policy refuses the function.
        """
        check_function(self, function)
        for policy in reversed(self.policies):
            function = policy(function)
        return function

    def describe(self) -> str:
        """Return its policies, one on a line, from the outermost to the innermost."""
        lines = [f"Pipeline({self._name!r}), outermost first:"]
        for policy in self.policies:
            lines += [f"    {line}" for line in policy.describe().splitlines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Pipeline {self._name!r}: {' > '.join(type(policy).__name__ for policy in self.policies)}>"


def _problems(policies: tuple[object, ...]) -> Iterator[str]:
    if not policies:
        yield "at least one policy is expected, got none"
    seen: list[object] = []
    for policy in policies:
        if isinstance(policy, type):
            yield f"policies are expected, got the class {policy.__name__}; make one: {policy.__name__}(...)"
        elif not isinstance(policy, Policy):
            yield f"policies are expected, got {policy!r}"
        else:
            for each in _singles(policy):
                if any(each is other for other in seen):
                    yield f"{each!r} is there twice; the inner one would wait for the outer, or count everything twice"
                seen.append(each)


def _singles(policy: Policy) -> Iterator[Policy]:
    """The policy, or what a pipeline consists of, and those in it."""
    if isinstance(policy, Pipeline):
        for each in policy.policies:
            yield from _singles(each)
    else:
        yield policy
