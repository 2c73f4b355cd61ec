"""Links, monitors and exits against a naive model of OTP's rules: whatever is done, in whatever order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mabeam.errors import NoSuchProcess
from mabeam.kernel import (
    Crashed,
    Down,
    Exited,
    ExitReason,
    ExitSignal,
    Killed,
    NoProcess,
    Normal,
    Runtime,
    Shutdown,
    demonitor,
    kill,
    link,
    monitor,
    send_exit,
    trap_exit,
    unlink,
)
from mabeam.testing import VirtualLoop, wait_until_idle
from tests.kernel._scenes import acting_as, process_of, reason_of, spawn_idle

if TYPE_CHECKING:
    from mabeam.kernel import MonitorRef, Pid

SIZE = 6
REASONS: list[ExitReason] = [
    Normal(),
    Shutdown(),
    Killed(),
    NoProcess(),
    Exited("x"),
    Crashed(ValueError("x")),
]


@dataclass
class Model:
    """One process as OTP describes it."""

    traps: bool = False
    reason: ExitReason | None = None
    links: list[int] = field(default_factory=list)
    watchers: list[tuple[int, int]] = field(default_factory=list)
    """Who watches, and the number of the monitor."""
    inbox: list[tuple[object, ...]] = field(default_factory=list)


class Signals(RuleBasedStateMachine):
    """The real thing beside the model; after each step the two must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop = self.runner.get_loop()
        self.gate = self.loop.create_future()
        self.pids: list[Pid] = []
        self.inboxes: list[list[Any]] = [[] for _ in range(SIZE)]
        self.models = [Model() for _ in range(SIZE)]
        self.refs: list[MonitorRef] = []
        self.live_monitors: dict[int, tuple[int, int]] = {}

    async def _main(self, ready: asyncio.Future[None]) -> None:
        async with Runtime():
            self.pids = [spawn_idle(take=inbox.append) for inbox in self.inboxes]
            await wait_until_idle()
            ready.set_result(None)
            await self.gate

    @initialize()
    def begin(self) -> None:
        ready = self.loop.create_future()
        self.main = self.loop.create_task(self._main(ready))
        self.loop.run_until_complete(ready)

    def teardown(self) -> None:
        if not self.gate.done():
            self.gate.set_result(None)
        if self.pids:
            self.loop.run_until_complete(self.main)
        self.runner.close()

    def act(self, who: int, function: Any, *args: Any, **options: Any) -> Any:
        """As process ``who``, inside of the running loop."""

        async def inside() -> Any:
            try:
                result = acting_as(self.pids[who], lambda: function(*args, **options))
            except asyncio.CancelledError:
                result = None  # it has ended itself
            await wait_until_idle_of(self.loop)
            return result

        return self.loop.run_until_complete(inside())

    def alive(self, who: int) -> bool:
        return self.models[who].reason is None

    # ---- the model

    def deliver(self, to: int, sender: int, reason: ExitReason, *, self_sent: bool) -> None:
        model = self.models[to]
        if model.reason is not None:
            return
        if model.traps:
            model.inbox.append(("exit", sender, reason))
        elif reason != Normal() or self_sent:
            self.die(to, reason)

    def die(self, who: int, reason: ExitReason) -> None:
        pending = [(who, reason)]
        while pending:
            dying, why = pending.pop(0)
            model = self.models[dying]
            if model.reason is not None:
                continue
            model.reason = why
            links, model.links = model.links, []
            for other in links:
                peer = self.models[other]
                peer.links.remove(dying)
                if peer.traps:
                    peer.inbox.append(("exit", dying, why))
                elif why != Normal() and peer.reason is None and (other, why) not in pending:
                    pending.append((other, why))
            for watcher, number in model.watchers:
                self.live_monitors.pop(number, None)
                if self.models[watcher].reason is None and all(watcher != each for each, _ in pending):
                    self.models[watcher].inbox.append(("down", number, dying, why))
            model.watchers = []
            for number, (watcher, target) in list(self.live_monitors.items()):
                if watcher == dying:
                    del self.live_monitors[number]
                    self.models[target].watchers.remove((watcher, number))

    # ---- the steps

    numbers = st.integers(0, SIZE - 1)

    @rule(who=numbers, other=numbers)
    def link(self, who: int, other: int) -> None:
        if not self.alive(who):
            return
        try:
            self.act(who, link, self.pids[other])
        except NoSuchProcess:
            assert not self.alive(other)
            assert not self.models[who].traps
            return
        if not self.alive(other):
            self.models[who].inbox.append(("exit", other, NoProcess()))
        elif who != other and other not in self.models[who].links:
            self.models[who].links.append(other)
            self.models[other].links.append(who)

    @rule(who=numbers, other=numbers)
    def unlink(self, who: int, other: int) -> None:
        if self.alive(who):
            self.act(who, unlink, self.pids[other])
            if other in self.models[who].links:
                self.models[who].links.remove(other)
                self.models[other].links.remove(who)

    @rule(who=numbers, other=numbers)
    def monitor(self, who: int, other: int) -> None:
        if self.alive(who):
            number = len(self.refs)
            self.refs.append(self.act(who, monitor, self.pids[other]))
            if self.alive(other):
                self.models[other].watchers.append((who, number))
                self.live_monitors[number] = (who, other)
            else:
                self.models[who].inbox.append(("down", number, other, NoProcess()))

    @rule(data=st.data())
    def demonitor(self, data: st.DataObject) -> None:
        mine = [number for number, (who, _) in self.live_monitors.items() if self.alive(who)]
        if mine:
            number = data.draw(st.sampled_from(mine))
            who, target = self.live_monitors.pop(number)
            self.act(who, demonitor, self.refs[number], flush=True)
            self.models[target].watchers.remove((who, number))

    @rule(who=numbers, trap=st.booleans())
    def trap(self, *, who: int, trap: bool) -> None:
        if self.alive(who):
            assert self.act(who, trap_exit, trap) == self.models[who].traps
            self.models[who].traps = trap

    @rule(who=numbers, other=numbers, reason=st.sampled_from(REASONS))
    def send_exit(self, who: int, other: int, reason: ExitReason) -> None:
        if self.alive(who):
            self.act(who, send_exit, self.pids[other], reason)
            self.deliver(other, who, reason, self_sent=who == other)

    @rule(who=numbers, other=numbers)
    def kill(self, who: int, other: int) -> None:
        if self.alive(who):
            self.act(who, kill, self.pids[other])
            self.die(other, Killed())

    # ---- what must hold

    @invariant()
    def they_agree(self) -> None:
        for index, (pid, model) in enumerate(zip(self.pids, self.models, strict=False)):
            process = process_of(pid)
            assert reason_of(pid) == model.reason
            assert [other.pid for other in process.links] == [self.pids[other] for other in model.links]
            watchers = [ref.watcher.pid for ref in process.watchers or ()]
            assert watchers == [self.pids[watcher] for watcher, _ in model.watchers]
            held = [number for number, (who, _) in self.live_monitors.items() if who == index]
            assert list(process.monitors or ()) == [self.refs[number] for number in held]
            if model.reason is None:
                # The order of messages from different senders is free.
                assert sorted(map(repr, self.inboxes[index])) == sorted(
                    map(repr, map(self.expected, model.inbox))
                )

    def expected(self, entry: tuple[Any, ...]) -> object:
        if entry[0] == "exit":
            return ExitSignal(self.pids[entry[1]], entry[2])
        return Down(self.refs[entry[1]], self.pids[entry[2]], entry[3])


async def wait_until_idle_of(loop: Any) -> None:
    """Outside of any Runtime: the loop's own."""
    await loop.wait_until_idle()


TestSignals = Signals.TestCase
TestSignals.settings = settings(max_examples=settings().max_examples * 6 // 10, stateful_step_count=30)
