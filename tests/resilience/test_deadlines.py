"""Policies within a handler whose caller has stopped waiting: nobody was asked, so nobody has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    CallTimeout,
    CircuitBreaker,
    DeadlineExceeded,
    Fallback,
    GenServer,
    Hedge,
    Ref,
    Retry,
    Runtime,
    handle_call,
    ref,
)
from mabeam.testing import wait_until_idle
from tests.otp._servers import pause

if TYPE_CHECKING:
    from mabeam import Policy

pytestmark = pytest.mark.mabeam

ASKED: list[object] = []


@pytest.fixture(autouse=True)
def _nobody_asked() -> None:
    ASKED.clear()


def note(_error: object = None) -> str:
    ASKED.append("else")
    return "else"


class Other(GenServer):
    @handle_call
    def ask(self) -> str:
        return "answer"


class Late(GenServer):
    """Comes to its question when its caller has gone."""

    @handle_call(concurrent=8)
    async def run(self, policy: Policy) -> object:
        async def ask() -> str:
            ASKED.append(None)
            return await ref("other", Other).call(Other.ask)

        await pause(1.0)
        return await policy.call(ask)


async def ask_late(policy: Policy) -> None:
    """Have the question asked through ``policy`` when nobody waits for the answer any more."""
    late: Ref[Any] = await Late.child_spec().start()
    with pytest.raises(CallTimeout):
        await late.options(timeout=0.5).call(Late.run, policy)
    await pause(1.0)
    await wait_until_idle()


async def test_it_is_no_failure_to_a_breaker() -> None:
    await Other.child_spec().named("other").start()
    breaker = CircuitBreaker("other", consecutive_failures=1, open_seconds=30.0)
    await ask_late(breaker)
    assert ASKED == [None]
    assert (breaker.state, breaker.statistics().failed) == ("closed", 0)


@pytest.mark.parametrize("policy", [Retry(attempts=4), Hedge(delay=5.0, attempts=2), Fallback(using=note)])
async def test_nothing_makes_up_for_it(policy: Policy, runtime: Runtime) -> None:
    """Its handler is over, quietly: that of a server that is all right."""
    await Other.child_spec().named("other").start()
    await ask_late(policy)
    assert ASKED == [None]
    assert runtime.statistics().expired == 1


async def test_who_asks_for_it_may_have_it() -> None:
    """``on`` that is given holds."""
    attempts: list[None] = []

    async def refused() -> None:
        attempts.append(None)
        raise DeadlineExceeded

    with pytest.raises(DeadlineExceeded):
        await Retry(attempts=3, on=DeadlineExceeded).call(refused)
    assert len(attempts) == 3
