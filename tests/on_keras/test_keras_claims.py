"""Which backend a Keras model gets, and that no other framework is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras_cases import mlp

import agnostic_rand as ar
from agnostic_rand.errors import BackendError

BACKEND = keras.backend.backend()

PROBE = """
import sys
import keras
import numpy as np
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)])
before = set(sys.modules)
import agnostic_rand as ar
x = np.ones((3, 4), "float32")
adapter = ar.adapt(model, example_inputs=x[:1])
inputs = adapter.asarray(x)
adapter.gradient(inputs, adapter.asarray(np.array([0, 1, 1])), relu="guided")
adapter.clone().trainer(learning_rate=0.1, seed=0)(x, np.array([0, 1, 1]))
brought = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(brought & {"torch", "tensorflow", "jax", "flax", "equinox", "tf_keras"} - {keras.backend.backend()}))
"""


def test_a_keras_model_is_the_keras_backend_s_also_where_it_is_a_torch_module():
    adapter = ar.adapt(mlp())
    assert adapter.framework == "keras"
    assert adapter.native.name == "mlp"


@pytest.mark.skipif(
    BACKEND == "torch", reason="a Keras layer is a torch module there, which the torch backend claims"
)
def test_a_layer_that_is_no_model_is_not_claimed():
    with pytest.raises(BackendError, match=r"keras .*usable"):
        ar.adapt(keras.layers.Dense(2))


def test_no_framework_is_imported_besides_the_one_that_keras_runs_on():
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_are_where_the_model_s_layers_have_them(data_format):
    model = keras.Sequential([keras.Input((4, 4, 4)), keras.layers.ZeroPadding2D(data_format=data_format)])
    assert ar.adapt(keras.Sequential([model, keras.layers.Flatten(), keras.layers.Dense(2)])).channel_axis == (
        -1 if data_format == "channels_last" else 1
    )


def test_without_image_layers_channels_are_where_keras_is_set_to():
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        assert ar.adapt(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).channel_axis == 1
    finally:
        keras.config.set_image_data_format(before)


def test_arrays_are_numpy_on_tensorflow_and_native_elsewhere():
    adapter = ar.adapt(mlp())
    outputs = adapter.predict(adapter.asarray(np.ones((2, 3, 2), np.float32)))
    module = {"tensorflow": "numpy", "torch": "torch", "jax": "jaxlib"}[BACKEND]
    assert type(outputs).__module__.startswith(module)
    assert keras.ops.is_tensor(adapter.to_native(outputs))
