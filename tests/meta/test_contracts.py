"""The settings hold each other: contracts of import-linter, dependencies, pins."""

import ast
import re

from tests.meta import _project

#: Declared for developers and never imported: commands, and plugins that pytest finds by itself.
TOOLS = {"import-linter", "mypy", "pytest-timeout", "pytest-xdist", "ruff"}

#: The kernel picks it up when it is there.
OPTIONAL_IN_KERNEL = {"uvloop"}

#: Imported under another name than they are installed by.
IMPORTED_AS = {"opentelemetry-api": "opentelemetry", "opentelemetry-sdk": "opentelemetry"}

REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def _declared() -> set[str]:
    project = _project.settings()["project"]
    lines = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        lines += extra
    return {match.group().lower() for line in lines if (match := REQUIREMENT.match(line))}


def test_every_package_is_protected_behind_its_facade() -> None:
    protected = {
        (module, importer)
        for contract in _project.contracts()
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
        for importer in contract["allowed_importers"]
    }
    missing = [
        name for name in _project.packages() if (f"mabeam.{name}.*", f"mabeam.{name}") not in protected
    ]
    assert not missing, f"packages without a contract of type 'protected' in pyproject.toml: {missing}"


def test_the_lower_half_is_listed_as_standard_library_only() -> None:
    (contract,) = (each for each in _project.contracts() if each["type"] == "forbidden")
    existing = {name for name in _project.LOWER_HALF if list(_project.PACKAGE.glob(f"{name}*"))}
    assert set(contract["source_modules"]) == {f"mabeam.{name}" for name in existing}


def test_every_dependency_is_forbidden_in_the_lower_half() -> None:
    (contract,) = (each for each in _project.contracts() if each["type"] == "forbidden")
    expected = {IMPORTED_AS.get(name, name) for name in _declared() - TOOLS - OPTIONAL_IN_KERNEL}
    assert {name.replace("_", "-") for name in contract["forbidden_modules"]} == expected


def test_every_layer_of_the_design_is_in_the_contract() -> None:
    known = {name for layer in _project.layers() for name in layer}
    there = {*_project.packages(), *(["errors"] if (_project.PACKAGE / "errors.py").exists() else [])}
    assert there <= known


def test_nobody_inside_imports_the_root_package() -> None:
    """The root is for users; inside, a package imports the packages below it by name."""
    found = [
        f"{_project.shown(module.path)}:{node.lineno}"
        for module in _project.modules()
        for node in ast.walk(module.tree())
        if (isinstance(node, ast.Import) and any(alias.name == "mabeam" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "mabeam")
    ]
    assert not found, f"imports of the root package: {found}"


def test_every_dependency_is_pinned_exactly_and_without_an_address() -> None:
    lines = (_project.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    odd = [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)]
    assert not odd, f"constraints.txt takes lines of the form name==version only: {odd}"
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in pins}
    assert _declared() <= pinned, f"declared but not pinned: {sorted(_declared() - pinned)}"


def test_every_lint_rule_that_is_off_says_why() -> None:
    text = (_project.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (block,) = re.findall(r"\[tool\.ruff\.lint\].*?^\]", text, flags=re.DOTALL | re.MULTILINE)
    silent = [line.strip() for line in block.splitlines() if line.startswith('    "') and "# " not in line]
    assert not silent, f"rules that are off without a reason: {silent}"
