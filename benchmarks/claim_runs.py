"""How the claims run the library: images, draws, explainers and one cascade for several of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

import agnostic_rand as ar
import claim_nets as nets
from agnostic_rand.explainers import resolve_explainer
from agnostic_rand.results.scores import Scores
from agnostic_rand.similarity import MeasureLikes

IMAGES, DRAWS = 100, 5
# Not 0, from which the nets were drawn before training: a draw would give back the weights they started from.
SEED = 1
SMOOTH = ar.explainers.SmoothGrad(samples=20, noise=0.1)
PATH = ar.explainers.IntegratedGradients(steps=10)
SHAP = ar.explainers.ExpectedGradients(samples=20)
SIGNED = ("gradient", "smoothgrad", "integrated_gradients", "gradient_times_input")
TIMES_INPUT = ("integrated_gradients", "gradient_times_input")
PLAIN = ("gradient", "saliency", "smoothgrad")
PATHS = ("integrated_gradients", "lrp_epsilon", "expected_gradients", "gradient_times_input")
SHORT = {"integrated_gradients": "IG", "gradient_times_input": "GxI"}
SPEARMAN = ("spearman", "spearman_abs", "spearman_abs_nonzero")
HAS_LRP = all(importlib.util.find_spec(name) for name in ("zennit", "torchvision"))

Results = Mapping[str, Scores]


def methods(*names: str) -> list[Any]:
    """Explainers by name, those of relevance only where they can run."""
    known = {"smoothgrad": SMOOTH, "integrated_gradients": PATH, "expected_gradients": SHAP}
    return [known.get(name) or resolve_explainer(name) for name in names if HAS_LRP or not name.startswith("lrp")]


def randomized(
    net: Any, x: Any, y: Any, names: tuple[str, ...], strategy: Any, measures: MeasureLikes, draws: int = DRAWS
) -> Results:
    found = ar.ModelRandomization(strategy, draws, measures).run(ar.Subject(net, x, y, seed=SEED), methods(*names))
    return {name: found[name] for name in found.explainers}


def digits(count: int = IMAGES) -> tuple[Any, Any]:
    return nets.mnist().test_x[:count], nets.mnist().test_y[:count]


def median(scores: Any) -> float:
    return float(np.nanmedian(scores))
