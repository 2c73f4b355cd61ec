"""Errors about servers that are used or written wrongly: what came, what is likely meant, and what to write."""

from __future__ import annotations

import inspect
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, get_origin

from mabeam.errors import UsageError
from mabeam.kernel import short_name
from mabeam.otp._handlers import declares_handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mabeam.kernel import Caller, Name, Pid, Process
    from mabeam.otp._handlers import Handler

__all__ = (
    "bad_call",
    "check_ref_name",
    "check_server",
    "forgotten_await",
    "forgotten_return",
    "is_bad_call",
    "is_forgotten",
    "late_ignore",
    "misfit_of_class",
    "no_attribute",
    "no_pickle",
    "signature_of",
    "wrong_method",
    "wrong_thread",
)

_OPTIONS_APART: Final = {
    "name": ".named(...)",
    "named": ".named(...)",
    "id": ".options(id=...)",
    "restart": ".options(restart=...)",
    "shutdown": ".options(shutdown=...)",
    "significant": ".options(significant=...)",
}
_RIGHT: Final = {
    "call": "await ref.call(...)",
    "cast": "ref.cast(...)",
    "stream": "async with ref.stream(...) as items:",
}


def signature_of(cls: Any) -> inspect.Signature:
    """The signature of a class; one that takes anything if there is none to be had (code written in C)."""
    try:
        # Not that of what a decorator of __init__ has wrapped: it may pass on more, or less, than it is given.
        return inspect.signature(cls, follow_wrapped=False)
    except ValueError:
        return inspect.signature(lambda *_args, **_kwargs: None)


def arity_of(signature: inspect.Signature) -> range:
    """How many arguments surely fit if none has a keyword; empty where that is not all there is to it."""
    parameters = signature.parameters.values()
    if any(each.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for each in parameters):
        return range(0)
    needed = sum(each.default is inspect.Parameter.empty for each in parameters)
    return range(needed, len(parameters) + 1)


