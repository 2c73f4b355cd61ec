"""Adapters whose library is missing say which extra it comes with; importing mabeam asks for none of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mabeam.errors import UsageError
from mabeam.integrations import OpenTelemetryMetrics, OpenTelemetryTracer, PrometheusMetrics
from mabeam.integrations._extras import need


@pytest.mark.parametrize(
    ("adapter", "module", "extra"),
    [
        (OpenTelemetryTracer, "opentelemetry", "opentelemetry"),
        (OpenTelemetryMetrics, "opentelemetry", "opentelemetry"),
        (PrometheusMetrics, "prometheus_client", "prometheus"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    adapter: Any, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name == module or name.startswith(f"{module}."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(module), *sys.meta_path])
    with pytest.raises(UsageError, match=rf"{adapter.__name__} needs {module}.*\n.*mabeam\[{extra}\]"):
        adapter()


class Absent:
    """Finds that a package is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == self.package or name.startswith(f"{self.package}."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_what_a_library_itself_misses_is_its_own_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [Absent("urllib3"), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "urllib3", raising=False)

    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'urllib3'", name="urllib3")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="urllib3"):
        need("prometheus_client", extra="prometheus", by="x")


def test_importing_mabeam_and_its_integrations_imports_no_extra() -> None:
    code = (
        "import sys, mabeam, mabeam.integrations\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
