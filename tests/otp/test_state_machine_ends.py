"""How state machines live among others: supervision, names, ends, reports, and what becomes of what they had postponed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from mabeam import (
    Crashed,
    ExitReason,
    ExitSignal,
    GenServer,
    Killed,
    NamedTimeout,
    Normal,
    Postpone,
    ProcessDied,
    Registry,
    Shutdown,
    StateMachine,
    StateTimeout,
    Stop,
    Supervisor,
    UsageError,
    become,
    code_change,
    continue_with,
    get_state,
    handle_call,
    handle_cast,
    handle_stream,
    kill,
    named_timeout,
    next_event,
    ref,
    replace_state,
    resume,
    self_pid,
    send,
    send_exit,
    spawn_link,
    state,
    state_timeout,
    stop_self,
    suspend,
    trace,
    trap_exit,
)
from mabeam.testing import Probe, wait_until_idle
from tests.otp._servers import begun, clock, for_ever, pause, pid_of, state_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, AsyncIterator

    from mabeam import Ref
    from mabeam.kernel import Runtime


class Gate(StateMachine):
    """Postpones what comes while it is shut."""

    def __init__(self, log: list[Any] | None = None, *, traps: bool = False) -> None:
        self.log: list[Any] = [] if log is None else log
        if traps:
            trap_exit()
        become(self.shut)

    @state
    def shut(self) -> None: ...

    @shut.handle_call
    def enter(self, who: str) -> str:
        raise Postpone

    @shut.handle_cast
    def push(self, who: str) -> None:
        raise Postpone

    @shut.handle_info(str)
    def hear(self, message: str) -> None:
        raise Postpone

    @shut.handle_info(NamedTimeout)
    def later(self, timeout: NamedTimeout) -> None:
        raise Postpone

    @shut.handle_info(ExitSignal)
    def seen(self, signal: ExitSignal) -> None:
        self.log.append(("exit signal", signal.reason))

    @state
    def opened(self) -> None: ...

    @opened.on(enter)
    def enter_when_opened(self, who: str) -> str:
        return f"{who} is in"

    @opened.on(push)
    def push_when_opened(self, who: str) -> None:
        self.log.append(who)

    @opened.handle_info(bytes)
    def crash(self, message: bytes) -> None:
        raise ValueError(message)

    @handle_cast
    def go(self, to: str) -> None:
        become(getattr(self, to))

    @handle_cast
    def start_own(self) -> None:
        named_timeout("own", 0)

    @handle_call
    def fail(self) -> None:
        raise ValueError("asked to")

    @handle_call
    def where(self) -> str:
        return self.current_state.name

    @handle_stream
    async def states(self) -> AsyncIterator[str]:
        yield self.current_state.name

    async def terminate(self, reason: ExitReason) -> None:
        self.log.append(("terminate", self.current_state.name, reason))


async def waiting(gate: Ref[Gate]) -> asyncio.Task[str]:
    """A gate with a call, a cast, a message and a timeout that it has postponed."""
    entering = await begun(gate.call(Gate.enter, "ann"))
    gate.cast(Gate.push, "bob")
    send(pid_of(gate), "knock")
    gate.cast(Gate.start_own)
    await wait_until_idle()
    assert len(state_of(gate)._machine.postponed) == 4
    return entering


@pytest.mark.parametrize("how", ["stop", "kill", "crash", "signal"])
async def test_what_was_postponed_is_told_of_the_end(how: str, runtime: Runtime) -> None:
    """Callers get ProcessDied; casts and messages are dead letters; what the machine gave itself is nothing."""
    gate = await Gate.child_spec().named("gate").start()
    entering = await waiting(gate)
    match how:
        case "stop":
            await gate.stop(Shutdown("x"))
            reason: ExitReason = Shutdown("x")
        case "kill":
            kill(gate)
            reason = Killed()
        case "crash":
            with pytest.raises(ProcessDied):
                await gate.call(Gate.fail)
            reason = Crashed(ValueError("asked to"))
        case _:
            send_exit(gate, Shutdown())
            reason = Shutdown()
    with pytest.raises(ProcessDied) as caught:
        await entering
    assert caught.value.reason == reason
    letters = runtime.dead_letters.latest
    assert [letter.why for letter in letters] == ["ended", "ended"]
    assert repr(letters[0].message) == "cast of Gate.push('bob')"
    assert letters[1].message == "knock"
    assert all("'gate'" in letter.target for letter in letters)


async def test_what_waits_in_the_queue_is_told_as_well(runtime: Runtime) -> None:
    """Postponed events on their way back when the machine ends, in order before the mailbox."""

    class Late(Gate):
        @state
        async def opened(self) -> None:
            await for_ever()

    gate = await Late.child_spec().start()
    entering = await waiting(gate)
    gate.cast(Gate.go, "opened")
    gate.cast(Gate.push, "carl")
    await wait_until_idle()
    kill(gate)
    with pytest.raises(ProcessDied):
        await entering
    assert len(runtime.dead_letters.latest) == 3
    assert "carl" in repr(runtime.dead_letters.latest[2].message)


async def test_a_supervisor_starts_it_anew_in_its_first_state() -> None:
    """Under its name, and with nothing that was postponed."""
    await Supervisor.start_link([Gate.child_spec().named("gate")], strategy="one_for_one")
    gate = ref("gate", Gate)
    gate.cast(Gate.go, "opened")
    first = gate.pid
    assert await gate.call(Gate.enter, "ann") == "ann is in"
    with pytest.raises(ProcessDied):
        await gate.call(Gate.fail)
    await wait_until_idle()
    assert gate.pid not in {None, first}
    assert await gate.call(Gate.where) == "shut"


async def test_it_may_be_named_by_a_registry_and_has_the_options_of_a_server() -> None:
    """Specs, names, timeouts, streams."""
    gates = Registry.at("gates")
    spec = Gate.child_spec().named(gates.via("north")).options(restart="transient", shutdown=1.0)
    assert (spec.restart, spec.shutdown, spec.id) == ("transient", 1.0, "gates['north']")
    await Supervisor.start_link(
        [Registry.child_spec(keys="unique").named("gates"), spec], strategy="rest_for_one"
    )
    gate = ref(gates.via("north"), Gate)
    assert await gate.options(timeout=None).call(Gate.where) == "shut"
    async with gate.stream(Gate.states) as states:
        assert [each async for each in states] == ["shut"]


async def test_an_orderly_end_runs_terminate_with_the_state_still_there() -> None:
    """Asked for, decided by itself, and by its parent when it traps."""
    log: list[Any] = []
    gate = await Gate.child_spec(log).start()
    gate.cast(Gate.go, "opened")
    await gate.stop()
    assert log == [("terminate", "opened", Normal())]
    log.clear()
    top = await Supervisor.start_link([Gate.child_spec(log, traps=True)], strategy="one_for_one")
    await top.stop()
    assert log == [("terminate", "shut", Shutdown())]


@pytest.mark.parametrize(
    ("how", "seen"), [("error", "shut"), ("slow error", "shut"), ("Stop", "shut"), ("stop_self", "broken")]
)
async def test_a_state_whose_entering_raises_is_none_that_the_machine_is_in(how: str, seen: str) -> None:
    """As in gen_statem: terminate sees the one before. One that stops itself when it has been entered is in the new one."""

    class Fragile(Gate):
        @state
        async def broken(self) -> None:
            if how == "slow error":
                await pause(1)
            if how == "stop_self":
                stop_self(Shutdown())
            elif how == "Stop":
                raise Stop(Shutdown())
            else:
                raise ValueError(how)

    fragile, probe = await Fragile.child_spec().start(), Probe.start()
    probe.watch(fragile)
    log = state_of(fragile).log
    fragile.cast(Gate.go, "broken")
    reason = (await probe.next()).reason
    assert log == [("terminate", seen, reason)]


async def test_a_first_state_whose_entering_raises_has_none_before_it() -> None:
    """So that is what terminate sees."""

    class Stillborn(Gate):
        @state
        async def shut(self) -> None:
            await pause(1)
            raise ValueError("no entry")

    probe = Probe.start()
    stillborn = await Stillborn.child_spec().start()
    log = state_of(stillborn).log
    probe.watch(stillborn)
    assert (await probe.next()).reason == Crashed(ValueError("no entry"))
    assert log == [("terminate", "shut", Crashed(ValueError("no entry")))]


class Leaver(Gate):
    """Ends itself with an answer, and has not ended before it is let."""

    @handle_call
    def leave(self) -> str:
        stop_self(Shutdown("done"))
        return "bye"

    @handle_call
    async def leave_slowly(self) -> str:
        stop_self(Shutdown("done"))
        await pause(1)
        return "bye"

    async def terminate(self, reason: ExitReason) -> None:
        await super().terminate(reason)
        await for_ever()


@pytest.mark.parametrize("method", [Leaver.leave, Leaver.leave_slowly])
async def test_stop_self_answers_the_caller_before_terminate_has_run(method: Any) -> None:
    """So it has its answer even if the machine is killed in terminate; a GenServer answers when terminate has run."""
    leaver, probe = await Leaver.child_spec().start(), Probe.start()
    probe.watch(leaver)
    log = state_of(leaver).log
    assert await leaver.call(method) == "bye"
    await wait_until_idle()
    assert log == [("terminate", "shut", Shutdown("done"))]
    assert pid_of(leaver).is_alive
    kill(leaver)
    assert (await probe.next()).reason == Killed()


async def test_terminate_may_call_the_caller_that_has_been_answered() -> None:
    """It waits for the machine no more, so this is no cycle."""

    class Asker(GenServer):
        @handle_call
        async def ask(self, machine: Ref[Polite]) -> str:
            return await machine.call(Polite.leave, ref(self_pid(), Asker))

        @handle_call
        def name(self) -> str:
            return "ann"

    class Polite(Gate):
        @handle_call
        def leave(self, asker: Ref[Asker]) -> str:
            self.asker = asker
            stop_self(Normal())
            return "bye"

        async def terminate(self, reason: ExitReason) -> None:
            self.log.append(await self.asker.call(Asker.name))

    polite = await Polite.child_spec().start()
    log, asker = state_of(polite).log, await Asker.start_link()
    assert await asker.call(Asker.ask, polite) == "bye"
    await wait_until_idle()
    assert log == ["ann"]


async def test_an_exit_of_somebody_else_is_a_message_to_the_state_when_it_traps() -> None:
    """The parent's is not."""

    class Parent(Gate):
        @handle_cast
        def have_a_child(self) -> None:
            spawn_link(stop_now)

    def stop_now() -> None:
        pass

    gate = await Parent.child_spec(traps=True).start()
    gate.cast(Parent.have_a_child)
    await wait_until_idle()
    assert state_of(gate).log == [("exit signal", Normal())]
    await gate.stop()


