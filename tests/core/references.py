"""Slow similarities in float64 that follow the definitions word for word."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .fakes import Array


def ranks(values: Sequence[float]) -> list[float]:
    """The mean of the places that a value and its equals take, counted from 1."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's correlation; NaN where one of the two does not vary."""
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    x, y = [v - mean_a for v in a], [v - mean_b for v in b]
    return _cosine(x, y) if len(set(a)) > 1 and len(set(b)) > 1 else math.nan


def _cosine(x: Sequence[float], y: Sequence[float]) -> float:
    lengths = math.sqrt(math.fsum(v * v for v in x)) * math.sqrt(math.fsum(v * v for v in y))
    return math.fsum(p * q for p, q in zip(x, y, strict=True)) / lengths if lengths > 0 else math.nan


def slow_spearman(first: Array, second: Array) -> Array:
    return np.array([correlation(ranks(a), ranks(b)) for a, b in zip(first, second, strict=True)])


def slow_pearson(first: Array, second: Array) -> Array:
    return np.array([correlation(a, b) for a, b in zip(first, second, strict=True)])


def slow_cosine(first: Array, second: Array) -> Array:
    return np.array([_cosine(a, b) for a, b in zip(first, second, strict=True)])


def slow_spearman_nonzero(first: Array, second: Array) -> Array:
    scores = []
    for a, b in zip(first, second, strict=True):
        kept = [(p, q) for p, q in zip(a, b, strict=True) if p != 0 or q != 0]
        pairs = list(zip(*kept, strict=True)) or [(), ()]
        scores.append(correlation(ranks(pairs[0]), ranks(pairs[1])) if len(kept) > 1 else math.nan)
    return np.array(scores)
