"""What a forward pass computes with: the copy's own weights, all of them, and nothing else that was learned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tf_nets import Bound, Dense, SecondHead, normal

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = normal(3, 12, 5, scale=1.0)
FULL, CASCADE = ar.FullRandomization(), ar.CascadingRandomization()


def metric(net: Any, strategy: Any = FULL, x: np.ndarray = X, **options: Any) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(net, x, randomization_strategy=strategy, seed=0, **options)


def unused(net: Any, x: np.ndarray = X, **options: Any) -> list[str]:
    layers = ar.adapt(net, example_inputs=x[:1], **options).layers()
    return [f"{layer.name}/{name}" for layer in layers for name in layer.unused]


class Simple(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = Dense(1, 5, 6), Dense(2, 6, 3)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(tf.nn.relu(self.body(x)))


def test_a_copy_with_a_function_bound_to_the_original_is_refused_and_works_in_place() -> None:
    x = normal(3, 12, 6, scale=1.0)
    with pytest.raises(ModelError, match=r"reads first\.bias, first\.kernel of the original"):
        metric(Bound(), x=x).run("gradient")
    with pytest.raises(ModelError, match=r"reads first\.bias, first\.kernel of the original"):
        FULL.randomize(Bound(), seed=0, example_inputs=x[:1])
    assert metric(Bound(), x=x, isolation="in_place").run("gradient").mean()[-1] < 0.9


@pytest.mark.parametrize("build", [Simple, lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])])
def test_forward_that_calls_the_outer_model_is_refused_and_works_in_place(build: Callable[[], Any]) -> None:
    net = build()

    def forward(_: Any, inputs: tf.Tensor) -> tf.Tensor:
        return net(inputs)

    with pytest.raises(ModelError, match=r"reads .*of the original.*Let forward= "):
        metric(net, forward=forward).run("gradient")
    assert metric(net, forward=forward, isolation="in_place").run("gradient").mean()[-1] < 0.9


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_a_head_that_forward_leaves_out_is_in_no_step_and_is_named(isolation: Any) -> None:
    result = metric(SecondHead(), CASCADE, forward=lambda m, x: m(x)["first"], isolation=isolation).run("gradient")
    assert [step.name for step in result.steps] == ["head", "hidden"]
    assert result.steps[-1].coverage == 1
    assert result.steps[-1].total == 5 * 6 + 6 + 6 * 3 + 3
    assert sorted(result.settings["unused_parameters"]) == ["idle", "second"]
    assert any("do not depend on" in finding for finding in result.findings)
    assert result.mean()[-1] < 0.9


def test_heads_of_a_recurrent_and_a_functional_keras_model() -> None:
    inputs = keras.Input((4, 2))
    shared = keras.layers.LSTM(3, return_sequences=True, name="shared")(inputs)
    heads = [keras.layers.Dense(3, name=f"{n}_head")(keras.layers.GRU(4, name=n)(shared)) for n in ("used", "idle")]
    model = keras.Model(inputs, heads)
    missed = unused(model, normal(1, 2, 4, 2), forward=lambda m, x: m(x)[0])
    assert {name.split("/")[0] for name in missed} == {"idle", "idle_head"}


class InLoops(tf.Module):
    """Weights that reach the outputs by a later round of a loop, by a branch, and by what is written before."""

    def __init__(self) -> None:
        super().__init__()
        self.later, self.branch, self.count = (tf.Variable(normal(i, 5)) for i in range(3))
        self.written, self.idle = tf.Variable(normal(4, 5)), tf.Variable(normal(5, 5))
        self.state = tf.Variable(tf.zeros(5), trainable=False)

    @tf.function
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        self.state.assign(self.written * 2.0)
        first, second, third = x, tf.zeros_like(x), tf.zeros_like(x)
        for _ in tf.range(3):
            # What `later` is part of comes into `first` a round later.
            first, second, third = first + second, second + self.later, third + self.idle
        first = tf.cond(tf.reduce_sum(self.count) > 0.0, lambda: first * 2.0, lambda: first * self.branch)
        return first + self.state + tf.zeros_like(self.idle)


def test_weights_reach_outputs_through_loops_branches_and_state() -> None:
    assert unused(InLoops()) == ["InLoops/idle"]


class FromElsewhere(tf.Module):
    """Computes with a constant and a variable that are no parameters; others do not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = Dense(1, 5, 3)
        self.table = {"scale": tf.constant([0.5, 1.0, 2.0]), "idle": tf.constant([1.0, 2.0])}
        self.fixed = tf.Variable([0.1, 0.2, 0.3], trainable=False)
        self.unread = tf.Variable([0.1, 0.2, 0.3], trainable=False)
        self.calls = tf.Variable(0, trainable=False)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        self.calls.assign_add(1)
        return self.dense(x) * self.table["scale"] + self.fixed * 2.0


