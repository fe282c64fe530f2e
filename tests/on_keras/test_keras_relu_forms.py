"""What is a ReLU and what is another activation that a framework makes of one: the same on each backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch_rules
from keras import layers, ops
from keras_cases import biased, host
from keras_relu_forms import FUNCTIONS, Written

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

RULES = ("guided", "deconv")
LABELS = np.array([0, 2, 1, 1, 2])
# Large enough that some values are above 6.
ROWS = 4 * np.random.default_rng(6).normal(0.2, 1, (5, 6)).astype("float32")
functional = torch_rules.functional
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's own functions")


class Weighted(layers.Layer):
    """A layer that multiplies by a rectified weight."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 6), name="kernel")

    def call(self, x: Any) -> Any:
        return ops.tanh(ops.matmul(x, ops.relu(self.kernel)))


def network(form: Any, *, rectified: bool = True) -> keras.Model:
    """Dense (with a ReLU or a tanh), dense, the form that is tested, dense."""
    inputs = keras.Input((6,))
    x = layers.Dense(6, activation="relu" if rectified else "tanh", name="first")(inputs)
    x = layers.Dense(6, name="second")(x)
    return biased(keras.Model(inputs, layers.Dense(3, name="third")(form(x))))


def gradient(model: keras.Model, rule: str) -> np.ndarray:
    adapter = ar.adapt(model, example_inputs=ROWS[:1])
    return host(adapter.gradient(adapter.asarray(ROWS), adapter.asarray(LABELS), relu=rule))


def reference(model: keras.Model, rule: str, form: Callable[[Any], Any]) -> np.ndarray:
    """The same in PyTorch, where the first ReLU follows the rule and the form is as it is."""
    adapter = ar.adapt(model)
    first, second, third = (adapter.read(name) for name in ("first", "second", "third"))

    def computed(x: Any) -> Any:
        x = torch_rules.rectifier(rule)(torch_rules.dense(x, first))
        return torch_rules.dense(form(torch_rules.dense(x, second)), third)

    return torch_rules.gradient(computed, ROWS, LABELS)[1]


def sparsemax(x: Any) -> Any:
    """As Keras has it: its threshold is made of the sum of the cumulative sums in the support."""
    ordered = x.sort(dim=1, descending=True).values
    support = 1 + torch_rules.torch.arange(1, x.shape[1] + 1) * ordered > ordered.cumsum(1)
    threshold = ((ordered.cumsum(1) * support).sum(1, keepdim=True) - 1) / support.sum(1, keepdim=True)
    return (x - threshold).clamp(min=0)


OTHERS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "hard_sigmoid": (layers.Activation("hard_sigmoid"), functional.hardsigmoid),
    "hard_silu": (layers.Activation("hard_silu"), functional.hardswish),
    "hard_swish": (layers.Activation("hard_swish"), functional.hardswish),
    "celu": (layers.Activation("celu"), functional.celu),
    "celu of 2": (Written(lambda x: keras.activations.celu(x, alpha=2.0)), lambda x: functional.celu(x, 2.0)),
    "ops.hard_sigmoid": (Written(lambda x: ops.hard_sigmoid(x)), functional.hardsigmoid),
    # Divided, so that more than one value is above the threshold.
    "sparsemax": (Written(lambda x: ops.sparsemax(x / 8)), lambda x: sparsemax(x / 8)),
    "elu": (layers.Activation("elu"), functional.elu),
    "selu": (layers.Activation("selu"), functional.selu),
    "leaky_relu": (layers.LeakyReLU(negative_slope=0.2), lambda x: functional.leaky_relu(x, 0.2)),
    "softplus": (layers.Activation("softplus"), functional.softplus),
    "hard_tanh": (layers.Activation("hard_tanh"), functional.hardtanh),
    "hard_shrink": (layers.Activation("hard_shrink"), functional.hardshrink),
    "soft_shrink": (layers.Activation("soft_shrink"), functional.softshrink),
    "threshold elsewhere": (
        Written(lambda x: keras.activations.threshold(x, 1.0, 0.0)),
        lambda x: functional.threshold(x, 1.0, 0.0),
    ),
    "where of another": (Written(lambda x: ops.where(x > 0, 2 * x, 0.0)), lambda x: 2 * functional.relu(x)),
    "mask of another": (Written(lambda x: 2 * x * ops.cast(x > 0, "float32")), lambda x: 2 * functional.relu(x)),
    "product": (Written(lambda x: x * ops.sigmoid(x)), functional.silu),
    "clip to 1": (Written(lambda x: ops.clip(x, 0, 1)), lambda x: x.clamp(0, 1)),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("other", OTHERS)
