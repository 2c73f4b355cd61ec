"""Where the messages of tasks stay while a handler that runs beside the mailbox may still await them."""

from __future__ import annotations

from typing import Protocol

from mabeam.kernel import STARTING, Activation, here

__all__ = ("Keeper", "keeper_here")


class Kept(Protocol):
    """A task whose messages are kept."""

    def release(self) -> None:
        """The activation that started the task is over."""
        ...


class Keeper:
    """Keeps the messages of tasks away from the mailbox while the activation that started them runs.

    It stands in for what the activation calls at its end. One for each activation that starts tasks; the tasks that were
    awaited are forgotten, so that an activation that lasts can start any number of them.
    """

    __slots__ = ("done", "tasks")

    def __init__(self, activation: Activation) -> None:
        self.done = activation.done
        self.tasks: dict[Kept, None] = {}
        activation.done = self

    def __call__(self, activation: Activation, value: object, error: BaseException | None) -> None:
        try:
            self.done(activation, value, error)
        finally:
            for task in tuple(self.tasks):
                task.release()
            self.tasks.clear()


def keeper_here() -> Keeper | None:
    """The keeper of the running activation; ``None`` in the one that the process itself waits for.

    There the mailbox stands still meanwhile, so what arrives keeps its place among the other messages, as in OTP. What is
    started during a start is kept as well: ``lifespan`` goes on when the process takes messages already.
    """
    owner = here.get(None)
    if not isinstance(owner, Activation):
        return None
    process = owner.process
    if owner is process.serial and not process.status & STARTING:
        return None
    return owner.done if isinstance(owner.done, Keeper) else Keeper(owner)
