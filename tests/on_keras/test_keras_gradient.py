"""Gradients and ReLU rules are those of PyTorch in float64 on the same weights."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import torch_rules
from keras import layers, ops
from keras_cases import Transformer, biased, built, host, mlp, residual, tokens

import agnostic_rand as ar
from agnostic_rand.errors import InputError, ModelError

RULES = ("standard", "guided", "deconv")
LABELS = np.array([0, 2, 1, 1, 2])
X = np.random.default_rng(5).normal(0.2, 1, (5, 7, 6, 2)).astype("float32")
ROWS = np.random.default_rng(6).normal(0.2, 1, (5, 6)).astype("float32")


def expect_torch(adapter, network: Callable, inputs: np.ndarray, rule: str) -> None:
    for targets in (LABELS, np.random.default_rng(1).normal(size=(5, 3)).astype("float32")):
        pair = adapter.output_and_gradient(adapter.asarray(inputs), adapter.asarray(targets), relu=rule)
        due = torch_rules.gradient(network, inputs, targets)
        for ours, theirs in zip(pair, due, strict=True):
            np.testing.assert_allclose(host(ours), theirs, atol=2e-5 * np.abs(theirs).max())
        assert np.abs(due[1]).max() > 1e-2


@pytest.mark.parametrize("rule", RULES)
def test_a_residual_network_with_batch_normalization(rule):
    adapter = ar.adapt(residual())
    stem, wide, norm, head = (adapter.read(layer.name) for layer in adapter.layers())
    relu = torch_rules.rectifier(rule)

    def network(x):
        x = relu(torch_rules.convolved(x, stem, padding=1))
        # A kernel of height 3 and width 1.
        y = torch_rules.convolved(torch_rules.functional.pad(x, (0, 0, 0, 0, 1, 1)), wide)
        return torch_rules.dense(relu(torch_rules.normalized(y, norm) + x).mean((1, 2)), head)

    expect_torch(adapter, network, X, rule)


def named(x):
    return layers.Dense(6, activation="relu", name="second")(x)


def rectified(function: Callable) -> Callable:
    return lambda x: function(layers.Dense(6, name="second")(x))


class OwnCode(layers.Layer):
    """A layer whose own code rectifies."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


INFINITY = float("inf")
FORMS: dict[str, tuple[Callable, float]] = {
    "activation='relu'": (named, INFINITY),
    "layers.ReLU": (rectified(lambda x: layers.ReLU()(x)), INFINITY),
    "layers.ReLU(6.0)": (rectified(lambda x: layers.ReLU(max_value=6.0)(x * 3)), 6.0),
    "layers.Activation": (rectified(lambda x: layers.Activation("relu")(x)), INFINITY),
    "layers.Activation(relu6)": (rectified(lambda x: layers.Activation("relu6")(x * 3)), 6.0),
    "activations.relu": (rectified(lambda x: layers.Activation(keras.activations.relu)(x)), INFINITY),
    "ops.relu": (rectified(lambda x: ops.relu(x)), INFINITY),
    "ops.maximum": (rectified(lambda x: ops.maximum(x, 0)), INFINITY),
    "ops.maximum(0, x)": (rectified(lambda x: ops.maximum(0.0, x)), INFINITY),
    "own code": (rectified(lambda x: OwnCode(lambda y: ops.relu(y))(x)), INFINITY),
    "own code, maximum": (rectified(lambda x: OwnCode(lambda y: ops.maximum(0, y))(x)), INFINITY),
    "inside a nested model": (rectified(lambda x: keras.Sequential([layers.ReLU()])(x)), INFINITY),
}


def one_rectifier(form: Callable, last: Callable = lambda x: x) -> keras.Model:
    """Dense, ReLU, dense, the form that is tested, dense."""
    inputs = keras.Input((6,))
    x = layers.Dense(6, activation="relu", name="first")(inputs)
    return biased(keras.Model(inputs, layers.Dense(3, name="third")(last(form(x)))))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_relu_follows_the_rule(form, rule):
    make, top = FORMS[form]
    adapter = ar.adapt(one_rectifier(make))
    first, second, third = (adapter.read(name) for name in ("first", "second", "third"))
    scale = 3 if top == 6 else 1

    def network(x):
        x = torch_rules.rectifier(rule)(torch_rules.dense(x, first))
        x = torch_rules.rectifier(rule, top)(scale * torch_rules.dense(x, second))
        return torch_rules.dense(x, third)

    # Large enough that some values are above 6.
    expect_torch(adapter, network, ROWS * 4, rule)


