"""The rules, one file each, and the table of all of them."""

from __future__ import annotations

from mabeam.review._rules import _blocking_call, _dropped_task, _fan_out, _swallowed, _unowned_thread
from mabeam.review._rules._rule import Draft, Rule
from mabeam.review._rules._suppressions import NO_REASON, UNKNOWN_CODE, UNUSED

__all__ = ("NO_REASON", "RULES", "UNKNOWN_CODE", "UNUSED", "Draft", "Rule")

RULES: dict[str, Rule] = {
    rule.code: rule
    for rule in (
        NO_REASON,
        UNKNOWN_CODE,
        UNUSED,
        _dropped_task.RULE,
        _blocking_call.RULE,
        _swallowed.RULE,
        _fan_out.RULE,
        _unowned_thread.RULE,
    )
}
"""Every rule by its code, in the order of the codes."""
