"""What the tests of the TensorFlow backend share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint

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
