"""What a circuit is configured with: the settings of a ``CircuitBreaker`` by name, checked all at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, final

from mabeam.errors import ProcessDied, RejectedError, UsageError
from mabeam.kernel import Killed, Shutdown
from mabeam.resilience import CircuitBreaker, CircuitRules, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from mabeam.resilience import Backoff
    from mabeam.telemetry import Bus

__all__ = (
    "Circuit",
    "CircuitChange",
    "CircuitSettings",
    "TaskRefused",
    "circuit_of",
    "id_problems",
    "settings_problems",
)

CircuitChange: TypeAlias = Literal["created", "replaced", "unchanged"]
"""What configuring a circuit has come to."""


class CircuitSettings(TypedDict, total=False):
    """The settings of one circuit: those of :class:`CircuitBreaker` under the same names, all of which may be left out."""

    consecutive_failures: int | None
    failure_rate: float | None
    slow_call_rate: float | None
    slow_call_seconds: float | None
    window_calls: int | None
    window_seconds: float | None
    minimum_calls: int | None
    open_seconds: float | Backoff
    probes: int
    probe_failures: int
    half_open_seconds: float | None
    cancelled: Literal["ignore", "failure"]
    classify_error: Callable[[Exception], Outcome] | None
    classify_result: Callable[[Any], Outcome] | None


class TaskRefused(RejectedError):
    """There was no task for a supervised call. To users it is the ``RejectedError`` that it says it is.

    Attributes:
        circuit: the id of the circuit that had admitted the call.
    """

    def __init__(self, message: str, circuit: str) -> None:
        """Say why, and whose call it was."""
        super().__init__(message)
        self.circuit = circuit


_CLASSIFIERS: Final = ("classify_error", "classify_result")
_RULES: Final = frozenset(field.name for field in fields(CircuitRules))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Checked settings. Equal ones make breakers that behave alike."""

    rules: CircuitRules
    classify_error: Callable[[Exception], Outcome] | None = None
    classify_result: Callable[[Any], Outcome] | None = None

    def make(self, circuit_id: str, bus: Bus) -> CircuitBreaker:
        """A new breaker, closed."""
        rules = {name: getattr(self.rules, name) for name in _RULES}
        return CircuitBreaker(
            circuit_id,
            **rules,
            classify_error=self._judge_of(circuit_id),
            classify_result=self.classify_result,
            bus=bus,
        )

    def _judge_of(self, circuit_id: str) -> Callable[[Exception], Outcome]:
        classify = self.classify_error
        if classify is None:
            return judge

        def judge_for_user(error: Exception) -> Outcome:
            # That the service has no task left is its own affair: a user's classifier knows nothing of it, and one that takes
            # everything for a failure would open the circuit of a service that was never asked.
            if isinstance(error, TaskRefused) and error.circuit == circuit_id:
                return "ignore"
            return classify(error)

        return judge_for_user


def judge(error: Exception) -> Outcome:
    """What an exception means unless a circuit says otherwise: a failure, but for those that say nothing of the service.

    Nothing was run when a policy inside refused. And a process that somebody stopped or killed while it worked, the task of
    a supervised call for instance, was interrupted, as a call that is cancelled is.
    """
    if isinstance(error, RejectedError):
        return "ignore"
    if (
        type(error) is ProcessDied
        and error.operation == "await"
        and isinstance(error.reason, Killed | Shutdown)
    ):
        return "ignore"
    return "failure"


def circuit_of(settings: Mapping[str, Any]) -> Circuit:
    """Checked settings.

    Raises:
        UsageError: names everything that is wrong with the values; names that do not exist are for ``settings_problems``.
    """
    rules = {name: value for name, value in settings.items() if name in _RULES}
    classifiers = {name: settings.get(name) for name in _CLASSIFIERS}
    return Circuit(rules=CircuitRules(**rules), **classifiers)


def id_problems(circuit_id: object) -> list[str]:
    """What is wrong with the id of a circuit."""
    if isinstance(circuit_id, str) and circuit_id:
        return []
    return [f"the id of a circuit expects a non-empty string, got {circuit_id!r}"]


def settings_problems(settings: object) -> list[str]:
    """All that is wrong with the settings of a circuit, a sentence each."""
    if not isinstance(settings, Mapping):
        return [f"settings expect a mapping such as {{'consecutive_failures': 3}}, got {settings!r}"]
    found = [
        f"there is no setting {name!r}; there are {', '.join(sorted((*_RULES, *_CLASSIFIERS)))}"
        for name in settings
        if name not in _RULES and name not in _CLASSIFIERS
    ]
    for name in _CLASSIFIERS:
        value = settings.get(name)
        if value is not None and not callable(value):
            found.append(
                f"{name} expects a function that returns 'success', 'failure' or 'ignore', got {value!r}"
            )
    try:
        circuit_of(settings)
    except UsageError as error:
        found += error.problems
    return found
