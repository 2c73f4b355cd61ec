"""Processes: mailboxes, links, monitors, exit signals, names, timers, and the Runtime that owns them all.

Most programs need the names at the top of ``__all__`` and take them from ``mabeam``. Those below the line are for code
that brings a behaviour of its own, as ``mabeam.otp`` does.
"""

from mabeam.kernel._activation import Activation, activate, activate_trusted, here
from mabeam.kernel._behaviour import Behaviour, Observer, OnFull, Step
from mabeam.kernel._calls import Caller, Turn, died, heed_end, wait_for_reply, waiting_for, was_gone
from mabeam.kernel._checks import (
    check_function,
    check_seconds,
    is_seconds,
    misfit,
    no_target,
    short_name,
)
from mabeam.kernel._current import (
    Addressable,
    Target,
    current_kernel,
    current_process,
    find,
    find_or_raise,
    is_on_loop,
    name_target,
    refuse_left_behind,
)
from mabeam.kernel._current_task import current_tasks
from mabeam.kernel._cycles import check_choice_cycle, check_cycle, check_place_cycle, check_stream_cycle
from mabeam.kernel._dead_letters import DeadLetter, DeadLetters
from mabeam.kernel._ending import crash_reason, end, is_decided, stop, stop_loop
from mabeam.kernel._ending import kill as kill_process
from mabeam.kernel._full_mailbox import admit, check_mailbox, crowd_of, enter_full
from mabeam.kernel._in_thread import in_thread, run_blocking
from mabeam.kernel._info import ActivityInfo, ProcessInfo, info, name_of
from mabeam.kernel._kernel import Kernel
from mabeam.kernel._links import add_link, add_monitor, are_linked, remove_link, remove_monitor
from mabeam.kernel._lock import Lock
from mabeam.kernel._mailbox import offer_again, remove_matching, take_matching
from mabeam.kernel._messages import (
    Carried,
    Down,
    Exempt,
    ExitSignal,
    HandlerMessage,
    Ignore,
    MonitorRef,
    Stop,
)
from mabeam.kernel._names import Name, Registration, ViaName
from mabeam.kernel._observers import ProcessStatistics, Trace, TraceEvent, statistics, trace
from mabeam.kernel._operations import (
    Match,
    demonitor,
    kill,
    limit_mailbox,
    link,
    matcher,
    monitor,
    receive,
    register,
    self_pid,
    send,
    send_after,
    send_exit,
    spawn,
    spawn_link,
    spawn_monitor,
    trap_exit,
    unlink,
    unregister,
    whereis,
)
from mabeam.kernel._pid import Pid
from mabeam.kernel._plain import Body, PlainBehaviour, label_of
from mabeam.kernel._portal import Portal, open_portal, portal
from mabeam.kernel._process import (
    BUSY,
    DEAD,
    EXITING,
    RECEIVING,
    SCHEDULED,
    STARTING,
    SUSPENDED,
    Process,
    mailbox_is_full,
)
from mabeam.kernel._reasons import (
    AlreadyStarted,
    Crashed,
    Exited,
    ExitReason,
    Killed,
    NoProcess,
    Normal,
    Shutdown,
    check_reason,
    is_abnormal,
)
from mabeam.kernel._reports import forget_tracebacks
from mabeam.kernel._run import run, wait_stopped
from mabeam.kernel._runtime import Runtime, RuntimeStatistics
from mabeam.kernel._scheduler import Chooser, Scheduler
from mabeam.kernel._start import Start
from mabeam.kernel._system import SystemRequest, ask, resume, suspend
from mabeam.kernel._timers import TimerRef, start_timer
from mabeam.kernel._tracing import context_of_sender, in_trace, trace_of
from mabeam.kernel._waits import Wait
from mabeam.kernel._watchdog import Blocked
from mabeam.kernel._why import Cause, Why, why

__all__ = (
    "ActivityInfo",
    "AlreadyStarted",
    "Blocked",
    "Caller",
    "Cause",
    "Chooser",
    "Crashed",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "ExitReason",
    "ExitSignal",
    "Exited",
    "HandlerMessage",
    "Ignore",
    "Killed",
    "Lock",
    "Match",
    "MonitorRef",
    "Name",
    "NoProcess",
    "Normal",
    "OnFull",
    "Pid",
    "Portal",
    "ProcessInfo",
    "ProcessStatistics",
    "Runtime",
    "RuntimeStatistics",
    "Shutdown",
    "Stop",
    "Target",
    "TimerRef",
    "Trace",
    "TraceEvent",
    "ViaName",
    "Why",
    "demonitor",
    "in_thread",
    "info",
    "is_abnormal",
    "kill",
    "limit_mailbox",
    "link",
    "monitor",
    "open_portal",
    "portal",
    "receive",
    "register",
    "resume",
    "run",
    "self_pid",
    "send",
    "send_after",
    "send_exit",
    "spawn",
    "spawn_link",
    "spawn_monitor",
    "statistics",
    "suspend",
    "trace",
    "trap_exit",
    "unlink",
    "unregister",
    "wait_stopped",
    "whereis",
    "why",
    # ---- for behaviours
    "BUSY",
    "Carried",
    "DEAD",
    "EXITING",
    "Exempt",
    "RECEIVING",
    "SCHEDULED",
    "STARTING",
    "SUSPENDED",
    "Activation",
    "Addressable",
    "Behaviour",
    "Body",
    "Kernel",
    "Observer",
    "PlainBehaviour",
    "Process",
    "Registration",
    "Scheduler",
    "Start",
    "Step",
    "SystemRequest",
    "Turn",
    "Wait",
    "activate",
    "activate_trusted",
    "admit",
    "add_link",
    "add_monitor",
    "are_linked",
    "ask",
    "check_choice_cycle",
    "check_cycle",
    "check_place_cycle",
    "check_stream_cycle",
    "check_function",
    "check_mailbox",
    "check_reason",
    "check_seconds",
    "context_of_sender",
    "crash_reason",
    "crowd_of",
    "current_kernel",
    "current_process",
    "current_tasks",
    "died",
    "end",
    "enter_full",
    "find",
    "find_or_raise",
    "forget_tracebacks",
    "heed_end",
    "here",
    "in_trace",
    "is_decided",
    "is_on_loop",
    "is_seconds",
    "kill_process",
    "label_of",
    "mailbox_is_full",
    "matcher",
    "misfit",
    "name_of",
    "name_target",
    "no_target",
    "offer_again",
    "refuse_left_behind",
    "remove_link",
    "remove_matching",
    "remove_monitor",
    "run_blocking",
    "short_name",
    "start_timer",
    "stop",
    "stop_loop",
    "take_matching",
    "trace_of",
    "wait_for_reply",
    "waiting_for",
    "was_gone",
)
