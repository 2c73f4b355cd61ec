"""The catalogue: every event that mabeam emits. Data only; a strict bus and the documentation are checked against it.

Long because it is one table: whoever looks for an event finds it here.
"""

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
        "thread.fenced",
        description="Nobody waits for a function in a thread any more, and it goes on: its caller was cancelled, or has ended.",
        measurements={"count": "count"},
        metadata=("pid", "label", "function", "stack"),
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
        description="A program that `mabeam.run` runs walked over all its objects for garbage: it had nothing to do, or never has.",
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

_CACHES = (
    EventSpec(
        "cache.hit",
        description="A read of a cache found a fresh value.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.missed",
        description="A read of a cache found none; `why` is `stale`, `expired` or `not_found`.",
        measurements={"count": "count"},
        metadata=("cache", "why"),
        labels=(
            "cache",
            "why",
        ),
    ),
    EventSpec(
        "cache.stored",
        description="A value was put into a cache.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.refused",
        description="A value was not stored: heavier than the whole cache, or expired already when it was full.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.evicted",
        description="Entries of a cache made room for another.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.expired",
        description="Entries were removed from a cache because their time was over, without having been read.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.deleted",
        description="An entry of a cache was deleted.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.cleared",
        description="A cache was emptied.",
        measurements={"entries": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.loaded",
        description="A load of a cache has returned.",
        measurements={"duration": "seconds"},
        metadata=("cache",),
        labels=("cache",),
    ),
    EventSpec(
        "cache.load_failed",
        description="A load of a cache has raised; `error` is the class.",
        measurements={"duration": "seconds"},
        metadata=("cache", "error"),
        labels=("cache",),
        failure=True,
    ),
    EventSpec(
        "cache.load_taken_over",
        description="The leader of a load was cancelled, and one of those who waited loads instead.",
        measurements={"count": "count"},
        metadata=("cache",),
        labels=("cache",),
    ),
)

_RATE_LIMITERS = (
    EventSpec(
        "rate_limiter.admitted",
        description="A rate limiter admitted something at once.",
        measurements={"count": "count"},
        metadata=("limiter",),
        labels=("limiter",),
    ),
    EventSpec(
        "rate_limiter.delayed",
        description="Somebody has to wait for a rate limiter, for `delay` as far as is known.",
        measurements={"delay": "seconds"},
        metadata=("limiter",),
        labels=("limiter",),
    ),
    EventSpec(
        "rate_limiter.rejected",
        description="A rate limiter admitted nothing; `why` is `limit`, or `keys` when as many keys are busy as may be.",
        measurements={"retry_after": "seconds"},
        metadata=("limiter", "why"),
        labels=(
            "limiter",
            "why",
        ),
        failure=True,
    ),
    EventSpec(
        "rate_limiter.cancelled",
        description="Somebody who waited for a rate limiter was cancelled; he has taken up nothing.",
        measurements={"count": "count"},
        metadata=("limiter",),
        labels=("limiter",),
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

_RESILIENCE = (
    EventSpec(
        "circuit_breaker.changed",
        description="A circuit breaker changed its state; `transition` numbers its changes.",
        measurements={"transition": "count"},
        metadata=("breaker", "before", "after", "reason"),
        labels=(
            "breaker",
            "before",
            "after",
        ),
    ),
    EventSpec(
        "circuit_breaker.recorded",
        description="A call under a circuit breaker ended: `success`, `failure`, `ignore`, `late` or `lost`.",
        measurements={"count": "count"},
        metadata=("breaker", "outcome"),
        labels=(
            "breaker",
            "outcome",
        ),
    ),
    EventSpec(
        "circuit_breaker.rejected",
        description="A circuit breaker refused a call; `state` says why.",
        measurements={"count": "count"},
        metadata=("breaker", "state"),
        labels=(
            "breaker",
            "state",
        ),
        failure=True,
    ),
    EventSpec(
        "retry.waiting",
        description="An attempt failed, and there will be another after `delay`.",
        measurements={"attempt": "count", "delay": "seconds"},
        metadata=("retry", "reason"),
        labels=("retry",),
    ),
    EventSpec(
        "retry.gave_up",
        description="The last attempt failed; `why` is `attempts`, `total_seconds` or `retry_after`.",
        measurements={"attempts": "count"},
        metadata=("retry", "reason", "why"),
        labels=(
            "retry",
            "why",
        ),
        failure=True,
    ),
    EventSpec(
        "bulkhead.rejected",
        description="A bulkhead refused a call; `why` is `queue_full`, `queue_timeout` or `would_block_loop`.",
        measurements={"count": "count"},
        metadata=("bulkhead", "why"),
        labels=(
            "bulkhead",
            "why",
        ),
        failure=True,
    ),
    EventSpec(
        "time_limit.exceeded",
        description="A function took longer than its time limit and was cancelled.",
        measurements={"timeout": "seconds"},
        metadata=("limit",),
        labels=("limit",),
        failure=True,
    ),
    EventSpec(
        "fallback.used",
        description="A call failed and was answered by a fallback.",
        measurements={"count": "count"},
        metadata=("fallback", "reason"),
        labels=("fallback",),
    ),
    EventSpec(
        "hedge.started",
        description="A further attempt was started beside those that run; `why` is `delay` or `failure`.",
        measurements={"attempt": "count"},
        metadata=("hedge", "why"),
        labels=(
            "hedge",
            "why",
        ),
    ),
    EventSpec(
        "hedge.won",
        description="The first answer came, from this attempt; the others are cancelled.",
        measurements={"attempt": "count"},
        metadata=("hedge",),
        labels=("hedge",),
    ),
    EventSpec(
        "chaos.injected",
        description="A fault, a latency or an outcome was injected on purpose.",
        measurements={"count": "count"},
        metadata=("chaos", "kind"),
        labels=(
            "chaos",
            "kind",
        ),
    ),
)

_SERVICES = (
    EventSpec(
        "circuit_breakers.configured",
        description="A circuit was configured; `change` is `created`, `replaced` or `unchanged`.",
        measurements={"circuits": "count"},
        metadata=("service", "breaker", "change"),
        labels=("breaker", "change"),
    ),
    EventSpec(
        "circuit_breakers.removed",
        description="A circuit was removed.",
        measurements={"circuits": "count"},
        metadata=("service", "breaker"),
        labels=("breaker",),
    ),
    EventSpec(
        "health.checked",
        description="A health check ended, was ended at its deadline, or could not run.",
        measurements={"duration": "seconds"},
        metadata=("service", "check", "status", "outcome"),
        labels=("check", "status", "outcome"),
    ),
    EventSpec(
        "health.changed",
        description="The status of a health check changed; `before` or `after` is empty when it was added or removed.",
        measurements={"count": "count"},
        metadata=("service", "check", "before", "after", "overall"),
        labels=("check", "before", "after", "overall"),
    ),
)

_CONNECTIONS = (
    EventSpec(
        "connections.pool_configured",
        description="A ConnectionManager has a pool, a new one or one in the place of another.",
        measurements={"count": "count"},
        metadata=("manager", "pool", "replaced"),
        labels=("pool",),
    ),
    EventSpec(
        "connections.pool_removed",
        description="A pool of a ConnectionManager was taken away; requests that it has begun go on.",
        measurements={"count": "count"},
        metadata=("manager", "pool"),
        labels=("pool",),
    ),
    EventSpec(
        "connections.request_finished",
        description="A request is over, its answer's body included; `outcome` is the status, or what ended it.",
        measurements={"duration": "seconds", "attempts": "count"},
        metadata=("manager", "pool", "method", "outcome"),
        labels=("pool", "outcome"),
    ),
    EventSpec(
        "connections.drained",
        description="A ConnectionManager was stopped and has closed its pools; `cut` requests were not done in time.",
        measurements={"duration": "seconds", "cut": "count"},
        metadata=("manager",),
    ),
)

CATALOGUE: Mapping[str, EventSpec] = MappingProxyType(
    {
        spec.name: spec
        for group in (
            _RUNTIME,
            _PROCESSES,
            _LOOP,
            _MESSAGES,
            _SUPERVISORS,
            _TASKS,
            _REGISTRIES,
            _RESILIENCE,
            _CACHES,
            _RATE_LIMITERS,
            _SERVICES,
            _CONNECTIONS,
            _REVIEW,
        )
        for spec in group
    }
)
"""Every event by name, in the order of the documentation."""
