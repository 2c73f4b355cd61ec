"""The only road to the log: what a handler, filter or record factory of a user raises stays with the log."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

__all__ = ("Log",)


@final
class Log(logging.LoggerAdapter[logging.Logger]):
    """A logger that never raises what its handlers, filters and the factory of its records do.

    The standard library lets it through to whoever logs: there, a full disk would decide whether a process that has crashed may
    end. It is printed instead, together with what was to be logged, unless ``logging.raiseExceptions`` says otherwise.
    """

    def __init__(self, name: str) -> None:
        """The logger of that name."""
        super().__init__(logging.getLogger(name), None)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As that of a logger."""
        if not self.isEnabledFor(level):
            return
        try:
            self.logger.log(level, msg, *args, stacklevel=2, **kwargs)
        except Exception as error:  # noqa: BLE001  (it is of users, and must not reach who logs)
            _print(error, f"{msg!s} {args!r}" if args else f"{msg!s}")

    def log_from(
        self,
        place: tuple[str, int, str | None],
        level: int,
        msg: str,
        args: tuple[str, ...],
        *,
        error: tuple[type[BaseException], BaseException, TracebackType | None],
        extra: dict[str, object],
    ) -> None:
        """As ``log``, from a file, line and function that are told: to find out who has called takes its time.

        The level is not looked at.
        """
        path, line, function = place
        try:
            record = self.logger.makeRecord(
                self.logger.name, level, path, line, msg, args, error, function, extra
            )
            self.logger.handle(record)
        except Exception as raised:  # noqa: BLE001  (as above)
            _print(raised, msg % args)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Nothing is added."""
        return msg, kwargs


def _print(error: Exception, message: str) -> None:
    if not logging.raiseExceptions or sys.stderr is None:
        return
    try:
        told = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  (what is to be shown is of users, down to its cause)
        told = f"{type(error).__name__}, which cannot be shown\n"
    try:
        sys.stderr.write(
            f"--- a handler, filter or factory of the log raised ---\n{told}while it was given: {message}\n"
        )
    except OSError:
        pass  # nobody listens there either, and there is no third place
