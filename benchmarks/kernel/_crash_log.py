"""The logs that crash reports go to: one that throws them away, and one that makes them into text before."""

from __future__ import annotations

import logging

from benchmarks._rounds import check

__all__ = ("MakesText", "log_to")


class MakesText(logging.Handler):
    """Formats what it gets, and throws it away."""

    def emit(self, record: logging.LogRecord) -> None:
        """Make the text, with its traceback."""
        check("text of a report", "Traceback" in self.format(record), True)


def log_to(handler: logging.Handler, name: str) -> logging.Logger:
    """Have only ``handler`` get what is logged under ``name``."""
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    logger.propagate = False
    return logger
