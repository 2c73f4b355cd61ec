"""What every other package stands on: time, chance, and the road out of the event loop.

Not for users: their road to time is the Runtime. Packages of mabeam import from here and never reach for ``time``,
``random`` or ``threading`` themselves, so that virtual time and seeded runs see all of it.
"""

from mabeam._base._backoff import Backoff
from mabeam._base._clock import (
    clock_here,
    clock_of,
    monotonic,
    nanoseconds_of,
    now,
    pause_thread,
    stopwatch_of,
    wall_time,
)
from mabeam._base._faultpoint import FaultListener, fault_listener, fault_point
from mabeam._base._log import Log
from mabeam._base._outside import OwnedThread, leaving, let_out, outside, returned, start_thread, thread_asks
from mabeam._base._random import Random, all_random_seeded, seeded_random, system_random, unique_id
from mabeam._base._stacks import Position, await_chain, creation_stack, innermost_frame, suspended_frames
from mabeam._base._streams import SocketStream, open_stream
from mabeam._base._threads import BoundedThreads, ThreadsStatistics
from mabeam._base._unowned import child_processes, open_sockets

__all__ = (
    "Backoff",
    "BoundedThreads",
    "FaultListener",
    "Log",
    "OwnedThread",
    "Position",
    "Random",
    "SocketStream",
    "ThreadsStatistics",
    "all_random_seeded",
    "await_chain",
    "child_processes",
    "clock_here",
    "clock_of",
    "creation_stack",
    "fault_listener",
    "fault_point",
    "innermost_frame",
    "leaving",
    "let_out",
    "monotonic",
    "nanoseconds_of",
    "now",
    "open_sockets",
    "open_stream",
    "outside",
    "pause_thread",
    "returned",
    "seeded_random",
    "start_thread",
    "stopwatch_of",
    "suspended_frames",
    "system_random",
    "thread_asks",
    "unique_id",
    "wall_time",
)
