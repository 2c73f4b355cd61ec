"""The table of names by itself, without anything that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from mabeam.errors import UsageError
from mabeam.kernel import Pid
from mabeam.kernel._names import Names

if TYPE_CHECKING:
    from mabeam.kernel import Process


class Bare:
    """What the table knows of a process."""

    def __init__(self, serial: int) -> None:
        self.pid = Pid("r", serial, cast("Process", self))
        self.name: Any = None

    def describe(self) -> str:
        return f"process {self.pid.serial}"


def bare(serial: int = 1) -> Process:
    """One of them."""
    return cast("Process", Bare(serial))


class Via:
    """A name that is kept elsewhere: here."""

    def __init__(self) -> None:
        self.holder: Pid | None = None

    def register_name(self, pid: Pid) -> Pid:
        self.holder = self.holder or pid
        return self.holder

    def whereis_name(self) -> Pid | None:
        return self.holder

    def unregister_name(self, pid: Pid) -> None:
        assert pid is not None
        self.holder = None


def test_names_are_counted_given_once_and_taken_back() -> None:
    names, one, other = Names(), bare(1), bare(2)
    assert len(names) == 0
    assert names.give("a", one) is one
    assert names.give("a", other) is one
    assert (one.name, other.name, names.find("a"), names.find("b")) == ("a", None, one, None)
    assert names.give("b", other) is other
    assert len(names) == 2
    names.take(one)
    assert (one.name, names.find("a"), len(names)) == (None, None, 1)
    names.take(one)
    assert len(names) == 1


def test_a_process_that_does_not_get_a_name_goes_without() -> None:
    """It may be given another one."""
    via, one, other = Via(), bare(1), bare(2)
    names = Names()
    assert names.give(via, one) is one
    assert names.give(via, other) is one
    assert (one.name, other.name) == (via, None)
    assert names.give("other", other) is other


def test_taking_a_name_leaves_whoever_has_it_by_now() -> None:
    """A process that is wound up may say so more than once."""
    names, one, other = Names(), bare(1), bare(2)
    names.give("a", one)
    names.take(one)
    names.give("a", other)
    one.name = "a"
    names.take(one)
    assert names.find("a") is other


def test_a_process_gives_up_the_name_that_was_meant_and_no_other() -> None:
    """Whether it is called by it, or has it in a registry besides."""
    names, one, via, other = Names(), bare(), Via(), Via()
    names.give("a", one)
    via.register_name(one.pid)
    other.register_name(one.pid)
    names.unregister(cast("Any", via), one)
    assert (via.holder, other.holder, names.find("a"), one.name) == (None, one.pid, one, "a")
    names.unregister("b", one)
    assert (names.find("a"), one.name) == (one, "a")
    names.unregister("a", one)
    assert (names.find("a"), one.name, other.holder) == (None, None, one.pid)


def test_a_via_name_leads_where_it_says() -> None:
    """And is told when it is taken; it does not count among the Runtime's own."""
    names, one, via = Names(), bare(), Via()
    assert names.find(via) is None
    names.give(via, one)
    assert (names.find(via), len(names)) == (one, 0)
    names.take(one)
    assert (via.holder, names.find(via), one.name) == (None, None, None)


def test_a_via_name_that_answers_a_pid_from_elsewhere_has_given_the_name() -> None:
    """A registry of another program, say, knows the process by its bare identity."""

    class Remote(Via):
        def register_name(self, pid: Pid) -> Pid:
            return Pid(pid.runtime_id, pid.serial)

    names, one, via = Names(), bare(), Remote()
    assert names.give(via, one) is one
    assert one.name is via


@pytest.mark.parametrize("wrong", [42, None, object()], ids=["a number", "None", "an object"])
def test_what_is_no_name_leads_nowhere(wrong: Any) -> None:
    """The message says what would."""
    with pytest.raises(
        UsageError, match=r"expected a pid, a name, a via name or a handle such as a Ref, got"
    ):
        Names().find(wrong)
    with pytest.raises(UsageError, match=r"a string or a via name such as registry.via\(key\), got"):
        Names().give(wrong, bare())


def test_the_class_of_a_via_name_is_no_name() -> None:
    """It has the methods of one, and nobody to call them on."""
    wrong: Any = Via
    with pytest.raises(UsageError, match="expected a pid, a name, a via name"):
        Names().find(wrong)


def test_a_name_is_not_empty_and_a_process_has_one() -> None:
    """The message says who it is about, and what to use instead."""
    names, one = Names(), bare()
    with pytest.raises(UsageError, match="a process name must be a non-empty string, got ''"):
        names.give("", one)
    names.give("a", one)
    with pytest.raises(UsageError, match=r"process 1 cannot be called 'b' as well.*Use a Registry"):
        names.give("b", one)
    assert len(names) == 1


def test_a_name_that_was_lost_elsewhere_is_none_any_more() -> None:
    """Its registry has ended, and taken it along; one that is still held is the only one."""
    names, via, process = Names(), Via(), bare()
    assert names.give(cast("Any", via), process) is process
    with pytest.raises(UsageError, match="a process has one name"):
        names.give("another", process)
    via.holder = None
    assert names.give("another", process) is process
    assert names.find("another") is process
