"""What the tests of the bridges share. torch comes first: after TensorFlow its import can crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bridge_nets import Net, make_net

import agnostic_rand as ar
from agnostic_rand.explainers.bridges import bridged

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture
def net() -> Net:
    return make_net()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.array([0, 1, 2, 3, 0, 1])


@pytest.fixture
def run(images: np.ndarray, labels: np.ndarray) -> Callable[..., ar.Scores]:
    """A full randomization of a model, checked on an explainer or another library's object."""

    def run(model: Any, explainer: Any, *, x: np.ndarray = images, **options: Any) -> ar.Scores:
        settings = {"seed": 1, "batch_size": 4, "randomization_strategy": ar.FullRandomization(), **options}
        return ar.ModelRandomizationMetric(model, x, labels, **settings).run(bridged(explainer) or explainer)

    return run


@pytest.fixture
def explain(images: np.ndarray, labels: np.ndarray) -> Callable[..., np.ndarray]:
    """The maps of an explainer or another library's object."""

    def explain(model: Any, explainer: Any, *, x: np.ndarray = images, **options: Any) -> np.ndarray:
        return ar.explain(model, x, labels, bridged(explainer) or explainer, **options)

    return explain
