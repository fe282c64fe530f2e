"""The maps that are shown are those that were scored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from agnostic_rand.report.maps import evenly, is_image


def test_the_recorded_maps_have_the_scores_of_the_result(real_run):
    results, strip = real_run
    assert strip.sample == 3
    assert strip.numbers == (0, 1, 2)
    for result in results[:2]:
        trained, *random = strip.maps[result.explainer]
        assert trained.shape == (10, 10)
        for number, maps in zip(strip.numbers, random, strict=True):
            expected = result.scores["spearman"][0, number, 3]
            assert spearmanr(trained.ravel(), maps.ravel()).statistic == pytest.approx(expected, abs=1e-6)


def test_the_image_is_the_sample_that_was_asked_for(real_run, real_inputs):
    np.testing.assert_array_equal(real_run[1].image, real_inputs[3])
    assert real_run[1].channel_axis == 0


@pytest.mark.parametrize(("count", "most"), [(1, 1), (3, 8), (8, 8), (9, 8), (60, 7), (1000, 2)])
def test_thinned_steps_are_distinct_in_order_and_end_with_the_last(count, most):
    chosen = evenly(count, most)
    assert len(chosen) == min(count, most)
    assert list(chosen) == sorted(set(chosen))
    assert chosen[-1] == count - 1
    gaps = np.diff(chosen)
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("shape", "axis", "expected"),
    [
        ((1, 28, 28), 1, True),
        ((28, 28, 3), -1, True),
        ((28, 28), 1, True),
        ((16, 28, 28), 1, False),
        ((3, 28, 4), 1, False),
        ((784,), 1, False),
        ((4, 3, 28, 28), 1, False),
    ],
)
def test_what_counts_as_an_image(shape, axis, expected):
    assert is_image(shape, axis) is expected
