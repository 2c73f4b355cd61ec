"""The catalogue: every event that mabeam emits. Data only; a strict bus and the documentation are checked against it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mabeam.telemetry._spec import EventSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("CATALOGUE",)

_RUNTIME = (
    EventSpec("runtime.started", description="A Runtime takes processes.", metadata=("runtime",)),
    EventSpec(
        "runtime.stopped",
        description="A Runtime has ended all its processes.",
        measurements={"duration": "seconds"},
        metadata=("runtime",),
    ),
)

_PROCESSES = (
    EventSpec(
        "process.started",
        description="A process is up: its `__init__` and `init` have returned.",
        metadata=("pid", "parent", "label"),
        labels=("label",),
    ),
    EventSpec(
        "process.exited",
        description="A process has ended; its names are gone, links and monitors are told next.",
        measurements={"count": "count"},
        metadata=("pid", "label", "reason"),
        labels=("label",),
    ),
    EventSpec(
        "process.crashed",
        description="A process ended for an error of its own; the crash report goes to `logging` as well.",
        measurements={"count": "count"},
        metadata=("pid", "label", "reason"),
        labels=("label",),
        failure=True,
    ),
    EventSpec(
        "process.frozen",
        description="A coroutine of an ended process waits again after its cancellation; it is never stepped again.",
        measurements={"count": "count"},
        metadata=("pid", "label", "stack"),
        labels=("label",),
        failure=True,
    ),
    EventSpec(
        "process.orphaned",
        description="A process has outlived its parent; told when the Runtime, which owns it since then, stops it.",
        metadata=("pid", "label", "parent"),
        labels=("label",),
    ),
)

_LOOP = (
    EventSpec(
        "loop.blocked",
        description="Something blocked the event loop for longer than `blocked_after`; told when it no longer does.",
        measurements={"duration": "seconds"},
        metadata=("pid", "process", "handler", "place"),
        labels=("handler",),
        failure=True,
    ),
    EventSpec(
        "gc.collected",
        description="A program that `mabeam.run` runs had nothing to do, and walked over all its objects for garbage.",
        measurements={"duration": "seconds"},
        metadata=("runtime",),
    ),
)

_MESSAGES = (
    EventSpec(
        "message.dead_letter",
        description="A message could not be delivered; `why` says for which reason.",
        measurements={"count": "count"},
        metadata=("target", "why"),
        labels=("why",),
        failure=True,
    ),
    EventSpec(
        "call.timed_out",
        description="A caller stopped waiting for its reply; the handler may go on.",
        measurements={"timeout": "seconds"},
        metadata=("pid", "handler"),
        labels=("handler",),
        failure=True,
    ),
    EventSpec(
        "call.expired",
        description="A caller's deadline had passed: its message was `dropped`, or its handler `ended` at a further call.",
        measurements={"count": "count"},
        metadata=("pid", "handler", "why"),
        labels=("handler", "why"),
        failure=True,
    ),
)

_SUPERVISORS = (
    EventSpec(
        "supervisor.child_started",
        description="A supervisor has started a child, for the first time or again.",
        measurements={"count": "count"},
        metadata=("supervisor", "child"),
    ),
    EventSpec(
        "supervisor.child_exited",
        description="A child of a supervisor has ended by itself.",
        measurements={"count": "count"},
        metadata=("supervisor", "child", "reason"),
    ),
    EventSpec(
        "supervisor.restarting",
        description="A supervisor is about to start a child again; `attempt` counts restarts within `max_seconds`.",
        measurements={"attempt": "count"},
        metadata=("supervisor", "child", "reason"),
        failure=True,
    ),
    EventSpec(
        "supervisor.gave_up",
        description="A supervisor had more restarts than it may, and ends with all its children.",
        measurements={"restarts": "count"},
        metadata=("supervisor", "child"),
        failure=True,
    ),
)

_TASKS = (
    EventSpec(
        "task.started",
        description="A task of a TaskSupervisor runs.",
        metadata=("pid", "label", "owner"),
        labels=("label",),
    ),
    EventSpec(
        "task.finished",
        description="A task of a TaskSupervisor has ended; `reason` is its exit reason.",
        measurements={"duration": "seconds"},
        metadata=("pid", "label", "owner", "reason"),
        labels=("label",),
    ),
)

_REGISTRIES = (
    EventSpec(
        "registry.registered",
        description="A process was registered under a key of a Registry.",
        metadata=("registry", "key", "pid"),
    ),
    EventSpec(
        "registry.unregistered",
        description="A registration went, by request or because its process ended.",
        metadata=("registry", "key", "pid"),
    ),
)

_REVIEW = (
    EventSpec(
        "review.files_listed",
        description="The files to be reviewed are known.",
        measurements={"files": "count"},
    ),
    EventSpec(
        "review.reviewer_crashed",
        description="A reviewer crashed, by chaos or by itself; its supervisor restarts it and the file is tried again.",
        measurements={"attempt": "count"},
        metadata=("file", "reviewer", "reason"),
        failure=True,
    ),
    EventSpec(
        "review.file_started",
        description="A reviewer takes a file; `attempt` starts at 1.",
        measurements={"attempt": "count"},
        metadata=("file", "reviewer"),
    ),
    EventSpec(
        "review.file_done",
        description="A file has been reviewed.",
        measurements={"duration": "seconds", "findings": "count"},
        metadata=("file", "reviewer"),
    ),
    EventSpec(
        "review.file_given_up",
        description="A file has crashed its reviewer too often; it is reported instead of reviewed.",
        measurements={"attempts": "count"},
        metadata=("file", "reason"),
        failure=True,
    ),
    EventSpec(
        "review.crash_injected",
        description="`--chaos` crashed a reviewer on purpose; the file is tried again.",
        metadata=("file", "reviewer"),
    ),
)

CATALOGUE: Mapping[str, EventSpec] = MappingProxyType(
    {
        spec.name: spec
        for group in (_RUNTIME, _PROCESSES, _LOOP, _MESSAGES, _SUPERVISORS, _TASKS, _REGISTRIES, _REVIEW)
        for spec in group
    }
)
"""Every event by name, in the order of the documentation."""
