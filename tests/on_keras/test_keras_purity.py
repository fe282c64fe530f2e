"""The caller's model and every generator are as before: after a run, in place, and after errors."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from keras_cases import Transformer, built, host, mlp, residual

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError

X = np.random.default_rng(5).normal(0.2, 1, (6, 7, 6, 2)).astype("float32")
LABELS = np.array([0, 2, 1, 1, 2, 0])
STRATEGY = ar.CascadingRandomization(groups=2)


def trained() -> keras.Model:
    """A compiled model that was fitted, with a frozen layer."""
    model = residual()
    model.get_layer("stem").trainable = False
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, LABELS, epochs=1, verbose=0)
    return model


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return trained()


def state(model: keras.Model) -> dict[str, Any]:
    _any_adapter()
    flattened = model._flatten_layers()
    return {
        "weights": [(v.path, host(v).tobytes(), v.trainable) for v in model.variables],
        "flags": [(layer.name, layer.trainable, "call" in vars(layer)) for layer in flattened],
        "optimizer": [host(v).tobytes() for v in model.optimizer.variables],
        "objects": (id(model.optimizer), id(model.loss), id(model.train_function), model.compiled),
        "attributes": sorted(vars(model)),
        "modes": [part.training for part in model.modules()] if hasattr(model, "modules") else None,
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "keras": _drawn(),
        "settings": (keras.config.floatx(), keras.config.image_data_format()),
    }


@cache
def _any_adapter() -> Any:
    return ar.adapt(keras.Sequential([keras.Input((2,)), layers.Dense(2)]))


def _drawn() -> list[float]:
    """What the framework's global generators would draw next."""
    adapter = _any_adapter()
    held = adapter.random_state()
    drawn = host(keras.random.normal((3,))).tolist()
    if keras.backend.backend() == "torch":
        import torch

        drawn += torch.rand(3).tolist()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        drawn += tf.random.normal((3,)).numpy().tolist()
    adapter.set_random_state(held)
    return drawn


def metric(model: keras.Model, isolation: str | None = None, **options: Any) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(
        model, X, LABELS, randomization_strategy=STRATEGY, seed=0, isolation=isolation, batch_size=4, **options
    )


def gradient(model: keras.Model, inputs: Any, targets: Any) -> Any:
    """A method as users write it."""
    backend = keras.backend.backend()
    if backend == "torch":
        inputs = inputs.clone().requires_grad_()
        model(inputs).gather(1, targets[:, None].long()).sum().backward()
        return inputs.grad
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            chosen = tf.gather(model(inputs), targets, axis=1, batch_dims=1)
        return tape.gradient(chosen, inputs)
    import jax

    return jax.grad(lambda x: model(x)[np.arange(len(x)), np.asarray(targets)].sum())(inputs)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_after_the_normal_end(model, isolation):
    before = state(model)
    for explainer in ("gradient", gradient):
        result = metric(model, isolation).run(explainer)
        assert result.settings["isolation"] == isolation
    assert state(model) == before
    # It can still be trained on.
    keras.models.clone_model(model)


class Custom(Exception):
    pass


