"""What a server enters when it starts and leaves when it ends, in one task."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from mabeam.errors import UsageError
from mabeam.kernel import Activation, activate, crash_reason, stop
from mabeam.otp._asides import asides_of
from mabeam.otp._generators import begin, finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from mabeam.kernel import Process

__all__ = ("hold_lifespan",)


def hold_lifespan(
    process: Process,
    generator: AsyncGenerator[None],
    up: Callable[[], None],
    start_failed: Callable[[Process, BaseException], None],
) -> None:
    """Enter ``generator``, call ``up`` when it has come to its ``yield``, and hold it until the process ends.

    It lives in one task from its first line to its last, as task groups and cancel scopes demand. If it ends or raises
    while the process lives, the process crashes: what it held is gone.
    """
    asides = asides_of(process)

    async def hold() -> None:
        if not hasattr(generator, "__anext__"):
            raise _no_generator(process, generator)
        try:
            await begin(generator)
        except StopAsyncIteration:
            msg = f"{process.label}.lifespan ended without yield; it must yield once, between start-up and clean-up"
            raise UsageError(msg) from None
        asides.leave = process.kernel.loop.create_future()
        if process.activations is not None:
            process.activations.pop(activation, None)
        process.hold, process.serial = activation, None
        up()
        try:
            await asides.leave
        except BaseException as error:
            # A task group inside has failed and cancels its host: let the generator deal with it where it yielded.
            try:
                await generator.athrow(error)
            except StopAsyncIteration:
                raise _ended_early(process) from None
            await finish(generator)
            raise
        try:
            await anext(generator)
        except StopAsyncIteration:
            return
        await finish(generator)
        msg = f"{process.label}.lifespan yielded twice; it must yield once, between start-up and clean-up"
        raise UsageError(msg)

    def over(activation: Activation, _value: object, error: BaseException | None) -> None:
        was_up, process.hold = process.hold is activation, None
        if process.ending is not None:
            if error is not None and was_up and not process.ending.killed:
                process.ending.reason = crash_reason(error)
                process.kernel.incidents.crash(process, process.ending.reason, f"{process.label}.lifespan")
        elif not was_up:
            start_failed(process, error if error is not None else AssertionError("lifespan ended early"))
        else:
            reason = crash_reason(error) if error is not None else crash_reason(_ended_early(process))
            process.kernel.incidents.crash(process, reason, f"{process.label}.lifespan")
            stop(process, reason)

    coroutine: Any = hold()
    coroutine.__qualname__ = (
        f"{process.label}.lifespan"  # what introspection and the task are to be called by
    )
    activation: Any = activate(process, coroutine, None, over, serial=True)


def _ended_early(process: Process) -> UsageError:
    return UsageError(f"{process.label}.lifespan swallowed the cancellation of what it held, and ended")


def _no_generator(process: Process, value: object) -> UsageError:
    hint = ""
    if inspect.iscoroutine(value):
        value.close()
    elif hasattr(value, "__aenter__"):
        hint = " Leave @asynccontextmanager away: the server enters it and leaves it."
    return UsageError(
        f"{process.label}.lifespan must be an async generator, 'async def lifespan(self)' with one 'yield' in it, between "
        f"start-up and clean-up; got {value!r}.{hint}"
    )
