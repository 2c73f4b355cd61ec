"""The resilience suite: circuit breakers, bulkheads, caches, rate limits."""

from typing import Final

from benchmarks._suite import Suite
from benchmarks.resilience._measures import MEASURES
from benchmarks.resilience._subjects import SUBJECTS

__all__ = ("SUITE",)

SUITE: Final = Suite(
    name="resilience",
    title="Resilience",
    intro="Every part of mabeam here may be used from several threads, takes a lock for it, and counts what it does; of the others "
    "each is used as its documentation says. cachetools takes no lock. limits is measured with its fastest strategy, the fixed "
    "window, which admits twice its limit across an edge.",
    measures=MEASURES,
    subjects=SUBJECTS,
    reference="mabeam",
)
