"""Cycles of waiting, looked for in random pictures of who waits for whom, and compared with who could ever go on."""

from __future__ import annotations

import asyncio
import itertools
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mabeam.errors import CallCycle
from mabeam.kernel import _cycles
from mabeam.kernel._activation import Activation
from mabeam.kernel._calls import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

COUNT = 7


class Owner:
    """A process, by its number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process = self
        self.serial: Activation | None = None
        self.ending: object = None

    def describe(self) -> str:
        return str(self.number)


class Picture:
    """Activations, of which each waits for all of some and for any of some others; two may be of one process."""

    def __init__(self, edges: list[tuple[set[int], set[int]]], owners: list[int]) -> None:
        processes = [Owner(number) for number in range(COUNT)]
        self.nodes: list[Any] = [
            Activation(processes[number], None, None, _ignore)  # type: ignore[arg-type]  # all it needs of a process
            for number in owners
        ]
        numbers = {node: number for number, node in enumerate(self.nodes)}
        self.all = {
            node: [self.nodes[each] for each in sorted(edges[numbers[node]][0])] for node in self.nodes
        }
        self.any = {
            node: [self.nodes[each] for each in sorted(edges[numbers[node]][1])] for node in self.nodes
        }

    def awaits(self, activation: Activation) -> Iterable[Activation]:
        return self.all[activation]

    def any_of(self, activation: Activation) -> tuple[Activation, ...]:
        return tuple(self.any[activation])

    def may_lead_to(self, _owner: Activation, activation: Activation) -> bool:
        """Who waits for nobody leads nowhere; a picture has no processes that more could be told from."""
        return bool(self.all[activation] or self.any[activation])

    def over(self, owner: Activation) -> set[Activation]:
        """Those that end sooner or later if the owner never does."""
        over: set[Activation] = set()
        while True:
            more = {
                node
                for node in self.nodes
                if node is not owner
                and node not in over
                and over.issuperset(self.all[node])
                and (not self.any[node] or not over.isdisjoint(self.any[node]))
            }
            if not more:
                return over
            over |= more

    def leads_to(self, start: Activation, owner: Activation, through: Collection[Activation]) -> bool:
        """Whether a way leads from one to the owner that only those are on."""
        pending, seen = [start], set[Activation]()
        while pending:
            node = pending.pop()
            if node is owner:
                return True
            if node in through and node not in seen:
                seen.add(node)
                pending += [*self.all[node], *self.any[node]]
        return False


def _ignore(*_: object) -> None: ...


nodes = st.integers(0, COUNT - 1)
edges = st.tuples(st.sets(nodes, max_size=2), st.one_of(st.just(set[int]()), st.sets(nodes, max_size=3)))
pictures = st.builds(
    Picture,
    st.lists(edges, min_size=COUNT, max_size=COUNT),
    st.one_of(st.just(list(range(COUNT))), st.lists(nodes, min_size=COUNT, max_size=COUNT)),
)


def _path(
    picture: Picture, check: Callable[..., None], *args: object, keepers: Iterable[Activation] = ()
) -> list[str] | None:
    """The path of the cycle that a check finds."""
    with (
        patch.object(_cycles, "awaits", picture.awaits),
        patch.object(_cycles, "any_of", picture.any_of),
        patch.object(_cycles, "may_lead_to", picture.may_lead_to),
        patch.object(_cycles, "blockers", lambda _: keepers),
    ):
        try:
            check(*args)
        except CallCycle as error:
            return list(error.path)
    return None


def _links(picture: Picture) -> Iterator[tuple[str, str]]:
    for node in picture.nodes:
        for other in (*picture.all[node], *picture.any[node]):
            yield node.process.describe(), other.process.describe()


def _is_way(picture: Picture, path: list[str], owner: Any, keepers: list[Any]) -> None:
    """From the owner to one of those that it is to wait for, and by waits from there back to the owner."""
    name = owner.process.describe()
    assert path[0] == path[-1] == name
    steps = {*_links(picture), *((name, keeper.process.describe()) for keeper in keepers)}
    assert {*pairwise(path)} <= steps
    assert all(one != other for one, other in pairwise(path)) or path == [name, name]


@given(pictures, nodes, st.lists(nodes, max_size=2, unique=True))
def test_a_wait_for_all_who_keep_a_process_is_refused_if_one_of_them_needs_the_one_that_asks(
    picture: Picture, asking: int, keeping: list[int]
) -> None:
    owner, keepers = picture.nodes[asking], [picture.nodes[each] for each in keeping]
    path = _path(picture, _cycles.check_cycle, owner, Owner(COUNT), keepers=keepers)
    stuck = set(picture.nodes) - picture.over(owner)
    assert (path is not None) == any(
        each in stuck and picture.leads_to(each, owner, stuck) for each in keepers
    )
    if path is not None:
        _is_way(picture, path, owner, keepers)


@given(pictures, nodes, st.lists(nodes, min_size=1, max_size=3, unique=True))
def test_a_wait_for_any_of_several_is_refused_if_none_can_go_on_and_one_needs_the_one_that_asks(
    picture: Picture, asking: int, holding: list[int]
) -> None:
    owner, holders = picture.nodes[asking], [picture.nodes[each] for each in holding]
    path = _path(picture, _cycles.check_place_cycle, owner, iter(holders))
    stuck = set(picture.nodes) - picture.over(owner)
    assert (path is not None) == (
        stuck.issuperset(holders) and any(picture.leads_to(each, owner, stuck) for each in holders)
    )
    if path is not None:
        _is_way(picture, path, owner, holders)


@given(pictures, nodes, nodes)
def test_a_wait_for_one_is_refused_if_it_needs_the_one_that_asks(
    picture: Picture, asking: int, making: int
) -> None:
    """The end of a stream, the holder of a lock."""

    owner, maker = picture.nodes[asking], picture.nodes[making]
    held: Any = Held(maker)
    paths = (
        _path(picture, _cycles.check_stream_cycle, owner, maker),
        _path(picture, _cycles.check_lock_cycle, owner, held),
    )
    stuck = set(picture.nodes) - picture.over(owner)
    assert paths[0] == paths[1]
    assert (paths[0] is not None) == (maker in stuck and picture.leads_to(maker, owner, stuck))


class Begun:
    """A wait that has begun."""

    caller: Any = None

    def __init__(self, since: int, *, is_refusable: bool) -> None:
        self.since = since
        self.is_refusable = is_refusable


apart = st.builds(Picture, st.lists(edges, min_size=COUNT, max_size=COUNT), st.just(list(range(COUNT))))
"""Each activation is of a process of its own, so that a path tells which they are."""


@given(apart, nodes, st.lists(st.none() | st.tuples(nodes, st.booleans()), min_size=COUNT, max_size=COUNT))
def test_of_a_cycle_that_is_closed_by_who_waits_for_tasks_the_last_wait_is_refused(
    picture: Picture, asking: int, begun: list[tuple[int, bool] | None]
) -> None:
    """The youngest of those that can be; if there is none, nobody is told."""
    owner = picture.nodes[asking]
    refused: list[tuple[Any, list[str]]] = []
    for node, wait in zip(picture.nodes, begun, strict=True):
        node.waits_for = None if wait is None else Begun(wait[0], is_refusable=wait[1])
        node.waits_on = node
    owner.waits_for = None
    if picture.all[owner]:
        picture.any[owner] = []  # no code waits for all of some and for any of others
    with patch.object(_cycles, "_refuse", lambda _, node, error: refused.append((node, list(error.path)))):
        assert _path(picture, _cycles.refuse_closed_cycle, owner) is None
    everything, anything = picture.all[owner], picture.any[owner]
    stuck = set(picture.nodes) - picture.over(owner)
    is_closed = any(each in stuck and picture.leads_to(each, owner, stuck) for each in everything) or (
        stuck.issuperset(anything) and any(picture.leads_to(each, owner, stuck) for each in anything)
    )
    refusable = {node for node in stuck if node.waits_for is not None and node.waits_for.is_refusable}
    if not refused:
        others = stuck - {owner}
        assert not is_closed or not refusable.issuperset(others) or owner in {*everything, *anything}
        return
    assert is_closed
    [(node, path)] = refused
    _is_way(picture, path, node, [*picture.all[node], *picture.any[node]])
    ring = [picture.nodes[int(name)] for name in path[1:]]
    assert owner in ring
    assert node in refusable
    assert node.waits_for.since == max(each.waits_for.since for each in ring if each in refusable)
    before_owner = ring[: ring.index(owner)]  # those that were refused before it, had they begun as late
    assert all(each.waits_for.since < node.waits_for.since for each in before_owner if each in refusable)


def _closed_ring(*, choosing: bool = False) -> tuple[Picture, Any]:
    """0 waits for its task 1, or for any of such; and that waits for 0."""
    first = (set[int](), {1}) if choosing else ({1}, set[int]())
    picture = Picture([first, ({0}, set()), *[(set[int](), set[int]())] * 5], list(range(COUNT)))
    picture.nodes[1].waits_for = Begun(1, is_refusable=True)
    return picture, picture.nodes[1]


@pytest.mark.parametrize("choosing", [False, True])
def test_who_waits_for_an_answer_is_refused_as_its_caller(*, choosing: bool) -> None:
    picture, asking = _closed_ring(choosing=choosing)
    asking.waits_for.caller = Mock(spec=Caller)
    assert _path(picture, _cycles.refuse_closed_cycle, picture.nodes[0]) is None
    [error] = asking.waits_for.caller.refuse.call_args.args
    assert list(error.path) == ["1", "0", "1"]


async def test_who_waits_for_something_else_is_told_by_its_future() -> None:
    """Unless it has got that in the same moment, or waits by none."""
    picture, asking = _closed_ring()
    asking.waits_on = future = asyncio.get_running_loop().create_future()
    assert _path(picture, _cycles.refuse_closed_cycle, picture.nodes[0]) is None
    with pytest.raises(CallCycle) as refused:
        await future
    assert list(refused.value.path) == ["1", "0", "1"]
    assert _path(picture, _cycles.refuse_closed_cycle, picture.nodes[0]) is None  # it is done
    asking.waits_on = None
    assert _path(picture, _cycles.refuse_closed_cycle, picture.nodes[0]) is None


@given(pictures, nodes, st.lists(nodes, max_size=4, unique=True), st.sampled_from(("begun", "new")))
def test_a_wait_for_the_first_of_several_to_end_is_refused_like_one_for_any_of_them(
    picture: Picture, asking: int, choosing: list[int], first: str
) -> None:
    """But not if the first has not begun: that waits for nobody."""
    owner, choices = picture.nodes[asking], [picture.nodes[each] for each in choosing]
    for node in picture.nodes:
        node.started = True
    if choices:
        choices[0].started = first == "begun"
    path = _path(picture, _cycles.check_choice_cycle, owner, lambda: iter(choices))
    stuck = set(picture.nodes) - picture.over(owner)
    leads = stuck.issuperset(choices) and any(picture.leads_to(each, owner, stuck) for each in choices)
    # The first alone says it, nearly always: it is looked at before the others are.
    first_leads = bool(choices) and choices[0] in stuck and picture.leads_to(choices[0], owner, stuck)
    assert (path is not None) == (first == "begun" and leads and first_leads)
    if path is not None:
        _is_way(picture, path, owner, choices)


def test_a_wait_for_any_of_thousands_looks_at_one() -> None:
    picture = Picture([(set(), set())] * COUNT, list(range(COUNT)))
    owner, free = picture.nodes[:2]
    free.started = True
    choices = itertools.repeat(free)  # endless: a look at all of them would not end
    assert _path(picture, _cycles.check_choice_cycle, owner, lambda: choices) is None


def test_activations_of_one_process_that_wait_for_each_other_are_a_path_from_it_to_itself() -> None:
    picture = Picture([({1}, set()), ({0}, set()), *[(set[int](), set[int]())] * 5], [0] * COUNT)
    owner, other = picture.nodes[:2]
    assert _path(picture, _cycles.check_stream_cycle, owner, other) == ["0", "0"]


class Free:
    """A lock that nobody of ours holds."""

    def held_by(self) -> None:
        return None


class Held:
    """A lock that is held: by plain code of a process, say, which waits for nothing."""

    def __init__(self, holder: Any) -> None:
        self.held_by = lambda: (holder.process, holder)


def _nobody_is_looked_at(activation: Activation) -> Iterable[Activation]:
    msg = f"{activation} was looked at"
    raise AssertionError(msg)


def test_nobody_in_particular_closes_no_cycle() -> None:
    """Code outside of processes, plain code of a process, and what nobody of ours keeps."""
    picture = Picture([(set(), set())] * COUNT, list(range(COUNT)))
    node, process, free = picture.nodes[0], picture.nodes[0].process, Free()
    node.started = True
    picture.awaits = _nobody_is_looked_at  # type: ignore[method-assign]  # for this picture only
    for owner in (None, process):
        assert _path(picture, _cycles.check_cycle, owner, picture.nodes[1].process, keepers=[node]) is None
        assert _path(picture, _cycles.check_stream_cycle, owner, node) is None
        assert _path(picture, _cycles.check_place_cycle, owner, [node]) is None
        assert _path(picture, _cycles.check_choice_cycle, owner, lambda: [node]) is None
    assert _path(picture, _cycles.check_stream_cycle, node, None) is None
    assert _path(picture, _cycles.check_lock_cycle, node, free) is None
    assert _path(picture, _cycles.check_lock_cycle, node, Held(process)) is None
    assert _path(picture, _cycles.check_lock_cycle, process, Held(node)) is None


def test_who_waits_for_its_own_process_waits_for_ever() -> None:
    """In its serial code, or once it ends; beside that, a process may call itself."""
    picture = Picture([(set(), set())] * COUNT, list(range(COUNT)))
    node, process = picture.nodes[0], picture.nodes[0].process
    assert _path(picture, _cycles.check_cycle, node, process) is None
    assert _path(picture, _cycles.check_cycle, process, process) == ["0", "0"]
    process.serial = node
    assert _path(picture, _cycles.check_cycle, node, process) == ["0", "0"]
    process.serial, process.ending = None, object()
    assert _path(picture, _cycles.check_cycle, picture.nodes[1], process) is None
    assert _path(picture, _cycles.check_cycle, node, process) == ["0", "0"]


@pytest.mark.parametrize("choosing", [False, True])
def test_a_path_names_each_process_once_though_two_of_its_activations_are_on_it(*, choosing: bool) -> None:
    """A handler and the task that it waits for."""
    third: tuple[set[int], set[int]] = (set(), {0}) if choosing else ({0}, set())
    picture = Picture([(set(), set()), ({2}, set()), third, *[(set(), set())] * 4], [0, 1, 1, 3, 4, 5, 6])
    owner, middle, _ = picture.nodes[:3]
    path = _path(picture, _cycles.check_cycle, owner, middle.process, keepers=[middle])
    assert path == ["0", "1", "0"]
