"""What happens inside a model: outputs and gradients at a named part, and class activation maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import sequential, trained
from tf_nets import MLP, ConvolutionalNet, Dense, normal

import agnostic_rand as ar
from agnostic_rand.errors import ModelError, UnknownNameError

X = normal(3, 5, 6, scale=1.0)
IMAGES = normal(4, 5, 6, 6, 2, scale=1.0)
TARGETS = np.arange(5) % 3


def test_the_parts_of_a_module_are_seen_inside_its_traced_functions() -> None:
    net = ConvolutionalNet()
    # It was called before: what is traced already would not be looked into.
    net(IMAGES)
    adapter = ar.adapt(net, example_inputs=IMAGES[:1])
    assert list(adapter.layer_shapes(IMAGES).items()) == [
        ("blocks/0/conv", (5, 6, 6, 4)),
        ("blocks/0/norm", (5, 6, 6, 4)),
        ("blocks/1/conv", (5, 6, 6, 4)),
        ("blocks/1/norm", (5, 6, 6, 4)),
        ("head", (5, 3)),
    ]
    output, gradient = adapter.layer_gradient(IMAGES, TARGETS, "blocks/0/conv")
    np.testing.assert_allclose(output, net.blocks[0]["conv"](IMAGES - net.mean_pixel), atol=1e-5)

    def rest(y: tf.Tensor) -> tf.Tensor:
        y = tf.nn.relu(net.blocks[0]["norm"](y))
        y = tf.nn.relu(net.blocks[1]["norm"](net.blocks[1]["conv"](y)) + y)
        return net.head(tf.reduce_mean(y, axis=[1, 2]))

    np.testing.assert_allclose(gradient, taped(rest, output), atol=1e-6)
    assert net.calls.numpy() == 1


def taped(rest: Any, output: np.ndarray) -> np.ndarray:
    """By a tape: the adapter differentiates graphs."""
    given = tf.constant(output)
    with tf.GradientTape() as tape:
        tape.watch(given)
        chosen = tf.gather(rest(given), TARGETS, axis=1, batch_dims=1)
    return tape.gradient(chosen, given).numpy()


@pytest.mark.parametrize("layer", ["first", "middle"])
def test_the_gradient_inside_a_dense_module_is_numpy_s(layer: str) -> None:
    net = MLP()
    parts = {
        name: [v.numpy().astype(np.float64) for v in (p.kernel, p.bias)]
        for name, p in vars(net).items()
        if isinstance(p, Dense)
    }
    first = X @ parts["first"][0] + parts["first"][1]
    middle = np.maximum(first, 0) @ parts["middle"][0] + parts["middle"][1]
    at_middle = parts["head"][0].T[TARGETS] * (middle > 0)
    due = {"middle": (middle, at_middle), "first": (first, at_middle @ parts["middle"][0].T * (first > 0))}
    adapter = ar.adapt(net, example_inputs=X[:1])
    for targets in (TARGETS, np.eye(3, dtype=np.float32)[TARGETS]):
        found = adapter.layer_gradient(X, targets, layer)
        for array, expected in zip(found, due[layer], strict=True):
            np.testing.assert_allclose(array, expected, atol=1e-5)


class Child(Dense):
    """Inherits its call, and is beside its parent in one model."""


class Family(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parent, self.child, self.uncalled = Dense(1, 6, 6), Child(2, 6, 3), Dense(3, 6, 6)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.child(tf.nn.relu(self.parent(x)))


def test_calls_are_the_modules_own_again_also_after_an_exception() -> None:
    before = vars(Dense)["__call__"]
    adapter = ar.adapt(Family(), example_inputs=X[:1])
    assert list(adapter.layer_shapes(X)) == ["parent", "child"]
    for call in (
        lambda: adapter.layer_shapes(X[:, :5]),
        lambda: adapter.layer_gradient(X[:, :5], TARGETS, "child"),
        lambda: adapter.layer_gradient(X, TARGETS, "uncalled"),
    ):
        with pytest.raises((ModelError, tf.errors.InvalidArgumentError, ValueError)):
            call()
    assert vars(Dense)["__call__"] is before
    assert "__call__" not in vars(Child)
    assert not tf.config.functions_run_eagerly()


def test_a_part_that_is_unknown_or_not_used_is_an_error() -> None:
    adapter = ar.adapt(Family(), example_inputs=X[:1])
    with pytest.raises(UnknownNameError, match="Did you mean 'child'"):
        adapter.layer_gradient(X, TARGETS, "chld")
    with pytest.raises(ModelError, match="no such tensor"):
        adapter.layer_gradient(X, TARGETS, "uncalled")


def of_keras() -> tuple[Any, Any, Any]:
    model = trained(sequential())
    return model, model.get_layer("conv"), keras.Sequential([keras.Input((4, 4, 4)), *model.layers[1:]])


def of_modules() -> tuple[Any, Any, Any]:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = Dense(3, 4, 3)
            self.conv = Stem()

        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            return self.rest(self.conv(x))

        def rest(self, x: tf.Tensor) -> tf.Tensor:
            return self.head(tf.reduce_mean(tf.nn.tanh(x), axis=[1, 2]))

    net = Net()
    return net, net.conv, net.rest


class Stem(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(normal(2, 3, 3, 2, 4))

    @tf.function
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(tf.nn.conv2d(x, self.kernel, 1, "VALID"))


@pytest.mark.parametrize("build", [of_keras, of_modules])
def test_grad_cam_is_the_papers(build: Any) -> None:
    model, conv, rest = build()
    maps = ar.explain(model, IMAGES, TARGETS, ar.explainers.GradCAM(layer="conv"))
    features = conv(IMAGES).numpy()
    weights = taped(rest, features).mean(axis=(1, 2), keepdims=True)
    due = np.maximum((weights * features).sum(axis=-1, keepdims=True), 0)
    # TensorFlow's own interpolation, between pixel centres too.
    upsampled = tf.image.resize(due, (6, 6)).numpy()
    assert np.abs(upsampled).max() > 0.001
    np.testing.assert_allclose(maps.reshape(upsampled.shape), upsampled, atol=1e-5 * np.abs(upsampled).max())
