"""What is done to maps before they are compared; declared, and recorded in results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity.rows import on_host

Sign: TypeAlias = Literal["signed", "absolute"]
Channels: TypeAlias = Literal["mean", "sum", "max_abs", "none"]
Normalization: TypeAlias = Literal["none", "max", "second_moment", "minmax", "percentile"]

_FEW = 8

_WORDS = {
    "sign": ("signed", "absolute"),
    "channels": ("mean", "sum", "max_abs", "none"),
    "normalization": ("none", "max", "second_moment", "minmax", "percentile"),
}


@dataclass(frozen=True)
class MapForm:
    """The form in which maps are compared.

    Args:
        sign: `"absolute"` takes absolute values first, so that channels of opposite sign do not
            cancel (Adebayo et al. 2018, appendix).
        channels: How channels become one map: `"mean"`, `"sum"`, `"max_abs"` (the largest
            absolute value), or `"none"` to keep them.
        normalization: What a map is divided by: `"none"`, `"max"` (its largest absolute value),
            `"second_moment"` (its root mean square; Binder et al. 2023), `"minmax"` (scaled to
            [0, 1]), or `"percentile"` (the code of Adebayo et al. 2018: absolute maps are scaled
            from their minimum to their 99th percentile and clipped to [0, 1], signed ones by
            plus and minus the 99th percentile).

    Raises:
        ArgumentError: A word is not one of these.

    Example:
        >>> import numpy as np
        >>> maps = np.array([[[1.0, -2.0], [-3.0, 2.0]]])
        >>> MapForm("absolute").apply(maps, channel_axis=1)
        array([[2., 2.]])
    """

    sign: Sign = "signed"
    channels: Channels = "mean"
    normalization: Normalization = "none"

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ArgumentError(
                    name,
                    expected=" or ".join(map(repr, words)),
                    received=repr(getattr(self, name)),
                    fix=f"Leave it out for {getattr(type(self), name)!r}.",
                )

    def apply(self, maps: Array, channel_axis: int | None) -> Array:
        """The maps `(n, ...)` in this form.

        Args:
            maps: `(n, ...)`.
            channel_axis: Where the channels are, or `None` for maps without channels.
        """
        xp = array_namespace(maps)
        if self.sign == "absolute":
            maps = xp.abs(maps)
        if channel_axis is not None and self.channels != "none":
            maps = _without_channels(xp, maps, channel_axis, self.channels)
        return maps if self.normalization == "none" else _normalized(xp, maps, self)


def _without_channels(xp: Any, maps: Array, axis: int, channels: Channels) -> Array:
    if maps.shape[axis] == 1:
        squeezed = xp.squeeze(maps, axis=axis)
        return xp.abs(squeezed) if channels == "max_abs" else squeezed
    if channels == "max_abs":
        return xp.max(xp.abs(maps), axis=axis)
    if is_numpy_array(maps) and maps.shape[axis] < _FEW and axis % maps.ndim == maps.ndim - 1:
        # NumPy reduces a short last axis many times slower than it adds slices.
        total = maps[..., 0] + maps[..., 1]
        for i in range(2, maps.shape[-1]):
            total += maps[..., i]
        return total if channels == "sum" else total / maps.shape[-1]
    return xp.sum(maps, axis=axis) if channels == "sum" else xp.mean(maps, axis=axis)


def _normalized(xp: Any, maps: Array, form: MapForm) -> Array:
    axes = tuple(range(1, maps.ndim))
    low = xp.min(maps, axis=axes, keepdims=True)
    if form.normalization == "minmax":
        return _divided(xp, maps - low, xp.max(maps, axis=axes, keepdims=True) - low)
    largest = xp.max(xp.abs(maps), axis=axes, keepdims=True)
    if form.normalization == "max":
        return _divided(xp, maps, largest)
    if form.normalization == "second_moment":
        # Scaled by the largest value first: squares stay within range.
        scaled = _divided(xp, maps, largest)
        return _divided(xp, scaled, xp.sqrt(xp.mean(scaled * scaled, axis=axes, keepdims=True)))
    high = _percentile(xp, maps, 99.0)
    if form.sign == "absolute":
        return xp.clip(_divided(xp, maps - low, high - low), 0.0, 1.0)
    span = xp.abs(high)
    return xp.clip(_divided(xp, maps + span, 2 * span), -1.0, 1.0)


def _divided(xp: Any, maps: Array, scale: Array) -> Array:
    return maps / xp.where(scale > 0, scale, xp.ones_like(scale))


def _percentile(xp: Any, maps: Array, percent: float) -> Array:
    host = on_host(maps)
    values = np.percentile(host.reshape(host.shape[0], -1), percent, axis=1)
    shaped = values.reshape(-1, *[1] * (maps.ndim - 1))
    return xp.asarray(shaped, dtype=maps.dtype, device=device(maps))