LEAKS = {
    "PReLU": lambda x: layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25))(x),
    "LeakyReLU": lambda x: layers.LeakyReLU(negative_slope=0.25)(x),
    "ReLU with a slope": lambda x: layers.ReLU(negative_slope=0.25)(x),
}


@pytest.mark.parametrize("rule", ["guided", "deconv"])
@pytest.mark.parametrize("form", LEAKS)
def test_a_leaky_relu_is_no_relu_whatever_keras_makes_it_of(form, rule):
    adapter = ar.adapt(one_rectifier(rectified(LEAKS[form])))
    first, second, third = (adapter.read(name) for name in ("first", "second", "third"))

    def network(x):
        x = torch_rules.dense(torch_rules.rectifier(rule)(torch_rules.dense(x, first)), second)
        return torch_rules.dense(torch_rules.functional.leaky_relu(x, 0.25), third)

    expect_torch(adapter, network, ROWS, rule)


def test_clipping_is_no_relu():
    clips = {
        "clip": lambda x: ops.clip(x, 0, 1),
        "minimum first": lambda x: ops.maximum(ops.minimum(x, 1), 0),
        "another bound": lambda x: ops.maximum(x, 0.1),
        "two tensors": lambda x: ops.maximum(x, 2 * x),
        "softplus": lambda x: ops.softplus(x),
    }
    for clip in clips.values():
        inputs = keras.Input((6,))
        model = keras.Model(inputs, layers.Dense(3)(clip(layers.Dense(6)(inputs))))
        with pytest.raises(ModelError, match="at least one ReLU"):
            guided(model, ROWS)


def guided(model: keras.Model, x: np.ndarray, rule: str = "guided"):
    adapter = ar.adapt(model, example_inputs=x[:1])
    return adapter.gradient(adapter.asarray(x), adapter.asarray(np.zeros(len(x), np.int64)), relu=rule)


@pytest.mark.parametrize("rule", ["guided", "deconv"])
@pytest.mark.parametrize("activation", ["tanh", "gelu", "elu", "sigmoid", "leaky_relu", "silu"])
def test_a_model_without_relu_is_refused(activation, rule):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation=activation), layers.Dense(2)])
    with pytest.raises(ModelError, match=rf"relu='{rule}' on .*expected at least one ReLU.*Gradient\(\)"):
        guided(model, ROWS, rule)


@pytest.mark.parametrize("options", [{"threshold": 0.5}, {"negative_slope": 0.1, "max_value": 6.0}])
def test_a_relu_of_pieces_is_refused(options):
    model = one_rectifier(rectified(lambda x: layers.ReLU(**options, name="odd")(x)))
    with pytest.raises(ModelError, match=r"layer 'odd'.*not defined for this activation"):
        guided(model, ROWS)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="loops are followed elsewhere")
def test_a_relu_inside_a_loop_is_refused():
    inputs = keras.Input((4, 2))
    x = layers.ReLU()(layers.Dense(3)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.SimpleRNN(3, activation="relu")(x)))
    with pytest.raises(ModelError, match=r"where no rule reaches it.*unroll=True"):
        guided(model, np.ones((3, 4, 2), np.float32))


