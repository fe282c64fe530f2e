"""Maps that explainers return, checked: a finite one for each input, where measures can work on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from agnostic_rand.adapters import Array, ModelAdapter
from agnostic_rand.errors import ExplanationError


def channels_of(named: int | None, adapter: ModelAdapter, dimensions: int) -> int | None:
    """The axis of the inputs' channels: the one that was named, or of images the framework's.

    Sequences and tables (two or three dimensions) have none unless it is named: frameworks agree on no axis
    for them, and a score must not depend on the framework.

    Args:
        named: The caller's `channel_axis`.
        adapter: The model.
        dimensions: Of the inputs, samples included.
    """
    if dimensions < 3:
        return None
    if named is not None:
        return named
    return adapter.channel_axis if dimensions > 3 else None


def scoring_maps(
    maps: Any, input_shape: tuple[int, ...], channel_axis: int | None, adapter: ModelAdapter, subject: str
) -> tuple[Array, int | None]:
    """The maps where they can be scored, and the axis of their channels if they have one.

    Maps on the CPU are viewed as NumPy arrays, whose sorting is the fastest there; maps on
    another device stay.

    Raises:
        ExplanationError: The maps are no array, have a shape that is not their inputs', or are
            not finite.
    """
    array = _scorable(maps, adapter, subject)
    axis = _channel_axis(tuple(array.shape), input_shape, channel_axis, subject)
    xp = array_namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        raise ExplanationError(
            f"the maps of {subject}",
            expected="finite numbers",
            received="infinity or NaN",
            fix="Check the explainer on this model; a map of zeros is allowed, NaN is not.",
        )
    return array, axis


def _scorable(maps: Any, adapter: ModelAdapter, subject: str) -> Array:
    array: Any = maps
    if isinstance(maps, np.ndarray):
        pass
    else:
        try:
            array = _host_view(maps, adapter) if hasattr(maps, "__dlpack__") else adapter.to_numpy(maps)
        except (TypeError, ValueError, AttributeError) as error:
            raise _no_array(maps, subject) from error
    if not isinstance(array, np.ndarray):
        return array
    if array.dtype.kind not in "fiub":
        raise _no_array(maps, subject)
    # Double precision for integers that single precision would round.
    return array if array.dtype.kind == "f" else array.astype(np.result_type(array.dtype, np.float32))


def _host_view(maps: Array, adapter: ModelAdapter) -> Array:
    if "cpu" not in str(device(maps)).lower():
        return maps
    try:
        return np.from_dlpack(maps)
    except (BufferError, RuntimeError, TypeError):
        # A type that NumPy lacks, or a tensor that records gradients.
        return adapter.to_numpy(maps)


def _no_array(maps: Any, subject: str) -> ExplanationError:
    return ExplanationError(
        f"the maps of {subject}",
        expected="an array of numbers, native or NumPy",
        received=f"{type(maps).__name__}",
        fix="Return one array of maps (not a list or tuple).",
    )


def _channel_axis(
    shape: tuple[int, ...], inputs: tuple[int, ...], channel_axis: int | None, subject: str
) -> int | None:
    if channel_axis is None or len(inputs) < 3:
        # One number for each step of a sequence, whatever axis its features are on, is a map too.
        axes = range(1, len(inputs)) if len(inputs) > 2 else ()
        allowed = [inputs, *(inputs[:axis] + inputs[axis + 1 :] for axis in axes)]
        singles = {(*inputs[:axis], 1, *inputs[axis + 1 :]): axis for axis in axes}
        if shape in allowed or shape in singles:
            return None if shape in allowed else singles[shape]
    else:
        axis = channel_axis % len(inputs)
        reduced = inputs[:axis] + inputs[axis + 1 :]
        single = (*inputs[:axis], 1, *inputs[axis + 1 :])
        allowed = [inputs, reduced, single]
        if shape in (inputs, single):
            return axis
        if shape == reduced:
            return None
    raise ExplanationError(
        f"the maps of {subject}",
        expected=f"the shape of the inputs: {' or '.join(str(s) for s in dict.fromkeys(allowed))}",
        received=f"shape {shape}",
        fix="Return one map for each input, upsampled to its size; pass channel_axis if channels are elsewhere.",
    )
