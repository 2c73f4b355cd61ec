"""What both subjects do, once they have their ways to send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from benchmarks._rounds import check

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("BODY", "CALLERS", "CONNECTIONS", "many_callers", "one_caller")

BODY: Final = b'{"text": "' + b"y" * 1_988 + b'"}'
CALLERS: Final = 50
CONNECTIONS: Final = 10


async def one_caller(rounds: Rounds, send: Callable[[], Awaitable[Any]]) -> Figures:
    """One request after the other."""
    answered = 0
    for _ in rounds:
        with rounds.timing():
            for _ in range(rounds.size):
                answered += (await send()).content == b"x" * 100
    check("requests answered", answered, rounds.operations)
    return rounds.per_operation()


async def many_callers(rounds: Rounds, send: Callable[[], Awaitable[Any]]) -> Figures:
    """As many at once."""
    answered = 0

    async def ask() -> None:
        nonlocal answered
        for _ in range(rounds.size // CALLERS):
            answer = await send()
            answered += answer.content == b"x" * 100

    for _ in rounds:
        with rounds.timing():
            async with asyncio.TaskGroup() as group:
                for _ in range(CALLERS):
                    group.create_task(ask())
    check("requests answered", answered, rounds.operations)
    return rounds.per_operation()
