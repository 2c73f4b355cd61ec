"""What all streams share: they are read inside a block, and whoever waits in one is woken once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from mabeam.errors import UsageError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

__all__ = ("ReadInBlock", "wake")

T_co = TypeVar("T_co", covariant=True)


class ReadInBlock(Generic[T_co]):
    """A stream that is read by ``async with``; any other way of reading is told how it is written."""

    __slots__ = ()

    _item: ClassVar[str] = "item"
    """What one that is read is called; several have an s."""

    def _how(self) -> str:
        """How it is asked for, in the words of whoever does."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Refuse: a stream that is not left by a block would never be closed."""
        raise self._misused("async for {item} in {how}: ...")

    if not TYPE_CHECKING:  # a type checker must go on refusing what is not there

        def __iter__(self) -> None:
            raise self._misused("for {item} in {how}: ...")

        def __await__(self) -> None:
            raise self._misused("{item}s = await {how}")

        def __enter__(self) -> None:
            raise self._misused("with {how} as {item}s: ...")

        def __exit__(self, *_args: object) -> None:
            """Never reached."""

    def _misused(self, wrong: str) -> UsageError:
        how, item = self._how(), self._item
        return UsageError(
            "a stream is read inside its block:\n"
            f"    wrong:  {wrong.format(how=how, item=item)}\n"
            f"    right:  async with {how} as {item}s:\n"
            f"                async for {item} in {item}s: ..."
        )


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Wake whoever waits, if anybody does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
