"""The check that what was sent is not changed afterwards: messages are passed by reference."""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from mabeam.errors import MabeamError
from mabeam.kernel import HandlerMessage
from mabeam.testing._pictures import Picture, is_plain
from mabeam.testing._trace import name_message, name_process, short_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mabeam.kernel import Process

__all__ = ("MutationError", "Mutations")

_REPLIES_KEPT: Final = 8
"""Answers of one server that are looked at again after its next handlers."""


@final
class MutationError(MabeamError, AssertionError):
    """Something that was sent was changed afterwards, though another process has it, too.

    Attributes:
        sender: who sent it.
        receiver: who got it.
        what: the handler that it was an argument or the answer of, or the class of the message.
        change: which part was changed, and how.
    """

    def __init__(self, sender: str, receiver: str, what: str, change: str) -> None:
        """Keep who shared what with whom, and how it was changed."""
        self.sender = sender
        self.receiver = receiver
        self.what = what
        self.change = change
        super().__init__(
            f"{change}\n"
            f"  sent by {sender} to {receiver}: {what}\n"
            "Messages are passed by reference: both processes have the same object, and one changes it under the other's "
            "hands. Send a copy (list(items)), or something that cannot be changed (a tuple, a frozen dataclass)."
        )


class _Sent:
    """What one message carries, as it was when it was sent."""

    __slots__ = ("message", "pictures", "sender")

    def __init__(self, message: object, sender: str, pictures: list[tuple[str, Picture]]) -> None:
        self.message = message
        self.sender = sender
        self.pictures = pictures

    def difference(self) -> str | None:
        for name, picture in self.pictures:
            if (change := picture.difference()) is not None:
                return name + change
        return None


class _Given:
    """An answer, as it was when it was given."""

    __slots__ = ("picture", "value", "what")

    def __init__(self, what: str, value: object) -> None:
        self.what = what
        self.value = value
        self.picture = Picture(value)


@final
class Mutations:
    """Looks at what processes of one simulation send each other.

    Attributes:
        found: the first change that was seen.
        skipped: parts of messages that could not be looked into.
    """

    def __init__(self) -> None:
        self.found: MutationError | None = None
        self.skipped = 0
        self._sent: dict[int, _Sent] = {}
        self._given: dict[Process, deque[_Given]] = {}

    def sent(self, message: Any, sender: str) -> None:
        """A message is put into a mailbox."""
        pictures = self._pictures(_parts(message))
        if pictures:
            # It keeps the message, whose number cannot be given to another one meanwhile.
            self._sent[id(message)] = _Sent(message, sender, pictures)

    def taken(self, process: Process, message: Any) -> Callable[[], None] | None:
        """A message is taken from the mailbox.

        Returns:
            What to call when its handler is over; ``None`` when there is nothing to compare.
        """
        sent = self._sent.pop(id(message), None)
        if sent is None:
            return None
        receiver, what = name_process(process), name_message(message)
        if (change := sent.difference()) is not None:
            self._report(sent.sender, receiver, what, f"{change}, before the message was taken")
            return None

        def handled() -> None:
            if (change := sent.difference()) is not None:
                self._report(sent.sender, receiver, what, f"{change}, by the handler that it was sent to")

        return handled

    def handed_over(
        self, process: Process, sender: str, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], None] | None:
        """A call runs at once, without a message; as :meth:`taken`."""
        pictures = self._pictures(_arguments(handler, args, kwargs))
        if not pictures:
            return None
        sent = _Sent(None, sender, pictures)

        def handled() -> None:
            if (change := sent.difference()) is not None:
                what = short_name(handler.what)
                change = f"{change}, by the handler that it was sent to"
                self._report(sender, name_process(process), what, change)

        return handled

    def before_handler(self, process: Process) -> None:
        """A server is about to handle something: what has changed of its answers, it was not this handler."""
        given = self._given.get(process)
        for answer in tuple(given or ()):
            if answer.picture.difference() is not None and given is not None:
                given.remove(answer)

    def after_handler(self, process: Process, what: str) -> None:
        """That handler is over, and nobody else has had a turn meanwhile."""
        for answer in self._given.get(process, ()):
            if (change := answer.picture.difference()) is not None:
                whole = f"the answer{change}"
                self._report(
                    name_process(process),
                    "whoever called",
                    f"{what} changed what {answer.what} had returned",
                    whole,
                )

    def gives(self, process: Process, what: str, value: object) -> None:
        """A server gives ``value`` for an answer."""
        if is_plain(value) or inspect.isawaitable(value):
            return
        given = self._given.setdefault(process, deque(maxlen=_REPLIES_KEPT))
        for earlier in [answer for answer in given if answer.value is value]:
            given.remove(earlier)
        answer = _Given(what, value)
        self.skipped += answer.picture.skipped
        given.append(answer)

    def _pictures(self, parts: Iterator[tuple[str, Any]]) -> list[tuple[str, Picture]]:
        found = [(name, Picture(value)) for name, value in parts if not is_plain(value)]
        self.skipped += sum(picture.skipped for _, picture in found)
        return found

    def _report(self, sender: str, receiver: str, what: str, change: str) -> None:
        if self.found is None:
            self.found = MutationError(sender, receiver, what, change)


def _parts(message: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(message, HandlerMessage):
        yield from _arguments(message.handler, message.args, message.kwargs)
    else:
        yield "the message", message


def _arguments(handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    code = getattr(handler.function, "__code__", None)
    names = code.co_varnames[1 : code.co_argcount] if code is not None else ()
    for index, value in enumerate(args):
        yield f"argument {names[index] if index < len(names) else index + 1}", value
    for name, value in kwargs.items():
        yield f"argument {name}", value
