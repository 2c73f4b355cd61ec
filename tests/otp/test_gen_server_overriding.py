"""Classes of servers: overriding, generic handlers, mistakes found where the class is written."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

from mabeam import GenServer, Ref, UsageError, handle_call, handle_cast, handle_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

T = TypeVar("T")


class Base(GenServer):
    """Answers."""

    @handle_call
    def who(self) -> str:
        return "base"

    @handle_call
    def twice(self) -> str:
        return 2 * self.who()

    @handle_call
    def echo(self, value: T) -> T:
        return value


class Derived(Base):
    """Answers otherwise."""

    @handle_call
    def who(self) -> str:
        return f"derived from {super().who()}"


class Waiting(Base):
    """Answers as an async def."""

    @handle_call(concurrent=3)
    async def who(self) -> str:  # type: ignore[override]
        return "waiting"


class Mixin:
    """No server, but has a handler."""

    @handle_call
    def extra(self) -> str:
        return f"extra of {type(self).__name__}"


class Mixed(Mixin, Base):
    """Has both."""


class Box(GenServer, Generic[T]):
    """A generic server."""

    def __init__(self, item: T) -> None:
        self.item = item

    @handle_call
    def get(self) -> T:
        return self.item


async def test_a_handler_is_found_on_the_servers_own_class() -> None:
    """Whichever class the method is written with; on the instance it is the plain method."""
    derived = await Derived.start_link()
    assert await derived.call(Base.who) == "derived from base"
    assert await derived.call(Derived.who) == "derived from base"
    assert await derived.call(Derived.twice) == 2 * "derived from base"


async def test_an_override_may_run_in_another_way() -> None:
    """The declaration of the most derived one holds."""
    waiting = await Waiting.start_link()
    assert await waiting.call(Base.who) == "waiting"


async def test_a_mixin_brings_its_handlers() -> None:
    """It need not be a server itself."""
    mixed: Ref[Any] = await Mixed.start_link()
    assert await mixed.call(Mixin.extra) == "extra of Mixed"
    assert await mixed.call(Base.who) == "base"


async def test_generic_servers_and_handlers_work() -> None:
    """Types are for the checker; at run time nothing is special."""
    box = await Box[str].start_link("thing")
    assert await box.call(Box[str].get) == "thing"
    base = await Base.start_link()
    assert await base.call(Base.echo, [1]) == [1]


def test_overriding_a_handler_without_its_decorator_is_refused() -> None:
    """It would silently stop answering; the error says what to write."""
    with pytest.raises(UsageError, match="decorate it with @handle_call"):

        class Forgetful(Base):
            def who(self) -> str:
                return "nobody"

    with pytest.raises(UsageError, match="decorate it with @handle_call"):

        class Hidden(Base):
            who = None  # type: ignore[assignment]


def test_what_cannot_be_a_handler_is_refused() -> None:
    """Each says what was expected."""
    with pytest.raises(UsageError, match="@handle_stream"):

        @handle_call
        def generator(self: Any) -> Iterator[int]:
            yield 1

    with pytest.raises(UsageError, match="@handle_stream"):

        @handle_cast
        async def async_generator(self: Any) -> AsyncIterator[int]:
            yield 1

    with pytest.raises(UsageError, match="with 'yield' in it"):

        @handle_stream  # type: ignore[type-var]
        async def no_generator(self: Any) -> int:
            return 1

    with pytest.raises(UsageError, match="defined with def"):
        handle_call(functools.partial(print))
    with pytest.raises(UsageError, match="staticmethod"):
        handle_call(staticmethod(print))


async def test_a_class_can_change_the_kind_of_a_handler_for_its_own_users() -> None:
    """A call that became a cast answers no calls any more."""

    class Silent(Base):
        @handle_cast
        def who(self) -> str:
            return ""

    silent = await Silent.start_link()
    with pytest.raises(UsageError, match=r"ref\.cast"):
        await silent.call(Base.who)
