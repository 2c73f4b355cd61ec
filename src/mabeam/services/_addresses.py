"""Where a service is: the address in a handle, and the part of a running service that its handle looks into."""

from __future__ import annotations

from difflib import get_close_matches
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from mabeam.errors import NoSuchProcess, UsageError
from mabeam.kernel import DEAD, Addressable, NoProcess, Pid, ViaName, current_process, find

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mabeam.kernel import Name, Process, Target

__all__ = ("checked_address", "not_running", "reach", "similar_ids")

T = TypeVar("T")


def checked_address(service: str, target: Target) -> Pid | Name:
    """The pid or the name that leads to a service.

    Raises:
        UsageError: it is nothing that leads to a process.
    """
    address: object = target
    while isinstance(address, Addressable):
        address = address.address()
    if not isinstance(address, str | Pid | ViaName) or not address:
        msg = (
            f"{service}.at expects the name of a running {service}, its pid or its ref, got {target!r}\n"
            f"    right:  {service}.at('{_SUGGESTED}')"
        )
        raise UsageError(msg)
    return address


def reach(address: Pid | Name, attribute: str, kind: type[T], service: str) -> tuple[T, Process]:
    """The part of a running service that its handles look into, and the calling process.

    No message is involved: whatever the processes of the service do at the moment, nobody waits for them.

    Raises:
        NoSuchProcess: there is no process, or it has not begun to serve.
        UsageError: the caller is no process; or there is something else at the address.
    """
    caller = current_process()
    kernel = caller.kernel
    process = find(kernel, address)
    if process is not None and not process.status & DEAD:
        if process.kernel is not kernel:
            msg = (
                f"{process.describe()} lives in another Runtime; a {service} is for the processes of its own"
            )
            raise UsageError(msg)
        part = getattr(process.body, attribute, None)
        if isinstance(part, kind):
            return part, caller
        if process.behaviour.label != service:
            msg = f"expected a {service} at {address!r}, and there is {process.describe()}"
            raise UsageError(msg)
    raise not_running(address, service)


def not_running(address: Pid | Name, service: str) -> NoSuchProcess:
    """The error for a service that is not there, or has not begun to serve."""
    name = address if isinstance(address, str) else _SUGGESTED
    hint = (
        f"There is no {service} running there. Start it before those who use it, as a child of their supervisor: "
        f"{service}.child_spec().named({name!r})."
    )
    return NoSuchProcess(f"{service} {address!r}", NoProcess(), operation="call", hint=hint)


def similar_ids(wanted: object, known: Iterable[str]) -> list[str]:
    """The ids that somebody who mistyped one may have meant; at most three, so that no message grows with a table.

    Whoever asks for an unknown id asks on the loop of everybody else, perhaps again and again: only a few are compared closely,
    those of about the same length with about the same letters.
    """
    if not isinstance(wanted, str) or len(wanted) > _LONGEST_COMPARED:
        return []
    length, letters = len(wanted), set(wanted)
    near = (each for each in known if -_MOST_LETTERS <= len(each) - length <= _MOST_LETTERS)
    looked_at = islice(near, _MOST_LOOKED_AT)
    closest = nsmallest(_MOST_COMPARED, looked_at, key=lambda each: len(letters.symmetric_difference(each)))
    return get_close_matches(wanted, closest)


_SUGGESTED = "shared"
_LONGEST_COMPARED: Final = 200
_MOST_LETTERS: Final = 3
_MOST_LOOKED_AT: Final = 1_000
_MOST_COMPARED: Final = 20