@pytest.mark.parametrize("unroll", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_a_recurrent_layer_follows_the_rule(rule, unroll):
    if not unroll and keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow's loop is refused")
    inputs = keras.Input((3, 2))
    cell = layers.SimpleRNN(4, activation="relu", unroll=unroll, name="cell")
    model = biased(keras.Model(inputs, layers.Dense(3, name="head")(cell(inputs))))
    x = np.random.default_rng(2).normal(0.3, 1, (5, 3, 2)).astype("float32")
    adapter = ar.adapt(model, example_inputs=x[:1])
    cell, head = (adapter.read(layer.name) for layer in adapter.layers())
    recurrent = torch_rules.torch.from_numpy(cell["recurrent_kernel"].astype(np.float64))

    def network(x):
        state = torch_rules.torch.zeros(5, 4, dtype=torch_rules.torch.float64)
        for step in range(3):
            state = torch_rules.rectifier(rule)(torch_rules.dense(x[:, step], cell) + state @ recurrent)
        return torch_rules.dense(state, head)

    expect_torch(adapter, network, x, rule)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch.jit is torch's")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_relu_inside_scripted_code_is_interpreted_or_refused():
    import torch

    def rectify(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x) * 2

    model = one_rectifier(rectified(lambda x: OwnCode(torch.jit.script(rectify))(x)))
    same = one_rectifier(rectified(lambda x: OwnCode(lambda y: ops.relu(y) * 2)(x)))
    same.set_weights(model.get_weights())
    message = ""
    # After a few calls the function is compiled.
    for _ in range(4):
        try:
            np.testing.assert_allclose(host(guided(model, ROWS)), host(guided(same, ROWS)), rtol=1e-5)
        except ModelError as error:
            message = str(error)
    assert not message or "one inside DifferentiableGraphBackward" in message


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="clamp is torch's")
@pytest.mark.parametrize("form", ["clamp(min=0)", "clamp_min(0)", "relu_()"])
def test_torch_code_inside_a_layer_follows_the_rule(form):
    codes = {
        "clamp(min=0)": lambda x: x.clamp(min=0),
        "clamp_min(0)": lambda x: x.clamp_min(0),
        "relu_()": lambda x: (x + 0).relu_(),
    }
    x = ROWS
    due = guided(one_rectifier(rectified(lambda x: ops.relu(x))), x)
    model = one_rectifier(rectified(lambda x: OwnCode(codes[form])(x)))
    for old, new in zip(one_rectifier(named).weights, model.weights, strict=True):
        new.assign(old)
    same = one_rectifier(rectified(lambda x: ops.relu(x)))
    for old, new in zip(model.weights, same.weights, strict=True):
        new.assign(old)
    due = guided(same, x)
    np.testing.assert_array_equal(host(guided(model, x)), host(due))
    plain = ar.adapt(model).gradient(ar.adapt(model).asarray(x), ar.adapt(model).asarray(np.zeros(5, np.int64)))
    assert np.abs(host(plain) - host(due)).max() > 1e-3


def test_the_metric_refuses_too():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(2)])
    with pytest.raises(ModelError, match="at least one ReLU"):
        ar.ModelRandomizationMetric(model, ROWS, seed=0).evaluate("guided_backprop")


def test_integer_inputs_have_no_gradient():
    model = tokens()
    x = np.arange(8).reshape(2, 4)
    adapter = ar.adapt(model, example_inputs=x[:1])
    with pytest.raises(InputError, match="floating-point inputs"):
        adapter.gradient(adapter.asarray(x), adapter.asarray(np.array([0, 1])))


def test_outputs_that_no_gradient_connects_are_refused_or_zero():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3)(ops.stop_gradient(layers.Dense(4)(inputs))))
    adapter = ar.adapt(model)
    x, y = adapter.asarray(ROWS), adapter.asarray(LABELS)
    if keras.backend.backend() == "jax":
        # JAX knows no difference between a gradient that is absent and one that is zero.
        assert not host(adapter.gradient(x, y)).any()
    else:
        with pytest.raises(ModelError, match="no gradient connects"):
            adapter.gradient(x, y)


def test_attention_has_the_slope_of_its_outputs():
    """In float64 central differences are exact to about 1e-9."""
    model = built(Transformer(), 4, 6)
    x = np.random.default_rng(3).normal(size=(5, 4, 6)).astype("float32")
    adapter = ar.adapt(model, example_inputs=x[:1])
    gradient = host(adapter.gradient(adapter.asarray(x), adapter.asarray(LABELS))).astype(np.float64)
    direction = np.random.default_rng(4).normal(size=x.shape)
    step = 1e-2

    def chosen(inputs):
        outputs = host(adapter.predict(adapter.asarray(inputs.astype("float32")))).astype(np.float64)
        return outputs[np.arange(5), LABELS]

    numeric = (chosen(x + step * direction) - chosen(x - step * direction)) / (2 * step)
    np.testing.assert_allclose((gradient * direction).sum((1, 2)), numeric, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("relu", RULES)
def test_gradients_work_inside_the_callers_contexts(relu):
    adapter = ar.adapt(mlp())
    x = np.random.default_rng(2).normal(size=(4, 3, 2)).astype("float32")
    inputs, targets = adapter.asarray(x), adapter.asarray(LABELS[:4])
    due = host(adapter.gradient(inputs, targets, relu=relu))
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        contexts = [torch.no_grad(), torch.inference_mode()]
    elif backend == "tensorflow":
        import tensorflow as tf

        contexts = [tf.GradientTape()]
    else:
        import jax

        contexts = [jax.disable_jit(False)]
    for context in contexts:
        with context:
            np.testing.assert_array_equal(host(adapter.gradient(inputs, targets, relu=relu)), due)
