"""One network, with the same weights, in every framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A network on a set of images: convolutions, each with ReLU and pooling, then dense layers."""

    name: str
    pixels: int
    colors: int
    samples: int
    widths: tuple[int, ...]
    kernel: int
    hidden: tuple[int, ...] = ()

    def data(self, channels_first: bool) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.samples, self.pixels, self.pixels, self.colors)).astype(np.float32)
        y = rng.integers(0, 10, self.samples)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if channels_first else x, y

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Of kernels, as `(h, w, in, out)` and `(in, out)`."""
        width = self.colors
        for out in self.widths:
            yield (self.kernel, self.kernel, width, out)
            width = out
        width *= (self.pixels // 2 ** len(self.widths)) ** 2
        for out in (*self.hidden, 10):
            yield (width, out)
            width = out

    def kernels(self) -> list[np.ndarray]:
        rng = np.random.default_rng(1)
        return [
            (rng.standard_normal(shape, dtype=np.float32) * (2 / np.prod(shape[:-1])) ** 0.5).astype(np.float32)
            for shape in self.shapes()
        ]


CASES = (
    # LeNet with more channels; the CNN of Adebayo et al. 2018 on MNIST; deeper ones for coloured images.
    Case("small28", 28, 1, 256, (16, 32), 3),
    Case("cnn28", 28, 1, 256, (32, 64), 5, (1024,)),
    Case("cnn64", 64, 3, 128, (32, 64, 128), 3),
    Case("cnn224", 224, 3, 32, (32, 64, 128, 256, 256), 3),
)


def torch_model(case: Case) -> Any:
    import torch
    from torch import nn

    parts: list[nn.Module] = []
    layers: list[Any] = []
    for *_, inputs, outputs in case.shapes():
        if len(layers) < len(case.widths):
            layers.append(nn.Conv2d(inputs, outputs, case.kernel, padding=case.kernel // 2))
            parts += [layers[-1], nn.ReLU(), nn.MaxPool2d(2)]
            continue
        parts += [nn.ReLU() if len(layers) > len(case.widths) else nn.Flatten()]
        layers.append(nn.Linear(inputs, outputs))
        parts += [layers[-1]]
    for layer, kernel in zip(layers, case.kernels(), strict=True):
        order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        layer.weight.data.copy_(torch.from_numpy(np.ascontiguousarray(kernel.transpose(order))))
        layer.bias.data.zero_()
    return nn.Sequential(*parts).eval()


def tensorflow_model(case: Case) -> Any:
    import tensorflow as tf

    class Layer(tf.Module):
        def __init__(self, kernel: np.ndarray) -> None:
            super().__init__()
            self.kernel = tf.Variable(kernel)
            self.bias = tf.Variable(tf.zeros(kernel.shape[-1]))

        def __call__(self, x: Any) -> Any:
            if self.kernel.shape.rank == 4:
                return tf.nn.max_pool2d(
                    tf.nn.relu(tf.nn.conv2d(x, self.kernel, 1, "SAME") + self.bias), 2, 2, "VALID"
                )
            return tf.reshape(x, [-1, self.kernel.shape[0]]) @ self.kernel + self.bias

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [Layer(kernel) for kernel in case.kernels()]

        def __call__(self, x: Any) -> Any:
            for number, layer in enumerate(self.layers):
                x = layer(tf.nn.relu(x) if number > len(case.widths) else x)
            return x

    return Net()


def keras_model(case: Case) -> Any:
    import keras

    layers = keras.layers
    parts = [keras.Input((case.pixels, case.pixels, case.colors))]
    for width in case.widths:
        parts += [layers.Conv2D(width, case.kernel, padding="same", activation="relu"), layers.MaxPooling2D(2)]
    parts += [
        layers.Flatten(),
        *(layers.Dense(width, activation="relu") for width in case.hidden),
        layers.Dense(10),
    ]
    model = keras.Sequential(parts)
    model.set_weights([array for kernel in case.kernels() for array in (kernel, np.zeros(kernel.shape[-1]))])
    return model


def flax_model(case: Case) -> Any:
    import jax.numpy as jnp
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.layers = nnx.List(
                nnx.Conv(shape[2], shape[3], shape[:2], rngs=rngs)
                if len(shape) == 4
                else nnx.Linear(*shape, rngs=rngs)
                for shape in case.shapes()
            )

        def __call__(self, x: Any) -> Any:
            for number, layer in enumerate(self.layers):
                if number < len(case.widths):
                    x = nnx.max_pool(nnx.relu(layer(x)), (2, 2), (2, 2))
                else:
                    x = layer(x.reshape(len(x), -1) if number == len(case.widths) else nnx.relu(x))
            return x

    model = Net(nnx.Rngs(0))
    for layer, kernel in zip(model.layers, case.kernels(), strict=True):
        layer.kernel.set_value(jnp.asarray(kernel))
    return model


MODELS = {"torch": torch_model, "tensorflow": tensorflow_model, "keras": keras_model, "flax": flax_model}