@pytest.mark.parametrize("error", [Custom("mine"), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_after_an_exception_inside_the_explainer(model, isolation, error):
    before = state(model)
    seen = set()

    def failing(inner: keras.Model, inputs: Any, targets: Any) -> Any:
        keras.random.normal((2,))
        random.random()
        seen.add(host(inner.get_layer("head").kernel).tobytes())
        if len(seen) == 2:
            raise error
        return inputs

    with pytest.raises(type(error)) as caught:
        metric(model, isolation).run(failing)
    assert caught.value is error
    assert state(model) == before
    # It did explain random weights before it failed.
    assert len(seen) == 2


def test_foreign_code_that_draws_in_training_mode_leaves_seeds(model):
    before = state(model)

    moved = []

    def drawing(inner: keras.Model, inputs: Any, targets: Any) -> Any:
        dropout = next(layer for layer in inner.layers if isinstance(layer, layers.Dropout))
        dropout(inputs, training=True)
        keras.random.normal((2,), seed=dropout.seed_generator)
        moved.append(host(dropout.seed_generator.state).tolist())
        return inputs

    metric(model, "in_place").run(drawing)
    assert moved[0] != moved[1]
    assert state(model) == before


def test_an_explainer_that_trains_the_model_is_found(model):
    before = state(model)

    def training(inner: keras.Model, inputs: Any, targets: Any) -> Any:
        kernel = inner.get_layer("stem").kernel
        kernel.assign(kernel * 1.01)
        return inputs

    with pytest.raises(AgnosticRandError, match="stem"):
        metric(model).run(training)
    assert state(model) == before


def test_flags_that_an_explainer_changes_are_reported(model):
    def careless(inner: keras.Model, inputs: Any, targets: Any) -> Any:
        inner.get_layer("head").trainable = False
        return inputs

    findings = metric(model).run(careless).findings
    assert any("trainable" in finding for finding in findings)
    assert model.get_layer("head").trainable


FOREIGN = {
    "no call": lambda model, x: None,
    "other inputs": lambda model, x: model(x + 1),
    "a part of them": lambda model, x: model(x[:2]),
    "a part of the model": lambda model, x: model.get_layer("stem")(x),
    "training mode": lambda model, x: model(x, training=True),
    "noisy weights": lambda model, x: _with_other_weights(model, x),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_foreign_calls_that_are_not_the_model_s_own_are_not_noted(what):
    adapter = ar.adapt(residual())
    x = adapter.asarray(X)
    with adapter.explaining(x) as captured:
        FOREIGN[what](adapter.native, adapter.to_native(x))
    assert captured() is None


def test_the_outputs_of_a_foreign_call_on_the_inputs_are_noted():
    adapter = ar.adapt(residual())
    x = adapter.asarray(X)
    with adapter.explaining(x) as captured:
        assert captured() is None
        adapter.native(adapter.to_native(x))
    np.testing.assert_allclose(host(captured()), host(adapter.predict(x)), atol=1e-5)
    assert "call" not in vars(adapter.native)


def test_nothing_stays_on_the_model_after_foreign_code_fails():
    adapter = ar.adapt(residual())
    with pytest.raises(Custom), adapter.explaining(adapter.asarray(X)):
        raise Custom
    assert "call" not in vars(adapter.native)


def test_a_function_scores_as_the_method_that_it_writes_out():
    scores = metric(residual()).run(gradient).scores["spearman"]
    np.testing.assert_allclose(scores, metric(residual()).run("gradient").scores["spearman"], atol=1e-4)


def _with_other_weights(model: keras.Model, x: Any) -> None:
    kernel = model.get_layer("head").kernel
    held = host(kernel)
    kernel.assign(held * 3)
    model(x)
    kernel.assign(held)


@pytest.mark.parametrize("explainer", ["saliency", "guided_backprop", ar.explainers.SmoothGrad(samples=2)], ids=str)
def test_scores_do_not_depend_on_the_batch_size(explainer):
    x = np.random.default_rng(1).normal(0.2, 1, (64, 3, 2)).astype("float32")
    model = mlp()
    full = ar.FullRandomization()
    # No ranks: kernels round by the size of the batch, and one may turn.
    scores = [
        ar.ModelRandomizationMetric(
            model, x, randomization_strategy=full, seed=0, batch_size=size, measures=["pearson"]
        )
        .run(explainer)
        .scores["pearson"]
        for size in (64, 7, 1)
    ]
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], atol=1e-4)


@pytest.mark.filterwarnings("ignore::agnostic_rand.errors.FindingWarning")
def test_undefined_scores_are_nan_and_counted():
    model = residual()

    def constant(inner: keras.Model, inputs: Any, targets: Any) -> Any:
        maps = host(inputs).copy()
        maps[1] = 2.0
        return maps

    whole = ar.ModelRandomizationMetric(model, X, LABELS, randomization_strategy=STRATEGY, seed=0)
    result = whole.run(constant)
    scores = result.scores["spearman"]
    assert np.isnan(scores[:, :, 1]).all()
    assert not np.isnan(np.delete(scores, 1, axis=2)).any()
    assert int(np.sum(result.undefined["spearman"])) == scores.shape[1]
    with pytest.warns(ar.errors.UndefinedScoreWarning, match=r"2 of 12"):
        whole.evaluate(constant)


def test_the_transformer_takes_a_whole_run():
    model = built(Transformer(), 4, 6)
    x = np.random.default_rng(3).normal(size=(6, 4, 6)).astype("float32")
    result = ar.ModelRandomizationMetric(
        model, x, LABELS, randomization_strategy=ar.FullRandomization(), seed=0
    ).run("saliency")
    assert result.coverage == 1.0
    assert np.isfinite(result.scores["spearman"]).all()
