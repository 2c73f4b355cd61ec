"""The rules, one file each and called after its code, and the table of all of them. What they share is in ``_clues``."""

from __future__ import annotations

from mabeam.review._rules import (
    _mb101_dropped_task,
    _mb102_blocking_call,
    _mb103_swallowed,
    _mb104_fan_out,
    _mb105_unowned_thread,
)
from mabeam.review._rules._mb00x_suppressions import NO_REASON, UNKNOWN_CODE, UNUSED
from mabeam.review._rules._rule import Draft, Rule

__all__ = ("NO_REASON", "RULES", "UNKNOWN_CODE", "UNUSED", "Draft", "Rule")

RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        NO_REASON,
        UNKNOWN_CODE,
        UNUSED,
        _mb101_dropped_task.RULE,
        _mb102_blocking_call.RULE,
        _mb103_swallowed.RULE,
        _mb104_fan_out.RULE,
        _mb105_unowned_thread.RULE,
    )
}
"""Every rule by its code, in the order of the codes."""
