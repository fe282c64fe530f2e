"""Forms of maps: what is done to them before they are compared; declared, and recorded in results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity.rows import on_host

Sign: TypeAlias = Literal["signed", "absolute"]
Channels: TypeAlias = Literal["mean", "sum", "max_abs", "none", "first"]
Normalization: TypeAlias = Literal["none", "max", "second_moment", "minmax", "percentile", "percentile_range"]

_FEW = 8

_WORDS = {
    "sign": ("signed", "absolute"),
    "channels": ("mean", "sum", "max_abs", "none", "first"),
    "normalization": ("none", "max", "second_moment", "minmax", "percentile", "percentile_range"),
}


@dataclass(frozen=True)
class MapForm:
    """The form in which maps are compared.

    Args:
        sign: `"absolute"` takes absolute values first, so that channels of opposite sign do not
            cancel (Adebayo et al. 2018, appendix).
        channels: How channels become one map: `"mean"`, `"sum"`, `"max_abs"` (the largest
            absolute value), `"none"` to keep them where they are, or `"first"` to keep them right
            after the samples, `(n, c, ...)`.
        normalization: What a map is divided by: `"none"`, `"max"` (its largest absolute value),
            `"second_moment"` (its root mean square; Binder et al. 2023), `"minmax"` (scaled to
            [0, 1]), `"percentile"` (the code of Adebayo et al. 2018: absolute maps are scaled
            from their minimum to their 99th percentile and clipped to [0, 1], signed ones by
            plus and minus the 99th percentile), or `"percentile_range"` (Sixt et al. 2020: scaled
            from the 0.5th to the 99.5th percentile and clipped to [0, 1]). Kept channels are
            scaled together. Where a scale is 0, its limit is taken: clipped to one end or the
            other, whatever the map's own scale.

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
        if channel_axis is not None and self.channels == "first":
            maps = xp.moveaxis(maps, channel_axis, 1)
        elif channel_axis is not None and self.channels != "none":
            maps = _without_channels(xp, maps, channel_axis, self.channels)
        return maps if self.normalization == "none" else _normalized(xp, maps, self)


def in_forms(forms: Iterable[MapForm], maps: Array, channel_axis: int | None) -> dict[MapForm, Array]:
    """The maps `(n, ...)` in each form; channels that several forms reduce alike are reduced once."""
    reduced: dict[MapForm, Array] = {}
    found = {}
    for form in forms:
        plain = replace(form, normalization="none")
        if plain not in reduced:
            reduced[plain] = plain.apply(maps, channel_axis)
        held = reduced[plain]
        found[form] = held if form == plain else _normalized(array_namespace(held), held, form)
    return found


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
    if form.normalization == "percentile_range":
        bottom, top = _percentile(xp, maps, 0.5), _percentile(xp, maps, 99.5)
        return _clipped(xp, maps - bottom, top - bottom, (0.0, 0.5, 1.0))
    high = _percentile(xp, maps, 99.0)
    if form.sign == "absolute":
        return _clipped(xp, maps - low, high - low, (0.0, 0.0, 1.0))
    span = xp.abs(high)
    return _clipped(xp, maps + span, 2 * span, (-1.0, 0.5, 1.0))


def _clipped(xp: Any, values: Array, scale: Array, ends: tuple[float, float, float]) -> Array:
    """`values / scale` within the outer ends; where the scale is 0, the end by sign, or the middle for 0."""
    below, equal, above = ends
    limit = xp.where(values > 0, above, xp.where(values < 0, below, equal))
    return xp.where(scale > 0, xp.clip(_divided(xp, values, scale), below, above), xp.astype(limit, values.dtype))


def _divided(xp: Any, maps: Array, scale: Array) -> Array:
    return maps / xp.where(scale > 0, scale, xp.ones_like(scale))


def _percentile(xp: Any, maps: Array, percent: float) -> Array:
    host = on_host(maps)
    values = np.percentile(host.reshape(host.shape[0], -1), percent, axis=1)
    shaped = values.reshape(-1, *[1] * (maps.ndim - 1))
    return xp.asarray(shaped, dtype=maps.dtype, device=device(maps))
