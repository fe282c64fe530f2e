"""The bridge to SHAP: the target's values, deterministic, on the randomized model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import generators
import numpy as np
import pytest
import torch
from bridge_nets import Net, assert_close, fingerprint
from libraries import library

from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.bridges import bridged
from agnostic_rand.weights.streams import Purpose, Streams

shap = library("shap")
from agnostic_rand.explainers.bridges.shap import ShapExplainer

Run = Callable[..., Any]

BACKGROUND = np.random.default_rng(4).standard_normal((5, 3, 12, 12)).astype(np.float32)
SEED = Streams(0).derived_seed(Purpose.SMOOTHING, 3) % 2**32


def gradient_explainer(net: Net) -> Any:
    return shap.GradientExplainer(net, torch.from_numpy(BACKGROUND))


def deep_explainer(net: Net) -> Any:
    return shap.DeepExplainer(net, torch.from_numpy(BACKGROUND))


def test_expected_gradients_are_shaps_own_for_the_target(
    net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    ours = explain(net, ShapExplainer(gradient_explainer(net), {"nsamples": 7}))
    for i, label in enumerate(labels):
        one = torch.from_numpy(images[i : i + 1])
        theirs = gradient_explainer(net).shap_values(one, nsamples=7, rseed=SEED)
        assert_close(ours[i], theirs[0, ..., label])


def test_deep_values_add_up_to_the_targets_output(
    net: Net, images: np.ndarray, labels: np.ndarray, explain: Run
) -> None:
    values = explain(net, deep_explainer(net))
    with torch.no_grad():
        outputs = net(torch.from_numpy(images)).numpy()
        expected = net(torch.from_numpy(BACKGROUND)).numpy().mean(0)
    np.testing.assert_allclose(values.sum((1, 2, 3)), (outputs - expected)[np.arange(6), labels], atol=1e-3)


def test_only_the_targets_output_is_computed(net: Net, explain: Run) -> None:
    explainer = gradient_explainer(net)
    calls: list[int] = []
    net.register_forward_hook(lambda *_: calls.append(1))
    explain(net, ShapExplainer(explainer, {"nsamples": 7}))
    # Six samples, each with one call for its seven points; and the checks of the inputs.
    assert len(calls) < 6 * 2
    assert explainer.shap_values(torch.from_numpy(BACKGROUND[:1]), nsamples=7).shape == (1, 3, 12, 12, 4)


@pytest.mark.parametrize("make", [gradient_explainer, deep_explainer])
def test_bound_and_made_objects_score_the_same_and_leave_the_model_as_it_was(
    make: Callable[[Net], Any], net: Net, run: Run
) -> None:
    arguments = {"nsamples": 7} if make is gradient_explainer else {}
    explainer = make(net)
    before = fingerprint(net)
    generators.reset(11)
    global_before = generators.states()
    bound = run(net, ShapExplainer(explainer, arguments))
    made = run(net, ShapExplainer(make, arguments))
    assert fingerprint(net) == before
    assert generators.states() == global_before
    assert (bound.settings["isolation"], made.settings["isolation"]) == ("in_place", "clone")
    np.testing.assert_allclose(bound.scores["spearman"], made.scores["spearman"], atol=1e-6)
    assert bound.findings == ()
    assert bound.scores["spearman"].max() < 0.99


def test_values_do_not_depend_on_the_batch(net: Net, explain: Run) -> None:
    explainer = ShapExplainer(gradient_explainer(net), {"nsamples": 7})
    assert_close(explain(net, explainer, batch_size=1), explain(net, explainer, batch_size=6))


@pytest.mark.filterwarnings("ignore:Your TensorFlow version", "ignore:The structure of `inputs`")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_models(images: np.ndarray, labels: np.ndarray, run: Run, explain: Run) -> None:
    keras = library("keras")
    x, background = np.moveaxis(images, 1, -1), np.moveaxis(BACKGROUND, 1, -1)
    entry = keras.Input((12, 12, 3))
    hidden = keras.layers.ReLU()(
        keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(0))(entry)
    )
    dense = keras.layers.Dense(4, kernel_initializer=keras.initializers.HeNormal(1))
    model = keras.Model(entry, dense(keras.layers.Flatten()(hidden)))
    if keras.backend.backend() != "tensorflow":
        pytest.skip("SHAP knows Keras on TensorFlow")
    before = [weight.tobytes() for weight in model.get_weights()]
    expected = shap.GradientExplainer(model, background)
    ours = explain(model, ShapExplainer(expected, {"nsamples": 7}), x=x)
    theirs = expected.shap_values(x[2:3], nsamples=7, rseed=SEED)
    assert_close(ours[2], theirs[0, ..., labels[2]])
    deep = explain(model, shap.DeepExplainer(model, background), x=x)
    outputs = model.predict(x, verbose=0) - model.predict(background, verbose=0).mean(0)
    np.testing.assert_allclose(deep.sum((1, 2, 3)), outputs[np.arange(6), labels], atol=1e-3)
    assert run(model, ShapExplainer(expected, {"nsamples": 7}), x=x).scores["spearman"].max() < 0.99
    assert [weight.tobytes() for weight in model.get_weights()] == before


def test_refusals(net: Net) -> None:
    with pytest.raises(ArgumentError, match=r"DeepExplainer of shap.*received a class"):
        bridged(shap.DeepExplainer)
    with pytest.raises(ArgumentError, match=r"KernelExplainer of shap.*f\(model, inputs, targets\)"):
        bridged(shap.KernelExplainer(lambda x: x.sum(1), np.zeros((1, 4))))
    with pytest.raises(ArgumentError, match="rseed"):
        ShapExplainer(gradient_explainer(net), {"rseed": 1})
