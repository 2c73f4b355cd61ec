"""What the scripted processes of one scenario share: who is called what, the event log, gates and naps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mabeam.kernel import find
from mabeam.otp import Ref
from tests.conformance.otp._values import Json, reason_to_json, value_to_json

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Mapping

    from mabeam.kernel import Kernel, Pid, Runtime

__all__ = ("UnknownKeyError", "World")

_OTHER: Final = "other"


class UnknownKeyError(Exception):
    """A step names a process that never started."""


class World:
    """Everything about one run of one scenario.

    Every scripted process enters itself with :meth:`enter` when it begins. Its end is seen by the kernel's
    ``process.exited`` event, which comes before anybody hears of the end.

    Attributes:
        kernel: the inside of the Runtime.
        loop: its virtual loop.
        specs: the latest spec of each supervisor that was started, by key.
        gates: what a worker waits for in its ``init``, by key.
        naps: how many scripted processes sleep.
        stuck: the processes that wait for good, by name.
        registries: by name.
    """

    def __init__(self, runtime: Runtime, loop: Any) -> None:
        self.kernel: Kernel = runtime.kernel
        self.loop = loop
        self.specs: dict[str, Json] = {}
        self.gates: dict[str, asyncio.Future[None]] = {}
        self.naps = 0
        self.stuck: set[str] = set()
        self.registries: dict[str, Any] = {}
        self._events: list[Json] = []
        self._numbers: dict[str, int] = {}
        self._latest: dict[str, Pid] = {}
        self._names: dict[Pid, str] = {}
        self._keys: dict[Pid, str] = {}
        self._supervisors: set[Pid] = set()
        self._up: set[Pid] = set()
        self._by_serial: dict[int, Pid] = {}
        self._bus = runtime.bus
        runtime.bus.attach(self._on_event, events=["process.started", "process.exited"])

    # ------------------------------------------------------------------------------------------- names

    def enter(self, key: str, pid: Pid, *, is_up: bool, is_supervisor: bool = False) -> tuple[str, int]:
        """Take in a process that has just begun; its name, and how many of that key there have been."""
        number = self._numbers[key] = self._numbers.get(key, 0) + 1
        self._names[pid], self._keys[pid], self._by_serial[pid.serial] = f"{key}#{number}", key, pid
        if is_supervisor:
            self._supervisors.add(pid)
        if is_up:
            self._up.add(pid)
            self._latest[key] = pid
        return self._names[pid], number

    def pid_of(self, key: str) -> Pid:
        """The latest process of that key whose start succeeded, dead or alive.

        Raises:
            UnknownKeyError: none ever did.
        """
        if key not in self._latest:
            raise UnknownKeyError(key)
        return self._latest[key]

    def ref_of(self, key: str) -> Ref[Any]:
        """A handle of that process."""
        process = find(self.kernel, self.pid_of(key))
        assert process is not None
        return Ref(process, self.kernel)

    def name_of(self, pid: Pid) -> str:
        """How a process is called in the trace."""
        return self._names.get(pid, _OTHER)

    def alive(self) -> list[str]:
        """The names of the living processes, sorted."""
        return sorted(name for pid, name in self._names.items() if pid.is_alive)

    def supervisors(self) -> list[tuple[str, str]]:
        """Name and key of the living supervisors, sorted."""
        return sorted(
            (self._names[pid], self._keys[pid])
            for pid in self._supervisors
            if pid.is_alive and pid in self._up
        )

    # ------------------------------------------------------------------------------------------- translating

    def value(self, value: object) -> Json:
        """A value as JSON."""
        return value_to_json(value, self.name_of)

    def reason(self, reason: object) -> Json:
        """An exit reason as JSON."""
        return reason_to_json(reason, self.name_of)

    # ------------------------------------------------------------------------------------------- events

    def log(self, *event: Json) -> None:
        """Write an event down."""
        self._events.append(list(event))

    def collect(self) -> list[Json]:
        """The events since the last time."""
        events, self._events = self._events, []
        return events

    def check(self) -> None:
        """Fail if the log itself has failed: the bus keeps that from the programs under test."""
        assert not self._bus.statistics().failures, "the event log raised; see the log"

    def _on_event(self, event: str, _numbers: Mapping[str, float], about: Mapping[str, object]) -> None:
        serial = about["pid"]
        assert isinstance(serial, int)
        pid = self._by_serial.get(serial)
        if pid is None:
            return
        if event == "process.exited":
            if pid in self._up:  # one that never finished starting leaves no exit
                process = find(self.kernel, pid)
                assert process is not None
                self.log("exit", self._names[pid], self.reason(process.reason))
        elif pid not in self._up:
            self._up.add(pid)
            self._latest[self._keys[pid]] = pid
            if pid in self._supervisors:
                self.log("up", self._names[pid])

    # ------------------------------------------------------------------------------------------- waiting

    async def nap(self, milliseconds: float) -> None:
        """Sleep; the scenario is not at rest meanwhile."""
        woken: asyncio.Future[None] = self.loop.create_future()
        timer = self.loop.call_later(milliseconds / 1000, woken.set_result, None)
        with self._napping():
            try:
                await woken
            finally:
                timer.cancel()

    @contextmanager
    def _napping(self) -> Iterator[None]:
        self.naps += 1
        try:
            yield
        finally:
            self.naps -= 1

    async def wait_for_good(self, name: str) -> None:
        """Never return."""
        self.stuck.add(name)
        await self.loop.create_future()

    async def wait_at_gate(self, key: str) -> None:
        """Wait until the step ``open``. The gate of one that was killed there can still be opened."""
        self.gates[key] = gate = self.loop.create_future()
        await gate
