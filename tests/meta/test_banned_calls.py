"""Law 1, the part that the linter's table cannot see: calls of methods, and who may silence the rule."""

import ast

from tests.meta import _project

METHODS = {
    "create_connection": "sockets go through mabeam._base._outside",
    "create_datagram_endpoint": "sockets go through mabeam._base._outside",
    "create_server": "sockets go through mabeam._base._outside",
    "create_task": "tasks are started by the kernel's task driver only",
    "ensure_future": "tasks are started by the kernel's task driver only",
    "run_in_executor": "threads go through mabeam._base._outside",
    "subprocess_exec": "OS processes go through mabeam._base._outside",
    "subprocess_shell": "OS processes go through mabeam._base._outside",
}


def test_no_banned_method_is_called() -> None:
    found: list[str] = []
    for module in _project.modules():
        if _project.shown(module.path) in _project.FILES_WITH_BANNED_CALLS:
            continue
        for node in ast.walk(module.tree()):
            match node:
                case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                    found.append(f"{_project.shown(module.path)}:{node.lineno}: .{name}(): {METHODS[name]}")
    assert not found, "\n".join(found)


def test_the_ban_is_lifted_for_the_known_files_only() -> None:
    ignores = _project.settings()["tool"]["ruff"]["lint"]["per-file-ignores"]
    lifted = {path for path, codes in ignores.items() if "TID251" in codes and path.startswith("src")}
    assert lifted <= set(_project.FILES_WITH_BANNED_CALLS)
    code = "TID251"
    silenced = [
        _project.shown(module.path)
        for module in _project.modules()
        if code in module.path.read_text(encoding="utf-8")
        and _project.shown(module.path) not in _project.FILES_WITH_BANNED_CALLS
    ]
    assert not silenced, f"the ban on unowned tasks, time and chance is silenced by a comment in {silenced}"
