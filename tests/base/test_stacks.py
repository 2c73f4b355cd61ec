"""Positions of suspended coroutines and of creations."""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any

import pytest

from mabeam._base import await_chain, creation_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from mabeam._base import Position


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield


async def _inner() -> None:
    await _pause()


async def _outer() -> None:
    await _inner()


def test_the_chain_leads_from_the_outermost_frame_to_where_it_waits() -> None:
    """Coroutines and generators on the way are all there."""
    coroutine = _outer()
    coroutine.send(None)
    chain = await_chain(coroutine)
    coroutine.close()
    assert [position.function for position in chain] == ["_outer", "_inner", "_pause"]
    assert all(position.file == __file__ for position in chain)


def test_what_has_not_started_stands_at_its_beginning() -> None:
    """A coroutine that never ran has one position, its own."""
    coroutine = _outer()
    chain = await_chain(coroutine)
    coroutine.close()
    assert [position.function for position in chain] == ["_outer"]


def test_what_has_ended_and_what_is_no_coroutine_has_no_positions() -> None:
    """There is nothing to show, and nothing is raised."""
    coroutine = _outer()
    coroutine.close()
    assert await_chain(coroutine) == ()
    assert await_chain(asyncio.Event) == ()


def test_the_chain_follows_an_asynchronous_generator() -> None:
    """As far as it is asked for by itself."""

    async def numbers() -> AsyncIterator[int]:
        await _inner()
        yield 1

    generator = numbers()
    step: Any = generator.__anext__()
    step.__await__().send(None)
    names = [position.function.rpartition(".")[2] for position in await_chain(generator)]
    step.close()
    assert names == ["numbers", "_inner", "_pause"]


def test_the_chain_goes_through_the_generator_of_an_async_for() -> None:
    """Where a server's stream or a lifespan waits, also in its clean-up."""

    async def numbers() -> AsyncIterator[int]:
        try:
            await _inner()
            yield 1
        finally:
            await _inner()

    generator = numbers()

    async def read() -> None:
        async for _ in generator:
            pass

    reading = read()
    reading.send(None)
    assert [each.function.rpartition(".")[2] for each in await_chain(reading)] == [
        "read",
        "numbers",
        "_inner",
        "_pause",
    ]
    reading.throw(KeyError)  # the clean-up of the generator waits
    assert [each.function.rpartition(".")[2] for each in await_chain(reading)][-2:] == ["_inner", "_pause"]
    with pytest.raises(KeyError):
        reading.send(None)


def _make(**options: int) -> tuple[Position, ...]:
    return creation_stack(**options)


def test_a_creation_stack_begins_with_who_asks() -> None:
    """Innermost first; ``skip`` leaves out the helper, ``limit`` the rest."""
    stack = _make()
    assert stack[0].function == "_make"
    assert stack[1].function == "test_a_creation_stack_begins_with_who_asks"
    assert _make(skip=1, limit=1) == (stack[1]._replace(line=_make(skip=1)[0].line),)
    assert str(stack[0]).endswith(f":{stack[0].line} in _make")
