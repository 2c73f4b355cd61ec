"""A handler of a shared service that waits for somebody else fails the test in which it does."""

from __future__ import annotations

from typing import Any

import pytest

from mabeam import GenServer, Ref, handle_call
from mabeam.testing import VirtualLoop
from mabeam.testing._session import LoopSession, UnhandledError


class Other(GenServer):
    @handle_call
    async def ask(self) -> int:
        return 1


class Unshared(GenServer):
    def __init__(self, other: Ref[Other]) -> None:
        self.other = other

    @handle_call
    async def wait(self) -> int:
        return await self.other.call(Other.ask)

    @handle_call(concurrent=2)
    async def wait_beside(self) -> int:
        return await self.other.call(Other.ask)


class Service(Unshared, shared=True):
    """The same, for many."""


def run(server: Any, handler: Any) -> LoopSession:
    async def test() -> None:
        service = await server.start_link(await Other.start_link())
        assert await service.call(handler) == 1

    session = LoopSession(VirtualLoop)
    session.run(test)
    return session


def test_a_serial_handler_of_a_shared_service_must_not_wait() -> None:
    session = run(Service, Service.wait)
    with pytest.raises(UnhandledError) as caught:
        session.close()
    (problem,) = caught.value.problems
    assert problem.startswith(
        "Service (pid 2) is a shared service (shared=True), and one of its handlers waited for Other"
    )
    assert "to answer Other.ask" in problem


@pytest.mark.parametrize(("server", "handler"), [(Service, Service.wait_beside), (Unshared, Unshared.wait)])
def test_others_may(server: type[Unshared], handler: Any) -> None:
    run(server, handler).close()
