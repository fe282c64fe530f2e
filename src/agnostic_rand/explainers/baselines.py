"""Baselines of attributions by difference: where they start, for each input."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.errors import ArgumentError

Baseline: TypeAlias = float | HostArray | Literal["mean", "blur"]
"""A number, an array that broadcasts to one sample, `"mean"` (each input's own mean) or `"blur"`
(each input blurred by a Gaussian of an eighth of its size)."""


def check_baseline(baseline: Baseline) -> None:
    """Refuse a baseline that is neither a number, an array nor a known word.

    Raises:
        ArgumentError: It is not.
    """
    if isinstance(baseline, str):
        if baseline not in ("mean", "blur"):
            raise _bad_baseline(repr(baseline))
        return
    values = np.asarray(baseline)
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise _bad_baseline(f"{type(baseline).__name__} of element type {values.dtype}")


def baseline_of(baseline: Baseline, adapter: ModelAdapter, inputs: Array, channel_axis: int | None) -> Array:
    """The baseline of a batch, which broadcasts to its shape.

    Raises:
        ArgumentError: The baseline does not fit a sample.
    """
    if isinstance(baseline, str):
        if baseline == "blur":
            return adapter.asarray(_blurred(adapter.to_numpy(inputs), channel_axis))
        axes = tuple(range(1, inputs.ndim))
        return array_namespace(inputs).mean(inputs, axis=axes, keepdims=True) + 0 * inputs
    values = np.asarray(baseline, dtype=np.float32)
    shape = tuple(inputs.shape[1:])
    try:
        full = np.broadcast_to(values, shape)
    except ValueError:
        raise _bad_baseline(f"an array of shape {values.shape} for samples of shape {shape}") from None
    return adapter.asarray(np.ascontiguousarray(full)[None])


def _blurred(inputs: HostArray, channel_axis: int | None) -> HostArray:
    # SciPy takes longer to import than this library: not before it is needed.
    from scipy import ndimage

    sigma = [size / 8 for size in inputs.shape]
    sigma[0] = 0
    if channel_axis is not None:
        sigma[channel_axis % inputs.ndim] = 0
    blurred: HostArray = ndimage.gaussian_filter(inputs.astype(np.float32), sigma, mode="nearest")
    return blurred


def _bad_baseline(received: str) -> ArgumentError:
    return ArgumentError(
        "baseline",
        expected="a finite number, an array that broadcasts to one sample, 'mean' or 'blur'",
        received=received,
        fix="Leave out the batch dimension of an array.",
    )
