"""The scripted plain process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mabeam.kernel import receive, self_pid, send, trap_exit
from tests.conformance.otp._acts import Act, Actor, log_message, perform
from tests.conformance.otp._values import Json, Scripted, stopping, throw, value_from_json

if TYPE_CHECKING:
    from mabeam.kernel import Pid
    from tests.conformance.otp._world import World

__all__ = ("end_of_script", "plain_process")


async def plain_process(
    world: World, key: str, options: Json, starter: Pid | None = None, ref: object = None
) -> None:
    """Link and monitor as ``options`` say, tell the starter, then perform what the driver sends."""
    name, _ = world.enter(key, self_pid(), is_up=True)
    if "exit" in options:
        world.log("init", name, "ok")
        raise stopping(options["exit"])
    trap_exit(options.get("trap", False))
    actor = Actor(world, key, name)
    world.log("init", name, "ok")
    for other in options.get("link", ()):
        await perform(actor, ["link", other])
    for other in options.get("monitor", ()):
        await perform(actor, ["monitor", other])
    if starter is not None:
        send(starter, (ref, name))
    while True:
        message = await receive()
        if isinstance(message, Act):
            await _act(actor, message)
        else:
            log_message(actor, message)


async def _act(actor: Actor, message: Act) -> None:
    end_of_script(message.act)
    if message.act[0] == "stuck":
        message.answer(actor, "ok")
        await actor.world.wait_for_good(actor.name)
    message.answer(actor, await perform(actor, message.act))


def end_of_script(act: Json) -> None:
    """Raise if the act is one of the ends of a process without callbacks."""
    match act:
        case ["raise", value]:
            raise Scripted(value_from_json(value))
        case ["exit" | "stop", reason]:
            raise stopping(reason)
        case ["throw", value]:
            raise throw(value)
