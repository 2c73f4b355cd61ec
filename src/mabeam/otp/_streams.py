"""Streams: an async generator of a server, read by another process, with credit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast, final

from mabeam._base import Log
from mabeam.errors import CallTimeout, HandlerFailed, RejectedError, UsageError
from mabeam.kernel import (
    Activation,
    HandlerMessage,
    NoProcess,
    Stop,
    activate,
    check_cycle,
    check_stream_cycle,
    died,
    enter_full,
    heed_end,
    here,
    is_decided,
    is_on_loop,
    waiting_for,
    was_gone,
)
from mabeam.otp._generators import begin, finish
from mabeam.otp._mistakes import bad_call, wrong_thread
from mabeam.otp._read_in_block import ReadInBlock, wake
from mabeam.otp._requests import StopRequest
from mabeam.telemetry import current_trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from mabeam.kernel import ExitReason, Pid, Process
    from mabeam.otp._handlers import Handler
    from mabeam.telemetry import TraceContext

__all__ = ("CREDIT", "Stream", "StreamRequest", "open_stream")

logger = Log("mabeam")

T = TypeVar("T")

CREDIT: Final = 8
"""Items that a server may be ahead of its reader."""


class Channel:
    """The items between a server and one reader: a bounded buffer that either side can end.

    It is registered with both processes, so that it hears of the death of either.
    """

    __slots__ = (
        "_buffer",
        "_finished",
        "_wake_reader",
        "_wake_writer",
        "closed",
        "error",
        "opened",
        "pump",
        "reader",
        "server",
        "what",
    )

    def __init__(self, server: Process, what: str) -> None:
        self.server = server
        self.what = what
        self.pump: Activation | None = None
        """What runs the generator."""
        self.reader: Activation | None = None
        """What has entered the block, if it belongs to a process."""
        self.opened: asyncio.Future[None] = server.kernel.loop.create_future()
        self.closed = False
        """The reader has left."""
        self.error: BaseException | None = None
        self._finished = False
        """The generator has ended."""
        self._buffer: deque[Any] = deque()
        self._wake_reader: asyncio.Future[None] | None = None
        self._wake_writer: asyncio.Future[None] | None = None

    async def wait_for_credit(self) -> bool:
        """Wait until the reader is near enough; false when nobody reads any more."""
        while len(self._buffer) >= CREDIT and not self.closed:
            self._wake_writer = self.server.kernel.loop.create_future()
            if self.reader is None:
                await self._wake_writer
            else:
                with waiting_for(self.reader.process, f"to read on in {self.what}", stream=self.reader):
                    await self._wake_writer
        return not self.closed

    def put(self, item: Any) -> None:
        """Hand an item over."""
        if not self.closed:
            self._buffer.append(item)
            wake(self._wake_reader)

    def refuse(self, error: Exception) -> None:
        """The stream cannot begin."""
        self._finished = True
        if not self.opened.done():
            self.opened.set_exception(error)

    async def get(self) -> Any:
        """The next item."""
        if self._wake_reader is not None and not self._wake_reader.done():
            msg = "the stream is being read already; its items are given out to one reader"
            raise UsageError(msg)
        while not self._buffer:
            if self.error is not None:
                raise self.error
            if self._finished:
                raise StopAsyncIteration
            check_stream_cycle(here.get(None), self.pump)
            self._wake_reader = self.server.kernel.loop.create_future()
            what = f"to make the next item of {self.what}"
            with waiting_for(self.server, what, stream=self.pump, is_reader=True):
                await self._wake_reader
        item = self._buffer.popleft()
        wake(self._wake_writer)
        return item

    def ended(self, error: BaseException | None, what: str) -> None:
        """The generator has ended; the reader gets what is in the buffer first."""
        if error is not None and not self.closed and self.error is None:
            self.error = HandlerFailed(what, error)
            self.error.__cause__ = error
        self._finished = True
        wake(self._wake_reader)
        _forget(self.server, self)

    def server_died(self, reason: ExitReason) -> None:
        """The server has ended."""
        if not self._finished and not self.closed:
            self.error = died(self.server, reason, "stream")
        self._finished = True
        if not self.opened.done():
            self.opened.set_result(None)
        wake(self._wake_reader)

    def close(self) -> None:
        """The reader has left: stop the generator."""
        if not self.closed:
            self.closed = True
            self.error = None  # its traceback leads to whoever reads, and so to here
            self._buffer.clear()
            wake(self._wake_writer)
            _forget(self.server, self)
            if self.pump is not None and not self._finished:
                self.pump.cancel()

    def process_ended(self, pid: Pid) -> None:
        """One of the two processes has ended."""
        if pid is self.server.pid:
            ending = self.server.ending
            self.server_died(ending.reason if ending is not None else NoProcess())
        else:
            self.close()


class StreamRequest(HandlerMessage):
    """A reader asks for a stream."""

    __slots__ = ("channel", "trace")

    handler: Handler
    trace: TraceContext | None
    """The trace of the reader, since it was entered."""

    def __init__(
        self, handler: Handler, args: tuple[Any, ...], kwargs: dict[str, Any], channel: Channel
    ) -> None:
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        self.channel = channel

    def __repr__(self) -> str:
        return f"stream of {self.handler.what}"


def open_stream(process: Process, request: StreamRequest) -> None:
    """Begin to run a generator beside the server, unless as many are read already as messages may wait.

    With those that clean up after their readers twice as many may run: who leaves one to enter another is not refused.
    """
    running, limit = process.activations or (), process.behaviour.mailbox_limit
    # Looked through only when there may be too many: a count that is kept would make each call of the server slower.
    if len(running) >= limit:
        left = [each.message.channel.closed for each in running if type(each.message) is StreamRequest]
        if left.count(False) >= limit or len(left) >= 2 * limit:
            request.channel.refuse(_too_many(process, left.count(False), left.count(True)))
            return
    _remember(process, request.channel)
    activate(process, _pump(process.body, request), request, _stream_over)


def _too_many(process: Process, are_read: int, clean_up: int) -> RejectedError:
    limit = process.behaviour.mailbox_limit
    return RejectedError(
        f"{process.describe()} has {are_read} streams open and {clean_up} that clean up; it may have {limit} open, as many "
        f"as its mailbox may hold messages, and {2 * limit} in all: nothing was done. Leave the block when enough was read, try "
        "again later, or raise mailbox_limit of its class."
    )


async def _pump(instance: Any, request: StreamRequest) -> None:
    """Run the generator of a server for one reader."""
    channel = request.channel
    if channel.closed:
        return
    channel.pump = cast("Activation", here.get())
    try:
        # Calling an async generator function runs none of it, so this is about the arguments.
        generator = request.handler.function(instance, *request.args, **request.kwargs)
    except TypeError as error:
        channel.refuse(bad_call(request.handler, error))
        return
    if not channel.opened.done():
        channel.opened.set_result(None)
    step: Callable[[Any], Awaitable[Any]] = begin
    try:
        # Credit first: what is made is ahead of the reader, handed over or not.
        while await channel.wait_for_credit():
            try:
                item = await step(generator)
            except StopAsyncIteration:
                break
            step = anext
            channel.put(item)
    except asyncio.CancelledError:
        if not channel.closed:
            raise
    finally:
        if not await finish(generator):
            process = channel.server
            logger.error(
                "%s: %s yields again when it is told to close. Have it yield nothing in 'finally', and let GeneratorExit pass.",
                process.describe(),
                request.handler.what,
                extra={"mabeam_pid": process.pid.serial, "mabeam_label": process.label},
            )


def _stream_over(activation: Activation, _value: object, error: BaseException | None) -> None:
    """The generator of a stream has ended, with whatever it raised."""
    request: StreamRequest = activation.message
    process = activation.process
    if isinstance(error, Stop) and process.ending is None:
        process.kernel.scheduler.enqueue(process, StopRequest(error.reason))
    if error is not None and (isinstance(error, Stop) or process.ending is not None):
        return  # the reader hears of the server's end, at that end
    if error is not None:
        process.kernel.incidents.failure(process, error, request.handler.what)
    request.channel.ended(error, request.handler.what)


@final
class Stream(ReadInBlock[T]):
    """A stream that is not open yet: ``async with ref.stream(Server.rows, ...) as rows: async for row in rows: ...``."""

    __slots__ = ("_args", "_channel", "_entered", "_find_server", "_kwargs", "_what")

    def __init__(
        self,
        find_server: Callable[[], tuple[Process, Handler, float | None]],
        what: str,
        args: Any,
        kwargs: Any,
    ) -> None:
        """Made by ``ref.stream`` only; ``find_server`` says who is asked, for what, and how long entering may take."""
        self._find_server = find_server
        self._what = what
        self._args = args
        self._kwargs = kwargs
        self._entered = False
        self._channel: Channel | None = None

    async def __aenter__(self) -> AsyncIterator[T]:
        """Wait until the server has begun, and return the items."""
        await heed_end()
        if self._entered:
            raise UsageError(
                f"a stream of {self._what} can be entered once; ask for another with ref.stream(...)"
            )
        server, handler, timeout = self._find_server()
        kernel = server.kernel
        if not is_on_loop(kernel):
            raise wrong_thread(server)
        check_cycle(here.get(None), server)
        self._entered = True
        channel = Channel(server, self._what)
        request = StreamRequest(handler, self._args, self._kwargs, channel)
        request.trace = current_trace()
        is_late = is_decided(server)
        until = None if timeout is None else kernel.loop.time() + timeout
        timer = None
        try:
            if kernel.has_room(server):
                kernel.scheduler.enqueue(server, request)
            else:
                await enter_full(server, request, timeout)
            owner = here.get(None)
            if owner is not None:
                _remember(owner.process, channel)
                channel.reader = owner if isinstance(owner, Activation) else None
            if until is not None:
                timer = kernel.loop.call_at(until, _expire, channel, request, timeout)
            with waiting_for(server, handler.what):
                await channel.opened
            if is_late:
                raise was_gone(server, "stream")
        except BaseException:
            _leave(channel)
            raise
        else:
            self._channel = channel
            return _Items(channel)
        finally:
            if timer is not None:
                timer.cancel()
            del channel, request  # an error is in there, and its traceback leads to this frame

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: the generator is cancelled where it waits and cleans up."""
        if self._channel is not None:
            _leave(self._channel)

    def _how(self) -> str:
        """As a method of a handle."""
        return f"ref.stream({self._what}, ...)"


class _Items(AsyncIterator[T]):
    """The items of an open stream."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._channel.closed:
            msg = "the stream was closed when its block was left; read it inside the block"
            raise UsageError(msg)
        return await self._channel.get()  # type: ignore[no-any-return]  # items of the generator's own type


def _leave(channel: Channel) -> None:
    channel.close()
    owner = here.get(None)
    if owner is not None:
        _forget(owner.process, channel)


def _remember(process: Process, channel: Channel) -> None:
    if process.registrations is None:
        process.registrations = {}
    process.registrations[channel] = None


def _forget(process: Process, channel: Channel) -> None:
    if process.registrations is not None:
        process.registrations.pop(channel, None)


def _expire(channel: Channel, request: StreamRequest, timeout: Any) -> None:
    if not channel.opened.done():
        channel.opened.set_exception(CallTimeout(channel.server.describe(), request.handler.what, timeout))
