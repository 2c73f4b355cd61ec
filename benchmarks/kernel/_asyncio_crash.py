"""Bare asyncio: a task that ends with an exception, and another in its place, written by hand."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks._rounds import check
from benchmarks.kernel._asyncio_server import Server, on_asyncio
from benchmarks.kernel._crash_log import MakesText, log_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


class Crashed(Exception):
    """What a caller gets; the exception of the handler is its cause."""


class Fragile(Server):
    """A server whose task ends with what a handler raises; a second task logs it and starts the next."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.starts = 1
        self.keeper = asyncio.create_task(self._keep(logger))

    def crash(self, _amount: int) -> NoReturn:
        raise ValueError("as told")

    async def _serve(self) -> None:
        while True:
            handler, amount, answer = await self.queue.get()
            try:
                value = handler(amount)
            except Exception as error:
                if answer is not None:
                    died = Crashed("the server crashed")
                    died.__cause__ = error
                    answer.set_exception(died)
                raise
            if answer is not None:
                answer.set_result(value)

    async def _keep(self, logger: logging.Logger) -> None:
        while True:
            try:
                await self.task
            except Exception:
                logger.exception("the server crashed")
            self.starts += 1
            self.task = asyncio.create_task(self._serve())


def _crash_restart(handler: logging.Handler) -> Callable[[Rounds], Figures]:
    async def body(rounds: Rounds) -> Figures:
        rounds.note(
            "no supervisor: a second task logs the exception and starts the next; the queue stays, and nobody counts"
        )
        server = Fragile(log_to(handler, "bare"))
        for _ in rounds:
            with rounds.timing():
                for _ in range(rounds.size):
                    await _crash_once(server)
        check("tasks started", server.starts, rounds.operations + 1)
        server.keeper.cancel()
        server.task.cancel()
        await asyncio.gather(server.keeper, server.task, return_exceptions=True)
        return rounds.per_operation()

    return on_asyncio(body)


async def _crash_once(server: Any) -> None:
    try:
        await server.call(server.crash, 1)
    except Crashed:
        pass  # as expected; the next call is answered by the next task
    await server.call(server.add, 1)


MEASURES = {
    "crash_restart": _crash_restart(logging.NullHandler()),
    "crash_restart_report": _crash_restart(MakesText()),
}
