"""Loaded SavedModels: their weights are swapped in place, by a signature or the model's own call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import attention, functional, sequential, subclassed, trained
from tf_nets import ConvolutionalNet, Dense, normal

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = normal(3, 9, 6, 6, 2, scale=1.0)
TARGETS = np.arange(9) % 3


class Exported(ConvolutionalNet):
    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2])])
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": self(x)}

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2])])
    def two(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": self(x), "doubled": 2 * self(x)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module with a signature, one with two, one that is called, and a Keras model."""
    root = tmp_path_factory.mktemp("saved")
    exported = Exported()
    tf.saved_model.save(exported, str(root / "signature"), signatures={"serving_default": exported.serve})
    signatures = {"one": exported.serve, "two": exported.two}
    tf.saved_model.save(exported, str(root / "several"), signatures=signatures)
    called = Dense(1, 6, 3)
    for name in ("forward", "again"):
        setattr(called, name, tf.function(called.__call__, input_signature=[tf.TensorSpec([None, 6])]))
    tf.saved_model.save(called, str(root / "method"))
    # The format is deprecated in name; it is what is tested.
    tf.saved_model.save(trained(sequential()), str(root / "keras"))
    return root


def load(folder: Path, name: str) -> Any:
    return tf.saved_model.load(str(folder / name))


def test_a_saved_module_is_read_through_its_signature(folder: Path) -> None:
    model, original = load(folder, "signature"), Exported()
    saved = ar.adapt(model, example_inputs=X[:1])
    adapter = ar.adapt(original, example_inputs=X[:1])
    assert [layer.name for layer in saved.layers()] == [layer.name for layer in adapter.layers()]
    assert [layer.parameters for layer in saved.layers()] == [layer.parameters for layer in adapter.layers()]
    assert [layer.statistics for layer in saved.layers()] == [layer.statistics for layer in adapter.layers()]
    assert saved.order_source == "traced"
    assert np.allclose(saved.predict(X), adapter.predict(X), atol=1e-6)
    assert np.allclose(saved.gradient(X, TARGETS), adapter.gradient(X, TARGETS), atol=1e-6)
    assert model.calls.numpy() == 0


def test_a_saved_keras_model_has_the_names_of_its_layers(folder: Path) -> None:
    saved = ar.adapt(load(folder, "keras"), example_inputs=X[:1])
    adapter = ar.adapt(trained(sequential()), example_inputs=X[:1])
    assert [layer.name for layer in saved.layers()] == ["conv", "norm", "depthwise", "head"]
    for ours, theirs in zip(saved.layers(), adapter.layers(), strict=True):
        assert {p.name: (p.role, p.axes) for p in ours.parameters} == {
            p.name: (p.role, p.axes) for p in theirs.parameters
        }
        assert {p.name: p.role for p in ours.statistics} == {p.name: p.role for p in theirs.statistics}
    assert np.allclose(saved.predict(X), adapter.predict(X), atol=1e-6)


def test_a_saved_model_cannot_be_copied_and_its_relus_are_out_of_reach(folder: Path) -> None:
    adapter = ar.adapt(load(folder, "keras"), example_inputs=X[:1])
    with pytest.raises(ModelError, match="isolation='in_place'"):
        adapter.clone()
    with pytest.raises(ModelError, match="a SavedModel"):
        adapter.gradient(X, TARGETS, relu="guided")


def test_a_saved_model_with_several_signatures_or_none_needs_forward(folder: Path) -> None:
    several = load(folder, "several")
    with pytest.raises(ModelError, match="forward="):
        ar.adapt(several, example_inputs=X[:1])
    adapter = ar.adapt(several, example_inputs=X[:1], forward=lambda m, x: m.signatures["two"](x)["doubled"])
    assert np.allclose(adapter.predict(X), 2 * ar.adapt(Exported()).predict(X), atol=1e-5)
    method = load(folder, "method")
    with pytest.raises(ModelError, match="a SavedModel with a signature"):
        ar.adapt(method)
    adapter = ar.adapt(method, forward=lambda m, x: m.forward(x))
    assert np.allclose(
        adapter.predict(X[:, 0, :3].reshape(9, 6)), Dense(1, 6, 3)(X[:, 0, :3].reshape(9, 6)), atol=1e-6
    )


