"""The bridge to PAIR's saliency, whose methods run on the adapter of any backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
from bridge_nets import Net, assert_close, fingerprint
from libraries import library

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges import bridged

saliency = library("saliency.core")
from agnostic_rand.explainers.bridges.pair import PairExplainer

Run = Callable[..., Any]


def test_gradient_is_our_own(net: Net, explain: Run) -> None:
    assert_close(explain(net, saliency.GradientSaliency), explain(net, "gradient"))


def test_integrated_gradients_are_the_librarys_sum(
    net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    path = [explain(net, "gradient", x=images * np.float32(alpha)) for alpha in np.linspace(0, 1, 5)]
    ours = explain(net, PairExplainer(saliency.IntegratedGradients(), {"x_steps": 5}), batch_size=4)
    assert_close(ours, images * np.mean(path, axis=0))


def test_gradcam_looks_at_the_layer_with_channels_last(net: Net, explain: Run) -> None:
    # At a layer of the input's size, where nothing is interpolated.
    ours = explain(net, ar.explainers.GradCAM("relu1"))
    theirs = explain(net, PairExplainer(saliency.GradCam(), layer="relu1"))
    assert_close(theirs, ours / ours.max((1, 2), keepdims=True))


def test_gradcams_default_layer_is_the_last_with_space(net: Net, explain: Run) -> None:
    assert_close(explain(net, saliency.GradCam()), explain(net, PairExplainer(saliency.GradCam(), layer="relu2")))


def test_occlusion_sees_samples_with_channels_last(
    net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    ours = explain(net, PairExplainer(saliency.Occlusion(), {"size": 12}))
    adapter = ar.adapt(net)
    falls = adapter.predict(adapter.asarray(images)) - adapter.predict(adapter.asarray(np.zeros_like(images)))
    expected = falls.numpy()[np.arange(6), labels][:, None, None, None]
    assert_close(ours, np.broadcast_to(expected, images.shape))


def test_smoothed_masks_replay_and_leave_global_generators(net: Net, run: Run, explain: Run) -> None:
    explainer = PairExplainer(saliency.GradientSaliency(), {"nsamples": 3}, smoothed=True)
    before = fingerprint(net)
    generators.reset(11)
    global_before = generators.states()
    first = run(net, explainer)
    assert generators.states() == global_before
    assert fingerprint(net) == before
    generators.reset(12)
    assert np.array_equal(first.scores["spearman"], run(net, explainer, batch_size=1).scores["spearman"])
    assert first.findings == ()
    assert first.scores["spearman"].max() < 0.99


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_models_of_another_framework(images: np.ndarray, explain: Run) -> None:
    keras = library("keras")
    x = np.ascontiguousarray(np.moveaxis(images, 1, -1))
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((12, 12, 3)), *layers])
    assert_close(explain(model, saliency.GradientSaliency(), x=x), explain(model, "gradient", x=x))


def test_names_descriptions_and_refusals() -> None:
    smoothed = PairExplainer(saliency.IntegratedGradients(), {"x_steps": 5}, smoothed=True)
    assert smoothed.name == "pair_smoothed_integrated_gradients"
    assert repr(smoothed) == "PairExplainer(IntegratedGradients, {'x_steps': 5}, smoothed=True)"
    with pytest.raises(ArgumentError, match="Did you mean 'x_steps'"):
        PairExplainer(saliency.IntegratedGradients(), {"steps": 5})
    with pytest.raises(ArgumentError, match="a CoreSaliency"):
        PairExplainer(saliency.IntegratedGradients)
    assert bridged(saliency.XRAIParameters()) is None
