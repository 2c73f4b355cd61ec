"""What all tests share: how thorough a run is."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# A slow machine is no failure, and a run in CI draws the same examples each time.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, print_blob=True)
# For mutants: whether an example fails is all that counts, and it must be the same in each run.
settings.register_profile(
    "mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate), print_blob=False
)
settings.register_profile("proof", settings.get_profile("default"), max_examples=5_000)

SEEDS = 1_000
PROOF = Path(__file__).parent / "proof"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--proof`` is what `make proof` passes."""
    parser.addoption(
        "--proof", action="store_true", help="many seeds and thousands of crashes: too long for every change"
    )
    parser.addoption("--seeds", type=int, default=SEEDS, help=f"storms in tests/proof: {SEEDS} unless given")
    parser.addoption("--first-seed", type=int, default=0, help="the seed of the first of them")


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples property tests draw, and have programs that tests start heed Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So a shell starts what it runs in the background, and what is started from there would ignore it as well.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--hypothesis-profile") is None:
        proof = config.getoption("--proof")
        settings.load_profile("proof" if proof else "ci" if os.environ.get("CI") else "default")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is in ``tests/proof`` runs with ``--proof`` only."""
    return True if collection_path == PROOF and not config.getoption("--proof") else None
