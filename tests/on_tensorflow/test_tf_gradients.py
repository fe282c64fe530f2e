"""Gradients against finite differences, and ReLU rules against the papers, computed in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_keras_nets import trained
from tf_nets import MLP, ConvolutionalNet, Dense, normal

import agnostic_rand as ar
from agnostic_rand.adapters import ModelAdapter
from agnostic_rand.errors import InputError, ModelError

X = np.random.default_rng(3).normal(0.2, 1.0, (5, 6)).astype(np.float32)
TARGETS = np.array([0, 2, 1, 1, 0])


def numerical(predict: Callable[[np.ndarray], np.ndarray], x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Central differences of the weighted sum of the outputs."""
    gradient, step = np.zeros_like(x), 1e-6
    for place in np.ndindex(x.shape[1:]):
        moved = np.zeros_like(x)
        moved[:, *place] = step
        change = predict(x + moved) - predict(x - moved)
        gradient[:, *place] = (change * weights).sum(axis=1) / (2 * step)
    return gradient


def double_net() -> keras.Model:
    """Convolutions, a normalization and a smooth activation in double precision."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((4, 4, 2), dtype="float64"),
            layers.Conv2D(3, 3, activation="tanh", dtype="float64"),
            layers.BatchNormalization(dtype="float64"),
            layers.Flatten(dtype="float64"),
            layers.Dense(3, activation="softmax", dtype="float64"),
        ]
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(weighted: bool) -> None:
    rng = np.random.default_rng(4)
    cases: list[tuple[Any, np.ndarray]] = [
        (MLP(tf.float64), rng.normal(size=(5, 6))),
        (trained(double_net()), rng.normal(size=(5, 4, 4, 2))),
    ]
    for model, x in cases:
        adapter = ar.adapt(model, example_inputs=x[:1])
        weights = rng.normal(size=(5, 3)) if weighted else np.eye(3)[TARGETS]
        targets = weights if weighted else TARGETS
        outputs, gradient = adapter.output_and_gradient(adapter.asarray(x), adapter.asarray(targets))
        due = numerical(adapter.predict, x, weights)
        assert gradient.dtype == np.float64
        assert np.abs(gradient - due).max() < 1e-7 * np.abs(due).max()
        assert np.array_equal(outputs, adapter.predict(x))


def by_hand(net: MLP, x: np.ndarray, targets: np.ndarray, rule: str) -> np.ndarray:
    """Springenberg et al. 2015, figure 1, for two hidden layers."""
    (w1, b1), (w2, b2), (w3, _) = (
        (layer.kernel.numpy().astype(np.float64), layer.bias.numpy()) for layer in (net.first, net.middle, net.head)
    )
    z1 = x.reshape(len(x), -1) @ w1 + b1
    z2 = np.maximum(z1, 0) @ w2 + b2
    signal = np.eye(3)[targets]
    for weight, z in ((w3, z2), (w2, z1)):
        signal = signal @ weight.T
        if rule in ("guided", "deconv"):
            signal = np.where(signal > 0, signal, 0)
        if rule in ("guided", "standard"):
            signal = np.where(z > 0, signal, 0)
    return (signal @ w1.T).reshape(x.shape)


RULES = ("standard", "guided", "deconv")


class Functional(MLP):
    """The same network, its ReLUs written in other ways and out of a traced function."""

    def __init__(self, relu: Callable[[tf.Tensor], tf.Tensor]) -> None:
        super().__init__()
        self.relu = relu

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(self.relu(self.middle(self.relu(self.first(x)))))


RELUS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "tf.nn.relu": tf.nn.relu,
    "maximum": lambda x: tf.maximum(x, 0.0),
    "maximum from the left": lambda x: tf.maximum(0.0, x),
    "maximum with zeros": lambda x: tf.maximum(x, tf.zeros(x.shape[1:])),
    "keras.activations": keras.activations.relu,
    "keras.layers": keras.layers.ReLU(),
    "in a traced function": tf.function(tf.nn.relu),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("relu", RELUS)
def test_relu_rules_are_the_papers_however_the_relu_is_written(relu: str, rule: Any) -> None:
    net = Functional(RELUS[relu])
    # A function that was traced before must not keep its own gradient.
    net(tf.constant(X))
    gradient = ar.adapt(net, example_inputs=X[:1]).gradient(X, TARGETS, relu=rule)
    due = by_hand(net, X, TARGETS, rule)
    assert np.abs(gradient - due).max() < 1e-6
    if rule != "standard":
        assert np.abs(gradient - by_hand(net, X, TARGETS, "standard")).max() > 0.01


@pytest.mark.parametrize("rule", ["guided", "deconv"])
def test_relu_rules_reach_the_activation_of_a_keras_layer(rule: Any) -> None:
    net = MLP()
    layers = [
        keras.layers.Dense(7, activation="relu"),
        keras.layers.Dense(6),
        keras.layers.Activation("relu"),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((6,)), *layers])
    for layer, part in zip((layers[0], layers[1], layers[3]), (net.first, net.middle, net.head), strict=True):
        layer.set_weights([part.kernel.numpy(), part.bias.numpy()])
    gradient = ar.adapt(model).gradient(X, TARGETS, relu=rule)
    assert np.abs(gradient - by_hand(net, X, TARGETS, rule)).max() < 1e-6


class Last(tf.Module):
    """A dense layer behind some function of the input."""

    def __init__(self, function: Callable[[tf.Tensor], tf.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.dense = Dense(1, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(self.function(x))


def last(function: Callable[[tf.Tensor], tf.Tensor]) -> ModelAdapter:
    return ar.adapt(Last(function), example_inputs=X[:1])


def test_another_maximum_keeps_its_gradient() -> None:
    adapter = last(lambda x: tf.nn.relu(x) + tf.maximum(x, -x) + tf.maximum(x, 0.5) + tf.clip_by_value(x, 0.0, 1.0))
    signal = Dense(1, 6, 3).kernel.numpy().T[TARGETS]
    slope = np.sign(X) + (X > 0.5) + ((X > 0) & (X < 1))
    due = signal * slope + np.where(X > 0, np.maximum(signal, 0), 0)
    assert np.allclose(adapter.gradient(X, TARGETS, relu="guided"), due, atol=1e-6)


def squared_backwards(x: tf.Tensor) -> tf.Tensor:
    @tf.custom_gradient
    def relu(y: tf.Tensor) -> Any:
        return tf.nn.relu(y), lambda gradient: 2 * gradient

    return relu(x)


def carried(x: tf.Tensor) -> tf.Tensor:
    """A loop that rectifies what its last round made, at first a constant."""
    rounds = tf.TensorShape([]), tf.TensorShape([None, 6])
    body, start = (lambda i, y: (i + 1, tf.maximum(y, 0.0) + x)), (0, tf.zeros((1, 6)))
    return tf.while_loop(lambda i, _: i < 2, body, start, shape_invariants=rounds)[1]


def half_sum(x: tf.Tensor) -> tf.Tensor:
    return (x + tf.abs(x)) / 2


BRANCHED = tf.function(lambda x: half_sum(x) if tf.reduce_sum(x) > 0 else x)
HIDDEN: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], str]] = {
    "a branch": (lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: tf.nn.relu(x)), "Relu 'cond/Relu'"),
    "a choice": (
        lambda x: tf.switch_case(tf.constant(0), [lambda: x, lambda: half_sum(x)]),
        "RealDiv 'switch_case",
    ),
    "a loop": (
        lambda x: tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, tf.nn.relu(y)), (0, x))[1],
        "Relu 'while/Relu' inside 'while'",
    ),
    "a loop that carries it": (carried, "Maximum 'while/Maximum'"),
    "a map": (lambda x: tf.map_fn(half_sum, x), "RealDiv 'map/while/truediv'"),
    "a gradient of its own": (squared_backwards, r"Relu 'Relu' .* \(tf.custom_gradient\)"),
    "a recomputed block": (lambda x: tf.recompute_grad(half_sum)(x), r"RealDiv .* \(tf.custom_gradient\)"),
    "a gradient that passes it by": (
        lambda x: x + tf.stop_gradient(tf.nn.relu(x) - x),
        r"AddV2 .* \(tf.stop_gradient\)",
    ),
    "a concrete function": (
        tf.function(half_sum).get_concrete_function(tf.TensorSpec((None, 6), tf.float32)),
        "RealDiv 'truediv' inside 'PartitionedCall'",
    ),
    "a function with a branch": (lambda x: BRANCHED(x), "RealDiv 'cond/truediv' inside 'PartitionedCall/cond'"),
    "Python": (lambda x: tf.ensure_shape(tf.py_function(tf.nn.relu, [x], x.dtype), x.shape), "EagerPyFunc"),
}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_relu_out_of_reach_is_an_error_and_never_a_plain_gradient(hidden: str) -> None:
    function, operation = HIDDEN[hidden]
    # The reachable ReLU beside it must not hide the other.
    adapter = last(lambda x: function(x) + tf.nn.relu(2 * x))
    assert np.isfinite(adapter.gradient(X, TARGETS)).all()
    for rule in ("guided", "deconv"):
        with pytest.raises(ModelError, match=f"whose gradient can be changed.*{operation}"):
            adapter.gradient(X, TARGETS, relu=rule)


@pytest.mark.parametrize("function", [tf.tanh, tf.nn.leaky_relu, lambda x: tf.stop_gradient(tf.nn.relu(x)) + x])
def test_a_model_without_relu_is_an_error(function: Callable[[tf.Tensor], tf.Tensor]) -> None:
    with pytest.raises(ModelError, match="at least one ReLU"):
        last(function).gradient(X, TARGETS, relu="guided")


def test_the_switch_to_eager_functions_is_put_back_after_an_error() -> None:
    for setting in (True, False):
        tf.config.run_functions_eagerly(setting)
        adapter = last(tf.tanh)
        with pytest.raises(ModelError):
            adapter.gradient(X, TARGETS, relu="guided")
        assert tf.config.functions_run_eagerly() is setting


def test_each_rule_has_its_own_gradient_also_in_turn() -> None:
    adapter = ar.adapt(MLP(), example_inputs=X[:1])
    seen = [adapter.gradient(X, TARGETS, relu=rule) for rule in (*RULES, *RULES)]
    for i, rule in enumerate(RULES):
        assert np.array_equal(seen[i], seen[i + 3])
        assert np.abs(seen[i] - by_hand(MLP(), X, TARGETS, rule)).max() < 1e-6


def test_rules_register_nothing_more_with_tensorflow_at_later_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ar.adapt(MLP(), example_inputs=X[:1]).gradient(X, TARGETS, relu="guided")
    registered: list[str] = []
    monkeypatch.setattr(tf, "RegisterGradient", lambda name: registered.append(name) or (lambda function: function))
    for rule in ("guided", "deconv"):
        ar.adapt(MLP(), example_inputs=X[:1]).gradient(X, TARGETS, relu=rule)
    assert registered == []


def test_integers_have_no_gradient() -> None:
    with pytest.raises(InputError, match="floating-point inputs"):
        last(lambda x: tf.cast(x, tf.float32)).gradient(X.astype(np.int64), TARGETS)


def test_an_output_without_a_gradient_is_an_error() -> None:
    adapter = last(lambda x: tf.one_hot(tf.argmax(x, axis=1), 6))
    with pytest.raises(ModelError, match="no gradient"):
        adapter.gradient(X, TARGETS)


def test_the_gradient_of_gathered_inputs_is_dense() -> None:
    adapter = last(lambda x: tf.transpose(tf.gather(tf.transpose(x), [0, 0, 1, 2, 3, 4])))
    kernel = Dense(1, 6, 3).kernel.numpy()
    due = np.stack([kernel[0] + kernel[1], *kernel[2:], np.zeros(3)], axis=1)[TARGETS]
    assert np.allclose(adapter.gradient(X, TARGETS), due)


def test_a_normalized_convolutional_net_in_half_precision_is_close_to_itself() -> None:
    full = ConvolutionalNet()
    x = normal(5, 5, 5, 6, 2)
    due = ar.adapt(full, example_inputs=x[:1]).gradient(x, TARGETS)

    class Half(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = full
            self.scale = tf.Variable(tf.ones((), tf.float16))

        def __call__(self, y: tf.Tensor) -> tf.Tensor:
            assert y.dtype == tf.float32
            return tf.cast(self.net(y), tf.float16) * self.scale

    adapter = ar.adapt(Half(), example_inputs=x[:1])
    gradient = adapter.gradient(adapter.asarray(x), TARGETS)
    assert gradient.dtype == adapter.predict(x).dtype == np.float32
    assert np.abs(gradient - due).max() < 0.01 * np.abs(due).max()
