"""One small CNN with one set of weights, in every framework."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import torch

RNG = np.random.default_rng(5)
FIRST = (RNG.standard_normal((3, 3, 2, 6)) * 0.4).astype(np.float32)
SECOND = (RNG.standard_normal((3, 3, 6, 8)) * 0.3).astype(np.float32)
DENSE = RNG.standard_normal((8, 4)).astype(np.float32)
BIAS = (RNG.standard_normal(6) * 0.1).astype(np.float32)
CHANNELS_LAST = RNG.standard_normal((6, 12, 12, 2)).astype(np.float32)
CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(CHANNELS_LAST, -1, 1))
LABELS = RNG.integers(0, 4, 6)


def in_torch() -> Any:
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(2, 6, 3, padding=1)
            self.second = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)
            self.head = torch.nn.Linear(8, 4, bias=False)

        def forward(self, x):
            x = torch.relu(self.first(x))
            x = torch.relu(self.second(x))
            return self.head(x.mean((2, 3)))

    net = Net()
    with torch.no_grad():
        net.first.weight.copy_(torch.from_numpy(FIRST.transpose(3, 2, 0, 1)))
        net.first.bias.copy_(torch.from_numpy(BIAS))
        net.second.weight.copy_(torch.from_numpy(SECOND.transpose(3, 2, 0, 1)))
        net.head.weight.copy_(torch.from_numpy(DENSE.T))
    return net


def in_keras() -> Any:
    x = inputs = keras.Input((12, 12, 2))
    x = keras.layers.Conv2D(6, 3, padding="same", name="first")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False, name="second")(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, name="head")(x))
    model.set_weights([FIRST, BIAS, SECOND, DENSE])
    return model


class TensorFlowConvolution(tf.Module):
    def __init__(self, kernel, bias, stride, name):
        super().__init__(name=name)
        self.kernel = tf.Variable(kernel)
        self.bias = None if bias is None else tf.Variable(bias)
        self.stride = stride

    def __call__(self, x):
        x = tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), self.kernel, self.stride, "VALID")
        return x if self.bias is None else x + self.bias


class TensorFlowDense(tf.Module):
    def __init__(self, kernel, name):
        super().__init__(name=name)
        self.kernel = tf.Variable(kernel)

    def __call__(self, x):
        return x @ self.kernel


class TensorFlowNet(tf.Module):
    def __init__(self):
        super().__init__()
        self.first = TensorFlowConvolution(FIRST, BIAS, 1, "first")
        self.second = TensorFlowConvolution(SECOND, None, 2, "second")
        self.head = TensorFlowDense(DENSE, "head")

    def __call__(self, x):
        x = tf.nn.relu(self.second(tf.nn.relu(self.first(x))))
        return self.head(tf.reduce_mean(x, (1, 2)))


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(6, (3, 3), padding=1, name="first")(x))
        x = nn.relu(nn.Conv(8, (3, 3), strides=2, padding=1, use_bias=False, name="second")(x))
        return nn.Dense(4, use_bias=False, name="head")(x.mean((1, 2)))


def in_linen() -> Any:
    params = {
        "first": {"kernel": jnp.asarray(FIRST), "bias": jnp.asarray(BIAS)},
        "second": {"kernel": jnp.asarray(SECOND)},
        "head": {"kernel": jnp.asarray(DENSE)},
    }
    return LinenNet(), {"params": params}


class EquinoxNet(eqx.Module):
    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    head: eqx.nn.Linear

    def __call__(self, x):
        x = jax.nn.relu(self.second(jax.nn.relu(self.first(x))))
        return self.head(x.mean((1, 2)))


def in_equinox() -> Any:
    key = jax.random.key(0)
    net = EquinoxNet(
        eqx.nn.Conv2d(2, 6, 3, padding=1, key=key),
        eqx.nn.Conv2d(6, 8, 3, stride=2, padding=1, use_bias=False, key=key),
        eqx.nn.Linear(8, 4, use_bias=False, key=key),
    )
    weights = [
        jnp.asarray(FIRST.transpose(3, 2, 0, 1)),
        jnp.asarray(BIAS[:, None, None]),
        jnp.asarray(SECOND.transpose(3, 2, 0, 1)),
        jnp.asarray(DENSE.T),
    ]
    return eqx.tree_at(lambda m: [m.first.weight, m.first.bias, m.second.weight, m.head.weight], net, weights)


# How a model is built, and whether its channels come first.
MODELS = {
    "torch": (in_torch, True),
    "keras": (in_keras, False),
    "tensorflow": (TensorFlowNet, False),
    "linen": (in_linen, False),
    "equinox": (in_equinox, True),
}
