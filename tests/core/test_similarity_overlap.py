"""The overlap of the largest pixels where many of them tie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity import top_overlap

from .fakes import Array

RNG = np.random.default_rng(1)


def sparse(count: int, share: float) -> Array:
    kept = RNG.random((count, 28, 28)) < share
    maps: Array = RNG.random((count, 28, 28)) * kept
    return maps


@pytest.mark.parametrize("share", [0.015, 0.02, 0.05, 0.2, 1.0])
def test_unrelated_maps_overlap_by_the_share_however_many_of_their_pixels_are_zero(share: float) -> None:
    first, second = sparse(400, share), sparse(400, share)
    scores = top_overlap(first, second)
    assert scores.mean() == pytest.approx(78 / 784, abs=4 * scores.std() / 20)
    np.testing.assert_allclose(top_overlap(first, first), 1, atol=1e-12)
    np.testing.assert_allclose(scores, top_overlap(second, first), atol=1e-12)


def chances(row: Array, count: int) -> Array:
    """By pixel, how often random tie-breaking puts it among the largest: all ways of breaking ties, drawn."""
    wins = np.zeros(len(row))
    for _ in range(20_000):
        wins[np.lexsort((RNG.random(len(row)), -row))[:count]] += 1
    return wins / 20_000


def test_a_tie_counts_by_its_chance() -> None:
    first, second = RNG.integers(0, 4, (2, 6, 20)).astype(float)
    scores = top_overlap(first, second, share=0.3)
    for a, b, score in zip(first, second, scores, strict=True):
        p, q = chances(a, 6), chances(b, 6)
        # The expected overlap of independent tie-breaking, on the scale on which a map with itself has 1.
        correlation = stats.pearsonr(p, q).statistic
        assert score == pytest.approx(max(0.0, 0.3 + 0.7 * correlation), abs=0.02)


def test_without_ties_it_is_the_plain_share() -> None:
    first, second = RNG.standard_normal((2, 9, 50))
    expected = [
        len(set(np.argsort(-a)[:15]) & set(np.argsort(-b)[:15])) / 15 for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(top_overlap(first, second, share=0.3), expected, atol=1e-12)
    np.testing.assert_allclose(top_overlap(first, second, share=1.0), 1, atol=1e-12)


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan"), True])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ArgumentError, match="share"):
        top_overlap(np.ones((1, 4)), np.ones((1, 4)), share=share)