def misfit_of_class(
    signature: inspect.Signature,
    label: str,
    check: Callable[..., list[str]] | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[str, ...]:
    """What is wrong with the arguments of a server, as far as it can be known before there is one."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        return (f"{label}: {error}{_options_apart(error, label)}",)
    if check is None:
        return ()
    bound.apply_defaults()
    return tuple(f"{label}: {problem}" for problem in check(**bound.arguments))


def _options_apart(error: TypeError, label: str) -> str:
    """Where an option belongs that was given among the arguments; nothing if that is not what is wrong."""
    _, _, name = str(error).partition("unexpected keyword argument ")
    right = _OPTIONS_APART.get(name.strip("'"))
    server = label.rpartition("<locals>.")[2]
    return f". Options are apart from the arguments: {server}.child_spec(...){right}" if right else ""


def bad_call(handler: Handler, error: TypeError) -> UsageError:
    """The error for whoever asked a handler with arguments that it does not take."""
    hint = ""
    if "unexpected keyword argument 'timeout'" in str(error):
        hint = f" How long to wait is said apart from them: ref.options(timeout=...).{handler.kind}(...)"
    return UsageError(f"{handler.what}: {error}. The call does not fit its parameters.{hint}")


def is_bad_call(error: TypeError, handler: Handler) -> bool:
    """Whether a call failed because its arguments do not fit: the handler's own code did not run."""
    traceback = error.__traceback__
    code = getattr(handler.function, "__code__", None)
    while traceback is not None and code is not None:
        if traceback.tb_frame.f_code is code:
            return False
        traceback = traceback.tb_next
    return code is not None  # a decorator may have left something that is no function: then nobody knows


def forgotten_await(what: str, coroutine: Any) -> UsageError:
    """The error for a handler that returned a coroutine: whoever got it could do nothing with it."""
    coroutine.close()
    name = short_name(coroutine)
    return UsageError(
        f"{what} returned a coroutine that nobody has awaited: 'await' is missing. Write return await {name}(...)"
    )


def is_forgotten(caller: Caller[Any]) -> bool:
    """Whether a caller that would be answered with ``None`` was kept to be answered later."""
    return bool(caller.detached) and caller.is_waiting


def forgotten_return(caller: Caller[Any]) -> UsageError:
    """The error for a handler that keeps its caller and answers it with ``None`` all the same."""
    return UsageError(
        f"{caller.what} kept its caller with reply_later and then returned None, which would be the answer already: 'return' "
        "is missing. Write return reply_later(...)"
    )


def late_ignore(what: str, error: BaseException) -> UsageError:
    """The error for ``Ignore`` where it means nothing; it has no words of its own."""
    late = UsageError(
        f"{what} raised Ignore, which is for __init__ and init, where a server says that it is not to run. One that runs ends "
        "itself with raise Stop(Normal()), or with stop_self(Normal()) when its caller is to get an answer."
    )
    late.__cause__ = error
    return late


def wrong_method(
    process: Process, handlers: Mapping[str, Handler] | None, method: Any, kind: str
) -> UsageError:
    """The error for whoever asked a process with something that is no handler of it, or one of another kind."""
    cls: Any = getattr(process.behaviour, "cls", None)
    if handlers is None or cls is None:
        return UsageError(
            f"{process.describe()} is a plain process and answers no {kind}s; send() it a message"
        )
    if inspect.iscoroutine(method):
        method.close()
        what = short_name(method)
        return UsageError(
            f"ref.{kind} expects a method and its arguments, got a coroutine: the method was called.\n"
            f"    wrong:  ref.{kind}({what}(...))\n    right:  ref.{kind}({what}, ...)"
        )
    if not callable(method):
        name = method if isinstance(method, str) and method in handlers else "method"
        return UsageError(
            f"ref.{kind} expects a method of the server's class, got {method!r}, which is no handler of {process.describe()}"
            f"{'' if isinstance(method, str) else ': was the method called?'}\n"
            f"    right:  ref.{kind}({cls.__name__}.{name}, ...)"
        )
    what, name = short_name(method), getattr(method, "__name__", "")
    handler = handlers.get(name)
    if handler is not None and isinstance(method, MethodType) and not isinstance(method.__self__, type):
        return UsageError(
            f"ref.{kind} expects the method of the class, got the method of one object, {method!r}: the server has an object "
            f"of its own, and this one would not be asked.\n    right:  ref.{kind}({what}, ...)"
        )
    if handler is not None:
        return UsageError(
            f"{what} is declared with @handle_{handler.kind}: use {_RIGHT[handler.kind]}, not ref.{kind}(...)"
        )
    if isinstance(inspect.getattr_static(cls, name, None), staticmethod):
        return UsageError(
            f"{what} is no handler of {process.describe()} but a function of its class. Call it itself, and give it the "
            f"handle:\n    await {what}(ref, ...)"
        )
    return UsageError(
        f"{what} is no handler of {process.describe()}; decorate it with @handle_{kind}, on top of all other decorators, or "
        f"pass Class.method of its class. Its handlers are: {', '.join(handlers) or 'none'}"
    )


def no_pickle(address: Pid | Name) -> UsageError:
    """The error for a handle that was to be pickled: most likely as the argument of a function for another OS process."""
    return UsageError(
        f"the handle <ref {address!r}> cannot be pickled: it leads to a process of this Runtime, and to nobody elsewhere. Send what "
        "is to be worked on instead, and call with what comes back."
    )


def no_attribute(name: str) -> str:
    """What is said of an attribute that a handle does not have: its server has it, most likely."""
    msg = f"a handle has no attribute {name!r}"
    if name.startswith("__"):
        return msg
    method = "method" if name.startswith("_") else name
    return (
        f"{msg}: what it leads to is another process, which is asked by a method of its class.\n"
        f"    wrong:  ref.{method}(...)    Server.{method}(ref, ...)\n"
        f"    right:  await ref.call(Server.{method}, ...)    ref.cast(Server.{method}, ...)\n"
        "A Registry is asked through Registry.at(name or ref)."
    )


def wrong_thread(process: Process) -> UsageError:
    """The error for whoever calls a server from where its answer could not be awaited."""
    return UsageError(
        f"{process.describe()} was called from another thread or event loop than its own. Take a portal along "
        "(runtime.portal(), or mabeam.portal() in a thread of a process) and write portal.call(ref, Server.method, ...)"
    )


def check_server(server: object) -> None:
    """Refuse what is no class that a server can have, or share its handlers with."""
    cls = get_origin(server) or server  # of a generic class, Cache[str], the class
    if cls is Any or (isinstance(cls, type) and (hasattr(cls, "start_link") or declares_handlers(cls))):
        return
    hint = ""
    if isinstance(server, type):
        hint = ", which is no GenServer and declares no handlers"
    elif hasattr(server, "__mabeam_behaviour__"):
        hint = f", an object of that class: write {type(server).__name__}"
    msg = f"ref expects a name and then the class of the server, as in ref('counter', Counter), got {server!r} for the class{hint}"
    raise UsageError(msg)


def check_ref_name(name: object) -> None:
    """Refuse what can be no name of a process."""
    if isinstance(name, str) and name:
        return
    if not isinstance(name, str | type) and hasattr(name, "whereis_name"):
        return
    hint = ""
    if name is None:
        hint = ". Did whereis() find nobody? A handle by name may be made before there is such a process"
    elif isinstance(name, type):
        hint = ". The name comes first"
    elif hasattr(name, "call"):
        hint = ", which is a handle already: use it as it is"
    msg = f"ref expects the name of a process, which is a non-empty string, a via name or a pid, got {name!r}{hint}"
    raise UsageError(msg)