async def test_lifespan_surrounds_all_states() -> None:
    """It is entered before init and left after terminate."""

    class Held(Gate):
        async def lifespan(self) -> AsyncGenerator[None]:
            self.log.append("held")
            become(self.opened)  # nothing is decided before init has returned
            yield
            self.log.append("released")

        @state
        def shut(self) -> None:
            self.log.append("shut")

        def init(self) -> None:
            become(self.shut)

    log: list[Any] = []
    gate = await Held.child_spec(log).start()
    await gate.stop()
    assert log == ["held", "shut", ("terminate", "shut", Normal()), "released"]


async def test_stop_self_in_init_and_own_events_before_a_stop() -> None:
    """A request to stop takes its place behind what the machine gives itself."""

    class Short(Gate):
        def init(self) -> None:
            continue_with("one")
            next_event(b"two")

        def handle_continue(self, argument: object) -> None:
            self.log.append(argument)

        def handle_info(self, message: object) -> None:
            self.log.append(message)
            stop_self(Shutdown("enough"))

    log: list[Any] = []
    probe = Probe.start()
    gate = await Short.child_spec(log).start()
    probe.watch(gate)
    assert (await probe.next()).reason == Shutdown("enough")
    assert log == ["one", b"two", ("terminate", "shut", Shutdown("enough"))]


