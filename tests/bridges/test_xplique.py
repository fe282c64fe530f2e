"""The bridge to Xplique, which asks for an environment with its own, older TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
from bridge_nets import assert_close
from libraries import library

from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.explainers.bridges import bridged

attributions = library("xplique.attributions")
keras = library("keras")
from agnostic_rand.explainers.bridges.xplique import XpliqueExplainer

Run = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 12, 12, 3)).astype(np.float32)


def make_model(classes: int = 4, seed: int = 0) -> Any:
    layers = keras.layers
    parts = [
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(5, 3, activation="relu"),
    ]
    model = keras.Sequential([keras.Input((12, 12, 3)), *parts, layers.Flatten(), layers.Dense(classes)])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.3, weight.shape) for weight in model.get_weights()])
    model.layers[1].moving_variance.assign(np.full(4, 0.7))
    return model


@pytest.fixture
def model() -> Any:
    return make_model()


def weights(model: Any) -> list[bytes]:
    return [weight.tobytes() for weight in model.get_weights()]


METHODS: dict[str, Callable[[Any], Any]] = {
    "saliency": attributions.Saliency,
    "gradient_input": attributions.GradientInput,
    "grad_cam": lambda model: attributions.GradCAM(model, conv_layer=0),
    "occlusion": lambda model: attributions.Occlusion(model, patch_size=4, patch_stride=4),
    "smooth_grad": lambda model: attributions.SmoothGrad(model, nb_samples=5),
    "rise": lambda model: attributions.Rise(model, nb_samples=10),
}


@pytest.mark.parametrize("name", METHODS)
def test_bound_and_made_objects_score_the_same(name: str, model: Any, run: Run) -> None:
    before = weights(model)
    bound, made = run(model, METHODS[name](model)), run(model, XpliqueExplainer(METHODS[name], name="made"))
    assert weights(model) == before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-3)
    assert bound.findings == ()
    assert np.nanmax(bound.scores["spearman"]) < 0.99


@pytest.mark.parametrize("name", ["smooth_grad", "rise"])
def test_stochastic_methods_replay_and_leave_global_generators(name: str, model: Any, run: Run) -> None:
    explainer = METHODS[name](model)
    generators.reset(11)
    before = generators.states()
    first, second = run(model, explainer), run(model, explainer)
    assert generators.states() == before
    assert np.array_equal(first.scores["spearman"], second.scores["spearman"])
    assert first.self_similarity["spearman"] == 1


def test_saliency_and_modified_backward_passes_are_our_own(model: Any, explain: Run) -> None:
    pairs = (("gradient", attributions.Saliency), ("guided_backprop", attributions.GuidedBackprop))
    for ours, kind in (*pairs, ("deconvnet", attributions.DeconvNet)):
        maps = explain(model, ours)
        assert_close(explain(model, kind(model, reducer=None)), np.abs(maps) if ours == "gradient" else maps)


@pytest.mark.parametrize("kind", [attributions.GuidedBackprop, attributions.DeconvNet])
def test_a_copy_within_the_explainer_follows_the_randomized_model(kind: Any, model: Any, run: Run) -> None:
    # Swapping the explainer's model, as Xplique's own metric does, would take its rule away.
    explainer = kind(model, reducer=None)
    before, own = weights(model), weights(explainer.model)
    theirs = run(model, explainer, measures="pearson")
    ours = run(model, "guided_backprop" if kind is attributions.GuidedBackprop else "deconvnet", measures="pearson")
    np.testing.assert_allclose(theirs.scores["pearson"], ours.scores["pearson"], atol=1e-5)
    assert (weights(model), weights(explainer.model)) == (before, own)
    made = run(model, XpliqueExplainer(lambda model: kind(model, reducer=None), name="guided"), measures="pearson")
    np.testing.assert_allclose(made.scores["pearson"], ours.scores["pearson"], atol=1e-5)


def test_refusals(model: Any, run: Run, explain: Run) -> None:
    with pytest.raises(ArgumentError, match="holds another model"):
        run(model, attributions.Saliency(make_model()))
    with pytest.raises(ExplanationError, match="a copy of a model of other weights"):
        explain(model, attributions.GuidedBackprop(make_model(classes=5)))
    assert bridged(attributions.Saliency(model)).name == "xplique_saliency"
