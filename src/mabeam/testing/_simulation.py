"""One simulated run: makes the choices, lets faults be injected, and writes down what happens."""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any, final

from mabeam.kernel import Down, ExitSignal, Pid, find, here
from mabeam.testing._injector import Injector
from mabeam.testing._mutations import Mutations
from mabeam.testing._schedule import Schedule
from mabeam.testing._trace import Trace, name_callback, name_message, name_process, name_reason, short_name
from mabeam.testing._watched import watched

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

    from mabeam.kernel import Activation, Behaviour, ExitReason, Process
    from mabeam.testing._deciders import Decider

__all__ = ("Simulation",)


@final
class Simulation:
    """What happens in one run that is not the program's own doing, and the record of it all.

    Args:
        decider: who makes the choices.
        watches: whether it keeps a trace; without, it only makes choices, which costs little.
        injects: whether there can be any faults, if it watches.
        checks_mutation: whether messages are looked at again after they were sent, if it watches.

    Attributes:
        trace: what has happened.
        injector: injects faults, if there can be any.
        mutations: the check of messages, if there is one.
        steps: events and turns of the event loop so far.
        draws: what the program's own draws from ``random`` follow from.
        watches: as given.
    """

    def __init__(
        self, decider: Decider, *, watches: bool = True, injects: bool = True, checks_mutation: bool = False
    ) -> None:
        self.trace = Trace()
        self.injector = Injector(decider, self) if injects and watches else None
        self.mutations = Mutations() if checks_mutation and watches else None
        self.steps = 0
        self.watches = watches
        self.draws = decider.draws
        self._decider = decider
        self._loop: asyncio.AbstractEventLoop | None = None
        self._choices: dict[int, int] = {}
        self._counts: list[int] = []
        self._behaviours: dict[Behaviour, Behaviour] = {}
        self._names: dict[Process, str] = {}
        self._caller: Process | None = None

    # ------------------------------------------------------------------------------------------- choices

    def choose(self, kind: str, count: int) -> int:
        """Make a free choice; what ``Chooser`` asks for."""
        number = len(self._counts)
        self._counts.append(count)
        value = self._decider.choose(number, count)
        if value:
            self._choices[number] = value
        return value

    @property
    def choice_count(self) -> int:
        """How many choices there were, the ordinary ones included."""
        return len(self._counts)

    def choices(self) -> Iterator[tuple[int, int]]:
        """All choices in the order of choosing: between how many, and what was chosen."""
        return ((count, self._choices.get(number, 0)) for number, count in enumerate(self._counts))

    def schedule(self) -> Schedule:
        """What has to be repeated to repeat the run."""
        faults = self.injector.faults if self.injector is not None else ()
        return Schedule.of(self._choices.items(), faults, self.draws)

    @property
    def is_unusual(self) -> bool:
        """Whether anything was not as it ordinarily is."""
        return self.schedule() != Schedule()

    # ------------------------------------------------------------------------------------------- writing down

    def begins_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """The run has this event loop."""
        self._loop = loop

    def note(self, kind: str, text: str) -> None:
        """Write something into the trace."""
        self.steps += 1
        if self.watches and self._loop is not None:
            self.trace.add(self._loop.time(), kind, text)

    def note_choice(self, value: int, count: int, text: str) -> None:
        """Write a choice into the trace; 0 is the ordinary one."""
        if self.watches and self._loop is not None:
            self.trace.add(self._loop.time(), "choose", f"{text} ({value} of {count})", unusual=value != 0)

    def name(self, process: Process) -> str:
        """What a process is called in the trace: also in the moment of its death, when its name is free again."""
        if isinstance(process.name, str):
            self._names[process] = process.name
        return name_process(process, self._names.get(process))

    def name_here(self) -> str:
        """What the process is called whose code runs."""
        owner = here.get(None)
        return self.name(owner.process) if owner is not None else "outside"

    # ------------------------------------------------------------------------------------------- what happens

    def created(self, process: Process) -> None:
        """A process was made that does not run yet."""
        parent = process.parent
        self.note("start", self.name(process) + (f", by {self.name(parent)}" if parent is not None else ""))
        process.behaviour = self.watch(process.behaviour)

    def ended(self, process: Process, reason: ExitReason) -> None:
        """A process has ended; nobody has heard of it yet."""
        self.note("exit", f"{self.name(process)}: {name_reason(reason)}")

    def watch(self, behaviour: Behaviour) -> Behaviour:
        """What processes of this kind have for a behaviour in this run."""
        copy = self._behaviours.get(behaviour)
        if copy is None:
            copy = self._behaviours[behaviour] = watched(behaviour, self)
        return copy

    def sent(self, process: Process, message: Any) -> None:
        """A message is put into a mailbox."""
        sender = self._sender_of(process, message)
        self.note("send", f"{name_message(message)} to {self.name(process)} from {sender}")
        if self.mutations is not None:
            self.mutations.sent(message, sender)

    def _sender_of(self, process: Process, message: Any) -> str:
        """Whose message it is: the end of a process is told by whoever has ended it, or runs by chance at that moment."""
        if isinstance(message, Down | ExitSignal) and isinstance(message.pid, Pid):
            sender = find(process.kernel, message.pid)
            if sender is not None:
                return self.name(sender)
        return self.name_here()

    def is_late(self, process: Process, message: Any) -> bool:
        """A message is on its way; true when it is in the mailbox now, and its receiver is not to hear of it yet."""
        return self.injector is not None and self.injector.makes_late(process, message)

    def arrived(self, process: Process, message: Any) -> None:
        """A message is in a mailbox."""
        if self.injector is not None:
            self.injector.arrived(process, message)

    def timer_set(self, callback: Any, owner: Activation | Process | None) -> float:
        """A timer is set that is to fire in the context of ``owner``; say how much later than that."""
        return 0.0 if self.injector is None else self.injector.timer_set(callback, owner)

    def timer_fires(self, callback: Any) -> None:
        """A timer is due."""
        self.note("timer", f"{name_callback(callback)} of {self.name_here()}")

    def hands_off(self) -> None:
        """The running code calls a server that answers at once."""
        owner = here.get(None)
        self._caller = owner.process if owner is not None else None

    # ------------------------------------------------------------------------------------------- taking messages

    def take(self, process: Process, message: Any, proceed: Callable[[Process, Any], bool]) -> bool:
        """A server takes a message."""
        if self.injector is not None:
            instead = self.injector.intervenes(process, message)
            if instead is not None:
                return instead
        self.note("take", f"{name_message(message)} by {self.name(process)}")
        handled = None
        if self.mutations is not None:
            handled = self.mutations.taken(process, message)
            self.mutations.before_handler(process)
        done = proceed(process, message)
        if done and self.mutations is not None:
            self.mutations.after_handler(process, name_message(message))
        if handled is not None:
            for activation in tuple(process.activations or ()):
                if activation.message is message:
                    activation.done = _AndThen(activation.done, handled)
                    return done
            handled()
        return done

    def received(self, process: Process, message: Any) -> Awaitable[None] | None:
        """A plain process has got a message; it waits for what this returns."""
        rest = None if self.injector is None else self.injector.rest_of_delay(process, message)
        if rest is None:
            self._goes_on_with(process, message)
            return None

        async def late() -> None:
            await rest
            self._goes_on_with(process, message)

        return late()

    def _goes_on_with(self, process: Process, message: Any) -> None:
        if self.injector is not None:
            self.injector.at_receiving(process, message)
        self.note("take", f"{name_message(message)} by {self.name(process)}")
        if self.mutations is not None:
            self.mutations.taken(process, message)

    def answered(self, process: Process, caller: Any, value: object) -> None:
        """A handler of a server has returned, in the turn of nobody else."""
        if self.mutations is not None and caller is not None and not caller.is_waiting:
            self.mutations.gives(process, short_name(caller.what), value)

    def call_handler(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A plain handler is about to run."""
        process = here.get().process
        handled = before = None
        if type(process.message) is type(handler):  # a call that runs at once, without a message
            caller, self._caller = self._caller, None
            sender = self.name(caller) if caller is not None else "outside"
            what = short_name(handler.what)
            self.note("call", f"{what} of {self.name(process)} by {sender}, at once")
            if self.injector is not None:
                before = self.injector.at_hand_off(process, what)
            if self.mutations is not None:
                handled = self.mutations.handed_over(process, sender, handler, args[1:], kwargs)
        if before is None:
            return self._call(process, handler, args, kwargs, handled)

        async def later() -> Any:
            await before
            value = self._call(process, handler, args, kwargs, handled)
            return await value if type(value) is CoroutineType else value

        return later()

    def _call(
        self,
        process: Process,
        handler: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        handled: Callable[[], None] | None,
    ) -> Any:
        if self.mutations is None:
            return handler.function(*args, **kwargs)
        self.mutations.before_handler(process)
        value = handler.function(*args, **kwargs)
        what = short_name(handler.what)
        self.mutations.after_handler(process, what)
        self.mutations.gives(process, what, value)
        if handled is not None:
            handled()
        return value


class _AndThen:
    """What an activation calls at its end, after something else."""

    __slots__ = ("_done", "_then")

    def __init__(self, done: Any, then: Callable[[], None]) -> None:
        self._done = done
        self._then = then

    def __call__(self, activation: Any, value: object, error: BaseException | None) -> None:
        self._then()
        self._done(activation, value, error)
