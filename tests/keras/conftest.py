"""What the tests of the Keras backend share: one process runs them on one of Keras' three backends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Before TensorFlow is imported: it logs about the machine otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

collect_ignore_glob = []
if "KERAS_BACKEND" not in os.environ:
    # Keras would choose by itself, and load TensorFlow into a process that tests something else.
    collect_ignore_glob.append("test_*.py")


def pytest_configure(config: pytest.Config) -> None:
    """Leave out what NumPy 2 says of Keras' own conversions, also of those that this backend does not call."""
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say that nothing ran, and how it would."""
    if collect_ignore_glob:
        terminalreporter.write_line(f"{Path(__file__).parent.name}: not run (set KERAS_BACKEND to a backend)")


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> Iterator[None]:
    """Threads that wait for each other cost more than they save on small nets."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(min(2, threads))
    yield
    torch.set_num_threads(threads)
