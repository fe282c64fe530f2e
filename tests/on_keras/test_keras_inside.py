"""What happens inside: outputs and gradients at a named layer."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch_rules
from keras import layers
from keras_cases import biased, host, residual

import agnostic_rand as ar
from agnostic_rand.errors import ModelError, UnknownNameError

X = np.random.default_rng(5).normal(0.2, 1, (5, 7, 6, 2)).astype("float32")
ROWS = np.random.default_rng(6).normal(0.2, 1, (5, 6)).astype("float32")
LABELS = np.array([0, 2, 1, 1, 2])


def test_layers_inside_nested_models_are_seen():
    adapter = ar.adapt(residual())
    stem, wide, norm, head = (adapter.read(layer.name) for layer in adapter.layers())
    caught = {}

    def network(x):
        x = torch_rules.convolved(x, stem, padding=1).clamp(min=0)
        y = torch_rules.convolved(torch_rules.functional.pad(x, (0, 0, 0, 0, 1, 1)), wide)
        y.retain_grad()
        caught["inner/wide"] = y
        return torch_rules.dense((torch_rules.normalized(y, norm) + x).clamp(min=0).mean((1, 2)), head)

    x = torch_rules.torch.tensor(X, dtype=torch_rules.torch.float64, requires_grad=True)
    network(x)[np.arange(5), LABELS].sum().backward()
    output, gradient = adapter.layer_gradient(adapter.asarray(X), adapter.asarray(LABELS), "inner/wide")
    due = caught["inner/wide"]
    np.testing.assert_allclose(host(output), due.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(host(gradient), due.grad.numpy(), atol=1e-6)
    weights = np.eye(3, dtype=np.float32)[LABELS]
    again = adapter.layer_gradient(adapter.asarray(X), adapter.asarray(weights), "inner/wide")[1]
    np.testing.assert_allclose(host(again), host(gradient), atol=1e-7)


def shared() -> keras.Model:
    layer = layers.Dense(6, activation="relu", name="shared")
    inputs = keras.Input((6,))
    return biased(keras.Model(inputs, layers.Dense(3, name="head")(layer(layer(inputs)))))


def test_a_layer_that_is_called_twice_is_seen_in_its_last_call():
    adapter = ar.adapt(shared())
    values, head = adapter.read("shared"), adapter.read("head")
    first = np.maximum(ROWS @ values["kernel"] + values["bias"], 0)
    second = np.maximum(first @ values["kernel"] + values["bias"], 0)
    output, gradient = adapter.layer_gradient(adapter.asarray(ROWS), adapter.asarray(LABELS), "shared")
    np.testing.assert_allclose(host(output), second, atol=1e-5)
    np.testing.assert_allclose(host(gradient), head["kernel"].T[LABELS], atol=1e-6)


def test_shapes_come_in_the_order_of_the_forward_pass():
    adapter = ar.adapt(residual())
    shapes = adapter.layer_shapes(adapter.asarray(X[:4]))
    names = [name for name in shapes if name in ("stem", "inner/wide", "inner/norm", "inner", "head")]
    assert names == ["stem", "inner/wide", "inner/norm", "inner", "head"]
    assert shapes["inner"] == (4, 7, 6, 6)
    assert shapes["head"] == (4, 3)


def test_unknown_layers_are_refused_with_the_nearest_names():
    adapter = ar.adapt(residual())
    x, y = adapter.asarray(X), adapter.asarray(LABELS)
    with pytest.raises(UnknownNameError, match=r"layer 'inner/wiide'.*Did you mean 'inner/wide'"):
        adapter.layer_gradient(x, y, "inner/wiide")
    for call in (lambda: adapter.read("haed"), lambda: adapter.native_init("haed", 1)):
        with pytest.raises(UnknownNameError, match=r"layer 'haed'.*Did you mean 'head'"):
            call()
    with pytest.raises(UnknownNameError, match=r"parameter of layer 'head' 'kernle'.*Did you mean 'kernel'"):
        adapter.write("head", {"kernle": np.zeros((6, 3))})
    with pytest.raises(ModelError, match=r"head\.kernel.*shape \(6, 3\), received shape \(3, 6\)"):
        adapter.write("head", {"kernel": np.zeros((3, 6))})


def test_a_layer_that_nothing_depends_on_is_refused():
    class Idle(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle, self.never = (layers.Dense(3, name=n) for n in ("used", "idle", "never"))
            self.never.build((None, 6))

        def call(self, x):
            self.idle(x)
            return self.used(x)

    model = Idle()
    model(ROWS)
    adapter = ar.adapt(biased(model), example_inputs=ROWS[:1])
    x, y = adapter.asarray(ROWS), adapter.asarray(LABELS)
    if keras.backend.backend() == "jax":
        # JAX knows no difference between a gradient that is absent and one that is zero.
        assert not host(adapter.layer_gradient(x, y, "idle")[1]).any()
    else:
        with pytest.raises(ModelError, match="an output that is not used"):
            adapter.layer_gradient(x, y, "idle")
    with pytest.raises(ModelError, match="no such tensor in the forward pass"):
        adapter.layer_gradient(x, y, "never")


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="a recurrent layer is a loop of Python's there")
def test_a_layer_inside_a_loop_is_refused():
    inputs = keras.Input((4, 2))
    model = biased(keras.Model(inputs, layers.Dense(3)(layers.RNN(Cell(name="cell"), name="loop")(inputs))))
    x = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")
    adapter = ar.adapt(model, example_inputs=x[:1])
    x, y = adapter.asarray(x), adapter.asarray(LABELS)
    assert [name for name in adapter.layer_shapes(x) if name.startswith("loop")] == ["loop"]
    for name in ("loop/cell/inner", "loop/cell"):
        with pytest.raises(ModelError, match=r"inside a loop|no such tensor"):
            adapter.layer_gradient(x, y, name)


class Cell(layers.Layer):
    """A cell of a layer in which another layer puts out one tensor."""

    state_size = 3

    def build(self, shape) -> None:
        self.inner = layers.Dense(3, name="inner")
        self.inner.build(shape)

    def call(self, x, states):
        y = self.inner(x) + 0.5 * states[0]
        return y, [y]


def test_grad_cam_runs_on_a_named_layer():
    metric = ar.ModelRandomizationMetric(
        residual(), X, LABELS, randomization_strategy=ar.FullRandomization(), seed=0
    )
    result = metric.run(ar.explainers.GradCAM(layer="inner/wide"))
    assert result.scores["spearman"].shape == (1, 1, 5)


def test_calls_are_put_back_after_an_exception():
    model = residual()
    adapter = ar.adapt(model)
    with pytest.raises(Exception, match=r"(?s)shape|incompatible"):
        adapter.layer_gradient(adapter.asarray(X[..., :1]), adapter.asarray(LABELS), "stem")
    assert "call" not in vars(model.get_layer("stem"))
