"""MB001, MB002, MB003: suppression comments that say too little, name nothing, or silence nothing."""

from __future__ import annotations

from mabeam.review._finding import Severity
from mabeam.review._rules._rule import Rule

__all__ = ("NO_REASON", "UNKNOWN_CODE", "UNUSED")

# These judge comments, not nodes: `_analyse` applies them when it knows which findings a comment has silenced.

NO_REASON = Rule(
    code="MB001",
    title="Suppression without a reason",
    severity=Severity.MINOR,
    impact="Nobody can tell later whether the flaw was judged harmless or was in the way, and whether that still holds.",
    recommendation="Write the reason behind the brackets: `# mabeam: ignore[MB101] the supervisor holds the handle`.",
)

UNKNOWN_CODE = Rule(
    code="MB002",
    title="Suppression of no known rule",
    severity=Severity.MINOR,
    impact="The comment silences nothing, while it looks as if it did.",
    recommendation="Name the rule in brackets by its full code, several with commas: `# mabeam: ignore[MB101, MB102] reason`.",
)

UNUSED = Rule(
    code="MB003",
    title="Suppression that silences nothing",
    severity=Severity.MINOR,
    impact="The flaw it was written for is gone; the next one on this line would be silenced without anybody having judged it.",
    recommendation="Remove the code from the comment, or the comment.",
)
