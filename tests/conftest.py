"""What all tests share: how thorough a run is."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failure, and a run in CI draws the same examples each time.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile("proof", settings.get_profile("default"), max_examples=5_000)

PROOF = Path(__file__).parent / "proof"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--proof`` is what `make proof` passes."""
    parser.addoption(
        "--proof", action="store_true", help="many seeds and thousands of crashes: too long for every change"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples property tests draw."""
    proof = config.getoption("--proof")
    settings.load_profile("proof" if proof else "ci" if os.environ.get("CI") else "default")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is in ``tests/proof`` runs with ``--proof`` only."""
    return True if collection_path == PROOF and not config.getoption("--proof") else None


@pytest.fixture(scope="session")
def proof_factor(request: pytest.FixtureRequest) -> int:
    """How many times more a test with many rounds does: 1 in `make test`, 50 in `make proof`."""
    return 50 if request.config.getoption("--proof") else 1
