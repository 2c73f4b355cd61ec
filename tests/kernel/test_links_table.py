"""The tables of links and monitors by themselves, without anything that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.kernel import Crashed, Exited, ExitReason, Killed, NoProcess, Normal, Shutdown
from mabeam.kernel._links import (
    add_link,
    add_monitor,
    are_linked,
    linked,
    remove_link,
    remove_monitor,
    verdict,
)

if TYPE_CHECKING:
    from mabeam.kernel import Process

REASONS: list[ExitReason] = [
    Normal(),
    Shutdown(),
    Killed(),
    NoProcess(),
    Exited(1),
    Crashed(ValueError()),
]


class Bare:
    """What the tables know of a process."""

    def __init__(self) -> None:
        self.kernel = self
        self.links: Any = ()
        self.monitors: dict[object, None] | None = None
        self.watchers: dict[object, None] | None = None
        self._last: tuple[Process, ...] = ()

    def only_link(self, other: Process) -> tuple[Process, ...]:
        """As the kernel, which keeps the last of them."""
        if self._last != (other,):
            self._last = (other,)
        return self._last


def bare(count: int) -> list[Process]:
    """So many of them."""
    return cast("list[Process]", [Bare() for _ in range(count)])


@pytest.mark.parametrize("reason", REASONS, ids=repr)
@pytest.mark.parametrize("from_itself", [False, True])
def test_what_a_signal_does_is_the_table_of_otp(reason: ExitReason, *, from_itself: bool) -> None:
    """One that traps gets a message; of the others only ``Normal`` of somebody else is ignored."""
    ends = reason != Normal() or from_itself
    assert verdict(reason, traps=True, from_itself=from_itself) == "deliver"
    assert verdict(reason, traps=False, from_itself=from_itself) == ("end" if ends else "ignore")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_links_are_mutual_single_and_in_the_order_of_linking(steps: list[tuple[bool, int]]) -> None:
    """However many there are, and whatever was cut in between."""
    hub, *others = bare(11)
    expected: list[Process] = []
    for adds, index in steps:
        other = others[index]
        if adds:
            add_link(hub, other)
            expected += [] if other in expected else [other]
        else:
            remove_link(hub, other)
            expected = [each for each in expected if each is not other]
        assert linked(hub) == tuple(expected)
        for each in others:
            assert are_linked(hub, each) is are_linked(each, hub) is (each in expected)
            assert linked(each) == ((hub,) if each in expected else ())


def test_nobody_is_linked_with_itself() -> None:
    (one,) = bare(1)
    add_link(one, one)
    assert linked(one) == ()
    remove_link(one, one)


def test_few_links_cost_no_dict_and_many_no_search() -> None:
    """Four are a tuple, which is small; from the fifth on it is a dict, in which one is found at once."""
    hub, *others = bare(8)
    for other in others[:4]:
        add_link(hub, other)
    assert isinstance(hub.links, tuple)
    add_link(hub, others[4])
    links = hub.links
    assert isinstance(links, dict)
    add_link(hub, others[5])
    remove_link(hub, others[0])
    assert hub.links is links, "a supervisor of many would copy its links for each child"
    assert linked(hub) == tuple(others[1:6])


def test_brothers_share_their_links() -> None:
    """The many children of one supervisor have a link to it each, and nothing else as a rule."""
    father, *children = bare(4)
    kernel: Any = Bare()
    for each in (father, *children):
        each.kernel = kernel
    for child in children:
        add_link(father, child)
    assert children[1].links is children[2].links
    assert linked(children[2]) == (father,)


def test_cutting_what_is_not_linked_changes_nothing() -> None:
    """Not even the kind of the table."""
    hub, *others = bare(7)
    remove_link(hub, others[0])
    assert (hub.links, others[0].links) == ((), ())
    for other in others[:5]:
        add_link(hub, other)
    remove_link(hub, others[5])
    assert linked(hub) == tuple(others[:5])


def test_what_was_returned_does_not_change_with_the_links() -> None:
    """The dying walk through it while they cut."""
    hub, *others = bare(6)
    for other in others:
        add_link(hub, other)
    before = linked(hub)
    remove_link(hub, others[2])
    assert before == tuple(others)


def test_each_monitor_is_one_of_its_own_on_both_sides() -> None:
    """In the order in which they were made, and with the name that it was made for."""
    watcher, target, other = bare(3)
    first = add_monitor(watcher, target)
    second = add_monitor(watcher, target, "by name")
    third = add_monitor(watcher, other)
    fourth = add_monitor(other, target)
    assert (first.watcher, first.target, first.name, second.name) == (watcher, target, None, "by name")
    assert list(watcher.monitors or ()) == [first, second, third]
    assert list(target.watchers or ()) == [first, second, fourth]
    assert (target.monitors, watcher.watchers) == (None, None)
    remove_monitor(second)
    assert list(watcher.monitors or ()) == [first, third]
    assert list(target.watchers or ()) == [first, fourth]
    remove_monitor(second)
    assert list(target.watchers or ()) == [first, fourth]


def test_a_monitor_can_be_removed_when_either_side_has_ended() -> None:
    """The dead have no tables any more, and a monitor of nobody never had a target."""
    watcher, target = bare(2)
    ref = add_monitor(watcher, target)
    watcher.monitors = None
    remove_monitor(ref)
    assert target.watchers == {}
    ref = add_monitor(watcher, target)
    target.watchers = None
    remove_monitor(ref)
    assert watcher.monitors == {}
    ref = add_monitor(watcher, target)
    target.watchers = {}
    remove_monitor(ref)
    assert not watcher.monitors
    assert not target.watchers
    ref.target = None
    remove_monitor(ref)
