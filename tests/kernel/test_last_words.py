"""Nobody hears of an end before he has all that the dead sent him: signals between two processes keep their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from mabeam.errors import ProcessDied
from mabeam.kernel import (
    Crashed,
    Down,
    Exited,
    ExitReason,
    ExitSignal,
    Killed,
    Normal,
    Stop,
    kill,
    link,
    monitor,
    receive,
    self_pid,
    send,
    send_exit,
    spawn,
    trap_exit,
)
from mabeam.otp import GenServer, continue_with, handle_call, handle_cast, stop_self
from mabeam.testing import wait_until_idle
from tests.kernel._scenes import Turn, never

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mabeam.kernel import Pid
    from mabeam.otp import Ref

pytestmark = [pytest.mark.mabeam, pytest.mark.simulate]

WORDS: Final = ["one", "two", "three", "four"]
FAREWELL: Final = "said in terminate"
ENDS: Final[dict[str, tuple[ExitReason, bool]]] = {
    "stop_self": (Normal(), True),
    "raise": (Crashed(ValueError("raise")), True),
    "Stop": (Exited("Stop"), True),
    "exit signal": (Exited("exit signal"), False),
    "kill": (Killed(), False),
    "killed by another": (Killed(), False),
}
"""How a speaker ends, the reason, and whether ``terminate`` runs then."""
WATCHES: Final[dict[str, set[type]]] = {"link": {ExitSignal}, "monitor": {Down}, "both": {Down, ExitSignal}}
ROADS: Final = (
    "a call, handed over directly",
    "a call through the mailbox",
    "a call of an async handler",
    "a cast",
    "a cast, the listener busy meanwhile",
    "a message",
    "a message to a plain process",
)


# --------------------------------------------------------------------------------------------- those who speak and end


def say(listener: Pid, words: list[str]) -> None:
    """Send one message for each word."""
    for word in words:
        send(listener, word)


def end_by(how: str) -> None:
    """Have the calling process end, at once or as soon as it waits."""
    match how:
        case "stop_self":
            stop_self(Normal())
        case "raise":
            raise ValueError(how)
        case "Stop":
            raise Stop(Exited(how))
        case "exit signal":
            send_exit(self_pid(), Exited(how))
        case "kill":
            kill(self_pid())
        case "killed by another":
            spawn(kill, self_pid())


class Speaker(GenServer):
    """Says its words when it is asked to, in whatever way, and ends."""

    listener: Pid | None = None

    def speak(self, listener: Pid, how: str) -> None:
        """Say all words, then end."""
        self.listener = listener
        say(listener, WORDS)
        end_by(how)

    @handle_call
    def answer(self, listener: Pid, how: str) -> None:
        """In a plain handler."""
        self.speak(listener, how)

    @handle_call
    async def answer_slowly(self, listener: Pid, how: str) -> None:
        """In an async handler, which lets others have their turn between the words."""
        self.listener = listener
        say(listener, WORDS[:2])
        await Turn()
        say(listener, WORDS[2:])
        end_by(how)

    @handle_cast
    def take(self, listener: Pid, how: str) -> None:
        """In a handler that nobody waits for."""
        self.speak(listener, how)

    @handle_cast
    def do_nothing(self) -> None:
        """Only fill the mailbox."""

    def handle_info(self, message: object, /) -> None:
        assert isinstance(message, tuple)
        self.speak(*message)

    def terminate(self, _reason: ExitReason, /) -> None:
        assert self.listener is not None
        send(self.listener, FAREWELL)


async def speak_plainly() -> None:
    """A speaker without callbacks."""
    listener, how = await receive(tuple)
    say(listener, WORDS)
    if how != "stop_self":  # a server's; here it is to return
        end_by(how)
        await never()


# --------------------------------------------------------------------------------------------- those who listen


class Hearing:
    """What one listener is to do, and what it has heard."""

    def __init__(self, speaker: Ref[Speaker] | Pid, road: str, how: str, watch: str, root: Pid) -> None:
        self.speaker: Any = speaker
        self.road = road
        self.how = how
        self.watch = watch
        self.root = root
        self.heard: list[object] = []

    async def begin(self) -> None:
        """Watch the speaker, then have it speak."""
        trap_exit()
        if self.watch != "monitor":
            link(self.speaker)
        if self.watch != "link":
            monitor(self.speaker)
        try:
            await self._ask()
        except ProcessDied:
            pass

    async def _ask(self) -> None:
        speaker, request = self.speaker, (self_pid(), self.how)
        match self.road:
            case "a call, handed over directly":
                await speaker.call(Speaker.answer, *request)
            case "a call through the mailbox":
                speaker.cast(Speaker.do_nothing)
                await speaker.call(Speaker.answer, *request)
            case "a call of an async handler":
                await speaker.call(Speaker.answer_slowly, *request)
            case "a cast":
                speaker.cast(Speaker.take, *request)
            case "a cast, the listener busy meanwhile":
                speaker.cast(Speaker.take, *request)
                await until_time_has_passed()
            case _:
                send(speaker, request)

    def take(self, message: object) -> None:
        """Write a message down; tell the root of the last end."""
        self.heard.append(message)
        if not isinstance(message, str) and self.ends() == WATCHES[self.watch]:
            send(self.root, self)

    def ends(self) -> set[type]:
        """How it has heard of the end."""
        return {type(message) for message in self.heard if not isinstance(message, str)}

    def words(self) -> list[object]:
        """What it has to have heard before that."""
        says_farewell = ENDS[self.how][1] and self.road != "a message to a plain process"
        return [*WORDS, FAREWELL] if says_farewell else [*WORDS]


async def until_time_has_passed() -> None:
    """Wait for something that has nothing to do with messages."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    loop.call_later(1, over.set_result, None)
    await over


async def listen_plainly(hearing: Hearing) -> None:
    """A plain process."""
    await hearing.begin()
    while True:
        hearing.take(await receive())


class Listener(GenServer):
    """A server."""

    def __init__(self, hearing: Hearing) -> None:
        self.hearing = hearing
        continue_with(None)

    async def handle_continue(self, _argument: object, /) -> None:
        await self.hearing.begin()

    def handle_info(self, message: object, /) -> None:
        self.hearing.take(message)


async def start_plain_listener(hearing: Hearing) -> None:
    """The one kind."""
    spawn(listen_plainly, hearing)


async def start_server_that_listens(hearing: Hearing) -> None:
    """The other kind."""
    await Listener.child_spec(hearing).start()


@pytest.mark.parametrize("start", [start_plain_listener, start_server_that_listens])
@pytest.mark.parametrize("road", ROADS)
async def test_an_end_is_told_behind_all_that_the_dead_has_sent(
    start: Callable[[Hearing], Awaitable[None]], road: str
) -> None:
    """To those linked and to those who watch, however it came to speak and however it ended."""
    hearings = []
    for how in ENDS:
        for watch in WATCHES:
            is_plain = road == "a message to a plain process"
            speaker = spawn(speak_plainly) if is_plain else await Speaker.child_spec().start()
            hearings.append(Hearing(speaker, road, how, watch, self_pid()))
    for hearing in hearings:
        await start(hearing)
    for _ in hearings:
        await receive(Hearing, timeout=10)
    await wait_until_idle()
    for hearing in hearings:
        words = hearing.words()
        assert hearing.heard[: len(words)] == words, f"{hearing.how}, {hearing.watch}: {hearing.heard}"
        ends: list[Any] = hearing.heard[len(words) :]
        assert [end.reason for end in ends] == [ENDS[hearing.how][0]] * len(WATCHES[hearing.watch])
