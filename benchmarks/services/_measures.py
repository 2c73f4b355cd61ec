"""What is measured of services, defined once for all subjects."""

from __future__ import annotations

from typing import Final

from benchmarks._suite import Measure

__all__ = ("MEASURES",)

MEASURES: Final = (
    Measure(
        name="http_get",
        title="An HTTP request",
        definition="One caller sends GET to a server on loopback, reads the answer of 100 bytes, and sends again, on one "
        "connection that is kept.",
        size=200,
        quick_size=50,
        rounds=20,
    ),
    Measure(
        name="http_post",
        title="An HTTP request with a body",
        definition="As before: POST with 2,000 bytes of JSON, by the client that `client(id)` gives to libraries.",
        size=200,
        quick_size=50,
        rounds=20,
    ),
    Measure(
        name="http_get_busy",
        title="HTTP requests of many callers",
        definition="50 callers send such GETs at the same time, each again as soon as it has its answer, over at most 10 "
        "connections. Time of the whole by the number of requests.",
        size=500,
        quick_size=100,
        rounds=10,
    ),
)
