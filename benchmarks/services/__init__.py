"""The services suite: what supervised services add to what they stand on."""

from typing import Final

from benchmarks._suite import Subject, Suite
from benchmarks.services._measures import MEASURES

__all__ = ("SUITE",)

SUITE: Final = Suite(
    name="services",
    title="Services",
    intro="HTTP requests to a server on loopback that runs in an OS process of its own, so that the processor time is the client's "
    "alone. mabeam sends them through a `ConnectionManager`, httpx by a client of its own; both run on uvloop.",
    measures=MEASURES,
    subjects=(
        Subject(
            name="mabeam",
            title="mabeam",
            module="benchmarks.services._mabeam",
            distribution="mabeam",
            imports=("httpx", "uvloop"),
        ),
        Subject(
            name="httpx",
            title="httpx",
            module="benchmarks.services._httpx",
            distribution="httpx",
            imports=("httpx", "uvloop"),
        ),
    ),
    reference="httpx",
)
