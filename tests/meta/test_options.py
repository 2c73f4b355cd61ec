"""A1: options are frozen, slotted, keyword-only dataclasses; at most their subject is positional."""

import dataclasses

import pytest

from tests.meta import _project

ENDINGS = ("Options", "Config", "Flags", "Spec")


def _options() -> list[type]:
    found: dict[str, type] = {}
    for module in _project.modules():
        if module.path.name == "__main__.py":
            continue
        for subject in vars(module.load()).values():
            if (
                isinstance(subject, type)
                and dataclasses.is_dataclass(subject)
                and subject.__module__ == module.name
                and subject.__name__.endswith(ENDINGS)
            ):
                found[f"{subject.__module__}.{subject.__qualname__}"] = subject
    return [found[name] for name in sorted(found)]


def test_options_are_frozen_slotted_and_keyword_only() -> None:
    wrong: list[str] = []
    for subject in _options():
        name = f"{subject.__module__}.{subject.__qualname__}"
        if not subject.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # a dataclass, see above
            wrong.append(f"{name} is not frozen")
        if "__slots__" not in vars(subject):
            wrong.append(f"{name} has no slots")
        positional = [field.name for field in dataclasses.fields(subject) if field.init and not field.kw_only]
        if len(positional) > 1:
            wrong.append(f"{name} takes more than its subject by position: {positional}")
    if wrong:
        pytest.fail("options are @dataclass(frozen=True, slots=True, kw_only=True):\n" + "\n".join(wrong))
