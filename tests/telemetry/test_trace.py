"""Which trace the running code is in: ids, parents, and what is current after blocks left in any order and anywhere."""

from __future__ import annotations

import asyncio
import contextvars
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam._base import seeded_random
from mabeam.errors import UsageError
from mabeam.kernel import Turn
from mabeam.telemetry import (
    Bus,
    Span,
    TraceContext,
    continue_trace,
    current_bus,
    current_span,
    current_trace,
    span,
)

TRACE = TraceContext("0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")


@pytest.fixture
def bus() -> Bus:
    """A bus that hears, with the same ids in every run."""
    bus = Bus(random=seeded_random(1))
    bus.attach(lambda *_event: None)
    return bus


def ids(value: Span) -> TraceContext:
    """The context of a span that was entered."""
    assert value.trace is not None
    return value.trace


def test_a_span_begins_a_trace_and_those_inside_belong_to_it(bus: Bus) -> None:
    """With the one around as parent."""
    with span("a", bus=bus) as a:
        with span("b", bus=bus) as b, span("c", bus=bus) as c:
            assert current_span() is c
        with span("d", bus=bus) as d:
            pass
    assert (a.parent, b.parent, c.parent, d.parent) == (None, ids(a), ids(b), ids(a))
    assert len({ids(each).span_id for each in (a, b, c, d)}) == 4
    assert len({ids(each).trace_id for each in (a, b, c, d)}) == 1
    assert (current_span(), current_trace()) == (None, None)


def test_traces_begun_one_after_the_other_are_different(bus: Bus) -> None:
    with span("a", bus=bus) as a:
        pass
    with span("a", bus=bus) as b:
        pass
    assert ids(a).trace_id != ids(b).trace_id


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_what_was_current_is_current_again_after_an_exception(bus: Bus, error: type[BaseException]) -> None:
    with span("a", bus=bus) as a:
        with pytest.raises(error), span("b", bus=bus):
            raise error
        assert current_span() is a
    with pytest.raises(error), continue_trace(TRACE):
        raise error
    assert current_trace() is None


def test_a_span_ends_itself_and_not_the_innermost(bus: Bus) -> None:
    """The ancestor's `end_span(id)` popped whatever was on top."""
    heard: list[tuple[str, Span | None]] = []
    bus.attach(lambda event, _measured, _metadata: heard.append((event, current_span())), events=["a.stop"])
    a, b = span("a", bus=bus), span("b", bus=bus)
    a.__enter__()
    b.__enter__()
    a.__exit__(None, None, None)
    assert heard == [("a.stop", a)]
    assert current_span() is b
    b.__exit__(None, None, None)
    assert current_span() is None


@given(st.permutations(range(6)), st.integers(0, 5))
def test_spans_left_in_any_order_leave_the_last_open_one_current(order: list[int], outer: int) -> None:
    """A model: what is current is the latest entered of those that are open."""
    bus = Bus()
    bus.attach(lambda *_event: None)
    spans = [span("s", bus=bus) for _ in order]

    def scene() -> None:
        with continue_trace(TRACE):
            for each in spans:
                each.__enter__()
            left = set[int]()
            for index in order:
                spans[index].__exit__(None, None, None)
                left.add(index)
                still = [each for position, each in enumerate(spans) if position not in left]
                assert current_span() is (still[-1] if still else None)
            assert current_trace() == TRACE
        assert current_trace() is None

    contextvars.Context().run(scene)


async def test_a_span_left_in_another_task_is_over_in_both(bus: Bus) -> None:
    """Neither the task that entered it nor the one that left it goes on inside."""
    with span("around", bus=bus) as around:
        inner = span("inner", bus=bus)
        inner.__enter__()

        async def leave() -> Span | None:
            assert current_span() is inner
            inner.__exit__(None, None, None)
            return current_span()

        task = asyncio.get_running_loop().create_task(leave())
        assert await task is around
        assert current_span() is around
        with span("next", bus=bus) as after:
            assert after.parent == ids(around)
    assert current_span() is None


async def test_a_task_that_outlives_its_span_stays_in_the_trace(bus: Bus) -> None:
    """A task that a library creates has a copy of the context: nothing has to be handed on by hand."""
    go = asyncio.Event()

    async def later() -> Span:
        await go.wait()
        with span("later", bus=bus) as inner:
            return inner

    with span("a", bus=bus) as a:
        task = asyncio.get_running_loop().create_task(later())
        await Turn()
    go.set()
    assert (await task).parent == ids(a)


