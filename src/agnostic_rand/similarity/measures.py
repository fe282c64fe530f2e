"""Measures by name: how maps are prepared and compared, so that base maps are prepared once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from agnostic_rand.adapters import Array
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.similarity import linear, rank
from agnostic_rand.similarity.preprocess import Sign

Pairwise: TypeAlias = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Measure:
    """A similarity of two batches of maps, `(n, ...), (n, ...) -> (n,)`, in two halves.

    Args:
        name: The snake_case name in results.
        sign: Whether maps keep their signs.
        prepare: Computes from the base maps what every comparison needs.
        compare: Scores maps against what `prepare` returned: `(n,)`, NaN where undefined.

    Example:
        >>> import numpy as np
        >>> measure = resolve_measure("spearman_abs")
        >>> maps = np.array([[1.0, -2.0, 3.0]])
        >>> measure.compare(measure.prepare(np.abs(maps)), np.abs(-maps))
        array([1.])
    """

    name: str
    sign: Sign
    prepare: Callable[[Array], Any]
    compare: Callable[[Any, Array], Array]


def pairwise_measure(name: str, function: Pairwise, sign: Sign = "signed") -> Measure:
    """A measure of a plain function `f(a, b) -> (n,)`."""
    return Measure(name, sign, prepare=_as_they_are, compare=partial(_compare_pairwise, function))


def resolve_measure(measure: str | Measure | Pairwise) -> Measure:
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


def resolve_measures(measures: Sequence[str | Measure | Pairwise] | str) -> tuple[Measure, ...]:
    """All of several measures, by their distinct names.

    Raises:
        ArgumentError: There is none, or two have one name.
    """
    given = [measures] if isinstance(measures, str) else list(measures)
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
    return maps


def _compare_pairwise(function: Pairwise, base: Array, maps: Array) -> Array:
    return function(base, maps)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("spearman", "signed", rank.prepare_spearman, rank.compare_spearman),
        Measure("spearman_abs", "absolute", rank.prepare_spearman, rank.compare_spearman),
        pairwise_measure("spearman_nonzero", rank.spearman_nonzero),
        pairwise_measure("spearman_abs_nonzero", rank.spearman_nonzero, "absolute"),
        Measure("pearson", "signed", linear.prepare_pearson, linear.compare_pearson),
        Measure("cosine", "signed", linear.prepare_cosine, linear.compare_cosine),
    )
}
"""The measures that have a name."""
