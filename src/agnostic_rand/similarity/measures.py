"""Measures by name: how maps are prepared and compared, so that base maps are prepared once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.similarity import gradients, linear, overlap, rank, structural
from agnostic_rand.similarity.preprocess import MapForm

Pairwise: TypeAlias = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Measure:
    """A similarity of two batches of maps, `(n, ...), (n, ...) -> (n,)`, in two halves.

    Args:
        name: The snake_case name in results.
        form: The form in which maps come to both halves.
        prepare: Computes from the base maps what every comparison needs.
        compare: Scores maps against what `prepare` returned: `(n,)`, NaN where undefined.
        distance: Whether larger scores mean less alike.
        range: The least and the largest score there is; infinite where there is none.

    Example:
        >>> import numpy as np
        >>> measure = resolve_measure("spearman_abs")
        >>> maps = np.array([[1.0, -2.0, 3.0]])
        >>> measure.compare(measure.prepare(np.abs(maps)), np.abs(-maps))
        array([1.])
    """

    name: str
    form: MapForm
    prepare: Callable[[Array], Any]
    compare: Callable[[Any, Array], Array]
    distance: bool = False
    range: tuple[float, float] = (-1.0, 1.0)


ANY_NUMBER = (-math.inf, math.inf)
"""The range of a measure of which nothing is known."""

MeasureLike: TypeAlias = str | Measure | Pairwise
"""What stands for a measure: its name, itself, or a function `f(a, b) -> (n,)`."""

MeasureLikes: TypeAlias = MeasureLike | Sequence[MeasureLike]


def pairwise_measure(
    name: str,
    function: Pairwise,
    form: MapForm | None = None,
    *,
    distance: bool = False,
    range: tuple[float, float] = ANY_NUMBER,
) -> Measure:
    """A measure of a plain function `f(a, b) -> (n,)` on maps in a form (by default signed, channels averaged)."""
    compare = partial(_compare_pairwise, function)
    return Measure(name, form or MapForm(), _as_they_are, compare, distance, range)


def resolve_measure(measure: MeasureLike) -> Measure:
    """The measure that a name or a function `f(a, b) -> (n,)` stands for.

    Raises:
        UnknownNameError: The name stands for none.
        ArgumentError: The object is no measure.
    """
    if isinstance(measure, Measure):
        return measure
    if isinstance(measure, str):
        if measure not in MEASURES:
            raise unknown_name("measure", measure, MEASURES)
        return MEASURES[measure]
    if callable(measure):
        return pairwise_measure(getattr(measure, "__name__", type(measure).__name__), measure)
    raise ArgumentError(
        "measure",
        expected="a name, a Measure, or a function f(a, b) -> (n,)",
        received=repr(measure),
        fix=f"Pass one of: {', '.join(MEASURES)}.",
    )


def resolve_measures(measures: MeasureLikes) -> tuple[Measure, ...]:
    """All of several measures, by their distinct names.

    Raises:
        ArgumentError: There is none, or two have one name.
    """
    single = isinstance(measures, str | Measure) or callable(measures)
    if not single and not isinstance(measures, Sequence):
        raise ArgumentError(
            "measures",
            expected="a name, a Measure, a function f(a, b) -> (n,), or a sequence of these",
            received=repr(measures),
            fix=f"Pass for example one of: {', '.join(MEASURES)}.",
        )
    given: list[Any] = [measures] if single else list(measures)  # type: ignore[arg-type]
    resolved = tuple(resolve_measure(measure) for measure in given)
    names = [measure.name for measure in resolved]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            "measures",
            expected="at least one measure, each with a name of its own",
            received=repr(names),
            fix="Name a function of your own with Measure or pairwise_measure.",
        )
    return resolved


def _as_they_are(maps: Array) -> Array:
    return _copy(maps)


def _compare_pairwise(function: Pairwise, base: Array, maps: Array) -> Array:
    # Copies: an explainer may return the same memory each time, a function may work in place.
    return function(_copy(base), _copy(maps))


def _copy(maps: Array) -> Array:
    return array_namespace(maps).asarray(maps, copy=True)


def _prepare_hog(prepare: Callable[[Array], Any]) -> Callable[[Array], Any]:
    return lambda maps: prepare(gradients.hog(maps))


def _compare_hog(compare: Callable[[Any, Array], Array]) -> Callable[[Any, Array], Array]:
    return lambda prepared, maps: compare(prepared, gradients.hog(maps))


def _ssim_measure(
    name: str, form: MapForm, options: structural.SSIMOptions, *, sign_invariant: bool = False
) -> Measure:
    prepare = partial(structural.prepare_ssim, options=options)
    compare = structural.compare_ssim_of_either_sign if sign_invariant else structural.compare_ssim
    return Measure(name, form, prepare, partial(compare, options=options))


_SIGNED, _ABSOLUTE = MapForm(), MapForm("absolute")
_SCALED = MapForm(normalization="second_moment")
# Adebayo et al.'s code: all channels scaled together, then scored one by one; the range is a float type's.
_PAPER_FORM = MapForm(channels="first", normalization="minmax")
_PAPER = structural.SSIMOptions(data_range=2.0, sample_covariance=True, channels=True)
# Sixt et al. add channels up for relevance methods; for gradients, put channels="max_abs" in its place.
_SIXT_FORM = MapForm(channels="sum", normalization="percentile_range")
_SIXT = structural.SSIMOptions(window="uniform", size=5, data_range=1.0, sample_covariance=True)

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("spearman", _SIGNED, rank.prepare_spearman, rank.compare_spearman),
        Measure("spearman_abs", _ABSOLUTE, rank.prepare_spearman, rank.compare_spearman),
        pairwise_measure("spearman_nonzero", rank.spearman_nonzero, range=(-1.0, 1.0)),
        pairwise_measure("spearman_abs_nonzero", rank.spearman_nonzero, _ABSOLUTE, range=(-1.0, 1.0)),
        Measure("pearson", _SIGNED, linear.prepare_pearson, linear.compare_pearson),
        Measure("cosine", _SIGNED, linear.prepare_cosine, linear.compare_cosine),
        pairwise_measure("kendall", overlap.kendall, range=(-1.0, 1.0)),
        pairwise_measure("top_overlap", overlap.top_overlap, _ABSOLUTE, range=(0.0, 1.0)),
        pairwise_measure("mse", linear.second_moment_mse, _SCALED, distance=True, range=(0.0, math.inf)),
        _ssim_measure("ssim", _SCALED, structural.SSIMOptions()),
        _ssim_measure("ssim_paper", _PAPER_FORM, _PAPER),
        _ssim_measure("ssim_sign_invariant", _SIXT_FORM, _SIXT, sign_invariant=True),
        Measure("hog", _SCALED, _prepare_hog(rank.prepare_spearman), _compare_hog(rank.compare_spearman)),
        Measure("hog_pearson", _SCALED, _prepare_hog(linear.prepare_pearson), _compare_hog(linear.compare_pearson)),
    )
}
"""The measures that have a name."""
