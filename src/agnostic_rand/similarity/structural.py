"""Structural similarity (SSIM) of two-dimensional maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.errors import ArgumentError, ExplanationError
from agnostic_rand.similarity.row_blocks import by_rows
from agnostic_rand.similarity.rows import is_constant, known_array, precise, same_shape
from agnostic_rand.similarity.windows import blurring, gaussian_kernel

_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class SSIMOptions:
    """How local statistics are taken.

    Args:
        window: `"gaussian"` weights (Wang et al. 2004) or `"uniform"` ones.
        size: The window's side, odd; a smaller map gets the largest odd side that fits.
        sigma: The Gaussian's standard deviation in pixels.
        data_range: The difference of the largest and smallest possible values; `None` takes it
            from each pair of maps.
        sample_covariance: Whether covariances are divided by the number of pixels minus one.
        channels: Whether maps may have channels, `(n, c, h, w)`, which are scored one by one and
            averaged; their range is that of all channels together.

    Raises:
        ArgumentError: An option is out of range.
    """

    window: Literal["gaussian", "uniform"] = "gaussian"
    size: int = 11
    sigma: float = 1.5
    data_range: float | None = None
    sample_covariance: bool = False
    channels: bool = False

    def __post_init__(self) -> None:
        if self.window not in ("gaussian", "uniform"):
            raise ArgumentError(
                "window",
                expected="'gaussian' or 'uniform'",
                received=repr(self.window),
                fix="Leave it out for the Gaussian window.",
            )
        whole_number("size", self.size, least=1, example=11)
        if self.size % 2 == 0:
            raise ArgumentError("size", expected="an odd side", received=repr(self.size), fix="Pass size=11.")
        real_number("sigma", self.sigma, least=0, example=1.5, above=True)
        if self.data_range is not None:
            real_number("data_range", self.data_range, least=0, example=1.0, above=True)


_DEFAULT = SSIMOptions()


@dataclass(frozen=True)
class PreparedWindows:
    """The local means and variances of base maps, computed once."""

    shape: tuple[int, ...]
    maps: Array
    mean: Array
    square: Array
    low: Array
    high: Array
    constant: Array


def prepare_ssim(maps: Array, options: SSIMOptions = _DEFAULT) -> PreparedWindows:
    """What SSIM needs of the base maps `(n, h, w)`; computed once."""
    xp, exact = _images(maps, options)
    blur = blurring(xp, exact, _kernel(exact, options))
    low, high = xp.min(exact, axis=_pixels(exact)), xp.max(exact, axis=_pixels(exact))
    return PreparedWindows(
        tuple(maps.shape), exact, blur(exact), blur(exact * exact), low, high, _constant(xp, exact)
    )


def compare_ssim(prepared: PreparedWindows, maps: Array, options: SSIMOptions = _DEFAULT) -> Array:
    """SSIM with the prepared maps, `(n,)`."""
    held = (prepared.maps, prepared.mean, prepared.square, prepared.low, prepared.high, prepared.constant)
    return by_rows(partial(_scores, options=options), *held, maps)


def _scores(
    base: Array,
    base_mean: Array,
    base_square: Array,
    low: Array,
    high: Array,
    base_constant: Array,
    maps: Array,
    *,
    options: SSIMOptions,
) -> Array:
    xp, exact = _images(maps, options)
    blur = blurring(xp, exact, _kernel(exact, options))
    mean, square, product = blur(exact), blur(exact * exact), blur(exact * base)
    pixels = _side(exact, options) ** 2
    unbiased = pixels / (pixels - 1) if options.sample_covariance and pixels > 1 else 1.0
    means = base_mean * mean
    squares = base_mean**2 + mean**2
    covariance = unbiased * (product - means)
    variances = unbiased * (base_square + square - squares)
    span = xp.reshape(_span(xp, low, high, exact, options), (-1, *[1] * (exact.ndim - 1)))
    c1, c2 = (_K1 * span) ** 2, (_K2 * span) ** 2
    similar = (2 * means + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    scores = xp.mean(similar, axis=_pixels(exact))
    undefined = base_constant | _constant(xp, exact) | ~xp.isfinite(scores)
    return xp.where(undefined, xp.full_like(scores, xp.nan), xp.clip(scores, -1.0, 1.0))


def ssim(first: Array, second: Array, options: SSIMOptions = _DEFAULT) -> Array:
    """The mean structural similarity of each pair of maps over the region where the window fits.

    Args:
        first: Maps `(n, h, w)` of any array library of the array API standard, or `(n, c, h, w)`
            where the options say so.
        second: Maps of the same shape.
        options: By default a Gaussian window of 11 pixels and sigma 1.5, population covariance,
            and the range of each pair.

    Returns:
        `(n,)`, in [-1, 1]: 1 for equal maps. NaN where a map is constant or holds NaN. Unrelated
        maps do not score 0 in general: compare with a floor.

    Raises:
        ExplanationError: The maps are not two-dimensional, or their shapes differ.

    Source: Wang et al. 2004, equation 13; constants K1 = 0.01, K2 = 0.03.

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).standard_normal((2, 16, 16))
        >>> ssim(maps, maps)
        array([1., 1.])
    """
    same_shape(first, second)
    return compare_ssim(prepare_ssim(first, options), second, options)


def sign_invariant_ssim(first: Array, second: Array, options: SSIMOptions = _DEFAULT) -> Array:
    """The larger of SSIM with the second map and with its negative.

    Arguments, errors and the NaN rule are those of `ssim`.

    Source: Sixt et al. 2020, section 5.

    Example:
        >>> import numpy as np
        >>> maps = np.random.default_rng(0).standard_normal((1, 16, 16))
        >>> sign_invariant_ssim(maps, -maps)
        array([1.])
    """
    same_shape(first, second)
    prepared = prepare_ssim(first, options)
    xp = array_namespace(first)
    plain, flipped = compare_ssim(prepared, second, options), compare_ssim(prepared, -second, options)
    return xp.where(plain >= flipped, plain, flipped)


def compare_ssim_of_either_sign(prepared: PreparedWindows, maps: Array, options: SSIMOptions = _DEFAULT) -> Array:
    """The larger of SSIM with the maps and with what their form makes of the negatives, `(n,)`.

    A form that scales to [0, 1] leaves no sign: its map of the negative is the map turned over
    between its extremes.
    """
    xp = array_namespace(maps)
    low, high = (pick(maps, axis=_pixels(maps), keepdims=True) for pick in (xp.min, xp.max))
    negative = xp.where(low >= 0, low + high - maps, -maps)
    plain, flipped = compare_ssim(prepared, maps, options), compare_ssim(prepared, negative, options)
    return xp.where(plain >= flipped, plain, flipped)


def _pixels(maps: Array) -> tuple[int, ...]:
    return tuple(range(1, maps.ndim))


def _images(maps: Array, options: SSIMOptions) -> tuple[Any, Array]:
    known_array(maps)
    if not (maps.ndim == 3 or (options.channels and maps.ndim == 4)) or 0 in maps.shape:
        raise ExplanationError(
            "the maps to compare by structure",
            expected="two-dimensional maps (n, h, w)" + (" or (n, c, h, w)" if options.channels else ""),
            received=f"shape {tuple(maps.shape)}",
            fix="Reduce the channels first, or use a rank correlation for inputs that are not images.",
        )
    xp = array_namespace(maps)
    return xp, precise(xp, maps)


def _constant(xp: Any, maps: Array) -> Array:
    """Whether each plane of pixels is constant: colours that differ alone have no structure to compare."""
    planes = is_constant(xp, xp.reshape(maps, (-1, maps.shape[-2] * maps.shape[-1])))
    return xp.all(xp.reshape(planes, (maps.shape[0], -1)), axis=1)


def _span(xp: Any, low: Array, high: Array, maps: Array, options: SSIMOptions) -> Array:
    if options.data_range is not None:
        return xp.full_like(low, options.data_range)
    other_high, other_low = xp.max(maps, axis=_pixels(maps)), xp.min(maps, axis=_pixels(maps))
    span = xp.where(other_high > high, other_high, high) - xp.where(other_low < low, other_low, low)
    # Two constant maps of one value have no range; their score is undefined whatever it is.
    return xp.where(span > 0, span, xp.ones_like(span))


def _side(maps: Array, options: SSIMOptions) -> int:
    fitting = int(min(options.size, *maps.shape[-2:]))
    return fitting if fitting % 2 else fitting - 1


def _kernel(maps: Array, options: SSIMOptions) -> HostArray:
    side = _side(maps, options)
    return gaussian_kernel(side, options.sigma) if options.window == "gaussian" else np.full(side, 1 / side)
