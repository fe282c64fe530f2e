"""C2: layers come in the order of the forward pass, by the graph or by a traced call."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras_cases import Dictionary, Transformer, built, residual

import agnostic_rand as ar
from agnostic_rand.errors import ModelError


def branches() -> keras.Model:
    """Two branches of different depth, whose layers are made from output to input."""
    head = layers.Dense(2, name="head")
    short = layers.Dense(4, name="short")
    deep = [layers.Dense(4, name=f"deep{i}") for i in (2, 1, 0)]
    inputs = keras.Input((4,))
    x = inputs
    for layer in reversed(deep):
        x = layer(x)
    return keras.Model(inputs, head(ops.relu(x) + short(inputs)))


def names(model: keras.Model, *shape: int, **options) -> list[str]:
    example = np.ones((1, *shape), np.float32) if shape else None
    return [layer.name for layer in ar.adapt(model, example_inputs=example, **options).layers()]


@pytest.mark.parametrize(("model", "shape"), [(branches, (4,)), (residual, (7, 6, 2))])
def test_the_graph_tells_the_order_that_a_call_has(model, shape):
    model = model()
    assert ar.adapt(model).order_source == "traced"
    assert names(model) == names(model, *shape)


def test_branches_are_ordered_by_depth():
    order = names(branches())
    assert order[-1] == "head"
    assert [name for name in order if name.startswith("deep")] == ["deep0", "deep1", "deep2"]


def test_a_subclassed_model_is_traced():
    model = built(Dictionary(), 5)
    logits = {"forward": lambda model, x: model(x)["logits"]}
    assert ar.adapt(model).order_source == "declared"
    assert names(model) == ["head", "hidden"]
    assert names(model, 5, **logits) == ["hidden", "head"]
    assert ar.adapt(model, example_inputs=np.ones((1, 5), np.float32), **logits).order_source == "traced"


def test_inner_parts_of_a_layer_in_a_graph_need_a_call():
    inputs = keras.Input((5, 6))
    x = layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    assert ar.adapt(model).order_source == "declared"
    assert ar.adapt(model, example_inputs=np.ones((1, 5, 6), np.float32)).order_source == "traced"


def test_a_weight_of_the_model_itself_stands_where_it_is_used():
    order = names(built(Transformer(), 4, 6), 4, 6)
    assert order[:3] == ["token", "embed", "positions"]


def test_a_layer_that_is_not_used_follows_the_one_declared_before_it():
    class Unused(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = layers.Dense(2, name="last")
            self.idle = layers.Dense(3, name="idle")
            self.first = layers.Dense(4, name="first")
            self.idle.build((None, 4))

        def call(self, x):
            return self.last(self.first(x))

    assert names(built(Unused(), 4), 4) == ["first", "last", "idle"]


def test_a_call_that_fails_is_a_model_error_that_names_shape_and_cause():
    with pytest.raises(ModelError, match=r"for inputs of shape \(1, 7\)"):
        names(branches(), 7)


def test_tracing_leaves_state_as_it_was():
    inputs = keras.Input((3, 4), batch_size=1)
    model = keras.Model(inputs, layers.Dense(2)(layers.SimpleRNN(4, stateful=True)(inputs)))
    before = [np.array(v) for v in model.get_weights()]
    states = [v.path for v in model.non_trainable_variables]
    adapter = ar.adapt(model, example_inputs=np.ones((1, 3, 4), np.float32))
    adapter.predict(adapter.asarray(np.ones((1, 3, 4), np.float32)))
    assert states
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