def test_arrays_that_the_outputs_depend_on_are_told() -> None:
    result = metric(FromElsewhere()).run("gradient")
    assert result.settings["other_arrays"] == ["fixed", "table/scale"]
    assert any("table/scale" in finding for finding in result.findings)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_a_weight_that_was_computed_once_is_told_and_its_parameters_are_unused(isolation: Any) -> None:
    net = Simple()
    net.head.kept = net.head.kernel * 2.0
    result = metric(
        net, forward=lambda m, x: tf.nn.relu(m.body(x)) @ m.head.kept + m.head.bias, isolation=isolation
    ).run("gradient")
    assert result.settings["unused_parameters"] == ["head.kernel"]
    assert result.settings["other_arrays"] == ["head/kept"]


def test_a_variable_outside_of_the_model_is_refused_where_the_outputs_depend_on_it() -> None:
    outside = tf.Variable([1.0, 2.0, 3.0], name="outside")
    with pytest.raises(ModelError, match="outside:0"):
        metric(Simple(), forward=lambda m, x: m(x) * outside)
    assert metric(Simple(), forward=lambda m, x: (m(x), m(x) * outside)[0]).run("gradient").coverage == 1


def test_variables_that_a_saved_model_lists_and_does_not_use_are_in_no_step(tmp_path: Path) -> None:
    net = SecondHead()
    signature = tf.function(
        lambda x: {"logits": net(x)["first"]}, input_signature=[tf.TensorSpec([None, 5], tf.float32)]
    )
    tf.saved_model.save(net, str(tmp_path / "net"), signatures={"serving_default": signature})
    loaded = tf.saved_model.load(str(tmp_path / "net"))

    def forward(model: Any, x: tf.Tensor) -> tf.Tensor:
        return model.signatures["serving_default"](x)["logits"]

    result = metric(loaded, CASCADE, forward=forward, isolation="in_place").run("gradient")
    assert [step.name for step in result.steps] == ["head", "hidden"]
    assert sorted(result.settings["unused_parameters"]) == ["idle", "second"]
    assert result.steps[-1].coverage == 1


def test_code_that_no_graph_shows_makes_no_weight_unused() -> None:
    net = Simple()

    def forward(m: Any, x: tf.Tensor) -> tf.Tensor:
        return m.head(tf.nn.relu(tf.ensure_shape(tf.py_function(m.body, [x], tf.float32), [None, 6])))

    adapter = ar.adapt(net, example_inputs=X[:1], forward=forward)
    assert not any(layer.unused for layer in adapter.layers())
    assert adapter.reads(X, adapter).branches


def test_a_look_traces_nothing() -> None:
    runs = []

    class Counted(Simple):
        def __call__(self, x: tf.Tensor) -> tf.Tensor:
            runs.append(x)
            return super().__call__(x)

    adapter = ar.adapt(Counted(), example_inputs=X[:1])
    copy = adapter.clone()
    before = len(runs)
    assert not copy.reads(X[:1], adapter).parameters
    assert len(copy.reads(X, copy).parameters) == 4
    assert len(runs) == before
