"""The public API as users write it: it must type-check as it stands, and run.

Lines that carry an ignore must be refused by the type checker: an ignore that is not needed is an error. What
``expect`` is given is checked by ``test_typed_api.py`` with ``reveal_type``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import mabeam
from mabeam import (
    Caller,
    ChildSpec,
    DynamicSupervisor,
    ExitReason,
    GenServer,
    Ref,
    Runtime,
    Shutdown,
    Supervisor,
    UsageError,
    child_spec,
    handle_call,
    handle_cast,
    handle_stream,
    ref,
    reply_later,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

T = TypeVar("T")


class Counter(GenServer):
    """Every kind of handler."""

    def __init__(self, start: int = 0) -> None:
        self.value = start
        self.waiting: list[Caller[int]] = []

    @handle_call
    def add(self, amount: int) -> int:
        self.value += amount
        return self.value

    @handle_call
    async def add_slowly(self, amount: int, *, twice: bool = False) -> int:
        return self.add(2 * amount if twice else amount)

    @handle_call(concurrent=16)
    async def fetch(self, url: str) -> bytes:
        return url.encode()

    @handle_call(raises=(ValueError,))
    def parse(self, text: str) -> int:
        return int(text)

    @handle_call(raises=(ValueError,))
    async def parse_slowly(self, text: str) -> int:
        return int(text)

    @handle_call(thread=True)
    def block(self, seconds: float) -> str:
        return str(seconds)

    @handle_call
    def wait_for_next(self) -> int:
        return reply_later(self.waiting.append)

    @handle_call
    def echo(self, value: T) -> T:
        return value

    @handle_cast
    def reset(self) -> None:
        for caller in self.waiting:
            caller.reply(0)
        self.value = 0

    @handle_cast
    async def reset_slowly(self, to: int) -> None:
        self.value = to

    @handle_stream
    async def count_up(self, limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number

    def handle_info(self, message: object) -> None: ...
    async def terminate(self, reason: ExitReason) -> None: ...
    async def lifespan(self) -> AsyncGenerator[None]:
        yield


class LoudCounter(Counter):
    """Overrides a handler."""

    @handle_call
    def add(self, amount: int) -> int:
        return 2 * super().add(amount)


class Box(GenServer, Generic[T]):
    """A generic server."""

    def __init__(self, item: T) -> None:
        self.item = item

    @handle_call
    def get(self) -> T:
        return self.item


class Other(GenServer):
    """Another class."""

    @handle_call
    def ping(self) -> None: ...

    async def init(self) -> None: ...


async def poll(url: str) -> None:
    """A plain process."""


def expect(value: T) -> T:
    """Mark a value whose type is looked at."""
    return value


async def main() -> list[object]:
    """DESIGN's north star and its neighbours."""
    await Supervisor.start_link(
        [
            Counter.child_spec(10).named("counter"),
            LoudCounter.child_spec(start=3).named("loud"),
            Other.child_spec().options(restart="transient", shutdown=2.0),
            child_spec(poll, "u").options(restart="temporary"),
            Supervisor.child_spec([], strategy="rest_for_one"),
        ],
        strategy="one_for_one",
        max_restarts=3,
        max_seconds=5.0,
    )
    counter = ref("counter", Counter)
    added = expect(await counter.call(Counter.add, 5))
    twice = expect(await counter.call(Counter.add_slowly, 5, twice=True))
    fetched = expect(await counter.call(Counter.fetch, "u"))
    parsed = expect(await counter.call(Counter.parse, "1"))
    slowly = expect(await counter.call(Counter.parse_slowly, text="1"))
    blocked = expect(await counter.options(timeout=2.0).call(Counter.block, 1.0))
    echoed = expect(await counter.call(Counter.echo, "x"))
    results: list[object] = [added, twice, fetched, parsed, slowly, blocked, echoed]
    counter.cast(Counter.reset)
    counter.cast(Counter.reset_slowly, 3)
    async with counter.stream(Counter.count_up, 3) as numbers:
        async for number in numbers:
            same = expect(number)
            results.append(same)
    loud: Ref[Counter] = ref("loud", LoudCounter)
    louder = expect(await loud.call(Counter.add, 1))
    results.append(louder)
    box = expect(await Box[str].start_link("thing"))
    got = expect(await box.call(Box[str].get))
    results.append(got)
    dynamic = await DynamicSupervisor.start_link(max_children=1)
    child = expect(await dynamic.call(DynamicSupervisor.start_child, Counter.child_spec(1)))
    results.append(child.start_info)
    narrow = expect(Counter.child_spec(10).named("c"))
    spec: ChildSpec[object] = narrow
    started: Ref[Counter] = await Counter.child_spec(10).start()
    await started.stop(Shutdown("done"))
    return [*results, spec.id]


async def refused() -> None:
    """What must not type-check; what is refused at run time as well is run."""
    counter: Ref[Any] = await Counter.start_link()
    typed: Ref[Counter] = counter
    Counter.child_spec("ten")  # type: ignore[arg-type]
    Counter.child_spec(10, 11)  # type: ignore[call-arg]
    Counter.child_spec(1).options(restart="always")  # type: ignore[arg-type]
    _ = typed.call(Counter.add, "5").close()  # type: ignore[call-overload]
    _ = typed.call(Counter.add).close()  # type: ignore[call-overload]
    _ = typed.call(Other.ping).close()  # type: ignore[call-overload]
    _ = typed.call(Counter.fetch, url=1).close()  # type: ignore[call-overload]
    typed.stream(Counter.count_up)  # type: ignore[call-arg]
    try:
        typed.cast(Counter.reset_slowly, "3")  # type: ignore[arg-type]
        typed.cast(Other.ping)  # type: ignore[arg-type]
    except UsageError:
        pass
    wrong: Ref[LoudCounter] = ref("counter", Counter)  # type: ignore[arg-type]
    del wrong
    try:

        class Wrong(GenServer):
            @handle_call(concurrent=16)  # type: ignore[type-var]
            def not_async(self) -> int:
                return 1

    except UsageError:
        pass
    try:
        Supervisor.child_spec([], strategy="one_for_none")  # type: ignore[arg-type]
        await Supervisor.start_link([Counter], strategy="one_for_one")  # type: ignore[list-item]
    except UsageError:
        pass
    waiting: list[Caller[str]] = []
    try:
        number: int = reply_later(waiting.append)  # type: ignore[assignment]
        del number
    except UsageError:
        pass


async def inside() -> list[object]:
    """As in a loop that others own."""
    async with Runtime():
        return await main()


if __name__ == "__main__":
    mabeam.run(main)