# ------------------------------------------------------------------------------------------------- reports


async def test_a_crash_report_names_the_state(caplog: pytest.LogCaptureFixture) -> None:
    """For calls of all states and of one, messages, timeouts, and states that are entered."""

    class Fragile(Gate):
        @Gate.opened.on(Gate.enter)
        def enter_when_opened(self, who: str) -> str:
            raise ValueError(who)

        @Gate.opened.handle_info(StateTimeout)
        def over(self, timeout: StateTimeout) -> None:
            raise ValueError(timeout)

        @state
        async def broken(self) -> None:
            raise ValueError("no entry")

        @handle_cast
        def hurry(self) -> None:
            state_timeout(1.0)

        def handle_info(self, message: object) -> None:
            raise ValueError(message)

        def handle_continue(self, argument: object) -> None:
            raise ValueError(argument)

        @handle_cast
        def go_on(self) -> None:
            continue_with(1)

    async def crash(*casts: tuple[Any, ...]) -> str:
        caplog.clear()
        gate = await Fragile.child_spec().start()
        for method, *arguments in casts:
            if method == "send":
                send(pid_of(gate), arguments[0])
            elif method is Gate.enter or method is Gate.fail:
                with pytest.raises(ProcessDied):
                    await gate.call(method, *arguments)
            else:
                gate.cast(method, *arguments)
        await clock().advance(2)
        assert not pid_of(gate).is_alive
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        return record.getMessage().partition(" crashed in ")[2].partition(":")[0].rpartition(">.")[2]

    assert await crash((Gate.fail,)) == "Fragile.fail in state 'shut'"
    assert (
        await crash((Gate.go, "opened"), (Gate.enter, "x")) == "Fragile.enter_when_opened in state 'opened'"
    )
    assert await crash((Gate.go, "opened"), ("send", b"x")) == "Fragile.crash in state 'opened'"
    assert await crash((Gate.go, "opened"), (Fragile.hurry,)) == "Fragile.over in state 'opened'"
    assert await crash((Gate.go, "broken")) == "Fragile.broken, entering the state"
    assert await crash(("send", 7)) == "Fragile.handle_info in state 'shut'"
    assert await crash((Fragile.go_on,)) == "Fragile.handle_continue in state 'shut'"
    assert "message: continue with 1" in caplog.text


