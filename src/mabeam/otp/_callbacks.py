"""The callbacks of a server class: what they must look like, found out where the class is defined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from mabeam.kernel import misfit

__all__ = ("CALLBACKS", "awaited", "callback_problems", "checked_up_front")

F = TypeVar("F", bound=Callable[..., None])

CALLBACKS: Final = {
    "init": (),
    "handle_info": ("message",),
    "handle_continue": ("argument",),
    "terminate": ("reason",),
    "lifespan": (),
}
"""What they are given besides the server itself."""


def checked_up_front(check: Callable[..., list[str]]) -> Callable[[F], F]:
    """Have ``check`` find what is wrong with the arguments of an ``__init__`` when a spec is made, before anything starts.

    It is given all of them by name, and answers a sentence for each problem.
    """

    def mark(init: F) -> F:
        init.__mabeam_check__ = check  # type: ignore[attr-defined]  # where ServerBehaviour looks for it
        return init

    return mark


def callback_problems(cls: type) -> list[str]:
    """What is wrong with those that a class defines itself."""
    found = []
    init = vars(cls).get("__init__")
    if inspect.iscoroutinefunction(init) or inspect.isasyncgenfunction(init):
        found.append(
            "__init__ is async, and Python does not await it; keep it plain, and wait for others in 'async def init(self)'"
        )
    for name, parameters in (*CALLBACKS.items(), ("code_change", ("old", "extra"))):
        function = vars(cls).get(name)
        if inspect.isfunction(function):
            found += _problems(name, function, parameters)
    return found


def _problems(name: str, function: Any, parameters: tuple[str, ...]) -> list[str]:
    found = []
    wrong = misfit(function, (None, *parameters), {})
    if wrong:
        written = ", ".join(("self", *parameters))
        found.append(
            f"{name} is called as {name}({', '.join(parameters)}), which does not fit: {wrong}; write {name}({written})"
        )
    if name == "lifespan":
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            found.append(
                "lifespan must be an async generator: 'async def' with one 'yield' in it, between start-up and clean-up"
            )
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        found.append(
            f"{name} has 'yield' in it, so calling it would run nothing; what others are to read is a method with @handle_stream"
        )
    return found


def awaited(awaitable: Any) -> Any:
    """A coroutine for whatever a callback returned to be awaited."""
    return awaitable if inspect.iscoroutine(awaitable) else _await(awaitable)


async def _await(awaitable: Any) -> Any:
    return await awaitable
