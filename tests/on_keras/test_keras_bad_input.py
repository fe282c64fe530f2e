"""What cannot be used is refused by an error of the library that says what came, and the fix."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import Dictionary, biased, built, residual

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, NonFiniteOutputError, WeightsError

X = np.random.default_rng(5).normal(0.2, 1, (4, 6)).astype("float32")


def dense() -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="first"), layers.Dense(3, name="last")])
    return biased(model)


def metric(*arguments, **options) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(*arguments, seed=0, **options)


def quantized() -> keras.Model:
    model = dense()
    model.layers[0].quantize("int8")
    return model


def feature_maps() -> keras.Model:
    return keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3)])


def two_heads(kind: type) -> keras.Model:
    class TwoHeads(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(3), layers.Dense(2)

        def call(self, x):
            return kind([self.first(x), self.second(x)])

    return built(TwoHeads(), 6)


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "not built": (
        lambda: metric(keras.Sequential([layers.Dense(2)]), X),
        r"not built\. Call it once on a batch",
    ),
    "quantized": (
        lambda: metric(quantized(), X, randomization_strategy=ar.FullRandomization()).run("input_map"),
        r"first\.kernel.*int8 \(quantized.*Use Permute.*before quantization",
    ),
    "no parameters": (
        lambda: metric(keras.Sequential([keras.Input((6,)), layers.ReLU()]), X),
        "at least one parameter.*without parameters",
    ),
    "images for rows": (lambda: metric(dense(), np.ones((2, 8, 8, 3), "f")), r"\(2, 8, 8, 3\)"),
    "too few features": (lambda: metric(dense(), X[:, :5]), r"can be called on the inputs.*\(\d, 5\)"),
    "labels": (lambda: metric(dense(), X, [0, 1, 3, 0]), "labels from 0 to 2.*first 3 for sample 2"),
    "NaN": (lambda: metric(dense(), np.full((2, 6), np.nan, "f")), "finite numbers.*NaN"),
    "an unknown layer": (
        lambda: metric(dense(), X, randomization_strategy=ar.ProgressiveLayerRandomization(stop_layer="frist")),
        "'frist'.*Did you mean 'first'",
    ),
    "a dictionary": (
        lambda: metric(built(Dictionary(), 6), X),
        r"one tensor.*dict.*forward=.*inputs\)\['logits'\]",
    ),
    "a list": (lambda: metric(two_heads(list), X), r"one tensor.*a list of 2.*inputs\)\[0\]"),
    "a tuple": (lambda: metric(two_heads(tuple), X), r"one tensor.*a tuple of 2.*inputs\)\[0\]"),
    "feature maps": (lambda: metric(feature_maps(), np.ones((2, 6, 6, 2), "f")), r"\(n, classes\).*forward="),
    "an unknown layer inside": (
        lambda: metric(residual(), np.ones((2, 7, 6, 2), "f")).run(ar.explainers.GradCAM(layer="iner/wide")),
        "'iner/wide'.*Did you mean 'inner/wide'",
    ),
    "maps of two axes": (
        lambda: metric(dense(), X).run(lambda m, x, y: x[:, :3]),
        r"shape of the inputs.*\(4, 6\).*\(4, 3\)",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_an_error_that_says_what_to_do(what):
    call, message = BAD[what]
    with pytest.raises(AgnosticRandError, match=f"(?s){message}") as caught:
        call()
    assert caught.value.fix.endswith((".", "?"))


def test_weights_that_are_not_finite_are_refused_before_anything_is_written():
    model = dense()
    kernel = np.ones((5, 3), np.float32)
    kernel[0, 0] = np.inf
    model.get_layer("last").kernel.assign(kernel)
    with pytest.raises(WeightsError, match=r"last\.kernel.*finite weights.*1 infinite or NaN"):
        ar.FullRandomization().randomize(model, seed=0)


def test_outputs_of_a_random_model_that_are_not_finite_name_step_and_layer():
    huge = ar.CascadingRandomization(perturbation=ar.GaussianNoise(1e30))
    with pytest.raises(NonFiniteOutputError, match=r"step 1 \('first'\), draw 0"):
        metric(dense(), X, randomization_strategy=huge).run("saliency")


def test_wrong_names_and_shapes_are_refused_with_nothing_written():
    adapter = ar.adapt(dense())
    before = adapter.read("last")
    for values in ({"kernel": before["kernel"] * 2, "bais": before["bias"]}, {"bias": np.zeros(4)}):
        with pytest.raises(AgnosticRandError):
            adapter.write("last", values)
    for name, value in adapter.read("last").items():
        np.testing.assert_array_equal(value, before[name])
