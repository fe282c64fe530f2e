"""A ReLU of the NumPy example in another form."""

from __future__ import annotations

from agnostic_rand_example_numpy.network import Array, ReLU


class Masked(ReLU):
    """A ReLU that is written as a product."""

    def forward(self, x: Array, training: bool) -> Array:
        return x * (x > 0)


class Opaque:
    """The same function, which nobody knows for a ReLU."""

    def forward(self, x: Array, training: bool) -> Array:
        return x * (x > 0)

    def backward(self, x: Array, gradient: Array) -> Array:
        return gradient * (x > 0)
