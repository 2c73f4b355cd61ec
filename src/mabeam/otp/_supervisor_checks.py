"""What is wrong with the options and the children that a supervisor is given: a sentence for each problem."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from mabeam.errors import UsageError
from mabeam.kernel import is_seconds, short_name
from mabeam.otp._child_spec import ChildSpec
from mabeam.otp._ref import Ref
from mabeam.otp._restart_state import Backoff

__all__ = ("check_limits", "check_option", "child_problems", "children_problems", "raise_problems")


def check_limits(
    max_restarts: object, max_seconds: object, backoff: Backoff | None, max_children: object = None
) -> list[str]:
    """What is wrong with the options that all supervisors have."""
    found: list[str] = []
    if not isinstance(max_restarts, int) or isinstance(max_restarts, bool) or max_restarts < 0:
        found.append(f"max_restarts expects a whole number >= 0, got {max_restarts!r}")
    if not is_seconds(max_seconds) or max_seconds == 0:
        found.append(f"max_seconds expects seconds > 0, got {max_seconds!r}")
    if backoff is not None:
        found.extend(
            backoff.check()
            if isinstance(backoff, Backoff)
            else [f"backoff expects a Backoff, got {backoff!r}"]
        )
    if max_children is not None and (
        not isinstance(max_children, int) or isinstance(max_children, bool) or max_children < 0
    ):
        found.append(f"max_children expects a whole number >= 0, or None for no limit, got {max_children!r}")
    return found


def check_option(name: str, value: object, choices: Any) -> list[str]:
    """What is wrong with an option that is one of a few words."""
    words = get_args(choices)
    return [] if value in words else [f"{name} expects one of {', '.join(words)}, got {value!r}"]


def raise_problems(who: str, problems: list[str]) -> None:
    """Raise one error that lists them all.

    Raises:
        UsageError: there are any.
    """
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise UsageError(f"{who} was not started, nothing has begun:\n{lines}", problems=problems)


def child_problems(spec: object) -> tuple[str, ...]:
    """What is wrong with something given as a child."""
    return spec.check() if isinstance(spec, ChildSpec) else (_no_spec(spec),)


def _no_spec(value: object) -> str:
    """Say what a child is written like, to somebody who has given something else."""
    if inspect.iscoroutine(value):
        server = value.cr_frame.f_locals.get("cls") if value.cr_frame is not None else None
        name = short_name(value)
        value.close()
        if isinstance(server, type) and hasattr(server, "child_spec"):  # a start_link that was called
            return f"a child expects a spec, got the coroutine {name}(...), which starts it here. Write {server.__name__}.child_spec(...)"
        return f"a child expects a spec, got the coroutine {name}(...): the function was called. Write child_spec({name}, ...)"
    owner = getattr(value, "__self__", None)
    if isinstance(owner, type) and hasattr(owner, "child_spec"):  # start_link or child_spec itself
        return f"a child expects a spec, got {short_name(value)} of {owner.__name__}, not called. Write {owner.__name__}.child_spec(...)"
    if isinstance(value, type):
        if hasattr(value, "child_spec"):
            return f"a child expects a spec, got the class {value.__name__}. Write {value.__name__}.child_spec(...)"
        return f"a child expects a spec, got the class {value.__name__}, which is no GenServer"
    if hasattr(value, "__mabeam_behaviour__"):
        name = type(value).__name__
        return f"a child expects a spec, got an object of {name}; a server is made in its own process. Write {name}.child_spec(...)"
    if isinstance(value, Ref):
        return f"a child expects a spec, got {value!r}, which runs already. Give its spec, so that it can be restarted"
    if callable(value):
        return f"a child expects a spec, got the function {short_name(value)}. Write child_spec({short_name(value)}, ...)"
    return f"a child expects a spec such as Counter.child_spec(10), got {value!r}"


def children_problems(children: object) -> list[str]:
    """What is wrong with something given as the children of a supervisor; nothing with a list, whatever is in it."""
    if isinstance(children, list | tuple):
        return []
    hint = ""
    if isinstance(children, ChildSpec):
        hint = ", which is one spec. Write [spec]"
    elif inspect.iscoroutine(children):
        hint = f": the function was called. Give it as it is, {short_name(children)}; it runs once, in the supervisor's process"
        children.close()
    elif isinstance(children, type) and hasattr(children, "child_spec"):
        hint = f". Write [{children.__name__}.child_spec(...)]"
    elif isinstance(children, Mapping):
        hint = ". A list has an order, in which they start; a child's id is given by .named(...) or .options(id=...)"
    elif isinstance(children, Iterable) and not isinstance(children, str):
        hint = ". Write list(...), as it is gone through more than once"
    return [f"children expects a list of specs, or a function that returns one, got {children!r}{hint}"]
