"""The circuit breaker as a machine: what is admitted, what an outcome does. Pure; ``now`` is passed in.

A permit is the number of the generation in which it was given. Each transition begins a new generation, so what was admitted
before the last transition is known by its number, and changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from mabeam.resilience._circuit_rules import CircuitRules
    from mabeam.resilience._window_state import Window

__all__ = ("FAILED", "IGNORED", "LOST", "REFUSED", "SUCCEEDED", "CircuitState", "Phase", "Transition")

Phase: TypeAlias = Literal["closed", "open", "half_open", "isolated"]
"""Where a circuit breaker is: admits all; admits none for a time; admits a few probes; admits none until reset."""

REFUSED = -1
SUCCEEDED, FAILED, IGNORED, LOST = range(4)
_SLOW = 2
"""The mark of a slow call in a window; a failed one has 1, which is ``FAILED``."""


class Transition(NamedTuple):
    """A change of the phase: from where to where, and why. ``generation`` counts them."""

    before: Phase
    after: Phase
    reason: str
    generation: int


class CircuitState:
    """What a circuit breaker knows.

    Attributes:
        closed: the generation, when it is closed, else -1: the one look that admission costs on the way that matters.
        transitions: those that nobody was told of yet, oldest first.
    """

    __slots__ = (
        "closed", "failed", "generation", "held", "ignored", "in_row", "late", "lost", "missed", "open_until",
        "openings", "passed", "phase", "rejected", "rules", "since", "slow", "succeeded", "transitions", "window",
    )  # fmt: skip

    def __init__(self, rules: CircuitRules, now: float) -> None:
        """A closed one that knows of no call."""
        self.rules = rules
        self.phase: Phase = "closed"
        self.generation = 0
        self.closed = 0
        self.since = now
        self.window = rules.window()
        self.in_row = 0
        self.openings = 0
        self.open_until = now
        self.held = self.passed = self.missed = 0
        self.succeeded = self.failed = self.ignored = self.slow = 0
        self.rejected = self.late = self.lost = 0
        self.transitions: list[Transition] = []

    def admit(self, now: float) -> int:
        """Ask for a permit: the generation that it belongs to, or ``REFUSED``."""
        if self.phase == "closed":
            return self.generation
        self.look(now)
        if self.phase == "open" and now >= self.open_until:
            self._go("half_open", "open_over", now)
        if self.phase == "half_open" and self.held + self.passed + self.missed < self.rules.probes:
            self.held += 1
            return self.generation
        self.rejected += 1
        return REFUSED

    def succeed(self, permit: int, slow: bool, now: float) -> bool:  # noqa: FBT001 - as record
        """Take a success, as :meth:`record` does: apart, because nearly all outcomes are this one."""
        if permit != self.closed:
            return self.record(permit, SUCCEEDED, slow, now)
        self.succeeded += 1
        self.in_row = 0
        window = self.window
        if window is not None:
            if slow:
                self.slow += 1
                window.add(_SLOW, now)
            else:
                window.add(SUCCEEDED, now)
            if window.failed or window.slow:
                self._judge(window, now)
        return True

    def record(self, permit: int, outcome: int, slow: bool, now: float) -> bool:  # noqa: FBT001 - hot, and called here only
        """Take the outcome of what was admitted; whether it counted, which one from an older generation does not."""
        if permit != self.generation:
            self.late += 1
            return False
        if permit == self.closed:
            if outcome == SUCCEEDED:
                return self.succeed(permit, slow, now)
            if outcome != FAILED:
                self._say_nothing(outcome)
                return True
            self.failed += 1
            self.slow += slow
            self.in_row += 1
            if self.in_row == self.rules.consecutive_failures:
                self._open("consecutive_failures", now)
            elif self.window is not None:
                self.window.add(FAILED + _SLOW if slow else FAILED, now)
                self._judge(self.window, now)
            return True
        if self.look(now):
            self.late += 1  # the trial was over before this, though nobody had looked
            return False
        self.held -= 1
        if outcome in {SUCCEEDED, FAILED}:
            self._judge_probe(failed=outcome == FAILED, slow=slow, now=now)
        else:
            self._say_nothing(outcome)
        return True

    def look(self, now: float) -> bool:
        """End a trial that has lasted too long, at the moment when it was over; whether there was one."""
        limit = self.rules.half_open_seconds
        if self.phase == "half_open" and limit is not None and now >= self.since + limit:
            self._open("half_open_expired", self.since + limit)
            return True
        return False

    def phase_at(self, now: float) -> Phase:
        """The phase at ``now``, without changing anything."""
        limit = self.rules.half_open_seconds
        expired = self.phase == "half_open" and limit is not None and now >= self.since + limit
        return "open" if expired else self.phase

    def retry_after(self, now: float) -> float | None:
        """Seconds until it admits something; ``None`` when nobody knows: for want of probes, or isolated."""
        if self.phase == "closed":
            return 0.0
        if self.phase == "open":
            return max(0.0, self.open_until - now)
        limit = self.rules.half_open_seconds
        if self.phase == "half_open" and limit is not None and now >= self.since + limit:
            return max(0.0, self.since + limit + self.rules.open_for(self.openings + 1) - now)
        if self.phase == "half_open" and self.held + self.passed + self.missed < self.rules.probes:
            return 0.0
        return None

    def isolate(self, now: float) -> None:
        """Admit nothing until :meth:`reset`."""
        if self.phase != "isolated":
            self._go("isolated", "isolated", now)

    def reset(self, now: float) -> None:
        """Close, and forget all calls and openings. The counts of ``statistics`` stay."""
        self._go("closed", "reset", now)

    def _say_nothing(self, outcome: int) -> None:
        if outcome == LOST:
            self.lost += 1
        else:
            self.ignored += 1

    def _judge(self, window: Window, now: float) -> None:
        rules = self.rules
        if window.calls < cast("int", rules.minimum_calls):  # it has one where it has a window
            return
        # Quotients, not products: 3 of 30 is a share of 0.1 to the last bit, while 0.1 * 30 is more than 3.
        if rules.failure_rate is not None and window.failed / window.calls >= rules.failure_rate:
            self._open("failure_rate", now)
        elif rules.slow_call_rate is not None and window.slow / window.calls >= rules.slow_call_rate:
            self._open("slow_call_rate", now)

    def _judge_probe(self, *, failed: bool, slow: bool, now: float) -> None:
        self.succeeded += not failed
        self.failed += failed
        self.slow += slow
        if failed or slow:  # slow is only ever said where there is a rule about it
            self.missed += 1
            if self.missed > self.rules.probe_failures:
                self._open("probe_failed", now)
                return
        else:
            self.passed += 1
        if self.passed + self.missed == self.rules.probes:
            self._go("closed", "probes_passed", now)

    def _open(self, reason: str, at: float) -> None:
        self.openings += 1
        self.open_until = at + self.rules.open_for(self.openings)
        self._go("open", reason, at)

    def _go(self, phase: Phase, reason: str, at: float) -> None:
        self.generation += 1
        self.transitions.append(Transition(self.phase, phase, reason, self.generation))
        self.phase = phase
        self.since = at
        self.held = self.passed = self.missed = 0
        self.in_row = 0
        self.window = self.rules.window()
        if phase == "closed":
            self.openings = 0
            self.closed = self.generation
        else:
            self.closed = REFUSED
