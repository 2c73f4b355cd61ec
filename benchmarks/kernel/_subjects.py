"""Who is measured: mabeam, Erlang, bare asyncio, and four Python libraries of actors."""

from __future__ import annotations

from typing import Final

from benchmarks._suite import Subject
from benchmarks.kernel._erlang import version as erlang_version

__all__ = ("SUBJECTS",)

_NO_SUPERVISOR: Final = "it has no supervisors"

_LATENESS: Final = ("latency_plain_processes", "latency_async_handlers", "latency_callers")


def _one_kind(why: str) -> dict[str, str]:
    """The reason why the further measures of latency are not for somebody."""
    return dict.fromkeys(_LATENESS, why)


SUBJECTS: Final = (
    Subject(
        name="mabeam",
        title="mabeam",
        module="benchmarks.kernel._mabeam",
        distribution="mabeam",
    ),
    Subject(
        name="mabeam-standard-loop",
        title="mabeam, standard loop",
        module="benchmarks.kernel._mabeam",
        distribution="mabeam",
        uvloop=False,
    ),
    Subject(
        name="erlang",
        title="Erlang/OTP",
        module="benchmarks.kernel._erlang",
        commands=("erl", "erlc"),
        version=erlang_version,
        absent={
            "call_thread": "it has no thread to hand a blocking function to; such code is a port or a NIF",
            **_one_kind("it has one kind of process: see its latency under load"),
        },
    ),
    Subject(
        name="asyncio",
        title="bare asyncio, uvloop",
        module="benchmarks.kernel._asyncio",
        imports=("uvloop",),
        absent={
            "start_supervised": _NO_SUPERVISOR,
            **_one_kind("all that it has are tasks: see its latency under load"),
        },
    ),
    Subject(
        name="asyncio-standard-loop",
        title="bare asyncio, standard loop",
        module="benchmarks.kernel._asyncio",
        uvloop=False,
        absent={
            "start_supervised": _NO_SUPERVISOR,
            **_one_kind("all that it has are tasks: see its latency under load"),
        },
    ),
    Subject(
        name="fauxtp",
        title="fauxtp",
        module="benchmarks.kernel._fauxtp",
        distribution="fauxtp",
        imports=("fauxtp",),
        sizes={
            "call_idle": 500,
            "call_queued": 2_000,
            "call_behind": 500,
            "call_async": 500,
            "call_async_waits": 500,
            "cast": 1_000,
            "start_supervised": 1_000,
            "memory_idle": 2_000,
            "stop_orderly": 1_000,
            "fan_out": 10_000,
            "latency_under_load": 3_000,
        },
        absent={
            "call_concurrent": "its handlers run one at a time, and only they can answer",
            "call_thread": "it has no handlers in threads",
            "crash_restart_report": "it reports no crashes",
            "million": "see its memory, and what its supervisor takes for each start",
            "async_stream": "it has no stream of tasks",
            **_one_kind("its servers are tasks: see its latency under load"),
        },
    ),
    Subject(
        name="pykka",
        title="Pykka",
        module="benchmarks.kernel._pykka",
        distribution="pykka",
        imports=("pykka",),
        sizes={"memory_idle": 1_000, "fan_out": 1_000, "stop_orderly": 1_000},
        absent={
            "call_async": "its handlers are plain functions",
            "call_async_waits": "its handlers are plain functions",
            "call_concurrent": "an actor handles one message at a time",
            "call_thread": "every actor is a thread: see its other calls",
            "start_supervised": _NO_SUPERVISOR,
            "crash_restart": _NO_SUPERVISOR,
            "crash_restart_report": _NO_SUPERVISOR,
            "million": "every actor is a thread",
            "async_stream": "it has no stream of tasks",
            "latency_under_load": "it has no event loop, and 100,000 threads are too many",
            **_one_kind("it has no event loop"),
        },
    ),
    Subject(
        name="autogen-core",
        title="AutoGen Core",
        module="benchmarks.kernel._autogen_core",
        distribution="autogen-core",
        imports=("autogen_core",),
        repetitions=2,
        sizes={
            "call_idle": 200,
            "call_queued": 1_000,
            "call_async": 200,
            "call_async_waits": 200,
            "cast": 500,
            "memory_idle": 10_000,
            "fan_out": 10_000,
        },
        absent={
            "call_behind": "what is published and what is sent to one agent keep no order",
            "call_concurrent": "every handler is concurrent: see its call of an async handler",
            "call_thread": "it has no handlers in threads",
            "start_supervised": _NO_SUPERVISOR,
            "crash_restart": _NO_SUPERVISOR,
            "crash_restart_report": _NO_SUPERVISOR,
            "stop_orderly": "agents do not end; the runtime does",
            "million": "see its memory",
            "async_stream": "it has no stream of tasks",
            "latency_under_load": "an agent cannot cast to another: a message to one is awaited, one to a topic finds its "
            "subscribers by a search",
            **_one_kind("see its latency under load"),
        },
    ),
    Subject(
        name="ray",
        title="Ray",
        module="benchmarks.kernel._ray",
        distribution="ray",
        imports=("ray",),
        repetitions=1,
        sizes={
            "call_idle": 100,
            "call_queued": 1_000,
            "call_behind": 100,
            "call_async": 100,
            "cast": 1_000,
            "start_supervised": 3,
            "memory_idle": 4,
            "crash_restart": 1,
            "async_stream": 200,
        },
        absent={
            "call_async_waits": "see its call of an async handler: that is in another OS process anyway",
            "call_concurrent": "an async actor is concurrent: see its call of an async handler",
            "call_thread": "every actor is an OS process: see its other calls",
            "fan_out": "every actor is an OS process: there is no room for so many",
            "crash_restart_report": "it reports the end of an OS process in files of its own",
            "stop_orderly": "ray.kill is no orderly stop, and the end of an actor cannot be awaited",
            "million": "every actor is an OS process",
            "latency_under_load": "every actor is an OS process: there is no loop that they share",
            **_one_kind("every actor is an OS process: there is no loop that they share"),
        },
    ),
)
