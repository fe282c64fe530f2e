"""Truncated normal numbers in blocks with streams of their own, drawn by as many threads as there are cores."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.adapters.threads import host_threads

# The standard deviation of a standard normal that is truncated at two standard deviations.
_TRUNCATED_SD = 0.87962566103423978

# Part of what a seed means: other blocks are other numbers.
_BLOCK = 2**17


def truncated_normal(shape: tuple[int, ...], sd: float, rng: np.random.Generator) -> HostArray:
    """A normal truncated at two standard deviations and scaled to the standard deviation `sd`, in float32.

    Single precision halves the time of the largest draws, and is the same in every framework. The
    numbers depend on the generator alone, not on how many threads draw them.

    Args:
        shape: The array's shape.
        sd: The standard deviation after truncation.
        rng: Whose stream, and whose children's, are used.
    """
    drawn = np.empty(int(np.prod(shape, dtype=np.int64)), dtype=np.float32)
    blocks = [drawn[start : start + _BLOCK] for start in range(0, drawn.size, _BLOCK)]
    scale = np.float32(sd / _TRUNCATED_SD)
    if len(blocks) == 1:
        _fill(drawn, rng, scale)
    else:
        list(host_threads().map(_fill, blocks, rng.spawn(len(blocks)), [scale] * len(blocks)))
    return drawn.reshape(shape)


def _fill(block: HostArray, rng: np.random.Generator, scale: np.float32) -> None:
    rng.standard_normal(dtype=np.float32, out=block)
    outside = np.flatnonzero(np.abs(block) > 2.0)
    while outside.size:
        block[outside] = rng.standard_normal(outside.size, dtype=np.float32)
        outside = outside[np.abs(block[outside]) > 2.0]
    block *= scale
