"""Intervals cover, families of verdicts err as seldom as they say, and floors are what they are named."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity import MEASURES
from agnostic_rand.statistics import (
    Floors,
    MeanEstimate,
    estimate_mean,
    judge,
    judge_information,
    judge_step,
    known_contrasts,
    measure_floors,
)

# Standard deviations of samples, draws and rest; the first covered 92 % with Satterthwaite's degrees of freedom.
SPREADS = [(0.2, 0.2, 0.2), (0.3, 0.02, 0.1), (0.05, 0.3, 0.05), (0.2, 0.05, 0.2), (0.2, 0.0, 0.1)]
FLOORS = Floors(0.0, 0.0, 0.0, 1.0)


def crossed(rng: np.random.Generator, draws: int, samples: int, spread: tuple[float, ...]) -> np.ndarray:
    of_sample, of_draw, rest = spread
    return (
        rng.normal(0, of_sample, (1, samples))
        + rng.normal(0, of_draw, (draws, 1))
        + rng.normal(0, rest, (draws, samples))
    )


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(("draws", "samples", "most"), [(3, 50, 1.0), (5, 50, 0.98), (10, 50, 0.98)])
def test_the_interval_covers_the_true_mean(
    spread: tuple[float, ...], draws: int, samples: int, most: float
) -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(1000):
        low, high = estimate_mean(crossed(rng, draws, samples, spread)).interval()
        covered += low <= 0 <= high
    # 1000 designs know a coverage of 95 % to within 0.7 %.
    assert 0.93 <= covered / 1000 <= most


def reach_by_hand(scores: np.ndarray, level: float) -> float:
    """The half width of the interval, from sums of squares term by term."""
    draws, samples = scores.shape
    grand = scores.mean()
    of_draws = samples * sum((scores[d].mean() - grand) ** 2 for d in range(draws)) / (draws - 1)
    of_samples = draws * sum((scores[:, i].mean() - grand) ** 2 for i in range(samples)) / (samples - 1)
    rest = sum(
        (scores[d, i] - scores[d].mean() - scores[:, i].mean() + grand) ** 2
        for d in range(draws)
        for i in range(samples)
    ) / ((draws - 1) * (samples - 1))
    quantiles = [stats.t.ppf(0.5 + level / 2, df) for df in (draws - 1, samples - 1)]
    return math.sqrt((of_draws * quantiles[0] ** 2 + (of_samples - rest) * quantiles[1] ** 2) / (draws * samples))


def test_the_interval_is_that_of_the_formula_and_the_p_value_its_inverse() -> None:
    scores = crossed(np.random.default_rng(3), 4, 30, (0.2, 0.3, 0.1))
    estimate = estimate_mean(scores)
    for level in (0.5, 0.9, 0.999):
        low, high = estimate.interval(level)
        assert (high - low) / 2 == pytest.approx(reach_by_hand(scores, level))
        assert estimate.probability_above(low) == pytest.approx((1 - level) / 2)
        assert estimate.probability_above(high) == pytest.approx((1 + level) / 2)
    assert MeanEstimate(0.5, 0.1, 7).probability_above(0.4) == pytest.approx(stats.t.sf(1, 7))
    assert MeanEstimate(0.5, 1e-30, 7).probability_above(0.4) == 0


@pytest.mark.parametrize(("draws", "spread"), [(3, SPREADS[0]), (3, SPREADS[2]), (5, SPREADS[3])])
def test_the_family_of_verdicts_errs_in_at_most_five_percent(draws: int, spread: tuple[float, ...]) -> None:
    """Every explainer's true mean is the limit: any "sensitive" or "insensitive" is an error."""
    rng = np.random.default_rng(0)
    runs, explainers = 1000, 8
    wrong = 0
    for _ in range(runs):
        estimates = [estimate_mean(0.1 + crossed(rng, draws, 40, spread)) for _ in range(explainers)]
        verdicts = judge([known_contrasts(one, FLOORS) for one in estimates], margin=0.1)
        wrong += any(verdict.outcome != "inconclusive" for verdict in verdicts)
    # The bound of 95 % of runs of a family whose error is 5 %.
    assert wrong <= stats.binom.ppf(0.975, runs, 0.05)


def test_noise_is_called_informative_in_at_most_five_percent() -> None:
    rng = np.random.default_rng(1)
    runs, wrong = 1000, 0
    for _ in range(runs):
        estimates = [estimate_mean(rng.normal(0, 0.05, (1, 30))) for _ in range(8)]
        wrong += any(one.outcome == "informative" for one in judge_information(estimates))
    assert wrong <= stats.binom.ppf(0.975, runs, 0.05)
    # And what is better is found.
    better = [estimate_mean(rng.normal(-0.05, 0.05, (1, 30))) for _ in range(8)]
    assert all(one.outcome == "informative" for one in judge_information(better))
    worse, unknown = judge_information([MeanEstimate(0.3, 0.01, 20), MeanEstimate(math.nan, math.nan, math.nan)])
    assert (worse.outcome, unknown.outcome) == ("uninformative", "unknown")