def test_another_activation_keeps_its_derivative(other: str, rule: str) -> None:
    form, same = OTHERS[other]
    model = network(form)
    due = reference(model, rule, same)
    assert np.abs(due).max() > 1e-2
    np.testing.assert_allclose(gradient(model, rule), due, atol=2e-5 * np.abs(due).max())


@pytest.mark.parametrize("other", OTHERS)
def test_a_network_of_other_activations_only_is_refused(other: str) -> None:
    with pytest.raises(ModelError, match="at least one ReLU"):
        gradient(network(OTHERS[other][0], rectified=False), "guided")


@pytest.mark.parametrize("form", FUNCTIONS.values(), ids=map(" - ".join, FUNCTIONS))
def test_a_relu_that_is_written_out_is_one_by_itself(form: Callable[[Any], Any]) -> None:
    message = ""
    try:
        gradient(network(Written(form), rectified=False), "guided")
    except ModelError as error:
        message = str(error)
    assert "at least one ReLU" not in message


def test_a_relu_of_a_weight_is_none_of_the_network() -> None:
    model = network(Weighted(), rectified=False)
    flags = [weight.trainable for weight in model.weights]
    with pytest.raises(ModelError, match="at least one ReLU"):
        gradient(model, "guided")
    assert [weight.trainable for weight in model.weights] == flags
    model(ROWS)
    assert all(getattr(weight.value, "requires_grad", True) for weight in model.trainable_weights)


@pytest.mark.parametrize("rule", RULES)
def test_a_relu_of_a_weight_keeps_its_place_beside_one_of_the_inputs(rule: str) -> None:
    weighted = Weighted()
    model = network(weighted)
    kernel = torch_rules.torch.from_numpy(np.maximum(host(weighted.kernel), 0).astype(np.float64))
    due = reference(model, rule, lambda x: torch_rules.torch.tanh(x @ kernel))
    np.testing.assert_allclose(gradient(model, rule), due, atol=2e-5 * np.abs(due).max())


@on_tensorflow
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("kind", ["relu", "maximum", "where", "mask"])
def test_a_relu_with_a_gradient_of_its_own_is_refused(kind: str, rectified: bool) -> None:
    import tensorflow as tf

    forms = {
        "relu": tf.nn.relu,
        "maximum": lambda x: tf.maximum(x, 0.0),
        "where": lambda x: tf.where(x > 0, x, 0.0),
        "mask": lambda x: x * tf.cast(x > 0, x.dtype),
    }

    @tf.custom_gradient
    def own(x: Any) -> Any:
        return forms[kind](x), lambda gradient: gradient * tf.cast(x > 0, gradient.dtype)

    with pytest.raises(ModelError, match=r"tf.custom_gradient"):
        gradient(network(Written(own), rectified=rectified), "guided")


@on_tensorflow
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["maximum", "maximum from the left", "relu6"])
def test_a_relu_in_a_traced_function_follows_the_rule(kind: str, rule: str) -> None:
    import tensorflow as tf

    forms = {
        "maximum": (lambda x: tf.maximum(x, 0.0), np.inf),
        "maximum from the left": (lambda x: tf.maximum(0.0, x), np.inf),
        "relu6": (tf.nn.relu6, 6.0),
    }
    function, top = forms[kind]
    traced = tf.function(function)
    # It was called before, with a gradient of its own.
    traced(tf.constant(ROWS))
    model = network(Written(traced))
    due = reference(model, rule, torch_rules.rectifier(rule, top))
    np.testing.assert_allclose(gradient(model, rule), due, atol=2e-5 * np.abs(due).max())


@on_tensorflow
def test_a_relu_in_a_branch_of_a_traced_function_is_refused() -> None:
    import tensorflow as tf

    branched = tf.function(lambda x: tf.nn.relu(x) if tf.reduce_sum(x) > 0 else x)
    with pytest.raises(ModelError, match=r"Relu 'cond/Relu' inside .*PartitionedCall.*where no rule reaches it"):
        gradient(network(Written(branched)), "guided")


@on_tensorflow
def test_a_traced_function_without_a_relu_is_none() -> None:
    import tensorflow as tf

    forms = [lambda x: keras.activations.hard_sigmoid(x), lambda x: tf.clip_by_value(x, 0.0, 1.0)]
    for form in forms:
        assert np.isfinite(gradient(network(Written(tf.function(form))), "guided")).all()
