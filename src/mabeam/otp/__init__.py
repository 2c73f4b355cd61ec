"""Servers and their supervision: GenServer, handles, supervisors, tasks, the registry."""

from mabeam.otp._asides import continue_with, idle_timeout, reply_later, start_info, stop_self
from mabeam.otp._child_spec import ChildSpec, Restart, ShutdownTime, child_spec
from mabeam.otp._dynamic_supervisor import DynamicSupervisor
from mabeam.otp._gen_server import GenServer
from mabeam.otp._handlers import Raises, handle_call, handle_cast, handle_stream
from mabeam.otp._ref import Ref, ref
from mabeam.otp._requests import IdleTimeout
from mabeam.otp._restart_state import Backoff
from mabeam.otp._supervising import ChildCounts, ChildInfo, FailedToStartChild
from mabeam.otp._supervisor import Supervisor
from mabeam.otp._supervisor_state import AutoShutdown, Strategy

__all__ = (
    "AutoShutdown",
    "Backoff",
    "ChildCounts",
    "ChildInfo",
    "ChildSpec",
    "DynamicSupervisor",
    "FailedToStartChild",
    "GenServer",
    "IdleTimeout",
    "Raises",
    "Ref",
    "Restart",
    "ShutdownTime",
    "Strategy",
    "Supervisor",
    "child_spec",
    "continue_with",
    "handle_call",
    "handle_cast",
    "handle_stream",
    "idle_timeout",
    "ref",
    "reply_later",
    "start_info",
    "stop_self",
)