@pytest.mark.parametrize("samples", [4, 10, 50])
@pytest.mark.parametrize("gain", [0.01, 0.02, 0.05])
def test_what_gains_enough_is_called_uninformative_in_at_most_five_percent(gain: float, samples: int) -> None:
    rng = np.random.default_rng(2)
    runs, wrong = 1000, 0
    for _ in range(runs):
        estimates = [estimate_mean(rng.normal(-gain, 0.1, (1, samples))) for _ in range(4)]
        wrong += any(one.outcome == "uninformative" for one in judge_information(estimates, gain=0.01))
    assert wrong <= stats.binom.ppf(0.975, runs, 0.05)


def test_noise_is_called_uninformative_with_enough_samples_and_not_with_few() -> None:
    rng = np.random.default_rng(3)
    found = {
        samples: [
            judge_information([estimate_mean(rng.normal(0, 0.05, (1, samples)))], gain=0.01)[0].outcome
            for _ in range(200)
        ]
        for samples in (5, 400)
    }
    assert found[5].count("uninformative") <= stats.binom.ppf(0.999, 200, 0.15)
    assert found[400].count("uninformative") > 180
    (few,) = judge_information([MeanEstimate(-0.03, 0.03, 4)])
    assert few.outcome == "unknown"
    assert "More samples are needed" in few.reason
    # A small gain that is certain is one.
    assert judge_information([MeanEstimate(-0.005, 0.001, 100)], gain=0.01)[0].outcome == "informative"
    for given in ({"gain": -0.1}, {"level": 0.4}):
        with pytest.raises(ArgumentError):
            judge_information([MeanEstimate(0.3, 0.01, 20)], **given)


def test_verdicts_and_their_words() -> None:
    estimates = [MeanEstimate(mean, 0.02, 100) for mean in (0.5, 0.0, 0.1)]
    estimates.append(MeanEstimate(math.nan, math.nan, math.nan))
    verdicts = judge([known_contrasts(one, FLOORS) for one in estimates], margin=0.1)
    assert [v.outcome for v in verdicts] == ["insensitive", "sensitive", "inconclusive", "undefined"]
    assert verdicts[0].reason.startswith("With random weights the maps still score 0.50 [0.4")
    assert "they depend on the weights" in verdicts[1].reason
    assert "more samples are needed" in verdicts[2].reason
    assert "constant" in verdicts[3].reason
    # A wider margin changes what follows.
    assert judge([known_contrasts(estimates[0], FLOORS)], margin=0.6)[0].outcome == "sensitive"


def test_an_inconclusive_verdict_says_what_would_help() -> None:
    rng = np.random.default_rng(0)
    for spread, word in ((SPREADS[2], "draws"), (SPREADS[4], "samples")):
        estimate = estimate_mean(0.1 + crossed(rng, 5, 40, spread))
        assert f"more {word} are needed" in judge([known_contrasts(estimate, FLOORS)], margin=0.1)[0].reason


def test_a_step_is_judged_halfway_between_floor_and_ceiling() -> None:
    floors = Floors(0.2, 0.0, 0.0, 1.0)
    estimates = [MeanEstimate(mean, 0.01, 100) for mean in (0.8, 0.4, 0.6, 0.8)]
    contrasts = [known_contrasts(one, floors, share=0.5) for one in estimates]
    verdicts = judge_step(contrasts, [0.1, 0.1, 0.1, 0.7])
    assert [v.outcome for v in verdicts] == ["insensitive", "sensitive", "inconclusive", "inconclusive"]
    assert verdicts[0].limit == pytest.approx(0.6)
    assert "so did the outputs" in verdicts[3].reason


def test_floors_of_distances_and_similarities() -> None:
    similarity, distance = Floors(0.2, 0.1, 0.5, 1.0), Floors(1.8, 2.0, 1.0, 0.0, distance=True)
    assert (similarity.floor, distance.floor) == (0.2, 1.8)
    assert similarity.normalized(0.6) == pytest.approx(0.5)
    assert distance.normalized(0.9) == pytest.approx(0.5)
    assert math.isnan(Floors(0.2, 0.1, 0.5, 0.1).normalized(0.3))
    # Of noise, whose floor and ceiling differ by chance, it would be any number.
    assert math.isnan(Floors(0.001, 0.0, 0.0, 0.002).normalized(0.3))
    assert math.isnan(Floors(math.nan, math.nan, 0.5, 1.0).floor)


def test_floors_are_those_of_other_images_shuffled_pixels_and_other_draws() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal(400)
    trained = 2 * common + rng.standard_normal((100, 400))
    random = [trained + 3 * rng.standard_normal((100, 400)) for _ in range(2)]
    pearson = MEASURES["pearson"]
    floors = measure_floors(
        pearson.prepare, pearson.compare, trained, random, np.ones(100), np.random.default_rng(1)
    ).means
    # Correlations by construction: 4/5 between images, 5/14 between draws of one image, none after shuffling.
    assert floors.cross_image == pytest.approx(4 / 5, abs=0.02)
    assert floors.between_draws == pytest.approx(5 / 14, abs=0.02)
    assert floors.shuffled == pytest.approx(0, abs=0.01)
    single = measure_floors(pearson.prepare, pearson.compare, trained[:1], [random[0][:1]], np.ones(1), rng).means
    assert math.isnan(single.cross_image)
    assert math.isnan(single.between_draws)
