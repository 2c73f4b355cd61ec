"""Test programs made of processes: virtual time, probes, and a check that nothing is left behind.

The pytest plugin (``mabeam.testing.pytest_plugin``) brings all of it to ``async def`` tests.
"""

from mabeam.testing._deadlock import DeadlockError
from mabeam.testing._idle import wait_until_idle
from mabeam.testing._leaks import LeakError, check_leaks
from mabeam.testing._probe import Probe
from mabeam.testing._session import UnhandledError
from mabeam.testing._virtual_loop import VirtualLoop

__all__ = (
    "DeadlockError",
    "LeakError",
    "Probe",
    "UnhandledError",
    "VirtualLoop",
    "check_leaks",
    "wait_until_idle",
)
