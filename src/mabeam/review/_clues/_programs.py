"""Places where hardly anything else runs: a start, a command, a program with one thing to do."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from mabeam.review._clues._words import last_name
from mabeam.review._module import own_nodes
from mabeam.review._scope import BindingKind, FunctionNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mabeam.review._module import Module
    from mabeam.review._scope import Scope

__all__ = (
    "is_before_all_else",
    "is_command",
    "is_dialogue",
    "is_for_both_worlds",
    "is_program",
    "is_start",
    "runs_alone",
    "runs_in_thread",
)

_BEGINNINGS = re.compile(
    r"^_?(?:async_|a)?(?:main|cli|run_cli|start|startup|on_startup|on_start|setup|set_up|init|initiali[sz]e|lifespan|bootstrap)$|"
    r"^__aenter__$|^_?(?:async_)?load_(?:config|settings)|^_?(?:setup|init|start|launch|bootstrap|pre)_|^(?:async_)?setup|"
    r"migrat|_on_startup$"
)
_COMMANDS = frozenset({"command", "callback"})
# What reads a command line, and asks on a terminal.
_COMMAND_LINES = frozenset(
    {"argparse", "click", "cmd", "cyclopts", "docopt", "fire", "getpass", "optparse", "questionary", "typer"}
)
_COMMAND_FILES = re.compile(
    r"(?:^|/)(?:_?cli|commands?|cmds?|scripts|bin|examples)/|(?:^|/)(?:_?cli|.*_cli|cli_.*|__main__)\.py$"
)
_RUNNERS = frozenset({"asyncio.run", "anyio.run", "trio.run", "uvloop.run"})
_RUNNER_NAMES = frozenset({"run", "run_until_complete"})
# What makes other work run beside the function at hand.
_COMPANY = frozenset(
    {
        *(
            "create_task",
            "ensure_future",
            "start_soon",
            "gather",
            "TaskGroup",
            "create_task_group",
            "open_nursery",
        ),
        *("start_server", "serve", "add_reader", "run_coroutine_threadsafe", "start_polling", "as_completed"),
    }
)
_WORLDS = re.compile(r"^_?is_?a?sync$", re.IGNORECASE)
_BLOCKING = re.compile(r"(?<!non)(?<!non_)(?<!un)blocking", re.IGNORECASE)
_IN_THREAD = re.compile(
    r"\bin\s+(?:a|its|the|another)\s+(?:own\s+)?(?:worker\s+|background\s+|separate\s+|dedicated\s+)?thread\b",
    re.IGNORECASE,
)
# Somebody who is asked is meant to be waited for.
_DIALOGUE = re.compile(
    r"interact|prompt|confirm|dialog(?:ue)?(?:$|_)|(?:^|_)(?:ask|asks|menu|wizard|repl|console|shell)(?:$|_)|human|choose",
    re.IGNORECASE,
)


def is_start(scope: Scope, module: Module) -> bool:
    """Whether the coroutine starts something, or is all of a program: then hardly anything else runs yet."""
    function = scope.function
    node = function.node if function is not None else None
    if not isinstance(node, FunctionNode):
        return False
    if _BEGINNINGS.search(node.name) is not None or node.name in _programs(module):
        return True
    decorators = (part.func if isinstance(part, ast.Call) else part for part in node.decorator_list)
    return any(last_name(part) in _COMMANDS for part in decorators)


def is_program(scope: Scope, module: Module) -> bool:
    """Whether this module runs the coroutine as a program: ``asyncio.run(main())``."""
    function = scope.function
    return function is not None and (function.name or "") in _programs(module)


def runs_alone(scope: Scope, module: Module) -> bool:
    """Whether the coroutine is a start, or a part of a program that is called from a command line.

    What is registered with a decorator that takes arguments, a route say, runs beside others wherever it is written.
    """
    if is_start(scope, module):
        return True
    function = scope.function
    decorators = getattr(function.node, "decorator_list", []) if function is not None else []
    return _is_command_line(module) and not any(isinstance(part, ast.Call) for part in decorators)


def is_before_all_else(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether this is a program's own coroutine before its first ``await``: until then nothing else could have begun."""
    function = scope.function
    line = getattr(node, "lineno", 0)
    return (
        function is not None
        and is_program(scope, module)
        and not any(
            isinstance(inner, ast.Await | ast.AsyncFor | ast.AsyncWith) and inner.lineno < line
            for inner in own_nodes(*getattr(function.node, "body", ()))
        )
        and not any(call.lineno < line and last_name(call.func) in _COMPANY for call in function.calls)
    )