async def test_a_chain_of_tasks_keeps_no_chain_of_spans(bus: Bus) -> None:
    """Each begins the next inside its span: what is over is let go."""
    seen: list[Span] = []

    async def step(left: int) -> None:
        with span("step", bus=bus) as mine:
            seen.append(mine)
            task = asyncio.get_running_loop().create_task(step(left - 1)) if left else None
        if task is not None:
            await task

    await step(20)
    assert {each.trace_id for each in map(ids, seen)} == {ids(seen[0]).trace_id}
    assert [each._previous for each in seen] == [None] * 21


def test_nobody_listening_begins_no_trace() -> None:
    """And an enclosing trace goes on as it is."""
    with continue_trace(TRACE), span("a", bus=Bus()) as quiet:
        assert quiet.trace is None
        assert current_trace() == TRACE


def test_metadata_set_inside_comes_with_the_end(bus: Bus) -> None:
    heard: list[tuple[str, dict[str, object]]] = []
    bus.attach(lambda event, _measured, metadata: heard.append((event, dict(metadata))))
    with span("load", {"key": 1}, bus=bus) as load:
        load.set(rows=3)
    assert heard == [("load.start", {"key": 1}), ("load.stop", {"key": 1, "rows": 3})]


def test_an_interruption_of_a_handler_leaves_no_span_open(bus: Bus) -> None:
    def interrupt(*_event: object) -> None:
        raise KeyboardInterrupt

    bus.attach(interrupt, events=["a.start"])
    with pytest.raises(KeyboardInterrupt), span("a", bus=bus):
        raise AssertionError("not entered")
    assert current_span() is None


def test_a_block_is_entered_once(bus: Bus) -> None:
    """A second time it would forget what was before the first."""
    for block in (span("a", bus=bus), continue_trace(TRACE)):
        with block:
            with pytest.raises(UsageError, match="entered already"), block:
                raise AssertionError("not entered")
            assert current_trace() == block.trace
        assert current_trace() is None


def test_a_stopwatch_that_raises_leaves_no_span_open(bus: Bus) -> None:
    def broken() -> float:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), span("a", stopwatch=broken, bus=bus):
        raise AssertionError("not entered")
    assert current_span() is None


def test_the_bus_of_the_runtime_learns_of_a_trace_on_another_bus(bus: Bus) -> None:
    """Else its messages would not carry it."""
    called: list[str] = []
    surrounding = Bus()
    surrounding.when_traced(lambda: called.append("traced"))
    token = current_bus.set(surrounding)
    with span("a", bus=bus), span("b", bus=bus):
        pass
    current_bus.reset(token)
    assert called == ["traced"]
    surrounding.when_traced(lambda: called.append("late"))
    assert called == ["traced", "late"]


# ------------------------------------------------------------------------------------------------- contexts


def test_a_trace_context_is_read_from_what_it_writes() -> None:
    for sampled in (True, False):
        context = TraceContext(TRACE.trace_id, span_id=TRACE.span_id, sampled=sampled)
        assert TraceContext.from_traceparent(context.to_traceparent()) == context
        assert pickle.loads(pickle.dumps(context)) == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
    ],
)
def test_what_is_no_traceparent_is_none(header: str) -> None:
    """As W3C Trace Context asks: begin a new trace, and do not fail the request."""
    assert TraceContext.from_traceparent(header) is None


def test_a_traceparent_of_a_version_to_come_is_read_as_far_as_known() -> None:
    header = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what-comes"
    assert TraceContext.from_traceparent(header) == TRACE


@pytest.mark.parametrize("trace_id", ["", "0" * 32, "A" * 32, 7, "0af7651916cd43dd8448eb211c80319"])
def test_ids_of_another_form_are_refused(trace_id: Any) -> None:
    with pytest.raises(UsageError, match="32 hexadecimal digits"):
        TraceContext(trace_id, span_id="b7ad6b7169203331")


def test_continue_trace_takes_a_context_and_says_how_a_header_is_read() -> None:
    header: Any = TRACE.to_traceparent()
    with pytest.raises(UsageError, match="from_traceparent"):
        continue_trace(header)


def test_continue_trace_with_none_cuts(bus: Bus) -> None:
    with span("a", bus=bus) as a:
        with continue_trace(None), span("b", bus=bus) as b:
            assert b.parent is None
        assert current_span() is a
    assert ids(b).trace_id != ids(a).trace_id
