"""Similarities against independent slow versions in float64, SciPy, and the papers' numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from agnostic_rand.similarity import cosine, pearson, spearman, spearman_nonzero

from . import references
from .fakes import Array

Pair = Callable[[Array, Array], Array]

PAIRS: list[tuple[Pair, Pair]] = [
    (spearman, references.slow_spearman),
    (spearman_nonzero, references.slow_spearman_nonzero),
    (pearson, references.slow_pearson),
    (cosine, references.slow_cosine),
]
IDS = [fast.__name__ for fast, _ in PAIRS]


def maps(seed: int, levels: int, rows: int = 12, columns: int = 30) -> Array:
    """Rows with ties and zeros: values rounded to a number of levels; 0 levels means none alike."""
    drawn = np.random.default_rng(seed).standard_normal((rows, columns))
    return np.round(drawn * levels / 4) if levels else drawn


@pytest.mark.parametrize("levels", [0, 1, 3, 20])
@pytest.mark.parametrize(("fast", "slow"), PAIRS, ids=IDS)
def test_scores_are_those_of_the_definition(fast: Pair, slow: Pair, levels: int) -> None:
    a, b = maps(1, levels), maps(2, levels)
    np.testing.assert_allclose(fast(a, b), slow(a, b), atol=1e-13)


@pytest.mark.parametrize("levels", [0, 3, 20])
def test_spearman_is_scipys(levels: int) -> None:
    a, b = maps(3, levels), maps(4, levels)
    expected = [stats.spearmanr(p, q).statistic for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-13)


def test_pearson_is_scipys() -> None:
    a, b = maps(5, 0), maps(6, 3)
    expected = [stats.pearsonr(p, q).statistic for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(pearson(a, b), expected, atol=1e-13)


@pytest.mark.parametrize("sign", ["signed", "absolute"])
def test_nonzero_spearman_is_scipys_on_the_pixels_that_are_not_zero_in_both(sign: str) -> None:
    a, b = maps(7, 3), maps(8, 3)
    if sign == "absolute":
        a, b = abs(a), abs(b)
    kept = (a != 0) | (b != 0)
    assert (kept.sum(axis=1) < 30).all()
    assert ((a == 0) & (b != 0)).any()
    expected = [stats.spearmanr(p[k], q[k]).statistic for p, q, k in zip(a, b, kept, strict=True)]
    np.testing.assert_allclose(spearman_nonzero(a, b), expected, atol=1e-13)


def test_maps_of_any_rank_are_compared_as_rows() -> None:
    a, b = maps(9, 3, columns=24), maps(10, 3, columns=24)
    for fast, _ in PAIRS:
        np.testing.assert_array_equal(fast(a.reshape(12, 2, 3, 4), b.reshape(12, 2, 3, 4)), fast(a, b))


@pytest.mark.parametrize(("fast", "slow"), PAIRS, ids=IDS)
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, np.bool_])
def test_every_element_type_is_scored_in_double_precision(fast: Pair, slow: Pair, kind: Any) -> None:
    a, b = (np.abs(maps(seed, 3)).astype(kind) for seed in (11, 12))
    scores = fast(a, b)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, slow(a.astype(float), b.astype(float)), atol=1e-13)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize(("fast", "slow"), PAIRS, ids=IDS)
def test_extreme_magnitudes_score_as_moderate_ones(fast: Pair, slow: Pair, scale: float, kind: Any) -> None:
    a, b = maps(13, 0).astype(kind), maps(14, 0).astype(kind)
    scaled = (a * kind(scale)).astype(kind)
    expected = slow(a.astype(np.float64), b.astype(np.float64))
    tolerance = 1e-12 if kind is np.float64 else 1e-6
    np.testing.assert_allclose(fast(scaled, b), expected, atol=tolerance)
    np.testing.assert_allclose(fast(b, scaled), expected, atol=tolerance)


def test_the_background_ties_of_gradient_times_input_explain_its_absolute_score() -> None:
    # science: |x u| against |x v| without any model, on digits' share of nonzero pixels.
    rng = np.random.default_rng(0)
    x = np.zeros((300, 784))
    for row in x:
        row[rng.permutation(784)[:149]] = rng.uniform(0.1, 1.0, 149)
    a, b = x * rng.standard_normal(x.shape), x * rng.standard_normal(x.shape)
    assert spearman(abs(a), abs(b)).mean() == pytest.approx(0.989, abs=0.001)
    assert spearman(a, b).mean() == pytest.approx(0.0, abs=0.02)
    assert spearman_nonzero(abs(a), abs(b)).mean() == pytest.approx(0.279, abs=0.02)


def test_independent_noise_scores_zero_with_the_spread_of_784_pixels() -> None:
    a, b = maps(15, 0, rows=400, columns=784), maps(16, 0, rows=400, columns=784)
    scores = spearman(a, b)
    assert scores.mean() == pytest.approx(0, abs=4 * 784**-0.5 / 20)
    assert scores.std() == pytest.approx(784**-0.5, rel=0.1)


@pytest.mark.parametrize("levels", [0, 3, 500])
def test_long_rows_of_single_precision_are_ranked_as_scipy_does(levels: int) -> None:
    a, b = (np.random.default_rng(seed).standard_normal((3, 5000)).astype(np.float32) for seed in (1, 2))
    if levels:
        a, b = np.round(a * levels / 3), np.round(b * levels / 3)
    b[0, ::7], b[1, ::5], b[2, :3] = -0.0, 0.0, (np.inf, -np.inf, np.float32(1e-40))
    # Of ranks, because old versions of spearmanr give NaN where a value is infinite.
    expected = [stats.pearsonr(stats.rankdata(x), stats.rankdata(y))[0] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("size", [7, 5000])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_that_are_one_rounding_apart_and_tiny_ones_do_not_tie(kind: type, size: int) -> None:
    rising = np.full(size, 1, kind)
    rising[: size // 2] = np.finfo(kind).tiny * np.arange(1, size // 2 + 1)
    rising[size // 2 + 1] = np.nextafter(kind(1), kind(2))
    rising[size // 2 + 2 :] = np.arange(2, 2 + size - (size // 2 + 2))
    order = np.random.default_rng(0).permutation(size)
    places = np.arange(size, dtype=kind)
    np.testing.assert_allclose(spearman(rising[order][None], places[order][None]), [1], atol=1e-12)
    assert np.unique(rising).size == size