# ------------------------------------------------------------------------------------------------- system requests


async def test_a_suspended_machine_takes_nothing_and_goes_on_where_it_was() -> None:
    """Its timeouts wait, too."""
    gate = await Gate.start_link()
    gate.cast(Gate.start_own)
    await wait_until_idle()
    await suspend(gate)
    gate.cast(Gate.go, "opened")
    entering = await begun(gate.options(timeout=None).call(Gate.enter, "ann"))
    await clock().advance(60)
    assert not entering.done()
    await resume(gate)
    assert await entering == "ann is in"


async def test_it_may_be_suspended_with_events_of_its_own_still_to_come() -> None:
    """They come before everything when it is resumed."""

    class Chain(Gate):
        @handle_cast
        def count(self, number: int) -> None:
            next_event(number)

        def handle_info(self, message: object) -> None:
            self.log.append(message)
            if isinstance(message, int) and message:
                next_event(message - 1)

    gate = await Chain.start_link()
    gate.cast(Chain.count, 3)
    await suspend(gate)
    gate.cast(Chain.count, 0)
    await resume(gate)
    await gate.call(Gate.where)
    assert state_of(gate).log == [3, 2, 1, 0, 0]


async def test_its_state_can_be_looked_at_and_replaced() -> None:
    """Another instance goes on in the same state of the machine."""
    gate = await Gate.start_link()
    gate.cast(Gate.go, "opened")
    assert (await get_state(gate)).current_state == Gate.opened
    assert "_machine" not in vars(await get_state(gate))

    def other(old: Gate) -> Gate:
        new = object.__new__(Gate)
        new.log = [*old.log, "replaced"]
        return new

    await replace_state(gate, other)
    assert await gate.call(Gate.where) == "opened"
    assert state_of(gate).log == ["replaced"]


async def test_a_traced_machine_does_the_same_and_shows_it() -> None:
    """Entering, postponing and own events included."""
    seen: list[str] = []
    gate = await Gate.start_link()
    with trace(gate, lambda event: seen.append(f"{event.kind} {event.message!r}")):
        entering = await begun(gate.call(Gate.enter, "ann"))
        gate.cast(Gate.go, "opened")
        assert await entering == "ann is in"
    assert seen == [
        "took call of Gate.enter('ann')",
        "raised call of Gate.enter('ann')",
        "took cast of Gate.go('opened')",
        "returned cast of Gate.go('opened')",
        "returned entering state 'opened'",
        "took events of its own",
        "returned call of Gate.enter('ann')",
    ]
    assert await gate.call(Gate.where) == "opened"


class NewGate(Gate):
    """What a Gate is changed to."""

    @Gate.opened.on(Gate.enter)
    def enter_when_opened(self, who: str) -> str:
        return f"{who} is in the new one"


class WithoutStates(StateMachine):
    """Has nothing in common with a Gate."""

    @state
    def other(self) -> None: ...


async def test_its_code_can_be_changed_where_it_stands() -> None:
    """What was postponed is handled by the new class; a class without the state is refused, and nothing has changed."""
    gate = await Gate.start_link()
    entering = await begun(gate.call(Gate.enter, "ann"))
    with pytest.raises(
        UsageError, match="is in state 'shut', and WithoutStates has no such state; it has other"
    ):
        await code_change(gate, WithoutStates)
    changed = await code_change(gate, NewGate)
    assert await changed.call(Gate.where) == "shut"
    changed.cast(Gate.go, "opened")
    assert await entering == "ann is in the new one"


# ------------------------------------------------------------------------------------------------- full mailboxes


async def test_what_a_machine_gives_itself_is_never_dropped_for_others(runtime: Runtime) -> None:
    """However full the mailbox is, and whatever its policy."""

    class Small(Gate):
        mailbox_limit = 3
        on_full = "drop_oldest"

        @handle_cast
        def give(self, *events: int) -> None:
            for event in events:
                next_event(event)

        async def handle_info(self, message: object) -> None:
            await pause(1.0)
            self.log.append(message)

    gate = await Small.start_link()
    gate.cast(Small.give, 1, 2, 3)
    await wait_until_idle()
    for to in ("shut", "opened", "shut", "opened"):
        gate.cast(Gate.go, to)
    await clock().advance(5)
    assert state_of(gate).log == [1, 2, 3]
    assert await gate.call(Gate.where) == "opened"
    assert [letter.why for letter in runtime.dead_letters.latest] == ["full"] * 2
