"""Every check in every backend: one model, one seed, one result."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import agnostic_rand as ar
from agnostic_rand.errors import CapabilityError, ModelError
from agnostic_rand.sanity.sanity_check import sanity_check

from .nets import Array

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="the Keras backend is compared too")
jax = pytest.importorskip("jax", reason="the JAX backend is compared too")
tf = pytest.importorskip("tensorflow", reason="the TensorFlow backend is compared too")

RNG = np.random.default_rng(0)
FIRST = RNG.standard_normal((36, 12)).astype(np.float32) / 3
SECOND = RNG.standard_normal((12, 3)).astype(np.float32)
X = RNG.standard_normal((24, 1, 6, 6)).astype(np.float32)
Y = (np.maximum(X.reshape(24, 36) @ FIRST, 0) @ SECOND).argmax(1)


def torch_model() -> Any:
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(36, 12, bias=False), torch.nn.ReLU(), torch.nn.Linear(12, 3, bias=False)
    )
    with torch.no_grad():
        net[1].weight.copy_(torch.from_numpy(FIRST.T))
        net[3].weight.copy_(torch.from_numpy(SECOND.T))
    return net


def keras_model() -> Any:
    dense = [keras.layers.Dense(12, use_bias=False), keras.layers.ReLU(), keras.layers.Dense(3, use_bias=False)]
    net = keras.Sequential([keras.Input((1, 6, 6)), keras.layers.Flatten(), *dense])
    net.set_weights([FIRST, SECOND])
    return net


def tensorflow_model() -> Any:
    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = tf.Variable(FIRST), tf.Variable(SECOND)

        def __call__(self, x: Any) -> Any:
            return tf.nn.relu(tf.reshape(x, (-1, 36)) @ self.first) @ self.second

    return Net()


def jax_model() -> Any:
    def apply(params: Any, x: Any) -> Any:
        return jax.nn.relu(x.reshape(-1, 36) @ params["first"]["kernel"]) @ params["second"]["kernel"]

    return apply, {"first": {"kernel": jax.numpy.asarray(FIRST)}, "second": {"kernel": jax.numpy.asarray(SECOND)}}


MODELS: dict[str, Callable[[], Any]] = {
    "torch": torch_model,
    "keras": keras_model,
    "tensorflow": tensorflow_model,
    "jax": jax_model,
}
TRAINING = ar.TrainingOptions(epochs=300, batch_size=8, learning_rate=0.01)


def subject(net: Any) -> ar.Subject:
    return ar.Subject(net, X, Y, seed=7, batch_size=10, channel_axis=1)


CHECKS: dict[str, ar.Check] = {
    "top down": ar.ModelRandomization("top_down", 2),
    "bottom up": ar.ModelRandomization("bottom_up", 2),
    "independent": ar.ModelRandomization(ar.IndependentRandomization(), 2),
    "full": ar.ModelRandomization("full_randomization", 2),
    "smooth mprt": ar.SmoothMPRT(samples=4),
    "efficient mprt": ar.EfficientMPRT((20,)),
    "parameter noise": ar.ParameterNoise(levels=(0.5,)),
    "generalized faithfulness": ar.GeneralizedFaithfulness(draws=2),
    "random logit": ar.RandomLogit("all"),
    "faithfulness": ar.Faithfulness(2),
    "input multiplier": ar.InputMultiplier(),
    "model decay": ar.ModelDecay(),
}


def scores_of(check: ar.Check, net: Any) -> ar.Scores:
    return check.run(subject(net)) if check.of_the_model else check.run(subject(net), "gradient")


def flat_scores(result: Any) -> dict[str, Array]:
    return {name: np.asarray(values) for name, values in result.scores.items()}


@pytest.fixture(scope="module")
def on_torch() -> dict[str, dict[str, Array]]:
    return {name: flat_scores(scores_of(check, torch_model())) for name, check in CHECKS.items()}


@pytest.mark.parametrize("kind", [kind for kind in MODELS if kind != "torch"])
@pytest.mark.parametrize("name", CHECKS)
def test_one_seed_gives_one_result(name: str, kind: str, on_torch: dict[str, dict[str, Array]]) -> None:
    found = flat_scores(scores_of(CHECKS[name], MODELS[kind]()))
    assert found.keys() == on_torch[name].keys()
    for measure, values in found.items():
        expected = on_torch[name][measure]
        np.testing.assert_array_equal(np.isnan(values), np.isnan(expected))
        # Rounding may turn two nearly equal ranks of 36, or of 5 levels, in a sample.
        close = np.isclose(values, expected, atol=1e-3, equal_nan=True)
        assert close.mean() > 0.97, measure
        assert np.nanmean(values) == pytest.approx(np.nanmean(expected), abs=5e-3), measure


@pytest.mark.parametrize("kind", MODELS)
def test_models_are_retrained_compared_and_looked_into(kind: str) -> None:
    net, other = MODELS[kind](), MODELS[kind]()
    about = subject(net)
    same = ar.Repeatability([other], ("spearman",)).run(about, "gradient")
    assert same.mean()[0] == pytest.approx(1)
    learned = ar.DataRandomization(X, Y, training=TRAINING).run(about, "gradient")
    assert learned.settings["permuted_label_accuracy"] >= 0.95
    assert learned.mean()[1] > learned.mean()[0] + 0.1
    if kind in ("torch", "keras"):
        scale = ar.ScalePreservation(0.25).run(about)
        norms = np.sort(np.maximum(X.reshape(24, 36) @ FIRST, 0).mean(0))
        expected = norms[-3:].sum() / norms.sum()
        assert scale.scores["top_share_trained"][0, -1] == pytest.approx(expected, rel=1e-4)
        return
    # Arrays without modules have no outputs of layers to look at.
    with pytest.raises((CapabilityError, ModelError)):
        ar.ScalePreservation(0.25).run(about)


@pytest.mark.parametrize("kind", MODELS)
def test_the_one_call_and_the_grid(kind: str) -> None:
    settings: dict[str, Any] = {"seed": 7, "draws": 2, "batch_size": 10, "channel_axis": 1}
    reports = [
        sanity_check(MODELS[one](), X, Y, explainers=["gradient"], **settings)
        for one in dict.fromkeys(("torch", kind))
    ]
    for name in ("gradient", "random_map", "input_map", "edge_detector"):
        first, last = reports[0][name], reports[-1][name]
        assert first.verdict.outcome == last.verdict.outcome
        assert first.informative == last.informative
        assert first.verdict.score == pytest.approx(last.verdict.score, abs=1e-3)
        assert first.verdict.limit == pytest.approx(last.verdict.limit, abs=1e-2)
    grids = [
        ar.RankResilience(measures=("spearman", "ssim")).run(subject(MODELS[one]()), ["gradient", "saliency"])
        for one in dict.fromkeys(("torch", kind))
    ]
    for measure in ("spearman", "ssim"):
        np.testing.assert_allclose(grids[0].mean(measure), grids[-1].mean(measure), atol=5e-3)
