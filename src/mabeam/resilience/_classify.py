"""Which ends of a call count for what: the users' classifiers, kept apart, and the rules without one."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from mabeam._base import Log
from mabeam.errors import DeadlineExceeded, RejectedError
from mabeam.resilience._circuit_rules import Outcome
from mabeam.resilience._circuit_state import FAILED, IGNORED, SUCCEEDED

if TYPE_CHECKING:
    from typing import Any

__all__ = ("Classifier", "ErrorClassifier", "ResultClassifier")

ErrorClassifier: TypeAlias = Callable[[Exception], Outcome]
"""Says what an exception means."""
ResultClassifier: TypeAlias = "Callable[[Any], Outcome]"
"""Says what a returned value means."""

_OUTCOMES: dict[object, int] = {"success": SUCCEEDED, "failure": FAILED, "ignore": IGNORED}
_logger = Log("mabeam.resilience")


class Classifier:
    """Classifies ends of calls; what is wrong with a user's function is logged once and hurts nobody."""

    __slots__ = ("_cancelled", "_name", "_of_error", "_told", "of_result")

    def __init__(
        self, name: str, of_error: ErrorClassifier | None, of_result: ResultClassifier | None, cancelled: int
    ) -> None:
        """For the breaker of that name."""
        self._name = name
        self._of_error = of_error
        self.of_result = of_result
        self._cancelled = cancelled
        self._told = False

    def error(self, error: BaseException) -> int:
        """What it means that the function raised.

        Cancellations are no errors; nor is what is not about the function (``KeyboardInterrupt`` and its like). A
        ``RejectedError`` says that a policy inside ran nothing, and a ``DeadlineExceeded`` that nobody was asked any more, so
        nothing was learned.
        """
        if not isinstance(error, Exception):
            return self._cancelled if isinstance(error, CancelledError) else IGNORED
        default = IGNORED if isinstance(error, RejectedError | DeadlineExceeded) else FAILED
        return default if self._of_error is None else self._ask(self._of_error, error, default)

    def result(self, result: object) -> int:
        """What it means that the function returned."""
        return SUCCEEDED if self.of_result is None else self._ask(self.of_result, result, SUCCEEDED)

    def _ask(self, classifier: Callable[[Any], Outcome], subject: object, default: int) -> int:
        try:
            word = classifier(subject)
            found = _OUTCOMES.get(word)
        except Exception as error:  # noqa: BLE001 - it is the classifier's fault alone
            self._tell("raised", error)
            return default
        if found is None:
            self._tell(
                f"returned {word!r}; expected 'success', 'failure' or 'ignore'",
                None,
            )
            return default
        return found

    def _tell(self, what: str, error: Exception | None) -> None:
        if not self._told:
            self._told = True
            _logger.error(
                "a classifier of circuit breaker %r %s; the call is judged as without one, and further mistakes are not told",
                self._name,
                what,
                exc_info=error,
            )
