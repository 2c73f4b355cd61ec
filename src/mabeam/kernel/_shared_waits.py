"""The run-time check of shared services: one whose serial handler waits for another process keeps all its users waiting.

A test asks for it; nothing is looked at otherwise. A wait is found when it begins, and when the handler begins to wait for a task
that is in one already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.kernel._waits import any_of, awaits, tasks_awaited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.kernel._activation import Activation
    from mabeam.kernel._process import Process
    from mabeam.kernel._waits import AnyWait

__all__ = ("tell_shared_wait", "tell_shared_waits_of_tasks")


def tell_shared_wait(owner: Activation) -> None:
    """Tell whoever tests it if a service waits because ``owner``, its handler or a task that this waits for, has begun to."""
    service, wait = owner.process, owner.waits_for
    if service.kernel.on_shared_wait is not None and wait is not None and owner in _inside(service):
        _tell(service, wait)


def tell_shared_waits_of_tasks(owner: Activation) -> None:
    """The same when ``owner`` has begun to wait for tasks, which may have waited before it did."""
    service = owner.process
    if service.kernel.on_shared_wait is None:
        return
    inside = tuple(_inside(service))
    if owner in inside:
        for each in inside:
            if each.waits_for is not None and not each.goes_on:
                _tell(service, each.waits_for)


def _tell(service: Process, wait: AnyWait) -> None:
    tell = service.kernel.on_shared_wait
    if tell is not None and wait.kind != "start":  # a service may start what it needs
        # What is asked for goes by its name (``Class.method``, ``get_state``); the rest is in words already.
        what = wait.what if wait.what.startswith("to ") else f"to answer {wait.what}"
        tell(service, wait.process, what)


def _inside(service: Process) -> Iterator[Activation]:
    """The serial handler of a service, and what it waits for of the service's own."""
    pending = [service.serial] if service.serial is not None else []
    seen = set(pending)
    while pending:
        activation = pending.pop()
        yield activation
        tasks = tasks_awaited(activation) if activation.waits_for is None else None
        led_to = tasks.owned(activation) if tasks is not None else (*awaits(activation), *any_of(activation))
        inside = {each for each in led_to if each.process is service}
        pending.extend(inside - seen)
        seen |= inside
