"""What goes wrong in a handler, or in how it is called, and who hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mabeam import (
    GenServer,
    NoSuchProcess,
    ProcessDied,
    Ref,
    UsageError,
    child_spec,
    handle_call,
    handle_cast,
    handle_stream,
    receive,
    ref,
)
from mabeam.kernel import Crashed, Runtime
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import pid_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no words")

    __str__ = __repr__


class Faulty(GenServer):
    """Raises what it is told to, in every kind of handler."""

    @handle_call(raises=(ValueError, StopIteration))
    def declared(self, error: BaseException) -> None:
        raise error

    @handle_call(raises=(ValueError, StopIteration))
    async def declared_slowly(self, error: BaseException) -> None:
        raise error

    @handle_call
    def undeclared(self, error: BaseException) -> None:
        raise error

    @handle_call
    async def undeclared_slowly(self, error: BaseException) -> None:
        await wait_until_idle()
        raise error

    @handle_call(thread=True)
    def undeclared_in_thread(self, error: BaseException) -> None:
        raise error

    @handle_call
    def add(self, one: int, other: int = 1) -> int:
        return one + other

    @handle_call
    async def add_slowly(self, one: int, other: int = 1) -> int:
        return one + other

    @handle_call(concurrent=1)
    async def add_beside(self, one: int, other: int = 1) -> int:
        return one + other

    @handle_call(thread=True)
    def add_in_thread(self, one: int, other: int = 1) -> int:
        return one + other

    @handle_call
    def inner(self) -> None:
        self.add()  # type: ignore[call-arg]

    @handle_cast
    def cast_error(self, error: BaseException) -> None:
        raise error

    @handle_cast
    def nothing(self) -> None: ...

    @handle_stream
    async def numbers(self, limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number

    def undecorated(self) -> None: ...


class Other(GenServer):
    """Another class."""

    @handle_call
    def elsewhere(self) -> None: ...


UNDECLARED = [Faulty.undeclared, Faulty.undeclared_slowly, Faulty.undeclared_in_thread]


@pytest.mark.parametrize("method", [Faulty.declared, Faulty.declared_slowly])
async def test_a_declared_exception_is_an_answer_and_the_server_lives(method: Any) -> None:
    """The caller gets the very exception."""
    server = await Faulty.start_link()
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught:
        await server.call(method, error)
    assert caught.value is error
    assert await server.call(Faulty.add, 1) == 2


async def test_a_declared_stop_iteration_is_an_answer_too() -> None:
    """No future can carry it as it is, so it comes as the cause of a RuntimeError."""
    server = await Faulty.start_link()
    with pytest.raises(RuntimeError) as caught:
        await server.call(Faulty.declared, StopIteration(1))
    assert isinstance(caught.value.__cause__, StopIteration)
    assert await server.call(Faulty.add, 1) == 2


@pytest.mark.parametrize("method", UNDECLARED)
async def test_an_undeclared_exception_crashes_the_server_with_the_cause_chained(
    method: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller gets ProcessDied, one report is logged, and no traceback is kept."""
    server = await Faulty.child_spec().start()
    error = KeyError("lost")
    with pytest.raises(ProcessDied) as caught:
        await server.call(method, error)
    died = caught.value
    assert not isinstance(died, NoSuchProcess)
    assert (died.operation, died.reason, died.pid) == ("call", Crashed(KeyError("lost")), pid_of(server))
    assert died.__cause__ is error
    assert error.__traceback__ is None
    (report,) = [record for record in caplog.records if record.name == "mabeam"]
    assert "Faulty.undeclared" in report.getMessage()
    assert report.exc_info is not None


@pytest.mark.parametrize("method", UNDECLARED)
@pytest.mark.parametrize(
    "make", [asyncio.CancelledError, StopIteration, StopAsyncIteration, GeneratorExit, UsageError]
)
async def test_every_undeclared_exception_is_a_crash(method: Any, make: Any) -> None:
    """Also those that mean something to coroutines: they never reach the caller as themselves."""
    server = await Faulty.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(method, make("odd"))
    assert isinstance(caught.value.reason, Crashed)
    assert not pid_of(server).is_alive


@pytest.mark.parametrize("method", UNDECLARED)
async def test_an_exception_that_cannot_be_shown_is_a_crash_like_any_other(method: Any) -> None:
    """A repr that raises spoils neither the report, nor the caller's error, nor the death."""
    probe = Probe.start()
    server = await Faulty.child_spec().start()
    probe.watch(server)
    with pytest.raises(ProcessDied) as caught:
        await server.call(method, Unprintable())
    assert isinstance(caught.value.__cause__, Unprintable)
    assert "Unprintable" in str(caught.value)
    assert isinstance((await probe.next()).reason, Crashed)


