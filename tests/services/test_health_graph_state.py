"""Dependencies of checks against a model that knows the closure of a relation."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mabeam.services._health_graph_state import Dependencies

NODES = "abcdef"
EDGES = st.lists(
    st.tuples(st.sampled_from(NODES), st.lists(st.sampled_from(NODES), unique=True, max_size=4)), max_size=12
)


def _reachable(model: dict[str, tuple[str, ...]], start: str) -> set[str]:
    found: set[str] = set()
    to_visit = [start]
    while to_visit:
        for each in model.get(to_visit.pop(), ()):
            if each not in found:
                found.add(each)
                to_visit.append(each)
    return found


@given(EDGES, st.sampled_from(NODES))
def test_cycles_are_those_of_the_relation_and_paths_are_real(
    edges: list[tuple[str, list[str]]], removed: str
) -> None:
    graph, model = Dependencies(), dict[str, tuple[str, ...]]()
    for check, wanted in edges:
        depends_on = tuple(wanted)
        path = graph.cycle(check, depends_on)
        closes = any(each == check or check in _reachable(model, each) for each in depends_on)
        assert (path is not None) == closes
        if path is not None:
            assert path[0] == path[-1] == check
            assert path[1] in depends_on
            assert all(after in model[before] for before, after in itertools.pairwise(path[1:]))
            assert len(set(path[1:])) == len(path) - 1
            continue
        graph.put(check, depends_on)
        model[check] = depends_on
    graph.remove(removed)
    model.pop(removed, None)
    for each in NODES:
        dependents = graph.dependents(each)
        assert len(set(dependents)) == len(dependents)
        assert set(dependents) == {other for other in NODES if each in _reachable(model, other)}
        ordered = graph.in_order([each])
        assert set(ordered) == {each} | _reachable(model, each)
        for place, check in enumerate(ordered):
            assert set(model.get(check, ())) <= set(ordered[:place])
    assert len(graph.in_order(NODES)) == len(NODES)


def test_nearest_dependents_come_first() -> None:
    graph = Dependencies()
    graph.put("far", ("middle",))
    graph.put("middle", ("base",))
    graph.put("near", ("base",))
    assert graph.dependents("base") == ["middle", "near", "far"]


def test_a_long_chain_is_no_deep_recursion() -> None:
    graph = Dependencies()
    for each in range(5_000):
        graph.put(f"c{each}", (f"c{each + 1}",))
    assert len(graph.in_order(["c0"])) == 5_001
    assert len(graph.dependents("c5000")) == 5_000
    path = graph.cycle("c5000", ("c0",))
    assert path is not None
    assert len(path) == 5_002


def test_what_was_put_last_holds() -> None:
    graph = Dependencies()
    graph.put("a", ("b",))
    graph.put("a", ("c",))
    assert graph.dependents("b") == []
    assert graph.dependents("c") == ["a"]
    graph.remove("a")
    graph.remove("a")
    assert graph.dependents("c") == []
    assert graph.in_order(["a"]) == ["a"]
    assert graph.cycle("a", ("a",)) == ("a", "a")


def test_many_ways_to_the_same_check_are_walked_once() -> None:
    """Each layer doubles the number of paths: whoever walks them all never ends."""
    graph = Dependencies()
    for layer in range(60):
        for side in "ab":
            graph.put(f"{side}{layer}", (f"a{layer + 1}", f"b{layer + 1}"))
    assert graph.cycle("new", ("a0", "b0")) is None
    assert len(graph.in_order(["a0"])) == 121
    assert len(graph.dependents("a60")) == 120


def test_a_graph_that_is_empty_again_keeps_nothing() -> None:
    graph = Dependencies()
    for each in range(100):
        graph.put(f"c{each}", ("base", f"c{each + 1}"))
    for each in range(100):
        graph.remove(f"c{each}")
    assert graph._of == {}
    assert graph._dependents == {}
