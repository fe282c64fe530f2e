"""What must hold for every pair of maps, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agnostic_rand.similarity import MEASURES, cosine, pearson, spearman, spearman_nonzero

from .fakes import Array

Pair = Callable[[Array, Array], Array]

ALL = pytest.mark.parametrize("similarity", [spearman, spearman_nonzero, pearson, cosine])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)
# Small integers make ties, zeros and constant rows frequent; all arithmetic on them is exact.
VALUES = st.integers(-3, 3).map(float)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    shape = draw(SHAPES)
    return draw(hnp.arrays(np.float64, shape, elements=VALUES)), draw(
        hnp.arrays(np.float64, shape, elements=VALUES)
    )


def rows(maps: Array) -> Array:
    return maps.reshape(len(maps), -1)


def is_constant(maps: Array) -> Array:
    constant: Array = (rows(maps) == rows(maps)[:, :1]).all(axis=1)
    return constant


@ALL
@given(pair=pairs())
def test_scores_lie_between_minus_one_and_one(similarity: Pair, pair: tuple[Array, Array]) -> None:
    scores = similarity(*pair)
    assert scores.shape == (len(pair[0]),)
    defined = scores[~np.isnan(scores)]
    assert ((defined >= -1) & (defined <= 1)).all()


@ALL
@given(pair=pairs())
def test_the_order_of_the_two_maps_is_irrelevant(similarity: Pair, pair: tuple[Array, Array]) -> None:
    first, second = pair
    np.testing.assert_allclose(similarity(first, second), similarity(second, first), atol=1e-14)


@ALL
@given(pair=pairs())
def test_a_map_is_fully_similar_to_itself_and_opposite_to_its_negative(
    similarity: Pair, pair: tuple[Array, Array]
) -> None:
    first, _ = pair
    same, opposite = similarity(first, first), similarity(first, -first)
    defined = ~np.isnan(same)
    np.testing.assert_allclose(same[defined], 1, atol=1e-14)
    np.testing.assert_allclose(opposite[defined], -1, atol=1e-14)


@pytest.mark.parametrize("similarity", [spearman, pearson])
@given(pair=pairs())
def test_correlations_are_undefined_on_constant_maps_and_on_no_others(
    similarity: Pair, pair: tuple[Array, Array]
) -> None:
    expected = is_constant(pair[0]) | is_constant(pair[1])
    np.testing.assert_array_equal(np.isnan(similarity(*pair)), expected)


@given(pair=pairs())
def test_the_cosine_is_undefined_on_maps_of_zeros_and_on_no_others(pair: tuple[Array, Array]) -> None:
    expected = (rows(pair[0]) == 0).all(axis=1) | (rows(pair[1]) == 0).all(axis=1)
    np.testing.assert_array_equal(np.isnan(cosine(*pair)), expected)


@ALL
@given(pair=pairs(), data=st.data())
def test_a_map_with_nan_is_undefined_and_leaves_the_others_alone(
    similarity: Pair, pair: tuple[Array, Array], data: st.DataObject
) -> None:
    clean = similarity(*pair)
    broken = data.draw(st.integers(0, len(clean) - 1), label="row")
    which = data.draw(st.integers(0, 1), label="side")
    spoiled = [maps.copy() for maps in pair]
    rows(spoiled[which])[broken, -1] = np.nan
    expected = clean.copy()
    expected[broken] = np.nan
    np.testing.assert_array_equal(similarity(*spoiled), expected)


@given(pair=pairs())
def test_spearman_sees_only_the_order_of_values(pair: tuple[Array, Array]) -> None:
    first, second = pair
    np.testing.assert_array_equal(spearman(first**3 + 5 * first, np.exp(second)), spearman(first, second))


@given(pair=pairs())
def test_nonzero_spearman_sees_only_order_and_zeros(pair: tuple[Array, Array]) -> None:
    first, second = pair
    np.testing.assert_array_equal(
        spearman_nonzero(first**3 + 5 * first, np.sinh(second)), spearman_nonzero(first, second)
    )


@ALL
@given(pair=pairs(), exponent=st.integers(-60, 60))
def test_the_scale_of_a_map_is_irrelevant(similarity: Pair, pair: tuple[Array, Array], exponent: int) -> None:
    first, second = pair
    # Powers of two scale without rounding.
    np.testing.assert_array_equal(similarity(first * 2.0**exponent, second), similarity(first, second))


@pytest.mark.parametrize("similarity", [spearman, pearson])
@given(pair=pairs(), shift=st.integers(-8, 8))
def test_correlations_do_not_see_a_shift(similarity: Pair, pair: tuple[Array, Array], shift: int) -> None:
    first, second = pair
    np.testing.assert_allclose(similarity(first + shift, second), similarity(first, second), atol=1e-14)


@ALL
@given(pair=pairs(), seed=st.integers(0, 99))
def test_each_row_is_scored_by_itself(similarity: Pair, pair: tuple[Array, Array], seed: int) -> None:
    first, second = pair
    order = np.random.default_rng(seed).permutation(len(first))
    np.testing.assert_array_equal(similarity(first[order], second[order]), similarity(first, second)[order])


@pytest.mark.parametrize(
    ("name", "similarity"),
    [
        ("spearman", spearman),
        ("spearman_abs", spearman),
        ("spearman_nonzero", spearman_nonzero),
        ("spearman_abs_nonzero", spearman_nonzero),
        ("pearson", pearson),
        ("cosine", cosine),
    ],
)
@given(pair=pairs())
def test_preparing_and_comparing_is_the_same_as_scoring_pairs(
    name: str, similarity: Pair, pair: tuple[Array, Array]
) -> None:
    measure: Any = MEASURES[name]
    prepared = measure.prepare(pair[0])
    for _ in range(2):
        np.testing.assert_array_equal(measure.compare(prepared, pair[1]), similarity(*pair))


def test_maps_are_not_changed_by_being_compared() -> None:
    first, second = np.random.default_rng(0).integers(-3, 4, (2, 5, 8)).astype(float)
    copies = first.copy(), second.copy()
    for similarity in (spearman, spearman_nonzero, pearson, cosine):
        similarity(first, second)
    np.testing.assert_array_equal((first, second), copies)
