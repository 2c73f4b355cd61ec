"""Dead letters: all are counted, the latest are kept, and those who listen are told."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from mabeam.kernel import Carried, DeadLetter, DeadLetters
from mabeam.telemetry import Bus, TraceContext


def test_all_are_counted_and_the_latest_kept() -> None:
    """Oldest first."""
    letters = DeadLetters(Bus(), capacity=3)
    assert (len(letters), letters.latest, letters.counts) == (0, (), {})
    for number in range(5):
        letters.add("server", number, "dead" if number % 2 else "full")
    assert letters.latest == tuple(
        DeadLetter(target="server", message=number, why="dead" if number % 2 else "full")
        for number in (2, 3, 4)
    )
    assert letters.counts == {"full": 3, "dead": 2}
    assert len(letters) == 5
    assert repr(letters) == "<dead letters {'full': 3, 'dead': 2}>"


def test_a_thousand_are_kept_unless_said_otherwise() -> None:
    letters = DeadLetters(Bus())
    for number in range(1_001):
        letters.add("server", number, "dead")
    assert [len(letters.latest), letters.latest[0].message, len(letters)] == [1_000, 1, 1_001]


def test_a_letter_is_the_message_without_its_trace() -> None:
    letters = DeadLetters(Bus())
    trace = TraceContext("0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331")
    letters.add("server", Carried("hello", trace), "dead")
    assert [letter.message for letter in letters.latest] == ["hello"]


def test_the_counts_are_a_copy() -> None:
    letters = DeadLetters(Bus())
    counts: Any = letters.counts
    counts["dead"] = 7
    assert letters.counts == {}


def test_those_who_listen_are_told_what_the_catalogue_promises() -> None:
    """The message itself stays where it is: it may be anything."""
    bus = Bus(strict=True)
    events: list[object] = []
    letters = DeadLetters(bus)
    letters.add("early", 1, "dead")
    with bus.attach(lambda *event: events.append(event)):
        letters.add("server", object(), "full")
    assert events == [("message.dead_letter", {"count": 1}, {"target": "server", "why": "full"})]
    assert not bus.problems


def test_nothing_is_emitted_while_nobody_listens() -> None:
    """Letters may come by the thousand, and an event nobody wants costs more than the letter."""

    class Deaf:
        listening = False

        def emit(self, *event: object) -> None:
            raise AssertionError(event)

    DeadLetters(cast("Bus", Deaf())).add("server", 1, "dead")


def test_a_letter_cannot_be_changed() -> None:
    letter: Any = DeadLetter(target="server", message=1, why="dead")
    with pytest.raises(dataclasses.FrozenInstanceError):
        letter.why = "full"
    with pytest.raises(TypeError, match="positional"):
        DeadLetter("server", 1, "dead")  # type: ignore[call-arg]  # what is refused
