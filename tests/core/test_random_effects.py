"""The interval of a mean over draws and samples covers as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from agnostic_rand.adapters import HostArray
from agnostic_rand.statistics import estimate_mean, holm_levels

SPREADS = [(0.2, 0.2, 0.2), (0.3, 0.02, 0.1), (0.05, 0.3, 0.05), (0.2, 0.05, 0.2)]


def crossed(rng: np.random.Generator, draws: int, samples: int, spread: tuple[float, ...]) -> HostArray:
    of_sample, of_draw, rest = spread
    return (
        rng.normal(0, of_sample, (1, samples))
        + rng.normal(0, of_draw, (draws, 1))
        + rng.normal(0, rest, (draws, samples))
    )


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(("draws", "least", "most"), [(5, 0.93, 0.98), (3, 0.92, 0.99)])
def test_the_interval_covers_the_true_mean_as_often_as_it_says(
    spread: tuple[float, ...], draws: int, least: float, most: float
) -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        low, high = estimate_mean(crossed(rng, draws, 50, spread)).interval()
        covered += low <= 0 <= high
    assert least <= covered / 1000 <= most


def test_a_single_draw_gives_the_interval_of_student_over_samples() -> None:
    scores = np.random.default_rng(0).normal(0.3, 0.1, (1, 40))
    expected = stats.t.interval(0.9, 39, scores.mean(), stats.sem(scores[0]))
    assert estimate_mean(scores).interval(0.9) == pytest.approx(expected)


def test_the_variance_is_that_of_the_two_way_model() -> None:
    scores = crossed(np.random.default_rng(3), 4, 30, (0.2, 0.3, 0.1))
    # The definition, term by term.
    square_draws = 30 * sum((scores[d].mean() - scores.mean()) ** 2 for d in range(4)) / 3
    square_samples = 4 * sum((scores[:, i].mean() - scores.mean()) ** 2 for i in range(30)) / 29
    rest = sum(
        (scores[d, i] - scores[d].mean() - scores[:, i].mean() + scores.mean()) ** 2
        for d in range(4)
        for i in range(30)
    )
    variance = (square_draws + square_samples - rest / (3 * 29)) / 120
    assert estimate_mean(scores).standard_error ** 2 == pytest.approx(variance)


@pytest.mark.parametrize("shape", [(5, 40), (2, 9), (3, 200), (1, 30)])
@pytest.mark.parametrize("distance", [1e-9, 0.01, 0.3, 4.0, 1e4])
def test_p_values_are_those_at_which_the_interval_ends_as_another_solver_finds(
    shape: tuple[int, int], distance: float
) -> None:
    estimate = estimate_mean(crossed(np.random.default_rng(2), *shape, (0.2, 0.1, 0.1)))

    def gap(logarithm: float) -> float:
        return estimate._reach(np.exp(logarithm)) - distance

    lowest = np.log(1e-100)
    due = 0.0 if gap(lowest) <= 0 else np.exp(optimize.brentq(gap, lowest, np.log(0.5), xtol=1e-14))
    found = estimate.probability_above(estimate.mean - distance)
    assert found == pytest.approx(due, rel=1e-7, abs=1e-300)
    if 0.005 < found < 0.495:
        assert estimate.interval(1 - 2 * found)[0] == pytest.approx(estimate.mean - distance, abs=1e-9)
        assert estimate.probability_below(estimate.mean + distance) == pytest.approx(found, rel=1e-9)


def test_undefined_scores_are_left_out_and_nothing_defined_is_undefined() -> None:
    scores = crossed(np.random.default_rng(0), 4, 50, (0.1, 0.1, 0.1))
    gaps = np.concatenate([scores, np.full((4, 50), np.nan)], axis=1)
    assert estimate_mean(gaps) == estimate_mean(scores)
    assert np.isnan(estimate_mean(np.full((2, 3), np.nan)).interval()).all()
    assert np.isnan(estimate_mean(np.full((3, 1), 0.3)).interval()).all()


def test_equal_scores_have_an_interval_without_width() -> None:
    assert estimate_mean(np.ones((3, 10))).interval() == (1.0, 1.0)


def test_holm_tests_the_smallest_first_and_stops() -> None:
    # By hand: 0.001 < .05/4; 0.013 < .05/3; 0.03 > .05/2, which then holds for the rest.
    assert holm_levels([0.03, 0.001, 0.9, 0.013], 0.05) == pytest.approx((0.025, 0.0125, 0.025, 0.05 / 3))
