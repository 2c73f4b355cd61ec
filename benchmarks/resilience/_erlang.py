"""Erlang/OTP: the call of an idle gen_server, which a breaker around an async call is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.kernel import _erlang

if TYPE_CHECKING:
    from benchmarks._rounds import Figures, Rounds

__all__ = ("MEASURES",)


def breaker_async(rounds: Rounds) -> Figures:
    """``gen_server:call``."""
    rounds.note("no breaker: gen_server:call of an idle server, as in the suite of processes")
    return _erlang.MEASURES["call_idle"](rounds)


MEASURES = {"breaker_async": breaker_async}
