"""Who is claimed: modules, legacy Keras and SavedModels; Keras 3 is left to its own backend."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import keras as modern
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras_nets import functional
from tf_nets import MLP, normal

import agnostic_rand as ar
from agnostic_rand.adapters import Claim, Registry, hookimpl
from agnostic_rand.errors import BackendError
from agnostic_rand_tensorflow import agnostic_rand_claim
from agnostic_rand_tensorflow.keras_adapter import LegacyKerasAdapter
from agnostic_rand_tensorflow.module_adapter import ModuleAdapter


def test_modules_and_legacy_keras_models_are_claimed() -> None:
    assert agnostic_rand_claim(MLP()).model_type is tf.Module  # type: ignore[union-attr]
    assert agnostic_rand_claim(functional()).model_type is tf.Module  # type: ignore[union-attr]
    assert type(ar.adapt(MLP())) is ModuleAdapter
    assert type(ar.adapt(functional())) is LegacyKerasAdapter
    assert {info.name: info.status for info in ar.backends()} == {"tensorflow": "usable"}


@pytest.mark.parametrize(
    "thing",
    [
        modern.Sequential([modern.layers.Input((3,)), modern.layers.Dense(2)]),
        modern.layers.Dense(2),
        object(),
        np.ones(3),
        tf.constant(1.0),
        tf.Variable(1.0),
        tf.function(tf.nn.relu),
        tf_keras.optimizers.Adam,
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_keras_3_and_what_is_no_model_are_not_claimed(thing: Any) -> None:
    assert agnostic_rand_claim(thing) is None


def test_a_keras_3_model_resolves_to_the_backend_that_claims_it() -> None:
    model = modern.Sequential([modern.layers.Input((3,)), modern.layers.Dense(2)])
    # It is no module, but a trackable object like a SavedModel.
    assert not isinstance(model, tf.Module)
    with pytest.raises(BackendError):
        ar.adapt(model)

    @hookimpl
    def agnostic_rand_claim(model: Any) -> Claim | None:
        if not isinstance(model, modern.Model):
            return None
        return Claim("keras", modern.Model, lambda request: ar.adapt(MLP()), 1)

    name = "a_backend_of_keras"
    sys.modules[name] = SimpleNamespace(agnostic_rand_claim=agnostic_rand_claim)  # type: ignore[assignment]
    points = [
        EntryPoint("tensorflow", "agnostic_rand_tensorflow", "agnostic_rand"),
        EntryPoint("keras", name, "agnostic_rand"),
    ]
    try:
        both = Registry(points)
        options: dict[str, Any] = {"backend": None, "example_inputs": None, "forward": None}
        assert both.adapt(model, **options).native is not model
        module = MLP()
        assert both.adapt(module, **options).native is module
    finally:
        del sys.modules[name]


def test_the_plugin_imports_no_framework() -> None:
    code = (
        "import sys, agnostic_rand_tensorflow as plugin\n"
        "assert plugin.agnostic_rand_claim(object()) is None\n"
        "loaded = {'tensorflow', 'tf_keras', 'keras', 'torch'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arrays_are_numpy_s_and_explainers_get_tensors() -> None:
    model = MLP()
    adapter = ar.adapt(model)
    x = normal(1, 4, 6)
    assert adapter.channel_axis == -1
    assert type(adapter.asarray(tf.constant(x))) is np.ndarray
    assert adapter.asarray(x.astype(np.float64)).dtype == np.float32
    assert adapter.asarray(np.arange(3)).dtype == np.int64
    assert adapter.to_numpy(tf.constant([1.5], tf.bfloat16)).dtype == np.float32
    assert adapter.to_numpy(tf.constant([1.5], tf.float16)).dtype == np.float32
    assert adapter.to_numpy(tf.constant([1], tf.int8)).dtype == np.int8
    assert isinstance(adapter.to_native(x), tf.Tensor)
    seen = []

    def explain(native: Any, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        seen.append((type(native), inputs.dtype, targets.dtype))
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = tf.reduce_sum(tf.gather(native(inputs), targets, axis=1, batch_dims=1))
        return tape.gradient(score, inputs)

    ours = ar.explain(model, x, None, "gradient")
    assert np.allclose(ar.explain(model, x, None, explain), ours, atol=1e-6)
    assert seen == [(MLP, tf.float32, tf.int64)]
