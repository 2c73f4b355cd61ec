"""E6: an error carries its data as attributes and survives pickle with them."""

import inspect
import pickle

import pytest

from mabeam import errors

#: A value for each parameter that a constructor of an error has, by name.
VALUES: dict[str, object] = {
    "breaker": "payments",
    "bulkhead": "database",
    "check": "database",
    "child": "counter",
    "circuit": "payments",
    "code": "already_started",
    "error": ValueError("amount", -1),
    "handler": "Counter.add",
    "extra": "http",
    "hint": "Start it first.",
    "key": "ann",
    "limit": "answers",
    "message": "expected one thing, got another",
    "operation": "call",
    "instead": "nobody is at home",
    "package": "httpx",
    "path": ("a", "b", "a"),
    "pid": None,
    "pool": "models",
    "pools": ("billing", "search"),
    "problems": ("first problem", "second problem"),
    "process": "counter",
    "reason": ("any", "value"),
    "registry": "agents",
    "retry_after": 2.5,
    "service": "circuits",
    "similar": ("payment", "databases"),
    "state": "locked",
    "timeout": 5.0,
    "what": "ConnectionManager",
}

CLASSES = [
    subject
    for subject in vars(errors).values()
    if isinstance(subject, type)
    and issubclass(subject, errors.MabeamError)
    and subject.__module__ == errors.__name__
]


def _parameters(error: type[errors.MabeamError]) -> list[inspect.Parameter]:
    """What the constructor takes; an error without one of its own takes a message."""
    own = (each for each in error.__mro__ if each.__module__ == errors.__name__)
    if not any("__init__" in vars(each) for each in own):
        return [inspect.Parameter("message", inspect.Parameter.POSITIONAL_ONLY)]
    return list(inspect.signature(error).parameters.values())


def _an(error: type[errors.MabeamError]) -> errors.MabeamError:
    positional: list[object] = []
    keywords: dict[str, object] = {}
    for parameter in _parameters(error):
        match parameter.kind:
            case parameter.VAR_POSITIONAL:
                positional.append(VALUES["message"])
            case parameter.VAR_KEYWORD:
                continue
            case parameter.KEYWORD_ONLY:
                keywords[parameter.name] = VALUES[parameter.name]
            case _:
                positional.append(VALUES[parameter.name])
    return error(*positional, **keywords)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_error_survives_pickle(error: type[errors.MabeamError]) -> None:
    first = _an(error)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        second = pickle.loads(pickle.dumps(first, protocol=protocol))
        assert type(second) is error
        assert str(second) == str(first)
        assert repr(second.args) == repr(first.args)
        assert {name: repr(value) for name, value in vars(second).items()} == {
            name: repr(value) for name, value in vars(first).items()
        }


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_error_carries_what_it_was_given(error: type[errors.MabeamError]) -> None:
    """Each parameter of the constructor is found again as an attribute, or in the message."""
    made = _an(error)
    for parameter in _parameters(error):
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        name, value = parameter.name, VALUES[parameter.name]
        assert getattr(made, name, None) == value or str(value) in str(made), f"{error.__name__} loses {name}"


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_error_says_something(error: type[errors.MabeamError]) -> None:
    assert len(str(_an(error))) > 15
