"""The bridge to tf-keras-vis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bridge_nets import assert_close
from libraries import library

from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges import bridged

visualization = library("tf_keras_vis")
keras = library("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("tf-keras-vis explains Keras on TensorFlow", allow_module_level=True)
gradcam, saliency = library("tf_keras_vis.gradcam"), library("tf_keras_vis.saliency")
modifiers = library("tf_keras_vis.utils.model_modifiers")
from agnostic_rand.explainers.bridges.tf_keras_vis import TfKerasVisExplainer

Run = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 12, 12, 3)).astype(np.float32)


@pytest.fixture
def model() -> Any:
    entry = keras.Input((12, 12, 3))
    conv = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(0))
    dense = keras.layers.Dense(4, activation="softmax", kernel_initializer=keras.initializers.HeNormal(1))
    return keras.Model(entry, dense(keras.layers.Flatten()(keras.layers.ReLU()(conv(entry)))))


def weights(model: Any) -> list[bytes]:
    return [weight.tobytes() for weight in model.get_weights()]


def test_saliency_is_our_own_reduced(model: Any, explain: Run) -> None:
    ours = np.abs(explain(model, "gradient")).max(-1)
    theirs = explain(model, TfKerasVisExplainer(saliency.Saliency, {"normalize_map": False}))
    assert_close(theirs, ours)


@pytest.mark.parametrize("kind", [saliency.Saliency, gradcam.Gradcam])
def test_bound_objects_and_classes_score_the_same(kind: Any, model: Any, run: Run) -> None:
    before = weights(model)
    bound, made = run(model, kind(model)), run(model, kind)
    assert weights(model) == before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-5)
    assert np.nanmax(bound.scores["spearman"]) < 0.99


def test_smoothing_replays(model: Any, run: Run) -> None:
    explainer = TfKerasVisExplainer(saliency.Saliency(model), {"smooth_samples": 3})
    first, second = run(model, explainer), run(model, explainer)
    assert np.array_equal(first.scores["spearman"], second.scores["spearman"])
    assert first.findings == ()


def test_a_modified_copy_is_made_of_the_randomized_model(model: Any, run: Run) -> None:
    with pytest.raises(ArgumentError, match="holds another model"):
        run(model, saliency.Saliency(model, model_modifier=modifiers.ReplaceToLinear()))
    linear = TfKerasVisExplainer(
        lambda model: saliency.Saliency(model, model_modifier=modifiers.ReplaceToLinear()), name="linear"
    )
    assert run(model, linear).scores["spearman"].max() < 0.99
    assert bridged(saliency.Saliency).name == "tf_keras_vis_saliency"


def test_a_direct_subclass_of_the_users_own_is_known(model: Any, explain: Run) -> None:
    class Inputs(visualization.ModelVisualization):
        def __call__(self, score: Any, seed_input: Any) -> np.ndarray:
            return np.asarray(seed_input)

    assert bridged(Inputs(model)).name == "tf_keras_vis_inputs"
    assert explain(model, Inputs).shape == (6, 12, 12, 3)
