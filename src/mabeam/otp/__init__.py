"""Servers and their supervision: GenServer, handles, supervisors, tasks, the registry."""

from mabeam.otp._asides import continue_with, idle_timeout, reply_later, start_info, stop_self
from mabeam.otp._async_stream import AsyncStream, OnTimeout
from mabeam.otp._callbacks import checked_up_front
from mabeam.otp._child_info import ChildCounts, ChildInfo, FailedToStartChild
from mabeam.otp._child_spec import ChildSpec, Restart, ShutdownTime, child_spec
from mabeam.otp._dynamic_supervisor import DynamicSupervisor
from mabeam.otp._gen_server import GenServer
from mabeam.otp._handlers import Raises, handle_call, handle_cast, handle_stream
from mabeam.otp._partition_supervisor import PartitionSupervisor
from mabeam.otp._partition_supervisor_via import PartitionName
from mabeam.otp._ref import Ref, ref
from mabeam.otp._registry import Registry, RegistryKeys
from mabeam.otp._registry_ref import RegistryRef, RegistryStatistics
from mabeam.otp._requests import IdleTimeout
from mabeam.otp._restart_state import Backoff
from mabeam.otp._spawn_supervised import spawn_supervised
from mabeam.otp._state_machine import StateMachine
from mabeam.otp._state_machine_asks import (
    NamedTimeout,
    Postpone,
    StateTimeout,
    TimeoutSeconds,
    become,
    named_timeout,
    next_event,
    repeat_state,
    state_timeout,
)
from mabeam.otp._state_machine_declare import State, state
from mabeam.otp._supervisor import Supervisor
from mabeam.otp._supervisor_state import AutoShutdown, Strategy
from mabeam.otp._sys import code_change, get_state, replace_state
from mabeam.otp._task_options import TaskOptions
from mabeam.otp._task_outcome import TaskExit, TaskOk, TaskOutcome, TaskResult
from mabeam.otp._task_ref import TaskRef
from mabeam.otp._task_supervisor import TaskSupervisor
from mabeam.otp._via import RegistryName

__all__ = (
    "AsyncStream",
    "AutoShutdown",
    "Backoff",
    "ChildCounts",
    "ChildInfo",
    "ChildSpec",
    "DynamicSupervisor",
    "FailedToStartChild",
    "GenServer",
    "IdleTimeout",
    "NamedTimeout",
    "OnTimeout",
    "PartitionName",
    "PartitionSupervisor",
    "Postpone",
    "Raises",
    "Ref",
    "Registry",
    "RegistryKeys",
    "RegistryName",
    "RegistryRef",
    "RegistryStatistics",
    "Restart",
    "ShutdownTime",
    "State",
    "StateMachine",
    "StateTimeout",
    "Strategy",
    "Supervisor",
    "TaskExit",
    "TaskOk",
    "TaskOptions",
    "TaskOutcome",
    "TaskRef",
    "TaskResult",
    "TaskSupervisor",
    "TimeoutSeconds",
    "become",
    "checked_up_front",
    "child_spec",
    "code_change",
    "continue_with",
    "get_state",
    "handle_call",
    "handle_cast",
    "handle_stream",
    "idle_timeout",
    "named_timeout",
    "next_event",
    "ref",
    "repeat_state",
    "replace_state",
    "reply_later",
    "spawn_supervised",
    "start_info",
    "state",
    "state_timeout",
    "stop_self",
)
