"""Whether there is another attempt, and after how long. Pure: ``now`` and the draw are passed in.

Jitter as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): ``full`` spreads attempts of many callers best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from mabeam._base import Backoff
from mabeam.resilience._checks import at_least, one_of, refuse_problems, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("GaveUp", "Jitter", "RetryRules", "RetryState")

Jitter: TypeAlias = Literal["full", "equal", "none"]
"""How a wait is spread: from 0 to all of it, from half to all of it, or not."""
GaveUp: TypeAlias = Literal["attempts", "total_seconds", "retry_after"]
"""Why there is no further attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """The rules of a :class:`Retry`; its options of the same names.

    Attributes:
        attempts: how often it runs at most, the first time included; ``None`` for no such limit.
        total_seconds: from the start of the first attempt; no attempt begins later. ``None`` for no such limit.
        backoff: how long it waits before the next attempt.
        jitter: how these waits are spread.
        retry_after_limit: the longest wait that a failure may ask for; one that asks for more is the last.
    """

    attempts: int | None
    total_seconds: float | None
    backoff: Backoff
    jitter: Jitter
    retry_after_limit: float

    def __post_init__(self) -> None:
        """Refuse what cannot be right.

        Raises:
            UsageError: names everything that is wrong.
        """
        refuse_problems("a retry", self._problems())

    def _problems(self) -> Iterator[str]:
        if self.attempts is not None:
            for problem in whole("attempts", self.attempts, 1):
                yield f"{problem}; the first run is an attempt, so 1 is no retry"
        if self.total_seconds is not None:
            yield from at_least("total_seconds", self.total_seconds, 0)
        if self.attempts is None and self.total_seconds is None:
            yield "attempts and total_seconds are both None: it would go on for ever; give one of them"
        if isinstance(self.backoff, Backoff):
            yield from self.backoff.check()
        else:
            yield f"backoff expects a Backoff, got {self.backoff!r}"
        yield from one_of("jitter", self.jitter, ("full", "equal", "none"))
        yield from at_least("retry_after_limit", self.retry_after_limit, 0)


class RetryState:
    """One call that is tried until it works or the rules say stop.

    Attributes:
        attempts: how many attempts have been begun.
        gave_up: why there is no further one, once that is so.
    """

    __slots__ = ("_rules", "_started", "attempts", "gave_up")

    def __init__(self, rules: RetryRules, now: float) -> None:
        """The first attempt begins at ``now``."""
        self._rules = rules
        self._started = now
        self.attempts = 1
        self.gave_up: GaveUp | None = None

    def failed(self, now: float, draw: float, retry_after: float | None = None) -> float | None:
        """Take a failure at ``now``: seconds until the next attempt, or ``None`` for "no more", which ``gave_up`` explains.

        Args:
            now: the time.
            draw: a number from 0 to 1, by chance.
            retry_after: seconds that the failure asked for, if it did.
        """
        rules = self._rules
        if rules.attempts is not None and self.attempts >= rules.attempts:
            self.gave_up = "attempts"
            return None
        delay = rules.backoff.delay(self.attempts)
        if rules.jitter == "full":
            delay *= draw
        elif rules.jitter == "equal":
            delay *= 0.5 + draw / 2
        if retry_after is not None:
            if retry_after > rules.retry_after_limit:
                self.gave_up = "retry_after"
                return None
            delay = max(delay, retry_after)
        if rules.total_seconds is not None and now + delay - self._started > rules.total_seconds:
            self.gave_up = "total_seconds"  # rather than to wait for what will not be tried
            return None
        self.attempts += 1
        return delay