def is_command(scope: Scope, module: Module) -> bool:
    """Whether the coroutine belongs to a command line that does one thing after the other."""
    function = scope.function
    decorators = getattr(function.node, "decorator_list", []) if function is not None else []
    commanded = any(
        last_name(part.func if isinstance(part, ast.Call) else part) in _COMMANDS for part in decorators
    )
    return (commanded or runs_alone(scope, module)) and _is_command_line(module) and not _has_company(module)


def runs_in_thread(scope: Scope, module: Module) -> bool:
    """Whether the coroutine belongs to a thread, which has a loop for nothing else, or says that it runs in one."""
    if _says_thread(scope) or _is_called_blocking(scope, module):
        return True
    owner = scope.enclosing_class
    bases = owner.node.bases if owner is not None and isinstance(owner.node, ast.ClassDef) else []
    return any(last_name(base).endswith("Thread") for base in bases) and not _has_company(module)


def _is_called_blocking(scope: Scope, module: Module) -> bool:
    """Whether the coroutine, its class or its file is called blocking: somebody runs it by hand, without a loop."""
    file = module.shown_as.replace("\\", "/").rpartition("/")[2]
    return _BLOCKING.search(scope.qualified_name) is not None or _BLOCKING.search(file) is not None


def _says_thread(scope: Scope) -> bool:
    node = scope.function.node if scope.function is not None else None
    said = ast.get_docstring(node, clean=False) if isinstance(node, FunctionNode) else None
    return said is not None and _IN_THREAD.search(said) is not None


def is_for_both_worlds(node: ast.AST, scope: Scope, module: Module) -> bool:
    """Whether the code asks first in which of two worlds it is: ``if _IS_SYNC``, in sources that others are made from."""
    return any(
        isinstance(above, ast.If)
        and any(
            isinstance(part, ast.expr) and _WORLDS.search(last_name(part)) for part in ast.walk(above.test)
        )
        for above in module.ancestors_within(node, scope)
    )


def is_dialogue(scope: Scope, module: Module) -> bool:
    """Whether asking somebody is what the program, or this function, is there for, and nothing else runs meanwhile."""
    function = scope.function
    owner = scope.enclosing_class
    names = (
        *scope.qualified_name.split("."),
        *(function.bindings if function is not None else ()),
        *(_methods(owner) if owner is not None else ()),
    )
    if any(_DIALOGUE.search(name) is not None for name in names):
        return True
    if _is_command_line(module) and function is not None:
        return not _starts_company(function)
    return (runs_alone(scope, module) or bool(_programs(module))) and not _has_company(module)


def _methods(owner: Scope) -> Iterator[str]:
    for name, bindings in owner.bindings.items():
        if any(binding.kind is BindingKind.FUNCTION for binding in bindings):
            yield name


def _starts_company(scope: Scope) -> bool:
    return any(last_name(call.func) in _COMPANY for call in scope.calls)


def _has_company(module: Module) -> bool:
    return any(_starts_company(around) for around in module.scopes)


def _is_command_line(module: Module) -> bool:
    """Whether the module reads a command line, by what it imports at its top or by where it is."""
    if _COMMAND_FILES.search(module.shown_as.replace("\\", "/")) is not None:
        return True
    return any(
        binding.kind is BindingKind.IMPORT and binding.target.partition(".")[0] in _COMMAND_LINES
        for bindings in module.root.bindings.values()
        for binding in bindings
    )


def _programs(module: Module) -> set[str]:
    """Name the coroutines that this module runs as programs: ``asyncio.run(main())``."""
    return set(_run_as_programs(module))


def _run_as_programs(module: Module) -> Iterator[str]:
    for scope in module.scopes:
        for call in scope.calls:
            if not call.args or last_name(call.func) not in _RUNNER_NAMES:
                continue
            if last_name(call.func) == "run_until_complete" or module.qualified(call.func, scope) in _RUNNERS:
                given = call.args[0]
                yield last_name(given.func if isinstance(given, ast.Call) else given)
