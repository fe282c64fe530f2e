"""GradCAM on sequences, images and volumes takes the last convolution by itself, in every framework."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import flax.linen as linen
import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from flax import nnx

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError

RNG = np.random.default_rng(8)
SIZES = {1: (14,), 2: (11, 8), 3: (9, 8, 7)}
LABELS = np.array([0, 2, 1])
DENSE = RNG.standard_normal((5, 3)).astype(np.float32)
KERNELS = {d: [RNG.standard_normal((3,) * d + io).astype(np.float32) for io in ((2, 4), (4, 5))] for d in SIZES}
INPUTS = {d: RNG.standard_normal((3, *size, 2)).astype(np.float32) for d, size in SIZES.items()}


def due(space: int) -> np.ndarray:
    """The maps in double precision: the gradient of a mean is the head's weights over the number of places."""
    convolve = getattr(torch.nn.functional, f"conv{space}d")
    x = torch.from_numpy(np.moveaxis(INPUTS[space], -1, 1)).double()
    first, second = (torch.from_numpy(np.moveaxis(k, (-1, -2), (0, 1))).double() for k in KERNELS[space])
    features = convolve(torch.relu(convolve(x, first)), second)
    axes = tuple(range(2, features.ndim))
    weights = torch.from_numpy(DENSE.T[LABELS]).double() / features[0, 0].numel()
    coarse = torch.relu((features * weights.reshape(3, 5, *[1] * len(axes))).sum(1))
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[space]
    return torch.nn.functional.interpolate(coarse[:, None], SIZES[space], mode=mode)[:, 0].numpy()


class TorchNet(torch.nn.Module):
    def __init__(self, space):
        super().__init__()
        kind = getattr(torch.nn, f"Conv{space}d")
        self.first, self.second = kind(2, 4, 3, bias=False), kind(4, 5, 3, bias=False)
        self.head = torch.nn.Linear(5, 3, bias=False)
        with torch.no_grad():
            for layer, kernel in zip((self.first, self.second), KERNELS[space], strict=True):
                layer.weight.copy_(torch.from_numpy(np.moveaxis(kernel, (-1, -2), (0, 1))))
            self.head.weight.copy_(torch.from_numpy(DENSE.T))

    def forward(self, x):
        x = self.second(torch.relu(self.first(x)))
        return self.head(x.mean(tuple(range(2, x.ndim))))


def in_keras(space: int) -> Any:
    kind = getattr(keras.layers, f"Conv{space}D")
    net = keras.Sequential(
        [
            keras.Input((*SIZES[space], 2)),
            kind(4, 3, use_bias=False, activation="relu", name="first"),
            kind(5, 3, use_bias=False, name="second"),
            getattr(keras.layers, f"GlobalAveragePooling{space}D")(),
            keras.layers.Dense(3, use_bias=False),
        ]
    )
    net.set_weights([*KERNELS[space], DENSE])
    return net


class TensorFlowConvolution(tf.Module):
    def __init__(self, kernel, name):
        super().__init__(name=name)
        self.kernel = tf.Variable(kernel)

    def __call__(self, x):
        return tf.nn.convolution(x, self.kernel)


class TensorFlowNet(tf.Module):
    def __init__(self, space):
        super().__init__()
        names = ("first", "second")
        self.first, self.second = (TensorFlowConvolution(k, n) for k, n in zip(KERNELS[space], names, strict=True))
        self.head = tf.Variable(DENSE)

    def __call__(self, x):
        x = self.second(tf.nn.relu(self.first(x)))
        return tf.reduce_mean(x, list(range(1, len(x.shape) - 1))) @ self.head


class LinenNet(linen.Module):
    space: int

    @linen.compact
    def __call__(self, x):
        width = (3,) * self.space
        x = linen.relu(linen.Conv(4, width, padding="VALID", use_bias=False, name="first")(x))
        x = linen.Conv(5, width, padding="VALID", use_bias=False, name="second")(x)
        return linen.Dense(3, use_bias=False, name="head")(x.mean(tuple(range(1, x.ndim - 1))))


