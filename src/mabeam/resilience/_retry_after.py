"""For how long a failure asks to be left alone: ``retry_after`` of our errors, ``Retry-After`` of HTTP (RFC 9110, 10.2.3)."""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from mabeam._base import wall_time

__all__ = ("retry_after_of",)


def retry_after_of(failure: object) -> float | None:
    """Return the seconds that an error, or a returned response, asks to wait.

    Looks at ``failure.retry_after`` (seconds), then at the header ``Retry-After`` (seconds or a date) in ``failure.headers`` and
    in ``failure.response.headers``, where HTTP clients keep it.

    Guarantees:
        Never raises, whatever the object does when it is asked.

    Args:
        failure: an exception or a returned value.

    Returns:
        Seconds, at least 0; ``None`` when it asks for nothing, or for nothing that can be understood.
    """
    try:
        asked: Any = getattr(failure, "retry_after", None)
        if isinstance(asked, int | float) and not isinstance(asked, bool):
            return max(0.0, float(asked)) if math.isfinite(asked) else None
        for holder in (failure, getattr(failure, "response", None)):
            headers: Any = getattr(holder, "headers", None)
            if headers is not None:
                found = headers.get("Retry-After") or headers.get("retry-after")
                if found is not None:
                    return _seconds(str(found).strip())
    except Exception:  # noqa: BLE001 - a strange object asks for nothing
        return None
    return None


def _seconds(text: str) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text)
    date = parsedate_to_datetime(text)
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - wall_time())
