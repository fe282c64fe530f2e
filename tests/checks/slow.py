"""Slow code in float64 that follows the definitions, independent of the library."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from .nets import Array


def gradient_map(model: nn.Module, x: Array, y: Array) -> Array:
    """The gradient of each sample's own output, one sample at a time."""
    maps = []
    for image, label in zip(x, y, strict=True):
        given = torch.from_numpy(image[None]).requires_grad_()
        (grad,) = torch.autograd.grad(model(given)[0, int(label)], given)
        maps.append(grad[0].numpy())
    return np.stack(maps)


def flat(maps: Array, sign: str = "signed") -> Array:
    """Maps `(n, c, h, w)` as the rows that rank measures take: channels averaged."""
    values = np.abs(maps) if sign == "absolute" else maps
    return (values.mean(axis=1) if values.ndim == 4 else values).reshape(len(values), -1)


def rank_correlation(first: Array, second: Array) -> Array:
    """SciPy's Spearman, row by row; NaN where a row is constant."""
    scores = []
    for a, b in zip(first.astype(np.float64), second.astype(np.float64), strict=True):
        defined = np.ptp(a) > 0 and np.ptp(b) > 0
        scores.append(float(stats.spearmanr(a, b).statistic) if defined else math.nan)
    return np.array(scores)


def entropy(row: Sequence[float], bins: int) -> float:
    """The entropy in nats of a histogram of equal bins between the extremes, counted value by value."""
    low, high = min(row), max(row)
    counts = [0] * bins
    for value in row:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    return -sum(c / len(row) * math.log(c / len(row)) for c in counts if c)


def with_weights(model: nn.Module, change: Callable[[str, Any], Any], layers: Sequence[str]) -> nn.Module:
    """A copy in which `change(name, tensor)` replaces each parameter of the named layers."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.rpartition(".")[0] in layers:
                parameter.copy_(change(name, parameter))
    return other


def stream(seed: int, *key: int) -> np.random.Generator:
    """The documented stream: Philox, keyed by purpose and place."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
