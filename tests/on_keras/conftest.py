"""What the tests of the Keras backend share: one process runs them on one of Keras' three backends."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Before TensorFlow is imported: it logs about the machine otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

if os.environ.get("KERAS_BACKEND") == "tensorflow":
    # Before TensorFlow is imported, with which it may crash otherwise.
    import torch  # noqa: F401

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


@pytest.fixture(autouse=True)
def _cheap_initializers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Weights of new models drawn on the host, but where initializers are what is tested."""
    from keras_cases import cheap_initializers

    if request.path.stem in ("test_keras_native_init", "test_keras_conformance"):
        yield
        return
    with cheap_initializers():
        yield


@pytest.fixture(scope="session", autouse=True)
def _cheap_compute() -> Iterator[None]:
    """One thread, as threads that wait for each other cost more than they save on small nets; what JAX
    compiled once is not compiled again, nor in the next run."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        if jax.config.jax_compilation_cache_dir is None:
            folder = Path(tempfile.gettempdir()) / f"agnostic-rand-compiled-{getpass.getuser()}"
            jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    yield
    torch.set_num_threads(threads)
