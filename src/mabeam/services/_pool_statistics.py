"""What a pool counts, and what it tells about that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ("Counters", "PoolStatistics")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """A connection pool in numbers, as of now.

    At any moment ``attempts`` is ``active + completed + failures + abandoned``. They go on when the pool is configured anew.

    Attributes:
        requests: requests that were begun; a redirect is one more.
        attempts: how often a request was sent, or tried to be: a retry is one more.
        active: attempts under way, from the wait for a connection to the end of the answer's body.
        waiting: those of them that wait for a connection.
        completed: attempts whose answer was read to its end, whatever its status.
        failures: attempts that ended in an error: no connection, a timeout, a reset.
        abandoned: attempts that their caller gave up: cancelled, died, or closed the answer before its end.
        refused: attempts that were turned away because the queue was full, or the manager was being stopped.
        connections: open connections, those being opened included.
        idle: open connections that nobody uses.
        in_use: open connections that somebody uses.
        opened: connections that were opened so far.
        sent_bytes: HTTP bytes sent, headers included; with TLS, before encryption.
        received_bytes: HTTP bytes that came, headers included; with TLS, after decryption.
    """

    requests: int
    attempts: int
    active: int
    waiting: int
    completed: int
    failures: int
    abandoned: int
    refused: int
    connections: int
    idle: int
    in_use: int
    opened: int
    sent_bytes: int
    received_bytes: int


@final
class Counters:
    """What is counted for one id, over all configurations that it had."""

    __slots__ = (
        "abandoned", "active", "attempts", "completed", "failures", "opened", "received_bytes", "refused", "requests", "sent_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        """Nothing yet. The bytes are those of connections that are closed; open ones count themselves."""
        self.requests = self.attempts = self.active = self.completed = self.failures = self.abandoned = 0
        self.refused = self.opened = self.sent_bytes = self.received_bytes = 0
