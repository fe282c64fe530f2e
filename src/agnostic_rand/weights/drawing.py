"""Draws of new values for one layer: canonical layout, keyed streams, refusal of what cannot be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, ModelAdapter, Parameter, SupportsNativeInit, axis_name, require
from agnostic_rand.errors import WeightsError
from agnostic_rand.weights.fingerprints import row_blocks
from agnostic_rand.weights.perturbations import NativeInit, Perturbation, default_statistics, ignores_values
from agnostic_rand.weights.streams import Purpose, Streams


@dataclass(frozen=True)
class TrainedLayer:
    """A layer's trained values, which are read only where a draw depends on them.

    Args:
        layer: The layer.
        dtypes: By name, the types in which values are read and written.
        read: Reads the values.
    """

    layer: Layer
    dtypes: Mapping[str, np.dtype[Any]]
    read: Callable[[], Mapping[str, HostArray]]


def draw_layer(
    adapter: ModelAdapter, trained: TrainedLayer, perturbation: Perturbation, streams: Streams, key: tuple[int, ...]
) -> dict[str, HostArray]:
    """New values of all the layer's parameters, in the framework's layout and host dtype.

    Args:
        adapter: The model, for its native initializers.
        trained: The layer to draw.
        perturbation: What happens to a weight.
        streams: The root of randomness.
        key: `(draw, layer index)`, and the step where each step draws anew.

    Raises:
        WeightsError: A weight is an integer, complex or not finite, or a draw is.
    """
    layer = trained.layer
    drawn: dict[str, HostArray] = {}
    if isinstance(perturbation, NativeInit):
        capable = require(
            adapter, SupportsNativeInit, "NativeInit()", "Use Reinitialize(), which needs no initializer."
        )
        drawn.update(capable.native_init(layer.name, streams.derived_seed(Purpose.WEIGHTS, *key)))
    values: Mapping[str, HostArray] | None = None
    for index, parameter in enumerate(layer.drawing_order()):
        if parameter.name in drawn:
            continue
        if ignores_values(perturbation, parameter):
            # No array of the layer's size: it has zeros, and no memory.
            value = np.broadcast_to(np.zeros((), trained.dtypes[parameter.name]), parameter.shape)
        else:
            values = trained.read() if values is None else values
            value = values[parameter.name]
        refuse_unfit(layer, parameter, value, perturbation)
        rng = streams.generator(Purpose.WEIGHTS, *key, index)
        drawn[parameter.name] = _draw(parameter, value, perturbation, rng)
    if default_statistics(perturbation) == "reset":
        _match_magnitudes(layer, drawn)
    shapes = {parameter.name: parameter.shape for parameter in layer.parameters}
    for name, value in drawn.items():
        if value.shape != shapes[name]:
            raise WeightsError(
                f"the perturbation {perturbation!r} of {layer.name}.{name}",
                expected=f"values of shape {shapes[name]}",
                received=f"shape {value.shape}",
                fix="Return an array shaped like the value that was given.",
            )
        drawn[name] = _cast(layer, name, value, trained.dtypes[name], _takes_any(perturbation))
    return drawn


def _draw(
    parameter: Parameter, value: HostArray, perturbation: Perturbation, rng: np.random.Generator
) -> HostArray:
    order = parameter.canonical_order
    canonical = np.transpose(value, order)
    if not ignores_values(perturbation, parameter):
        floating = np.issubdtype(value.dtype, np.floating)
        canonical = canonical.astype(np.float64 if floating else value.dtype, order="K")
    new = np.asarray(perturbation(canonical, parameter.canonical(), rng))
    if new.ndim != value.ndim:
        return new
    return np.transpose(new, np.argsort(order))


def _match_magnitudes(layer: Layer, drawn: dict[str, HostArray]) -> None:
    """Set each weight normalization's magnitude to its kernel's norm, so that the kernel acts as drawn."""
    kernel: HostArray | None = None
    axes: tuple[str, ...] | None = None
    for parameter in layer.parameters:
        if parameter.role == "kernel":
            kernel, axes = drawn[parameter.name], parameter.axes
            continue
        if parameter.role != "magnitude" or kernel is None:
            continue
        summed = _summed(parameter, axes, kernel.ndim)
        drawn[parameter.name] = np.sqrt((kernel**2).sum(axis=summed)).reshape(parameter.shape)


def _summed(magnitude: Parameter, kernel_axes: tuple[str, ...] | None, dimensions: int) -> tuple[int, ...]:
    """The dimensions of a kernel over which each element of its magnitude is a norm."""
    if len(magnitude.shape) == dimensions:
        return tuple(i for i, n in enumerate(magnitude.shape) if n == 1)
    if magnitude.axes is not None and kernel_axes is not None:
        kept = {axis_name(axis) for axis in magnitude.axes}
        return tuple(i for i, axis in enumerate(kernel_axes) if axis_name(axis) not in kept)
    return tuple(range(dimensions))


def refuse_unfit(layer: Layer, parameter: Parameter, value: HostArray, perturbation: Perturbation) -> None:
    """Refuse a weight that cannot be drawn.

    Raises:
        WeightsError: It is an integer, complex or not finite, and the perturbation does not take such.
    """
    if _takes_any(perturbation):
        return
    subject = f"{layer.name}.{parameter.name}"
    if not np.issubdtype(value.dtype, np.floating):
        raise WeightsError(
            subject,
            expected="floating-point weights",
            received=f"{parameter.dtype} (quantized or complex) weights",
            fix="Use Permute(), which keeps the values, or pass the model before quantization.",
        )
    if not _all_finite(value):
        raise WeightsError(
            subject,
            expected="finite weights",
            received=f"{int((~np.isfinite(value)).sum())} infinite or NaN elements of {value.size}",
            fix="Check the training, or use Permute(), which keeps the values.",
        )


def _takes_any(perturbation: Perturbation) -> bool:
    return bool(getattr(perturbation, "accepts_any_values", False))


def _cast(layer: Layer, name: str, value: HostArray, dtype: np.dtype[Any], any_values: bool) -> HostArray:
    with np.errstate(over="ignore"):
        cast = value.astype(dtype, copy=False)
    if not any_values and np.issubdtype(dtype, np.floating) and not _all_finite(cast):
        raise WeightsError(
            f"{layer.name}.{name}",
            expected=f"drawn values within the range of {dtype}",
            received=f"values up to {np.abs(value).max():.3g}" if np.isfinite(value).all() else "NaN or infinity",
            fix="Use a perturbation of smaller scale, or a model of higher precision.",
        )
    return cast


def _all_finite(array: HostArray) -> bool:
    return all(bool(np.isfinite(block).all()) for block in row_blocks(array))
