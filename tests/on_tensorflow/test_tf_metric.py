"""The metric on modules, Keras models and SavedModels: scores, what is left alone, and what is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import functional, sequential, subclassed, trained
from tf_nets import MLP, Autoencoder, ConvolutionalNet, Dense, Normalization, Transformer, normal
from tf_zoo import save_models

import agnostic_rand as ar
from agnostic_rand.errors import (
    CapabilityError,
    FindingWarning,
    ModelError,
    UndefinedScoreWarning,
    UnknownNameError,
)

MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "mlp": (MLP, (6,)),
    "convolutional": (ConvolutionalNet, (6, 6, 2)),
    "attention": (Transformer, (4, 6)),
    "tied": (Autoencoder, (6,)),
    "sequential": (lambda: trained(sequential()), (6, 6, 2)),
    "functional": (lambda: trained(functional()), (6,)),
    "subclassed": (lambda: trained(subclassed()), (6,)),
}
ISOLATIONS = ("clone", "in_place")
CASCADE = ar.CascadingRandomization(groups=2)


def data(name: str, count: int = 10) -> np.ndarray:
    return normal(7, count, *MODELS[name][1], scale=1.0)


def metric(model: Any, x: np.ndarray, **options: Any) -> ar.ModelRandomizationMetric:
    settings = {"randomization_strategy": CASCADE, "seed": 5, "batch_size": 7} | options
    return ar.ModelRandomizationMetric(model, x, np.arange(len(x)) % 3, **settings)


def variables(model: Any) -> list[tf.Variable]:
    return list(model.variables)


def bits(held: list[tf.Variable]) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in held]


@pytest.mark.parametrize(
    ("name", "explainer"),
    [
        ("convolutional", "guided_backprop"),
        ("attention", ar.explainers.IntegratedGradients(steps=3)),
        ("sequential", ar.explainers.SmoothGrad(samples=3)),
        ("subclassed", "gradient_times_input"),
    ],
    ids=str,
)
def test_scores_do_not_depend_on_the_batch_size_or_the_isolation(name: str, explainer: Any) -> None:
    build, _ = MODELS[name]
    # No ranks: kernels round by the size of the batch, and one may turn.
    whole, *others = (
        metric(build(), data(name), measures=["pearson"], **options).run(explainer).scores["pearson"]
        for options in ({"batch_size": 64}, {"batch_size": 1}, {"batch_size": 7, "isolation": "in_place"})
    )
    for scores in others:
        np.testing.assert_allclose(scores, whole, atol=1e-4)
    assert 0.01 < np.nanmean(np.abs(whole)) < 0.99


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save_models(root)
    return root


@pytest.mark.parametrize(
    ("name", "isolation"),
    [
        (name, isolation)
        for name in ("convolutional", "tied", "functional", "subclassed")
        for isolation in ISOLATIONS
    ]
    # A SavedModel cannot be copied, which another test shows.
    + [("saved", "in_place")],
)
def test_the_model_is_as_it_was_after_a_run_and_after_an_exception(name: str, isolation: str, saved: Path) -> None:
    model = tf.saved_model.load(str(saved / "keras")) if name == "saved" else MODELS[name][0]()
    x = data("sequential" if name == "saved" else name)
    held = variables(model)
    before, seen = bits(held), []

    def fails_late(native: Any, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        seen.append((native is model, bits(variables(native)) != before))
        if seen[-1][1]:
            raise KeyboardInterrupt("late")
        return inputs

    run = metric(model, x, isolation=isolation)
    assert np.isfinite(run.run("gradient").scores["spearman"]).any()
    assert bits(held) == before
    with pytest.raises(KeyboardInterrupt, match="late"):
        run.run(fails_late)
    # It failed on random weights: in place those of the model itself.
    assert seen[-1] == (isolation == "in_place", True)
    assert bits(held) == before
    assert all(a is b for a, b in zip(held, variables(model), strict=True))


def test_a_run_moves_no_generator_of_python_or_numpy() -> None:
    model = trained(sequential())
    states = random.getstate(), np.random.get_state()[1].tolist()
    strategy = ar.FullRandomization(perturbation=ar.NativeInit())
    metric(model, data("sequential"), randomization_strategy=strategy).run(ar.explainers.SmoothGrad(samples=2))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states


def test_an_undefined_score_is_nan_and_counted() -> None:
    class Dead(tf.Module):
        """Its ReLU passes nothing for inputs below zero: their map is constant."""

        def __init__(self) -> None:
            super().__init__()
            self.head = Dense(1, 6, 3)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.head(tf.nn.relu(x))

    x = np.concatenate([np.abs(normal(1, 4, 6)), -np.abs(normal(2, 3, 6))])
    run = metric(Dead(), x)
    result = run.run("saliency")
    scores = result.scores["spearman"]
    assert np.isfinite(scores[..., :4]).all()
    assert np.isnan(scores[..., 4:]).all()
    assert (result.undefined["spearman"] == 3).all()
    with pytest.warns(UndefinedScoreWarning, match="undefined"):
        value = run.evaluate("saliency")
    assert value == pytest.approx(scores[..., :4].mean(), abs=1e-12)


def test_controls_have_their_known_scores() -> None:
    run = metric(ConvolutionalNet(), data("convolutional", 40))
    with pytest.warns(FindingWarning) as told:
        assert run.evaluate("input_map") == pytest.approx(1, abs=1e-12)
    assert ["mean_pixel" in str(one.message) for one in told] == [True, False]
    assert "does not use the model" in str(told[1].message)
    noise = run.run("random_map").scores["spearman"]
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size * 35)
    with pytest.warns(UndefinedScoreWarning, match="undefined"), pytest.warns(FindingWarning, match="mean_pixel"):
        assert np.isnan(run.evaluate("constant_map"))


def randomized(model: Any, x: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    other = ar.FullRandomization(**options).randomize(model, seed=3, example_inputs=x)
    adapter = ar.adapt(other, example_inputs=x[:1])
    return {
        f"{layer.name}/{key}": value
        for layer in adapter.layers()
        for key, value in adapter.read(layer.name).items()
    }


STATISTICS = {
    "sequential": ("norm/moving_mean", "norm/moving_variance"),
    "convolutional": ("blocks/0/norm/mean", "blocks/0/norm/variance"),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_kept_or_reset(name: str) -> None:
    build, _ = MODELS[name]
    mean, variance = STATISTICS[name]
    kept, reset = (randomized(build(), data(name), statistics=policy) for policy in ("keep", "reset"))
    layer, _, key = mean.rpartition("/")
    original = ar.adapt(build(), example_inputs=data(name, 1)).read(layer)
    assert np.array_equal(kept[mean], original[key])
    assert np.array_equal(kept[variance], original[variance.rpartition("/")[2]])
    assert not reset[mean].any()
    assert (reset[variance] == 1).all()


def test_statistics_are_recalibrated_on_the_random_model() -> None:
    x = data("sequential", 32)
    values = randomized(trained(sequential()), x, statistics="recalibrate")
    kernel, bias = values["conv/kernel"], values["conv/bias"]
    convolved = np.maximum(tf.nn.conv2d(x.astype(np.float64), kernel.astype(np.float64), 1, "VALID") + bias, 0)
    flat = convolved.reshape(-1, 4)
    np.testing.assert_allclose(values["norm/moving_mean"], flat.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(values["norm/moving_variance"], flat.var(axis=0, ddof=1), rtol=1e-4)


def test_recalibrating_an_unknown_layer_names_the_nearest() -> None:
    adapter = ar.adapt(trained(sequential()), example_inputs=data("sequential", 1))
    with pytest.raises(UnknownNameError, match="Did you mean 'norm'"):
        adapter.estimate_statistics(data("sequential"), ["nrom"])


def test_a_normalization_of_the_user_s_own_is_not_recalibrated_in_silence() -> None:
    class Own(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.parts = Normalization(3, 6)

        def call(self, x: tf.Tensor) -> tf.Tensor:
            return self.parts(x)

    model = keras.Sequential([keras.Input((6,)), Own(), keras.layers.Dense(3, name="head")])
    adapter = ar.adapt(model, example_inputs=data("mlp", 1))
    (layer,) = [layer for layer in adapter.layers() if layer.statistics]
    with pytest.raises(ModelError, match=r"recalibrate.*BatchNormalization"):
        adapter.estimate_statistics(data("mlp"), [layer.name])


@pytest.mark.parametrize(
    ("kind", "explainer", "strategy", "named"),
    [
        ("saved", "gradcam", ar.FullRandomization(), "SupportsLayerGradient"),
        ("module", "saliency", ar.FullRandomization(perturbation=ar.NativeInit()), "SupportsNativeInit"),
        ("module", "saliency", ar.FullRandomization(statistics="recalibrate"), "SupportsStatistics"),
    ],
)
def test_what_a_model_cannot_do_is_an_error_that_names_it(
    kind: str, explainer: str, strategy: Any, named: str, saved: Path
) -> None:
    model = ConvolutionalNet() if kind == "module" else tf.saved_model.load(str(saved / "module"))
    run = metric(model, data("convolutional"), randomization_strategy=strategy, isolation="in_place")
    with pytest.raises(CapabilityError, match=named):
        run.run(explainer)
