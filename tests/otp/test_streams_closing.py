"""Generators that do not let themselves be closed: one report of ours, and not a word from the interpreter."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest

import mabeam
from mabeam import GenServer, Ref, handle_call, handle_stream, kill
from mabeam.testing import wait_until_idle
from tests.otp._servers import for_ever, pid_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

CLEANED: list[str] = []


class Feed(GenServer):
    """Generators that end, or do not, in every way there is."""

    @handle_stream
    async def yields_in_finally(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            yield 2

    @handle_stream
    async def swallows_the_exit(self) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
            except GeneratorExit:
                continue

    @handle_stream
    async def swallows_everything(self) -> AsyncIterator[int]:
        while True:
            try:
                yield 1
                await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
            except BaseException:
                continue

    @handle_stream
    async def hangs(self) -> AsyncIterator[int]:
        yield 1
        while True:
            try:
                await for_ever()
            except BaseException:
                continue

    @handle_stream
    async def hangs_in_finally(self) -> AsyncIterator[int]:
        try:
            yield 1
            await for_ever()
        finally:
            while True:
                try:
                    await for_ever()
                except BaseException:
                    continue

    @handle_stream
    async def cleans_up(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
            CLEANED.append("stream")

    @handle_stream
    async def fails_in_finally(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            raise RuntimeError("of its own")

    @handle_call
    def ping(self) -> str:
        return "pong"


REFUSING = [Feed.yields_in_finally, Feed.swallows_the_exit, Feed.swallows_everything]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[[Callable[..., Any]], list[str]]:
    """Runs a program in a loop of each kind; gives what was said by us, having checked that nobody else said anything."""
    CLEANED.clear()
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def run_program(main: Callable[..., Any]) -> list[str]:
        mabeam.Runtime(blocked_after=None).run(main)  # on a busy machine the watchdog may have a word to say
        gc.collect()
        assert unraisable == []
        assert [record.getMessage() for record in caplog.records if record.name != "mabeam"] == []
        return [record.getMessage() for record in caplog.records]

    return run_program


async def _read_one(feed: Ref[Feed], method: Any) -> None:
    async with feed.stream(method) as items:
        assert await anext(items) == 1
    await wait_until_idle()
    gc.collect()
    await wait_until_idle()  # what the collector found would be told now


@pytest.mark.parametrize("method", REFUSING)
def test_a_generator_that_yields_when_it_is_closed_is_reported_once(
    run: Callable[[Any], list[str]], method: Any
) -> None:
    """The reader has left and hears nothing of it; the server goes on."""

    async def main() -> None:
        feed = await Feed.start_link()
        await _read_one(feed, method)
        assert await feed.call(Feed.ping) == "pong"

    (report,) = run(main)
    assert f"Feed.{method.__name__} yields again when it is told to close" in report
    assert "let GeneratorExit pass" in report


@pytest.mark.parametrize("end", [kill, Ref.stop])
@pytest.mark.parametrize("method", REFUSING)
def test_it_is_reported_once_when_its_server_ends(
    run: Callable[[Any], list[str]], method: Any, end: Callable[..., Any]
) -> None:
    """In whatever way."""

    async def main() -> None:
        feed = await Feed.child_spec().start()
        async with feed.stream(method) as items:
            assert await anext(items) == 1
            ending = end(feed)
            if ending is not None:
                await ending
        await wait_until_idle()
        assert not pid_of(feed).is_alive

    (report,) = run(main)
    assert "yields again when it is told to close" in report


@pytest.mark.parametrize("method", [Feed.hangs, Feed.hangs_in_finally])
def test_one_that_hangs_when_it_is_closed_is_frozen_with_its_server(
    run: Callable[[Any], list[str]], method: Any
) -> None:
    """The loop must not try to close it when it ends: it is in the middle of something."""

    async def main() -> None:
        feed = await Feed.child_spec().start()
        await _read_one(feed, method)
        assert await feed.call(Feed.ping) == "pong"
        kill(feed)
        await wait_until_idle()

    (report,) = run(main)
    assert "left behind (frozen)" in report


def test_an_error_of_its_own_is_reported_as_what_it_is(run: Callable[[Any], list[str]]) -> None:
    """Although it has the type of what the interpreter would say."""

    async def main() -> None:
        await _read_one(await Feed.start_link(), Feed.fails_in_finally)

    (report,) = run(main)
    assert "RuntimeError('of its own')" in report


def test_one_that_cleans_up_is_given_the_time(run: Callable[[Any], list[str]]) -> None:
    async def main() -> None:
        await _read_one(await Feed.start_link(), Feed.cleans_up)

    assert run(main) == []
    assert CLEANED == ["stream"]


class Held(GenServer):
    """Holds something."""

    async def lifespan(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            CLEANED.append("lifespan")


def test_the_clean_up_of_a_lifespan_does_not_run_after_a_kill(run: Callable[[Any], list[str]]) -> None:
    """Neither when the generator is collected nor when the loop ends, which closes those that it knows."""

    async def main() -> None:
        held = await Held.child_spec().start()
        kill(held)
        await wait_until_idle()
        gc.collect()

    assert run(main) == []
    gc.collect()
    assert CLEANED == []
