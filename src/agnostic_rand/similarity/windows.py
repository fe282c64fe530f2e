"""Weighted means over windows, as matrix products with narrow bands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import device

from agnostic_rand.adapters import Array, HostArray

_STRIP = 48


def gaussian_kernel(side: int, sigma: float) -> HostArray:
    """The weights of a Gaussian in the middle of `side` pixels, `(side,)`; their sum is 1."""
    offsets = np.arange(side) - side // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    normalized: HostArray = weights / weights.sum()
    return normalized


def blurring(xp: Any, maps: Array, kernel: HostArray) -> Callable[[Array], Array]:
    """A function that blurs arrays shaped like `maps`, `(..., h, w)`, over the region where the window fits."""
    bands = {
        n: xp.asarray(_band(n, kernel), dtype=maps.dtype, device=device(maps)) for n in (_STRIP, *maps.shape[-2:])
    }
    reach = len(kernel) - 1

    def down(values: Array) -> Array:
        # Each strip of rows needs few rows more than it has: a product with the whole band is mostly with zeros.
        height = values.shape[-2]
        strips = [
            xp.matmul(bands[min(_STRIP, height)][: rows - reach, :rows], values[..., start : start + rows, :])
            for start in range(0, height - reach, _STRIP - reach)
            if (rows := min(_STRIP, height - start)) > reach
        ]
        return strips[0] if len(strips) == 1 else xp.concat(strips, axis=-2)

    def blur(values: Array) -> Array:
        turned = xp.matrix_transpose(down(values))
        return xp.matrix_transpose(down(turned))

    return blur


def _band(size: int, kernel: HostArray) -> HostArray:
    band = np.zeros((size - len(kernel) + 1, size))
    for row in range(band.shape[0]):
        band[row, row : row + len(kernel)] = kernel
    return band