def in_linen(space: int) -> Any:
    kernels = dict(zip(("first", "second", "head"), (*KERNELS[space], DENSE), strict=True))
    return LinenNet(space), {"params": {name: {"kernel": kernel} for name, kernel in kernels.items()}}


class NnxNet(nnx.Module):
    def __init__(self, space):
        options = {"kernel_size": (3,) * space, "padding": "VALID", "use_bias": False, "rngs": nnx.Rngs(0)}
        self.first, self.second = nnx.Conv(2, 4, **options), nnx.Conv(4, 5, **options)
        self.head = nnx.Linear(5, 3, use_bias=False, rngs=nnx.Rngs(0))
        for layer, kernel in zip((self.first, self.second, self.head), (*KERNELS[space], DENSE), strict=True):
            layer.kernel[...] = jax.numpy.asarray(kernel)

    def __call__(self, x):
        x = self.second(jax.nn.relu(self.first(x)))
        return self.head(x.mean(tuple(range(1, x.ndim - 1))))


class EquinoxNet(eqx.Module):
    first: Any
    second: Any
    head: Any

    def __init__(self, space):
        kind, key = getattr(eqx.nn, f"Conv{space}d"), jax.random.key(0)
        made = [kind(2, 4, 3, use_bias=False, key=key), kind(4, 5, 3, use_bias=False, key=key)]
        kernels = [np.moveaxis(k, (-1, -2), (0, 1)) for k in KERNELS[space]]
        self.first, self.second = (
            eqx.tree_at(lambda layer: layer.weight, layer, jax.numpy.asarray(k))
            for layer, k in zip(made, kernels, strict=True)
        )
        head = eqx.nn.Linear(5, 3, use_bias=False, key=key)
        self.head = eqx.tree_at(lambda layer: layer.weight, head, jax.numpy.asarray(DENSE.T))

    def __call__(self, x):
        x = self.second(jax.nn.relu(self.first(x)))
        return self.head(x.mean(tuple(range(1, x.ndim))))


# How a model is built, and whether its channels come first. Keras runs on one backend in a process.
BUILDERS = {
    "torch": (TorchNet, True),
    "keras": (in_keras, False),
    "tensorflow": (TensorFlowNet, False),
    "linen": (in_linen, False),
    "nnx": (NnxNet, False),
    "equinox": (EquinoxNet, True),
}
KINDS = ["keras"] if keras.backend.backend() != "torch" else list(BUILDERS)


@pytest.mark.parametrize("space", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_the_formula_at_the_last_convolution(kind, space):
    build, first = BUILDERS[kind]
    inputs = np.ascontiguousarray(np.moveaxis(INPUTS[space], -1, 1)) if first else INPUTS[space]
    expected = due(space)
    found = ar.explain(build(space), inputs, LABELS, "gradcam")
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    metric = ar.ModelRandomizationMetric(
        build(space), inputs, LABELS, randomization_strategy=ar.FullRandomization(), seed=0
    )
    assert metric.run("hirescam").settings["explainer"] == "HiResCAM(layer='second')"


@pytest.mark.parametrize("kind", [kind for kind in ("torch", "keras") if kind in KINDS])
def test_a_model_without_convolutions_is_refused(kind):
    nets = {
        "torch": lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(28, 3)),
        "keras": lambda: keras.Sequential(
            [keras.Input((14, 2)), keras.layers.Dense(9), keras.layers.Flatten(), keras.layers.Dense(3)]
        ),
    }
    inputs = np.moveaxis(INPUTS[1], -1, 1) if kind == "torch" else INPUTS[1]
    with pytest.raises(AgnosticRandError, match="a model with a convolution"):
        ar.explain(nets[kind](), np.ascontiguousarray(inputs), LABELS, "gradcam")
