"""Test programs made of processes: virtual time, simulation, probes, and a check that nothing is left behind.

The pytest plugin (``mabeam.testing.pytest_plugin``) brings all of it to ``async def`` tests.
"""

from mabeam.testing._deadlock import DeadlockError
from mabeam.testing._endless import EndlessError
from mabeam.testing._faults import Faults, InjectedFault, Victim
from mabeam.testing._findings import SimulationFailed, SimulationResult
from mabeam.testing._idle import wait_until_idle
from mabeam.testing._leaks import LeakError, check_leaks
from mabeam.testing._mutations import MutationError
from mabeam.testing._one_run import Program
from mabeam.testing._probe import Probe
from mabeam.testing._schedule import Fault, FaultKind
from mabeam.testing._session import UnhandledError
from mabeam.testing._simulate import replay, simulate
from mabeam.testing._virtual_loop import VirtualLoop

__all__ = (
    "DeadlockError",
    "EndlessError",
    "Fault",
    "FaultKind",
    "Faults",
    "InjectedFault",
    "LeakError",
    "MutationError",
    "Probe",
    "Program",
    "SimulationFailed",
    "SimulationResult",
    "UnhandledError",
    "Victim",
    "VirtualLoop",
    "check_leaks",
    "replay",
    "simulate",
    "wait_until_idle",
)
