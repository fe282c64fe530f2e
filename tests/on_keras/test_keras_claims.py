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


def test_a_flatten_layer_says_less_of_channels_than_a_convolution():
    class Declared(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = keras.layers.Flatten()
            self.convolution = keras.layers.Conv2D(2, 2, data_format="channels_first")
            self.convolution.build((None, 3, 4, 4))

        def build(self, shape) -> None:
            self.built = True

        def call(self, x):
            return self.flatten(self.convolution(x))

    model = Declared()
    model.build((None, 3, 4, 4))
    adapter = ar.adapt(model)
    assert adapter.channel_axis == 1
    assert adapter.clone().channel_axis == 1


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has no such convolution on a CPU")
def test_channels_are_where_the_first_convolution_that_runs_has_them():
    class Mixed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.late = keras.layers.Conv2D(2, 2, data_format="channels_last")
            self.early = keras.layers.Conv2D(2, 2, data_format="channels_first")

        def call(self, x):
            return keras.ops.mean(self.late(keras.ops.moveaxis(self.early(x), 1, -1)), (1, 2))

    model, x = Mixed(), np.ones((2, 3, 5, 5), np.float32)
    model(x)
    adapter = ar.adapt(model, example_inputs=x)
    assert adapter.channel_axis == 1
    assert adapter.clone().channel_axis == 1


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
