"""A3 and L1: what a module offers is written in its ``__all__``, and a facade does nothing but offer."""

import ast
import inspect
from collections.abc import Iterator

import pytest

from tests.meta import _project

PUBLIC = [module for module in _project.modules() if module.is_public and module.path.name != "__main__.py"]
FACADES = [module for module in _project.modules() if module.is_facade]
WITH_ALL = sorted({*PUBLIC, *FACADES}, key=lambda module: module.name)


def _name(module: _project.Module) -> str:
    return module.name


def _all(module: _project.Module) -> tuple[str, ...]:
    names: tuple[str, ...] = module.load().__all__
    return names


def _targets(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Assign(targets=targets):
            for target in targets:
                yield from (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _ if type(node).__name__ == "TypeAlias":  # Python 3.12 and later
            yield node.name.id  # type: ignore[attr-defined]  # not in the typeshed of 3.11


def _offered(module: _project.Module) -> set[str]:
    """The public names that the module defines, or takes from its own package in order to hand them on."""
    found: set[str] = set()
    for node in module.tree().body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ImportFrom(module=str(origin), names=names) if module.path.name == "__init__.py":
                if origin.startswith("mabeam"):
                    found.update(alias.asname or alias.name for alias in names)
            case _:
                found.update(_targets(node))
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("module", WITH_ALL, ids=_name)
def test_all_is_a_tuple_without_repetition(module: _project.Module) -> None:
    names = getattr(module.load(), "__all__", None)
    assert isinstance(names, tuple), (
        f"{module.name} expects __all__ to be a tuple, got {type(names).__name__}"
    )
    assert len(names) == len(set(names)), f"{module.name}.__all__ names something twice"


@pytest.mark.parametrize("module", WITH_ALL, ids=_name)
def test_every_name_in_all_is_there(module: _project.Module) -> None:
    loaded = module.load()
    missing = [name for name in _all(module) if not hasattr(loaded, name)]
    assert not missing, f"{module.name}.__all__ names what is not there: {missing}"


@pytest.mark.parametrize("module", WITH_ALL, ids=_name)
def test_every_public_name_is_in_all(module: _project.Module) -> None:
    extra = sorted(_offered(module) - set(_all(module)))
    if module.name == "mabeam":
        extra = [name for name in extra if name != "TYPE_CHECKING"]
    assert not extra, f"{module.name} defines public names that its __all__ leaves out: {extra}"


@pytest.mark.parametrize("module", FACADES, ids=_name)
def test_facade_only_reexports(module: _project.Module) -> None:
    for number, node in enumerate(module.tree().body):
        match node:
            case ast.Expr(value=ast.Constant(value=str())) if number == 0:
                continue
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                continue
            case _:
                pytest.fail(
                    f"{_project.shown(module.path)}:{node.lineno} does more than re-export: "
                    "move it to a private file of the package"
                )


def test_root_is_lazy_and_complete() -> None:
    """Each name of the root package resolves, and dir() shows them all."""
    import mabeam

    names: tuple[str, ...] = vars(mabeam)["__all__"]
    missing = [name for name in names if not hasattr(mabeam, name)]
    assert not missing, f"named in __all__, but not there: {missing}"
    assert set(names) <= set(dir(mabeam))
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(mabeam, "no_such_name")  # noqa: B009 - the attribute is unknown to the type checker as well


def _is_generated(subject: type) -> bool:
    """Did dataclass or NamedTuple write this docstring?"""
    return (subject.__doc__ or "").startswith(f"{subject.__name__}(")


def _is_callable_or_property(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, (property, staticmethod, classmethod))


def _undocumented(module: _project.Module) -> Iterator[str]:
    loaded = module.load()
    if not (loaded.__doc__ or "").strip():
        yield module.name
    for name in getattr(loaded, "__all__", ()):
        subject = getattr(loaded, name)
        if not (getattr(subject, "__module__", None) or "").startswith("mabeam"):
            continue
        if inspect.isclass(subject):
            if not subject.__doc__ or _is_generated(subject):
                yield f"{module.name}.{name}"
            for attribute, value in vars(subject).items():
                if attribute.startswith("_") or not _is_callable_or_property(value):
                    continue
                if not inspect.getdoc(getattr(subject, attribute)):
                    yield f"{module.name}.{name}.{attribute}"
        elif inspect.isroutine(subject) and not inspect.getdoc(subject):
            yield f"{module.name}.{name}"


@pytest.mark.parametrize("module", PUBLIC, ids=_name)
def test_public_names_have_docstrings(module: _project.Module) -> None:
    missing = list(_undocumented(module))
    assert not missing, f"public names without a docstring: {missing}"