def weights(model: Any) -> list[bytes]:
    adapter = ar.adapt(model, example_inputs=X[:1])
    return [value.tobytes() for layer in adapter.layers() for value in adapter.read(layer.name).values()]


@pytest.mark.parametrize("name", ["signature", "keras"])
def test_a_cascade_in_place_restores_every_bit(folder: Path, name: str) -> None:
    model = load(folder, name)
    before = weights(model)
    metric = ar.ModelRandomizationMetric(
        model,
        X,
        TARGETS,
        randomization_strategy=ar.CascadingRandomization(),
        isolation="in_place",
        seed=4,
        batch_size=4,
    )
    result = metric.run("saliency")
    assert weights(model) == before
    # The trained model against random ones: the scores of the original, which is copied, are the same.
    original = trained(sequential()) if name == "keras" else Exported()
    due = ar.ModelRandomizationMetric(
        original, X, TARGETS, randomization_strategy=ar.CascadingRandomization(), seed=4, batch_size=4
    ).run("saliency")
    assert np.allclose(result.scores["spearman"], due.scores["spearman"], atol=1e-3)


def test_a_cascade_in_place_restores_every_bit_after_an_exception(folder: Path) -> None:
    model = load(folder, "keras")
    before, seen = weights(model), []

    def interrupted(native: Any, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        seen.append(native is model and weights(model) != before)
        if seen[-1]:
            raise KeyboardInterrupt
        return inputs

    metric = ar.ModelRandomizationMetric(model, X, TARGETS, isolation="in_place", seed=4, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        metric.run(interrupted)
    # The trained model at first, then the random one.
    assert len(seen) > 3
    assert seen[-1]
    assert weights(model) == before


def test_a_saved_model_inside_a_module_is_part_of_it(folder: Path) -> None:
    class Around(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = load(folder, "keras")
            self.head = Dense(2, 3, 3)

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.head(self.body(x, training=False))

    adapter = ar.adapt(Around(), example_inputs=X[:1])
    names = [layer.name for layer in adapter.layers()]
    assert names[-1] == "head"
    assert len(names) == 5
    with pytest.raises(ModelError, match="isolation='in_place'"):
        adapter.clone()


SHAPES = {sequential: (6, 6, 2), functional: (6,), attention: (4, 6), subclassed: (6,)}


@pytest.mark.parametrize("build", SHAPES)
def test_a_keras_model_is_the_same_after_it_was_saved_to_a_folder_and_loaded(build: Any, tmp_path: Path) -> None:
    original = trained(build())
    x = normal(3, 4, *SHAPES[build], scale=1.0)
    # Keras saves only what was called.
    original.predict(x, verbose=0)
    original.save(tmp_path / "model")
    loaded = keras.models.load_model(tmp_path / "model")
    for options in ({}, {"example_inputs": x[:1]}):
        ours, theirs = ar.adapt(loaded, **options), ar.adapt(original, **options)
        assert ours.layers() == theirs.layers()
        assert ours.order_source == theirs.order_source
        assert np.allclose(ours.predict(x), theirs.predict(x), atol=1e-6)
    strategy = ar.FullRandomization(statistics="reset")
    assert strategy.plan(ours.layers()).steps[-1].coverage == 1
    if build is subclassed:
        # What is loaded without its class has no code to be built from.
        with pytest.raises(ModelError, match="isolation='in_place'"):
            ours.clone()
        return
    random, due = (strategy.randomize(model, seed=0) for model in (loaded, original))
    assert np.allclose(random(x), due(x), atol=1e-6)
    assert np.array_equal(ours.predict(x), ar.adapt(loaded).predict(x))
