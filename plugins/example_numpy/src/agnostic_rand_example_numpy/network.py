"""A small neural network in pure NumPy: the "framework" that this plugin adapts.

It knows nothing of agnostic_rand, as your framework does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


class Module(Protocol):
    """What a network is made of. Attributes that are arrays are what the module holds."""

    def forward(self, x: Array, training: bool) -> Array:
        """The module's output for `x` of shape `(n, features)`."""

    def backward(self, x: Array, gradient: Array) -> Array:
        """The gradient with respect to `x`, from the one with respect to the output."""


class Dense:
    """`x @ weight + bias`.

    Args:
        weight: `(in, out)`. Two layers that are given one array share it.
        bias: `(out,)`.
    """

    def __init__(self, weight: Array, bias: Array) -> None:
        self.weight = weight
        self.bias = bias

    @classmethod
    def create(cls, inputs: int, outputs: int, rng: np.random.Generator) -> Dense:
        """A new layer with fresh values."""
        layer = cls(np.empty((inputs, outputs), np.float32), np.empty(outputs, np.float32))
        layer.weight[...], layer.bias[...] = layer.initial_values(rng)
        return layer

    def initial_values(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Fresh values of the weight and the bias (He et al. 2015)."""
        deviation = np.sqrt(2 / self.weight.shape[0])
        return deviation * rng.standard_normal(self.weight.shape), np.zeros(self.bias.shape)

    def forward(self, x: Array, training: bool) -> Array:
        """The weighted sums."""
        return x @ self.weight + self.bias

    def backward(self, x: Array, gradient: Array) -> Array:
        """The gradient with respect to `x`."""
        return gradient @ self.weight.T


class ReLU:
    """`max(x, 0)`."""

    def forward(self, x: Array, training: bool) -> Array:
        """The positive part."""
        return np.maximum(x, 0)

    def backward(self, x: Array, gradient: Array) -> Array:
        """The gradient with respect to `x`."""
        return gradient * (x > 0)


class BatchNorm:
    """Each feature normalized: by the batch's statistics in training, else by the running ones."""

    epsilon = 1e-5
    momentum = 0.1

    def __init__(self, features: int) -> None:
        self.scale: Array = np.ones(features, np.float32)
        self.shift: Array = np.zeros(features, np.float32)
        self.mean: Array = np.zeros(features, np.float32)
        self.variance: Array = np.ones(features, np.float32)

    def forward(self, x: Array, training: bool) -> Array:
        """The normalized features; in training the running statistics move."""
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = x.mean(axis=0), x.var(axis=0)
            self.mean += self.momentum * (mean - self.mean)
            self.variance += self.momentum * (variance - self.variance)
        return (x - mean) / np.sqrt(variance + self.epsilon) * self.scale + self.shift

    def backward(self, x: Array, gradient: Array) -> Array:
        """The gradient with respect to `x`, outside training."""
        return gradient * self.scale / np.sqrt(self.variance + self.epsilon)


class Network:
    """Modules applied one after the other.

    Args:
        modules: The modules by name, in any order.
        path: The names in the order of application; one may come twice. By default each module
            once, as declared.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> net = Network({"hidden": Dense.create(3, 8, rng), "relu": ReLU(), "head": Dense.create(8, 2, rng)})
        >>> net(np.ones((5, 3), np.float32)).shape
        (5, 2)
    """

    def __init__(self, modules: Mapping[str, Module], path: Sequence[str] | None = None) -> None:
        self.modules = dict(modules)
        self.path = tuple(self.modules if path is None else path)
        self.training = True

    def __call__(self, x: Array) -> Array:
        """The outputs `(n, classes)`."""
        for name in self.path:
            x = self.modules[name].forward(x, self.training)
        return x

    def differentiate(self, x: Array, weights: Array, relu: Callable[[Array, Array], Array] | None = None) -> Array:
        """The gradient of `sum(weights * outputs)` with respect to `x`.

        Args:
            x: The inputs `(n, features)`.
            weights: `(n, classes)`.
            relu: `relu(x, gradient) -> gradient`, a backward pass through ReLU to use instead of its own.
        """
        reached = []
        for name in self.path:
            reached.append(x)
            x = self.modules[name].forward(x, self.training)
        gradient = weights
        for name, x in zip(reversed(self.path), reversed(reached), strict=True):
            module = self.modules[name]
            backward = relu if relu is not None and isinstance(module, ReLU) else module.backward
            gradient = backward(x, gradient)
        return gradient
