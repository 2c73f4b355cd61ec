"""JSON to values and reasons of mabeam, and back.

A JSON string is an atom (``str``), an array a tuple, a number a number, both ways. Reasons are translated by the table in
the README, section "mabeam".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mabeam.errors import CallCycle, CallTimeout, NoSuchProcess, ProcessDied, UsageError
from mabeam.kernel import (
    AlreadyStarted,
    Crashed,
    Exited,
    ExitReason,
    Killed,
    NoProcess,
    Normal,
    Pid,
    PlainBehaviour,
    Shutdown,
    Stop,
    current_process,
)
from mabeam.otp import FailedToStartChild

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = (
    "Json",
    "Scripted",
    "Thrown",
    "badarg_or_text",
    "failure_to_json",
    "in_erlang_order",
    "reason_from_json",
    "reason_to_json",
    "refusal_to_json",
    "stopping",
    "throw",
    "value_from_json",
    "value_to_json",
)

Json: TypeAlias = Any


class Scripted(Exception):
    """What a script raises: Erlang's ``error(X)``."""


class Thrown(Exception):
    """What a script throws, or a return value that its behaviour does not know.

    Attributes:
        in_server: whether that was in a callback of a GenServer, where OTP takes a throw for a return value.
    """

    def __init__(self, value: object, *, in_server: bool) -> None:
        super().__init__(value)
        self.in_server = in_server


def throw(value: Json) -> Thrown:
    """What to raise for a throw, or a wrong return value, in the running process."""
    return Thrown(
        value_from_json(value), in_server=not isinstance(current_process().behaviour, PlainBehaviour)
    )


def value_from_json(value: Json) -> Any:
    """A value to be sent, replied or raised."""
    return tuple(map(value_from_json, value)) if isinstance(value, list) else value


def in_erlang_order(values: list[Json]) -> list[Json]:
    """Sort values as the oracle does: numbers before atoms before lists before strings."""
    return sorted(values, key=_rank)


def _rank(value: Json) -> tuple[int, Any]:
    if isinstance(value, bool) or value is None:
        return 1, {True: "true", False: "false", None: "nil"}[value]
    if isinstance(value, list):
        return 2, [_rank(each) for each in value]
    return (3, value) if isinstance(value, str) else (0, value)


_PLAIN_REASONS: Final[dict[str, ExitReason]] = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "killed": Killed(),
    "noproc": NoProcess(),
}


def reason_from_json(reason: Json) -> ExitReason:
    """The reason of an exit or stop. ``"kill"`` is no exception: only a *signal* of that reason kills."""
    if isinstance(reason, str):
        return _PLAIN_REASONS.get(reason) or Exited(reason)
    if isinstance(reason, list) and len(reason) == 2 and reason[0] == "shutdown":
        return Shutdown(value_from_json(reason[1]))
    return Exited(value_from_json(reason))


def value_to_json(value: object, name_of: Callable[[Pid], str]) -> Json:
    """A value that came out of a program under test."""
    if isinstance(value, tuple | list):
        return [value_to_json(each, name_of) for each in value]
    if isinstance(value, Pid):
        return name_of(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return reason_to_json(value, name_of)


def reason_to_json(reason: object, name_of: Callable[[Pid], str]) -> Json:
    """An exit reason, as the oracle writes it."""
    match reason:
        case Normal():
            return "normal"
        case Killed():
            return "killed"
        case NoProcess():
            return "noproc"
        case Shutdown(None):
            return "shutdown"
        case Shutdown(FailedToStartChild(id=child, reason=why)):
            return ["shutdown", ["failed_to_start_child", child, reason_to_json(why, name_of)]]
        case Shutdown(detail):
            return ["shutdown", value_to_json(detail, name_of)]
        case Exited(AlreadyStarted(pid)):
            return ["already_started", name_of(pid)]
        case Exited(value):
            return value_to_json(value, name_of)
        case Crashed(UsageError() as error):
            return ["start_spec", refusal_to_json(error)]
        case Crashed(error):
            return _exception_to_json(error, name_of)
    raise AssertionError(f"{reason!r} is no exit reason")


def _exception_to_json(error: BaseException, name_of: Callable[[Pid], str]) -> Json:
    if isinstance(error, Scripted):
        return ["raise", value_to_json(error.args[0], name_of)]
    if isinstance(error, Thrown):
        value = value_to_json(error.args[0], name_of)
        return ["bad_return_value", value] if error.in_server else ["raise", ["nocatch", value]]
    if isinstance(error, NoSuchProcess) and error.operation == "link":
        return ["raise", "noproc"]
    operation = getattr(error, "operation", "call")
    if isinstance(error, ProcessDied | CallTimeout | CallCycle) and operation in {"call", "await"}:
        return ["await" if operation == "await" else "call_failed", failure_to_json(error, name_of)]
    return ["raise", f"{type(error).__name__}: {error}"]


def failure_to_json(error: BaseException, name_of: Callable[[Pid], str]) -> Json:
    """Why an operation on another process failed: the R of ``["call_failed", R]``, and the result of ``gs_stop``."""
    if isinstance(error, CallTimeout):
        return "timeout"
    if isinstance(error, CallCycle):
        return "calling_self"
    if isinstance(error, ProcessDied):
        return reason_to_json(error.reason, name_of)
    return _exception_to_json(error, name_of)


def refusal_to_json(error: UsageError) -> Json:
    """Why a child spec was refused. OTP names the first thing that is wrong, mabeam lists all in the same order."""
    problem = error.problems[0]
    if "significant, but auto_shutdown is 'never'" in problem:
        return ["bad_combination", [["auto_shutdown", "never"], ["significant", True]]]
    if "a permanent child cannot be significant" in problem:
        return ["bad_combination", [["restart", "permanent"], ["significant", True]]]
    return problem


def badarg_or_text(error: UsageError, *known: str) -> Json:
    """``badarg`` for a refusal that OTP knows, told by what its message says; any other agrees with nothing."""
    text = str(error)
    return "badarg" if any(each in text for each in known) else text


def stopping(reason: Json) -> Stop:
    """What to raise to end the running process."""
    return Stop(reason_from_json(reason))
