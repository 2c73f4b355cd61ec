"""Every async test of this folder runs under seeds as well: what it asserts must hold in each order that is allowed."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; a test that has the marker itself has its own settings."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.simulate)