async def test_an_error_in_a_cast_crashes_the_server() -> None:
    """Nobody waits, and those who watch are told."""
    probe = Probe.start()
    server = await Faulty.child_spec().start()
    probe.watch(server)
    server.cast(Faulty.cast_error, LookupError("x"))
    assert (await probe.next()).reason == Crashed(LookupError("x"))


@pytest.mark.parametrize("method", [Faulty.add, Faulty.add_slowly, Faulty.add_beside, Faulty.add_in_thread])
@pytest.mark.parametrize("queued", [False, True])
async def test_arguments_that_do_not_fit_are_the_callers_mistake(method: Any, *, queued: bool) -> None:
    """In every kind of handler, handed off or not; the server lives."""
    server = await Faulty.start_link()
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"nonsense": 1})):
        if queued:
            server.cast(Faulty.nothing)
        with pytest.raises(UsageError, match="does not fit"):
            await server.call(method, *args, **kwargs)
    assert await server.call(method, 1, other=2) == 3


async def test_a_type_error_inside_a_handler_is_a_crash_of_the_server() -> None:
    """Only the call itself is the caller's business."""
    server = await Faulty.child_spec().start()
    with pytest.raises(ProcessDied) as caught:
        await server.call(Faulty.inner)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        (Faulty.cast_error, r"ref\.cast"),
        (Faulty.numbers, r"ref\.stream"),
        (Faulty.undecorated, "decorate it with @handle_call"),
        (Other.elsewhere, "no handler of"),
        (len, "no handler of"),
        (None, "no handler of"),
    ],
)
async def test_calling_what_answers_no_calls_is_a_usage_error(method: Any, hint: str) -> None:
    """It is raised at the caller, says what to write, and the server hears nothing of it."""
    server = await Faulty.start_link()
    with pytest.raises(UsageError, match=hint):
        await server.call(method)
    assert await server.call(Faulty.add, 1) == 2


async def test_casting_to_a_call_handler_is_a_usage_error() -> None:
    """As is streaming from one."""
    server = await Faulty.start_link()
    with pytest.raises(UsageError, match=r"ref\.call"):
        server.cast(Faulty.add, 1)
    with pytest.raises(UsageError, match=r"ref\.call"):
        server.stream(Faulty.add, 1)  # type: ignore[arg-type]


async def test_a_call_to_a_dead_process_fails_at_once_and_a_cast_is_a_dead_letter(runtime: Runtime) -> None:
    """The error says that it was not there, which is not the same as dying during the call."""
    server = await Faulty.start_link()
    await server.stop()
    with pytest.raises(NoSuchProcess) as caught:
        await server.options(timeout=None).call(Faulty.add, 1)
    assert (caught.value.operation, caught.value.pid) == ("call", pid_of(server))
    server.cast(Faulty.cast_error, ValueError())
    assert runtime.dead_letters.counts == {"dead": 1}


async def test_a_call_to_an_unknown_name_fails_at_once_and_a_cast_is_a_dead_letter(runtime: Runtime) -> None:
    """The handle can be made before there is such a process."""
    nobody = ref("nobody", Faulty)
    assert nobody.pid is None
    with pytest.raises(NoSuchProcess, match="nobody"):
        await nobody.call(Faulty.add, 1)
    nobody.cast(Faulty.cast_error, ValueError())
    assert runtime.dead_letters.counts == {"no_name": 1}
    assert repr(runtime.dead_letters.latest[0].message) == "cast of Faulty.cast_error(ValueError())"
    with pytest.raises(NoSuchProcess, match="nobody"):
        await nobody.stop()


async def test_a_plain_process_answers_no_calls() -> None:
    """It can be sent messages and be stopped."""
    got: list[Any] = []
    plain: Ref[Any] = await child_spec(_collect, got).start_link()
    with pytest.raises(UsageError, match="plain process"):
        await plain.call(Faulty.add, 1)
    with pytest.raises(UsageError, match="plain process"):
        plain.cast(Faulty.cast_error, ValueError())
    await wait_until_idle()  # what has not begun has nothing to clean up
    await asyncio.wait_for(plain.stop(), 1)
    assert got == ["cleaned up"]


async def _collect(got: list[Any]) -> None:
    try:
        while True:
            got.append(await receive())
    finally:
        got.append("cleaned up")


def test_a_class_is_shared_or_not() -> None:
    """Found where it is written."""
    with pytest.raises(UsageError, match="shared expects True or False, got 5"):

        class Wrong(GenServer, shared=5):  # type: ignore[arg-type]
            pass
