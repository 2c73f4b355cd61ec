"""Exit reasons as values: they compare, hash, show themselves whatever they hold, and cannot be changed."""

from __future__ import annotations

import dataclasses
from typing import Any, NoReturn

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import (
    AlreadyStarted,
    Crashed,
    Exited,
    Killed,
    NoProcess,
    Normal,
    Pid,
    Shutdown,
    check_reason,
    is_abnormal,
)
from mabeam.kernel._reasons import KILLED, NO_PROCESS, NORMAL, SHUTDOWN

ERROR = ValueError("amount", -1)


class Shy:
    """Cannot be shown."""

    def __repr__(self) -> NoReturn:
        raise LookupError("no repr")


class ShyError(Exception):
    """Cannot be shown either."""

    def __repr__(self) -> NoReturn:
        raise LookupError("no repr")


@pytest.mark.parametrize(
    ("reason", "shown", "abnormal"),
    [
        (Normal(), "Normal()", False),
        (Shutdown(), "Shutdown(detail=None)", False),
        (Shutdown(("any", 1)), "Shutdown(detail=('any', 1))", False),
        (Shutdown(Shy()), "Shutdown(detail=<Shy whose repr raised LookupError>)", False),
        (Killed(), "Killed()", True),
        (NoProcess(), "NoProcess()", True),
        (Crashed(ERROR), "Crashed(exception=ValueError('amount', -1))", True),
        (Crashed(ShyError()), "Crashed(exception=<ShyError whose repr raised LookupError>)", True),
        (Exited("tired"), "Exited(value='tired')", True),
        (Exited(Shy()), "Exited(value=<Shy whose repr raised LookupError>)", True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_reason_shows_itself_and_knows_whether_it_is_abnormal(
    reason: Any, shown: str, *, abnormal: bool
) -> None:
    """Also one whose content cannot be shown: it is looked at in the middle of a death."""
    assert repr(reason) == shown
    assert is_abnormal(reason) is abnormal
    check_reason(reason)


def test_reasons_are_equal_by_kind_and_content() -> None:
    """And different otherwise; equal ones have one hash."""
    different = [
        Normal(),
        Shutdown(),
        Shutdown(1),
        Killed(),
        NoProcess(),
        Exited(None),
        Exited(1),
        Crashed(ValueError("x")),
        Crashed(ValueError("y")),
        Crashed(KeyError("x")),
        AlreadyStarted(Pid("r", 1)),
        AlreadyStarted(Pid("r", 2)),
    ]
    again = [
        Normal(),
        Shutdown(None),
        Shutdown(1),
        Killed(),
        NoProcess(),
        Exited(None),
        Exited(1),
        Crashed(ValueError("x")),
        Crashed(ValueError("y")),
        Crashed(KeyError("x")),
        AlreadyStarted(Pid("r", 1)),
        AlreadyStarted(Pid("r", 2)),
    ]
    for index, one in enumerate(different):
        for other_index, other in enumerate(again):
            assert (one == other) is (index == other_index)
        assert hash(one) == hash(again[index])
    kept = [NORMAL, SHUTDOWN, KILLED, NO_PROCESS]
    assert kept == [Normal(), Shutdown(), Killed(), NoProcess()]


def test_crashes_compare_the_type_and_the_arguments_of_what_was_raised() -> None:
    """The very same exception is equal to itself, whatever its arguments say."""

    class Moody(Exception):
        args = property(lambda self: (object(),))  # others each time

    class Narrower(ValueError):
        pass

    moody = Moody()
    assert Crashed(moody) == Crashed(moody)
    assert Crashed(ValueError(1)) != Crashed(Narrower(1))
    assert Crashed(ValueError([1])) == Crashed(ValueError([1]))
    assert hash(Crashed(ValueError([1]))) == hash(Crashed(ValueError([1])))
    assert hash(Crashed(ValueError())) != hash(Crashed(KeyError()))
    assert Crashed(ERROR) != ERROR
    assert Crashed(ERROR).__eq__(ERROR) is NotImplemented


def test_a_crash_hashes_to_the_same_in_every_run() -> None:
    """Not by where the class is in memory: sets of reasons have an order that can be repeated."""

    def make() -> Crashed:
        class Refused(Exception):
            pass

        return Crashed(Refused())

    one, other = make(), make()
    assert type(one.exception) is not type(other.exception)
    assert one != other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("wrong", ["ValueError", ValueError, None], ids=repr)
def test_only_an_exception_is_a_crash(wrong: Any) -> None:
    """Said where it is written, and with what to write instead."""
    with pytest.raises(
        UsageError, match=r"the exception that ended a process, got .* reason of your own is Exited\("
    ):
        Crashed(wrong)


@pytest.mark.parametrize(
    "value",
    [
        Normal(),
        Shutdown(),
        Killed(),
        NoProcess(),
        Crashed(ERROR),
        Exited(1),
        AlreadyStarted(Pid("r", 1)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_reason_cannot_be_changed(value: Any) -> None:
    """It is handed to everybody who hears of an end."""
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, None)
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        value.another = None


@pytest.mark.parametrize("wrong", ["normal", None, Normal, ERROR, AlreadyStarted(Pid("r", 1))], ids=repr)
def test_what_is_no_reason_is_refused(wrong: object) -> None:
    """With what to write instead."""
    with pytest.raises(UsageError, match=r"an exit reason is a value such as Normal\(\).*Exited\(value\)"):
        check_reason(wrong)
