"""PyTorch, TensorFlow, JAX and Keras in one process: each model goes to its own backend."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import agnostic_rand as ar

RNG = np.random.default_rng(0)
FIRST = RNG.standard_normal((6, 8)).astype(np.float32)
SECOND = RNG.standard_normal((8, 3)).astype(np.float32)
INPUTS = RNG.standard_normal((20, 6)).astype(np.float32)
LABELS = RNG.integers(0, 3, 20)


def torch_model():
    first, second = torch.nn.Linear(6, 8, bias=False), torch.nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(FIRST.T))
        second.weight.copy_(torch.from_numpy(SECOND.T))
    return torch.nn.Sequential(first, torch.nn.ReLU(), second)


def keras_model():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, use_bias=False, activation="relu"),
            keras.layers.Dense(3, use_bias=False),
        ]
    )
    model.set_weights([FIRST, SECOND])
    return model


class TensorFlowModel(tf.Module):
    def __init__(self):
        self.first = tf.Variable(FIRST)
        self.second = tf.Variable(SECOND)

    def __call__(self, x):
        return tf.nn.relu(x @ self.first) @ self.second


def jax_model():
    def apply(params, x):
        return jax.nn.relu(x @ params["first"]["kernel"]) @ params["second"]["kernel"]

    return apply, {"first": {"kernel": jnp.asarray(FIRST)}, "second": {"kernel": jnp.asarray(SECOND)}}


def equinox_model():
    mlp = eqx.nn.MLP(6, 3, 8, 1, use_bias=False, use_final_bias=False, key=jax.random.key(0))
    where = lambda m: [layer.weight for layer in m.layers]  # noqa: E731
    return eqx.tree_at(where, mlp, [jnp.asarray(FIRST.T), jnp.asarray(SECOND.T)])


MODELS = {
    "torch": (torch_model, "torch"),
    "keras": (keras_model, "keras"),
    "tensorflow": (TensorFlowModel, "tensorflow"),
    "bare jax": (jax_model, "jax"),
    "equinox": (equinox_model, "jax"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_each_model_goes_to_its_own_backend(kind):
    build, backend = MODELS[kind]
    assert ar.adapt(build(), example_inputs=INPUTS[:1]).framework == backend


def test_keras_on_torch_is_the_keras_backend_s_though_it_is_a_torch_module():
    model = keras_model()
    assert isinstance(model, torch.nn.Module)
    assert ar.adapt(model, example_inputs=INPUTS[:1]).framework == "keras"


def scores(model, explainer):
    metric = ar.ModelRandomizationMetric(model, INPUTS, LABELS, seed=7, draws=2, batch_size=8)
    return metric.run(explainer).scores["spearman"]


@pytest.mark.parametrize("explainer", ["saliency", "gradient_times_input", "guided_backprop", "smoothgrad"])
def test_one_seed_gives_one_score_in_all_of_them_taking_turns(explainer):
    found = {kind: scores(build(), explainer) for kind, (build, _) in MODELS.items()}
    again = {kind: scores(build(), explainer) for kind, (build, _) in reversed(MODELS.items())}
    for kind, values in found.items():
        np.testing.assert_allclose(values, found["torch"], atol=1e-6, err_msg=kind)
        np.testing.assert_array_equal(values, again[kind], err_msg=kind)


def test_all_backends_are_ready():
    ready = {backend.name for backend in ar.backends() if backend.status == "usable"}
    assert {"torch", "keras", "tensorflow", "jax"} <= ready
