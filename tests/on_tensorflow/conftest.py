"""What the tests of the TensorFlow backend share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

# Before TensorFlow is imported: it logs about the machine otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

from agnostic_rand.adapters import Registry, registry


@pytest.fixture(scope="session", autouse=True)
def _plugin() -> Iterator[None]:
    """Only this backend, whether the checkout's entry points are installed or not."""
    only = Registry([EntryPoint("tensorflow", "agnostic_rand_tensorflow", "agnostic_rand")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_installed", lambda: only)
        yield


@pytest.fixture(scope="session", autouse=True)
def _seeded() -> None:
    """Global generators in a state that can be told from any other."""
    tf.random.set_seed(5)
    tf.random.set_global_generator(tf.random.Generator.from_seed(6))


@pytest.fixture(scope="session", autouse=True)
def torch_reference(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Path]]:
    """A function that waits for what PyTorch computes in a process of its own, beside the other tests."""
    wanted = any("torch_says" in getattr(item, "fixturenames", ()) for item in request.session.items)
    folder = _data(request) if wanted else None
    if folder is None:
        yield lambda: pytest.fail("the reference was not started")
        return
    output = tmp_path_factory.mktemp("torch") / "reference.npz"
    command = [sys.executable, str(Path(__file__).with_name("torch_reference.py")), str(folder), str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:

        def reference() -> Path:
            _, errors = process.communicate()
            assert process.returncode == 0, errors
            return output

        yield reference
        process.kill()


def _data(request: pytest.FixtureRequest) -> Path | None:
    try:
        folder: Path = request.getfixturevalue("test_data")
    except pytest.skip.Exception:
        # Only the tests that need it are skipped.
        return None
    return folder
