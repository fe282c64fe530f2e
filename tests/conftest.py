"""What every suite shares: a requested backend must be there, so that nothing passes by skipping."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

# Suites run side by side, and threads that wait for each other on too few cores cost minutes.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Stop before the first test where the backend that was asked for cannot be imported."""
    backend = os.environ.get("AGNOSTIC_RAND_TEST_BACKEND", "none")
    wanted = {"none", os.environ.get("KERAS_BACKEND", "none"), backend}
    missing = [name for name in wanted - {"none"} if importlib.util.find_spec(name) is None]
    if missing:
        raise pytest.UsageError(f"the requested backend {', '.join(missing)} is not installed")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real data and weights; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("AGNOSTIC_RAND_TEST_DATA", ROOT / "../shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder.name} is absent (set AGNOSTIC_RAND_TEST_DATA)")
    return folder
