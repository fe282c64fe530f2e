"""What the tests of the core share."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from hypothesis import settings

from agnostic_rand.adapters import Registry

from . import fakes
from .fakes import Array, FakeAdapter, Net, WatchingAdapter

# The same examples in every run: a failure is repeated by running the test again.
settings.register_profile("core", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("core")


@pytest.fixture(autouse=True)
def _empty_records() -> None:
    FakeAdapter.calls.clear()
    WatchingAdapter.watched.clear()


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def inputs() -> Array:
    return np.random.default_rng(5).standard_normal((20, 12))


@pytest.fixture
def fake_backend(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of one plugin, the fake framework's, in place of what is installed."""
    registry = Registry([EntryPoint("fake", fakes.__name__, "agnostic_rand")])
    monkeypatch.setattr("agnostic_rand.adapters.registry._installed", lambda: registry)
    return registry
