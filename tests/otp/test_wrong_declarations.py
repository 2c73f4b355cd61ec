"""Server classes that are written wrongly: it is told where the class is defined, with all that is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Crashed,
    GenServer,
    ProcessDied,
    StartFailed,
    Supervisor,
    UsageError,
    continue_with,
    handle_call,
    handle_cast,
    handle_stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


# ---------------------------------------------------------------------------------------- options of handlers


@pytest.mark.parametrize("concurrent", [0, -1, True, False, "2", 1.5])
def test_concurrent_is_a_number_of_handlers(concurrent: Any) -> None:
    """0 would be a serial handler, which is declared without it."""
    with pytest.raises(UsageError, match="concurrent expects a number of handlers >= 1, got"):
        handle_call(concurrent=concurrent)


@pytest.mark.parametrize("thread", ["yes", 1, None])
def test_thread_is_on_or_left_away(thread: Any) -> None:
    with pytest.raises(UsageError, match="thread expects True"):
        handle_call(thread=thread)


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("timeout", r"ref\.options\(timeout=\.\.\.\)"),
        ("max_concurrency", "it is called concurrent"),
        ("colour", "no option colour$"),
    ],
)
def test_an_option_that_there_is_not_says_what_was_meant(option: str, hint: str) -> None:
    declare: Any = handle_call
    with pytest.raises(UsageError, match=hint):
        declare(**{option: 3})


def test_all_wrong_options_are_told_at_once() -> None:
    declare: Any = handle_call
    with pytest.raises(UsageError) as caught:
        declare(concurrent="2", thread=3, raises=ValueError, timeout=1)
    assert len(caught.value.problems) == 5  # both are given, too, and exclude each other


@pytest.mark.parametrize("declare", [handle_cast, handle_stream])
def test_casts_and_streams_have_no_options(declare: Any) -> None:
    """Nor parentheses."""
    with pytest.raises(UsageError, match="without parentheses"):
        declare()
    with pytest.raises(UsageError, match="concurrent=3"):
        declare(concurrent=3)


# ---------------------------------------------------------------------------------------- what a handler is


def test_a_handler_takes_its_server() -> None:
    with pytest.raises(UsageError, match=r"must take it: def add\(self, \.\.\.\)"):

        class _Wrong(GenServer):
            @handle_call
            def add() -> int:  # type: ignore[misc]  # what is wrong
                return 1


def test_a_handler_may_take_whatever_comes() -> None:
    class Any_(GenServer):
        @handle_call
        def add(*numbers: Any) -> int:
            return len(numbers)

    assert Any_.child_spec().check() == ()


@pytest.mark.parametrize("around", [staticmethod, classmethod, property])
def test_nothing_may_stand_around_a_handler_that_makes_it_no_method(around: Any) -> None:
    with pytest.raises(UsageError, match=f"leave @{around.__name__} away"):

        class _Wrong(GenServer):
            @around  # type: ignore[untyped-decorator]  # any of three
            @handle_call
            def add(self) -> int:
                return 1


def test_a_handler_is_of_one_kind() -> None:
    with pytest.raises(UsageError, match="declared twice, with @handle_cast and @handle_call"):

        class _Wrong(GenServer):
            @handle_call
            @handle_cast
            def add(self) -> int:
                return 1


def test_two_handlers_of_one_name_are_refused_where_the_second_is_written() -> None:
    """The first would be gone without a word."""
    with pytest.raises(UsageError, match="defined twice in its class"):

        class _Wrong(GenServer):
            @handle_call
            def add(self) -> int:
                return 1

            @handle_call(raises=(ValueError,))  # type: ignore[no-redef]  # what is wrong
            def add(self) -> int:  # noqa: F811  (what is wrong)
                return 2


def test_one_name_in_two_classes_is_no_second_one() -> None:
    """Whether one inherits from the other or not, and whether both are made by one function or not."""

    def make(base: type = GenServer) -> Any:
        class Made(base):  # type: ignore[misc]  # any base
            @handle_call
            def add(self) -> int:
                return 1

        return Made

    first = make()
    assert issubclass(make(first), first)
    assert not issubclass(make(), first)


@pytest.mark.parametrize(
    "name", ["init", "handle_info", "handle_continue", "terminate", "lifespan", "child_spec", "start_link"]
)
def test_a_name_that_means_something_else_is_no_handlers(name: str) -> None:
    def method(*_args: Any) -> None: ...

    method.__name__ = name
    with pytest.raises(UsageError, match=f"{name} means something else in GenServer"):
        type("Wrong", (GenServer,), {name: handle_call(method)})


def test_what_makes_the_server_is_no_handler() -> None:
    with pytest.raises(UsageError, match="is what makes the server"):

        class _Wrong(GenServer):
            @handle_call
            def __init__(self) -> None: ...


def test_a_supervisors_own_handlers_can_be_overridden() -> None:
    """They mean just that."""

    class Loud(Supervisor):
        @handle_call
        def which_children(self) -> Any:
            return super().which_children()

    assert Loud.child_spec([], strategy="one_for_one").check() == ()


# ---------------------------------------------------------------------------------------- callbacks


def test_an_async_init_method_of_python_is_refused() -> None:
    """It would not be awaited."""
    with pytest.raises(UsageError, match=r"async def init\(self\)"):

        class _Wrong(GenServer):
            async def __init__(self) -> None: ...  # type: ignore[misc]  # what is wrong


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("init", r"init\(self\)"),
        ("handle_info", r"handle_info\(self, message\)"),
        ("handle_continue", r"handle_continue\(self, argument\)"),
        ("terminate", r"terminate\(self, reason\)"),
        ("lifespan", r"lifespan\(self\)"),
    ],
)
def test_a_callback_takes_what_it_is_called_with(name: str, right: str) -> None:
    """And the error says what that is."""

    def wrong(self: Any, one: object, two: object) -> None: ...

    def flexible(*_args: object) -> None: ...

    with pytest.raises(UsageError, match=f"{name} is called as .* write {right}"):
        type("Wrong", (GenServer,), {name: wrong})
    type("Right", (GenServer,), {name: flexible})


async def _async_generator(*_args: object) -> AsyncIterator[int]:
    yield 1


def _generator(*_args: object) -> Iterator[int]:
    yield 1


async def _coroutine(*_args: object) -> None: ...


def _handler(*_args: object) -> None: ...


@pytest.mark.parametrize("name", ["init", "handle_info", "handle_continue", "terminate"])
@pytest.mark.parametrize("function", [_async_generator, _generator])
def test_a_callback_that_is_a_generator_would_run_nothing(name: str, function: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="'yield' in it"):
        type("Wrong", (GenServer,), {name: function})
    type("Right", (GenServer,), {name: _coroutine})


@pytest.mark.parametrize("function", [_coroutine, _generator])
def test_a_lifespan_is_an_async_generator(function: Callable[..., object]) -> None:
    with pytest.raises(UsageError, match="lifespan must be an async generator"):
        type("Wrong", (GenServer,), {"lifespan": function})
    type("Right", (GenServer,), {"lifespan": _async_generator})


def test_all_that_is_wrong_with_a_class_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        type(
            "Wrong",
            (GenServer,),
            {
                "init": _generator,
                "lifespan": _coroutine,
                "mailbox_limit": 0,
                "add": staticmethod(handle_call(_handler)),
            },
        )
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("returned", "hint"),
    [
        (contextlib.asynccontextmanager(_async_generator), "Leave @asynccontextmanager away"),
        (lambda *_args: 3, "got 3"),
        (lambda *_args: _coroutine(), "coroutine"),
    ],
)
async def test_a_lifespan_that_turns_out_to_be_something_else_fails_the_start(
    returned: Callable[..., object], hint: str
) -> None:
    """A decorator may have made it so; nothing is left that was never awaited."""
    wrong: Any = type("Wrong", (GenServer,), {"lifespan": returned})
    with pytest.raises(StartFailed) as caught:
        await wrong.start_link()
    assert hint in str(caught.value.__cause__)


async def test_the_base_of_servers_is_no_server() -> None:
    with pytest.raises(UsageError, match=r"class Counter\(GenServer\)"):
        await GenServer.start_link()


# ---------------------------------------------------------------------------------------- decorators of others


def _logged(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the usual kind: plain, around whatever it is given."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return wrapper


class Decorated(GenServer):
    """Has decorators of others between its methods and ours."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @handle_call
    @_logged
    async def slow(self, number: int) -> int:
        await asyncio.sleep(0)  # noqa: TID251  (a turn, not a wait)
        return number

    @functools.cache  # noqa: B019  (the test is over before it matters)
    @handle_call
    def cached(self, number: int) -> int:
        if number < 0:
            raise TypeError("below 0")
        return number

    @handle_cast
    def note(self, what: object) -> None:
        self.seen.append(what)


@pytest.mark.parametrize("queued", [False, True])
async def test_a_plain_wrapper_around_an_async_handler_is_awaited(*, queued: bool) -> None:
    """Handed off or not, the caller gets the value and no coroutine."""
    server = await Decorated.start_link()
    if queued:
        server.cast(Decorated.note, 1)
    assert await server.call(Decorated.slow, 7) == 7


async def test_an_error_under_a_decorator_of_others_is_a_crash_and_no_wrong_call() -> None:
    """Where it came from cannot be seen, so it is not put down to the caller."""
    server = await Decorated.child_spec().start()
    assert await server.call(Decorated.cached, 1) == 1
    with pytest.raises(ProcessDied) as caught:
        await server.call(Decorated.cached, -1)
    assert caught.value.reason == Crashed(TypeError("below 0"))


async def test_a_continuation_without_its_callback_says_what_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Forgot(GenServer):
        def init(self) -> None:
            continue_with(1)

    server = await Forgot.child_spec().start()
    with contextlib.suppress(Exception):
        await server.stop()
    assert "must define handle_continue(self, argument)" in caplog.text
