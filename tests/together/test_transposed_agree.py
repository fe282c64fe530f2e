"""One seed draws one kernel for a transposed convolution with strides, in every framework."""

from __future__ import annotations

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import agnostic_rand as ar

CHANNELS_LAST = np.random.default_rng(3).standard_normal((2, 5, 6, 4)).astype(np.float32)
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(CHANNELS_LAST, -1, 1))


class TorchMean(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def in_torch():
    return torch.nn.Sequential(torch.nn.ConvTranspose2d(4, 8, (3, 4), (2, 3)), TorchMean())


def in_keras():
    x = inputs = keras.Input((5, 6, 4))
    x = keras.layers.Conv2DTranspose(8, (3, 4), (2, 3))(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


class InTensorFlow(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel, self.bias = tf.Variable(tf.ones((3, 4, 8, 4))), tf.Variable(tf.zeros(8))

    def __call__(self, x):
        made = [tf.shape(x)[0], 11, 19, 8]
        return tf.reduce_mean(tf.nn.conv2d_transpose(x, self.kernel, made, (2, 3), "VALID") + self.bias, (1, 2))


class Linen(nn.Module):
    turned: bool

    @nn.compact
    def __call__(self, x):
        return nn.ConvTranspose(8, (3, 4), (2, 3), transpose_kernel=self.turned)(x).mean((1, 2))


def in_linen(turned):
    return Linen(turned), Linen(turned).init(jax.random.key(0), CHANNELS_LAST)


class Equinox(eqx.Module):
    up: eqx.nn.ConvTranspose2d

    def __call__(self, x):
        return self.up(x).mean((1, 2))


def in_jax():
    def apply(params, x):
        up = params["up"]
        made = jax.lax.conv_transpose(x, up["w"], (2, 3), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return (made + up["b"]).mean((1, 2))

    return apply, {"up": {"w": jnp.ones((3, 4, 4, 8)), "b": jnp.ones(8)}}


MODELS = {
    "keras": (in_keras, CHANNELS_LAST),
    "tensorflow": (InTensorFlow, CHANNELS_LAST),
    "linen": (lambda: in_linen(False), CHANNELS_LAST),
    "linen turned": (lambda: in_linen(True), CHANNELS_LAST),
    "equinox": (
        lambda: Equinox(eqx.nn.ConvTranspose2d(4, 8, (3, 4), (2, 3), key=jax.random.key(0))),
        CHANNELS_FIRST,
    ),
    "bare jax": (in_jax, CHANNELS_LAST),
}


def drawn(model, inputs):
    """The new kernel in the layout that all frameworks share."""
    adapter = ar.adapt(
        ar.FullRandomization().randomize(model, seed=4, example_inputs=inputs), example_inputs=inputs
    )
    (layer,) = adapter.layers()
    (kernel,) = (parameter for parameter in layer.parameters if parameter.role == "kernel")
    return adapter.read(layer.name)[kernel.name].transpose(kernel.canonical_order)


@pytest.mark.parametrize("kind", MODELS)
def test_one_seed_draws_one_kernel(kind):
    reference = drawn(in_torch(), CHANNELS_FIRST)
    build, inputs = MODELS[kind]
    np.testing.assert_array_equal(drawn(build(), inputs), reference)
    # An output sums over 4 channels of 3 x 4 positions, of which every second and third holds an input.
    assert reference.std() == pytest.approx(np.sqrt(2 / (4 * 3 * 4 / 2 / 3)), rel=0.1)
