"""What is measured of a kernel of processes, defined once for all subjects."""

from __future__ import annotations

from typing import Final

from benchmarks._suite import Figure, Measure

__all__ = ("MEASURES",)

_SECONDS: Final = Figure(name="seconds", title="until all are up", unit="s")

_LATENESS: Final = (
    Figure(name="timer_p50", title="timer p50", unit="ms"),
    Figure(name="timer_p99", title="timer p99", unit="ms"),
    Figure(name="timer_max", title="timer max", unit="ms"),
    Figure(name="pipe_p50", title="pipe p50", unit="ms"),
    Figure(name="pipe_p99", title="pipe p99", unit="ms"),
    Figure(name="pipe_max", title="pipe max", unit="ms"),
    Figure(name="messages", title="messages a second", unit="1/s"),
)

MEASURES: Final = (
    Measure(
        name="call_idle",
        title="Call an idle server",
        definition="One caller calls a server, awaits the answer, and calls again. The handler is plain and adds to a number. "
        "The server is idle whenever a call comes, so a hand-off is allowed.",
        size=2_000,
        quick_size=500,
        rounds=30,
    ),
    Measure(
        name="call_queued",
        title="Call through the mailbox",
        definition="1,000 processes call one server at the same time, each again as soon as it has its answer, so that the "
        "calls queue in its mailbox; the handler is plain. Time of the whole by the number of calls. (In mabeam at most 64 of "
        "1,000 calls can find the server idle; the rest goes through the mailbox.)",
        size=10_000,
        quick_size=5_000,
        rounds=10,
    ),
    Measure(
        name="call_behind",
        title="Call behind a cast",
        definition="One caller casts and calls at once, so that each call finds a message before it in the mailbox and no "
        "hand-off is possible; both handlers are plain. Time of the pair.",
        size=2_000,
        quick_size=500,
        rounds=30,
    ),
    Measure(
        name="call_async",
        title="Call an async handler",
        definition="As the call of an idle server, with an `async def` handler that returns without waiting. A subject whose "
        "handlers may always wait does what it did there.",
        size=2_000,
        quick_size=500,
        rounds=30,
    ),
    Measure(
        name="call_async_waits",
        title="Call an async handler that waits once",
        definition="As before; the handler lets the others have their turn once (`asyncio.sleep(0)`, `erlang:yield()`).",
        size=2_000,
        quick_size=500,
        rounds=30,
    ),
    Measure(
        name="call_concurrent",
        title="Call a concurrent handler",
        definition="As the call of an idle server; the handler runs beside the server, in a task or process made for this call, "
        "and answers from there.",
        size=2_000,
        quick_size=500,
        rounds=30,
    ),
    Measure(
        name="call_thread",
        title="Call a handler in a thread",
        definition="As the call of an idle server; the handler is plain and runs in a thread of a pool that is warm.",
        size=500,
        quick_size=200,
        rounds=20,
    ),
    Measure(
        name="cast",
        title="Cast",
        definition="A burst of casts, then one call whose answer comes after all of them were taken. Time of the whole by the "
        "number of casts.",
        size=5_000,
        quick_size=2_000,
        rounds=30,
    ),
    Measure(
        name="start_supervised",
        title="Supervised start",
        definition="One after the other, children are added to a supervisor under a name each; the spec is checked, and the "
        "start awaited. Time by the number of children.",
        size=2_000,
        quick_size=500,
        rounds=10,
    ),
    Measure(
        name="memory_idle",
        title="Memory of an idle process",
        definition="What the resident set of the OS process grows by, by the number of idle, supervised and named servers with "
        "one attribute each that are started in it. The name itself is included.",
        figures=(Figure(unit="bytes"),),
        size=100_000,
        quick_size=10_000,
        rounds=1,
    ),
    Measure(
        name="fan_out",
        title="Fan-out and gathering",
        definition="One process sends a message to each of very many idle servers, and waits until it has the answer of each. "
        "Time by the number of servers.",
        size=100_000,
        quick_size=10_000,
        rounds=3,
    ),
    Measure(
        name="crash_restart",
        title="Crash and restart",
        definition="A handler of a supervised, named server raises; the caller hears of it, and calls the name again until the "
        "restarted server answers. The crash report is made and given to a log that throws it away. The supervisor is a new "
        "one in each round, since it remembers its restarts.",
        size=200,
        quick_size=50,
        rounds=10,
    ),
    Measure(
        name="crash_restart_report",
        title="Crash and restart, report as text",
        definition="As before; the crash report is made into text, as a log does, before it is thrown away. In Python most of "
        "the time is that text, made by the traceback module: bare asyncio, by hand and without a supervisor, needs nearly as "
        "long as mabeam, whose reports leave its own frames out. The text alone takes longer than the budget, which is why "
        "that is missed.",
        size=200,
        quick_size=50,
        rounds=10,
    ),
    Measure(
        name="stop_orderly",
        title="Orderly stop of a child",
        definition="A supervisor with very many idle children is stopped: each is asked to end and has its time, and it is "
        "waited for. Time by the number of children.",
        size=10_000,
        quick_size=1_000,
        rounds=3,
    ),
    Measure(
        name="million",
        title="A million supervised processes",
        definition="As many servers as given below are started under one supervisor and stay alive; one in a thousand is "
        "called at the end. The longest pause is that of the garbage collector while they are started.",
        figures=(
            _SECONDS,
            Figure(name="cpu_seconds", title="processor", unit="s"),
            Figure(name="bytes", title="resident set", unit="MB"),
            Figure(name="pause", title="longest GC pause", unit="ms"),
        ),
        size=1_000_000,
        quick_size=20_000,
        rounds=0,
        repetitions=2,
        timeout=300.0,
    ),
    Measure(
        name="async_stream",
        title="A function for each item",
        definition="An async function that returns at once is run in a task of its own for each item of a list, a given number "
        "of them at once, and the results are read in order. Time by the number of items.",
        figures=tuple(Figure(name=f"at_{each}", title=f"{each} at once", unit="us") for each in (1, 16, 64)),
        size=5_000,
        quick_size=500,
        rounds=3,
    ),
    Measure(
        name="latency_under_load",
        title="Latency under load",
        definition="100,000 live servers, every tenth of which is busy: each of these sends a message to the next whenever it "
        "gets one, without end, from a plain handler; the ring is in no order. Meanwhile a timer of 1 ms is set again and again, "
        "and another OS process writes to a pipe every 1 ms; both are late by as long as it takes from their due time until the "
        "callback runs. Size is the number of servers.",
        figures=_LATENESS,
        size=100_000,
        quick_size=10_000,
        rounds=1,
    ),
    Measure(
        name="latency_plain_processes",
        title="Latency under load of plain processes",
        definition="The same with plain processes, all of which are busy: each waits for a message, and sends one to the next when it "
        "has got it. Each is a coroutine that goes on for each message. Size is the number of processes.",
        figures=_LATENESS,
        size=10_000,
        quick_size=1_000,
        rounds=1,
    ),
    Measure(
        name="latency_async_handlers",
        title="Latency under load of async handlers",
        definition="The same with servers, all of which are busy, from an async handler that lets the others go first before it "
        "sends: a coroutine for each message, of two steps. Size is the number of servers.",
        figures=_LATENESS,
        size=10_000,
        quick_size=1_000,
        rounds=1,
    ),
    Measure(
        name="latency_callers",
        title="Latency under load of callers",
        definition="The same with plain processes, each of which calls one of a tenth as many servers again and again: async handlers, "
        "so that each call is two coroutines that go on. Size is the number of processes.",
        figures=_LATENESS,
        size=10_000,
        quick_size=1_000,
        rounds=1,
    ),
)
