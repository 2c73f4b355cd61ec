"""Schedules and faults as values: how they read, and the word that stands for them."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.testing._schedule import Fault, Schedule

WHOLE = Schedule(
    ((3, 1), (20, 2)), (Fault("crash", "Server takes x", 1), Fault("late", "a timer", 2, 0.5)), 7
)
WORD = "mabeam1:eNqLjo421jGM1Yk2MtAxigXS0UrJRYnFGUo6SsGpRWWpRQolidmpxQoVSjqGOgZ6BkAVSjmJJalA-USFkszc1CIlHSOghClQr3ksAIVDFnw"
"""Written by the first version; ``WHOLE`` must be read from it for ever."""


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault("crash", "Server takes x", 1), "crash: Server takes x (1st time)"),
        (Fault("kill", "f", 2), "kill: f (2nd time)"),
        (Fault("point", "store.write", 3), "point: store.write (3rd time)"),
        (Fault("delay", "f", 4, 0.25), "delay by 0.25 s: f (4th time)"),
        (Fault("late", "a timer", 1, 2.0), "late by 2 s: a timer (1st time)"),
    ],
)
def test_a_fault_is_a_line_in_a_report(fault: Fault, text: str) -> None:
    assert str(fault) == text


def test_a_fault_takes_no_time_unless_said() -> None:
    assert Fault("crash", "f", 1).seconds == 0.0


@pytest.mark.parametrize("value", [Fault("crash", "f", 1), Schedule()])
def test_both_are_frozen_values(value: Any) -> None:
    for name in (*value.__slots__, "other"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(value, name, 1)
    assert hash(value) == hash(type(value)(*(getattr(value, name) for name in value.__slots__)))


def test_choices_may_come_in_any_order_and_faults_keep_theirs() -> None:
    assert Schedule.of(iter([(20, 2), (3, 1)]), iter(WHOLE.faults), 7) == WHOLE


def test_a_word_that_was_written_once_is_read_for_ever() -> None:
    assert Schedule.from_token(WORD) == WHOLE
    assert Schedule.from_token(WHOLE.token()) == WHOLE


def _word(content: object) -> str:
    packed = zlib.compress(json.dumps(content).encode())
    return "mabeam1:" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


@pytest.mark.parametrize("word", [None, 7, b"mabeam1:", "", WORD.removeprefix("mabeam1:"), "mabeam2:eNo"])
def test_what_is_no_such_word_is_refused(word: Any) -> None:
    with pytest.raises(UsageError, match="replay expects the word that a failed simulation shows") as caught:
        Schedule.from_token(word)
    assert repr(word) in str(caught.value)


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (WORD[:-9], "incomplete"),
        (_word([[], []]), "not enough values"),
        (_word([[], [["other", "f", 1, 0.0]], 0]), "'other' is no kind of fault"),
        (_word([[[1, "x"]], [], 0]), "invalid literal"),
        (_word(7), "int"),
    ],
)
def test_a_damaged_word_is_refused_and_says_why(word: str, why: str) -> None:
    with pytest.raises(UsageError, match="the word for replay is damaged") as caught:
        Schedule.from_token(word)
    assert why in str(caught.value)
