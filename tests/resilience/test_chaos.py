"""Chaos: what is injected, how often, and the same again from a seed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from mabeam import Chaos, UsageError
from tests.resilience._tools import Hand, Heard


def test_a_share_of_the_calls_fails_the_same_ones_with_the_same_seed() -> None:
    runs = []
    for _ in range(2):
        chaos = Chaos(fault_rate=0.3, fault=ConnectionError, random=random.Random(7))
        failed = []
        for number in range(1000):
            try:
                assert chaos.call_sync(int, number) == number
            except ConnectionError:
                failed.append(number)
        runs.append(failed)
        statistics = chaos.statistics()
        assert (statistics.calls, statistics.faults) == (1000, len(failed))
    assert runs[0] == runs[1]
    assert 250 < len(runs[0]) < 350


async def test_latency_fault_and_outcome_in_both_colours() -> None:
    heard, hand, loop = Heard(), Hand(), asyncio.get_running_loop()
    ran: list[int] = []

    async def work() -> str:
        ran.append(1)
        return "real"

    late = Chaos(latency_rate=1.0, latency=3.0, sleep=hand.sleep, bus=heard.bus, name="drill")
    began = loop.time()
    assert await late.call(work) == "real"
    assert loop.time() - began == 3.0
    assert late.call_sync(lambda: "real") == "real"
    assert hand.slept == [3.0]
    broken = Chaos(fault_rate=1.0, fault=lambda: OSError("injected"), bus=heard.bus, name="drill")
    made_up = Chaos(outcome_rate=1.0, outcome=lambda: "made up", bus=heard.bus, name="drill")
    ran.clear()
    with pytest.raises(OSError, match="injected"):
        await broken(work)()
    with pytest.raises(OSError, match="injected"):
        broken.call_sync(ran.append, 1)
    assert await made_up.call(work) == "made up"
    assert made_up.call_sync(str, 5) == "made up"
    assert ran == []
    kinds = [event["kind"] for event in heard.named("chaos.injected")]
    assert kinds == ["latency", "latency", "fault", "fault", "outcome", "outcome"]
    heard.check()


async def test_while_it_is_not_enabled_it_does_nothing() -> None:
    on = [False]
    chaos = Chaos(fault_rate=1.0, fault=OSError, enabled=lambda: on[0], random=random.Random(1))
    before = chaos._random.getstate()
    assert chaos.call_sync(lambda: 5) == 5
    assert chaos._random.getstate() == before
    assert chaos.statistics().calls == 0
    on[0] = True
    with pytest.raises(OSError):
        chaos.call_sync(lambda: 5)
    assert Chaos(fault_rate=1.0, fault=OSError, enabled=False).call_sync(lambda: 5) == 5


def test_a_coroutine_from_a_plain_function_is_refused() -> None:
    async def ask() -> None:
        pass

    forgot: Any = lambda: ask()  # noqa: E731
    with pytest.raises(UsageError, match="returned a coroutine"):
        Chaos().call_sync(forgot)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fault_rate": 0.5}, "fault_rate expects fault"),
        ({"fault_rate": 2, "fault": OSError}, "fault_rate expects a share"),
        ({"fault": 5}, "fault expects an exception type"),
        ({"latency_rate": -1}, "latency_rate expects a share"),
        ({"latency": -1}, "latency expects seconds >= 0"),
        ({"latency": (2.0, 1.0)}, "latency expects seconds >= 2"),
        ({"latency": (1.0, 2.0, 3.0)}, "a pair of them"),
        ({"outcome_rate": 0.5}, "outcome_rate expects outcome"),
        ({"outcome_rate": "x", "outcome": int}, "outcome_rate expects a share"),
        ({"outcome": 5}, "outcome expects a function"),
    ],
)
def test_what_cannot_be_right_is_told(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as raised:
        Chaos(**options)
    assert len(raised.value.problems) == 1


def test_it_describes_itself() -> None:
    assert Chaos(latency_rate=0.5, latency=(1, 2)).describe() == (
        "Chaos('chaos', fault_rate=0, latency_rate=0.5 (1 to 2 s), outcome_rate=0)"
    )
