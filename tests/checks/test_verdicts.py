"""Verdicts with estimated floors and ceilings: how often they err, and whether they find what is there.

`python tests/checks/test_verdicts.py` prints the same error rates from many more runs, in a quarter of an hour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError
from agnostic_rand.sanity.sanity_check import sanity_check
from agnostic_rand.similarity import MEASURES
from agnostic_rand.statistics import (
    Contrasts,
    Floors,
    FloorScores,
    MeanEstimate,
    contrast,
    estimate_mean,
    judge,
    judge_step,
    known_contrasts,
    measure_floors,
)

Array = np.ndarray[Any, np.dtype[np.float64]]

PIXELS = 40
MARGIN = 0.1


def dot(first: Array, second: Array) -> Array:
    """A similarity whose means are known: of independent maps it is the product of their means."""
    return (first * second).sum(axis=1)


@dataclass(frozen=True)
class World:
    """Maps whose true score, floors and ceiling are known, for the similarity `dot`.

    A map is a common template in an amount that varies over images, and an image's own part. The
    trained model's floor of other images is `common ** 2`; shuffled pixels score 0. The random
    model's map shares with the trained one what makes their mean score `score`.

    Args:
        score: The true mean score of trained and random model.
        common: The mean amount of the template.
        varies: The standard deviation of that amount over images.
        draws_vary: The standard deviation of the score over random models.
        noise: The share of an image's own part that is drawn anew at each explanation.
    """

    score: float
    common: float = 0.0
    varies: float = 0.3
    draws_vary: float = 0.03
    noise: float = 0.0

    def contrasts(self, rng: np.random.Generator, images: int, draws: int, share: float = 0.0) -> Contrasts:
        """What a run of so many images and draws estimates."""
        first, again = self.maps(rng, images, 2)
        kept = min(images, 64)
        random = []
        for _ in range(draws):
            hit = self.score + self.draws_vary * rng.standard_normal() + 0.1 * rng.standard_normal((images, 1))
            random.append(hit * first / (first**2).sum(axis=1, keepdims=True) + 0.3 * self._own(rng, images))
        scores = np.stack([dot(first, maps) for maps in random])
        floors = measure_floors(
            lambda maps: maps,
            dot,
            first[:kept],
            [maps[:kept] for maps in random],
            dot(first[:kept], again[:kept]),
            rng,
        )
        return contrast(scores, floors, share=share)

    def maps(self, rng: np.random.Generator, images: int, times: int) -> list[Array]:
        """The trained model's maps of the same images, explained several times."""
        template = np.tile([1.0, -1.0], PIXELS // 2) / math.sqrt(PIXELS)
        amount = self.common + self.varies * rng.standard_normal((images, 1))
        fixed = amount * template + math.sqrt(1 - self.noise) * self._own(rng, images)
        return [fixed + math.sqrt(self.noise) * self._own(rng, images) for _ in range(times)]

    @staticmethod
    def _own(rng: np.random.Generator, images: int) -> Array:
        noise = rng.standard_normal((images, PIXELS))
        return (noise - noise.mean(axis=1, keepdims=True)) / math.sqrt(PIXELS - 1)

    @property
    def ceiling(self) -> float:
        """The mean score of the trained model explained twice."""
        return self.common**2 + self.varies**2 + 1 - self.noise


# Each is on the border of "insensitive" and "sensitive": whatever is definite is wrong.
BORDERS = {
    "floor of images": World(score=0.5**2 + MARGIN, common=0.5),
    "two equal floors": World(score=MARGIN),
    "random models vary": World(score=0.5**2 + MARGIN, common=0.5, draws_vary=0.1),
    "images vary": World(score=0.3**2 + MARGIN, common=0.3, varies=0.6),
    "images vary around nothing": World(score=MARGIN, varies=0.5),
}


def errors(world: World, explainers: int, runs: int, images: int = 50, draws: int = 5) -> int:
    """In how many runs any explainer gets a definite verdict."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(runs):
        found = judge([world.contrasts(rng, images, draws) for _ in range(explainers)], margin=MARGIN)
        wrong += any(verdict.outcome != "inconclusive" for verdict in found)
    return wrong


@pytest.mark.parametrize("explainers", [1, 5])
@pytest.mark.parametrize("world", BORDERS.values(), ids=BORDERS)
def test_a_family_errs_in_at_most_five_percent_though_its_floors_are_estimated(
    world: World, explainers: int
) -> None:
    runs = 300 if explainers == 1 else 120
    # The bound of 97.5 % of samples of a family whose error is 5 %.
    assert errors(world, explainers, runs) <= stats.binom.ppf(0.975, runs, 0.05)


def test_more_images_than_the_floors_are_estimated_from() -> None:
    runs = 150
    for name in ("floor of images", "images vary"):
        assert errors(BORDERS[name], 2, runs, images=250, draws=10) <= stats.binom.ppf(0.975, runs, 0.05)


@pytest.mark.parametrize("explainers", [1, 5])
def test_steps_halfway_to_an_estimated_ceiling_err_in_at_most_five_percent(explainers: int) -> None:
    floor = World(score=0, common=0.5, noise=0.3)
    world = World(score=(floor.common**2 + floor.ceiling) / 2, common=0.5, noise=0.3)
    rng = np.random.default_rng(12)
    runs, wrong = (300 if explainers == 1 else 120), 0
    for _ in range(runs):
        found = judge_step([world.contrasts(rng, 50, 5, share=0.5) for _ in range(explainers)], [0.0] * explainers)
        wrong += any(verdict.outcome != "inconclusive" for verdict in found)
    assert wrong <= stats.binom.ppf(0.975, runs, 0.05)


@pytest.mark.parametrize(
    ("world", "outcome"),
    [
        (World(score=0.4), "insensitive"),
        (World(score=0.0), "sensitive"),
        (World(score=0.65, common=0.5), "insensitive"),
        (World(score=0.0, common=0.5), "sensitive"),
    ],
)
@pytest.mark.parametrize("explainers", [1, 5])
def test_what_is_clear_is_found_with_fifty_images_and_five_draws(
    world: World, outcome: str, explainers: int
) -> None:
    rng = np.random.default_rng(13)
    runs = 20
    found = [judge([world.contrasts(rng, 50, 5) for _ in range(explainers)], margin=MARGIN) for _ in range(runs)]
    right = [verdict.outcome == outcome for family in found for verdict in family]
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("noise", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("common", [0.0, 0.6, 0.95])
def test_what_ignores_the_model_is_never_said_to_depend_on_its_weights(noise: float, common: float) -> None:
    """It scores with a random model what it scores with the trained one twice: whatever that is."""
    rng = np.random.default_rng(14)
    runs, wrong = 60, 0
    for _ in range(runs):
        first, again, *random = World(0.0, common, 0.1, noise=noise).maps(rng, 50, 7)
        scores = np.stack([dot(first, maps) for maps in random])
        floors = measure_floors(lambda maps: maps, dot, first, random, dot(first, again), rng)
        wrong += judge([contrast(scores, floors)])[0].outcome == "sensitive"
    assert wrong <= stats.binom.ppf(0.975, runs, 0.025)


def test_the_floor_of_other_images_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    for count in (2, 5, 8, 21, 22):
        maps = rng.standard_normal((count, 30))
        maps[0] = 1.0 if count == 8 else maps[0]
        pearson = MEASURES["pearson"]
        found = measure_floors(pearson.prepare, pearson.compare, maps, [maps], np.ones(count), rng)
        pairs = [(i, j) for i in range(count) for j in range(i) if min(maps[i].std(), maps[j].std()) > 0]
        expected = np.mean([np.corrcoef(maps[i], maps[j])[0, 1] for i, j in pairs])
        assert found.means.cross_image == pytest.approx(expected)
        # A constant map has no score with any other.
        assert np.isnan(found.cross_image).tolist() == [count == 8 and i == 0 for i in range(count)]


def test_each_image_has_its_own_score_with_four_others_each_way() -> None:
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((21, 30))
    pearson = MEASURES["pearson"]
    found = measure_floors(pearson.prepare, pearson.compare, maps, [maps], np.ones(21), rng).cross_image
    expected = [
        np.mean([np.corrcoef(maps[i], maps[(i + shift) % 21])[0, 1] for shift in (1, 4, 7, 10, -1, -4, -7, -10)])
        for i in range(21)
    ]
    np.testing.assert_allclose(found - found.mean(), expected - np.mean(expected), atol=1e-6)


def test_of_large_maps_some_pairs_are_compared_and_the_mean_stays_the_same() -> None:
    rng = np.random.default_rng(0)
    template = rng.standard_normal(2**16)
    maps = np.stack([template + rng.standard_normal(2**16) for _ in range(64)]).astype(np.float32)
    compared = 0

    def count_pairs(first: Array, second: Array) -> Array:
        nonlocal compared
        compared += len(first)
        return np.asarray(MEASURES["pearson"].compare(MEASURES["pearson"].prepare(first), second))

    found = measure_floors(lambda m: m, count_pairs, maps, [maps[:, ::-1]], np.ones(64), rng)
    # All 2016 pairs would be 16 times 2 ** 24 pixels.
    assert compared == 64 * (4 + 1)
    assert found.means.cross_image == pytest.approx(0.5, abs=0.01)


def test_a_contrasts_standard_error_is_its_spread_over_new_images_and_a_little_more() -> None:
    rng = np.random.default_rng(5)
    world = World(score=0.4, common=0.5, draws_vary=0.0)
    made = [world.contrasts(rng, 50, 4) for _ in range(400)]
    excess = [one.excess["cross_image"] for one in made]
    spread = np.std([one.mean for one in excess], ddof=1)
    said = math.sqrt(np.mean([one.standard_error**2 for one in excess]))
    # 400 runs know a standard deviation to within 3.5 %; four partners say up to a quarter too much.
    assert 0.93 < said / spread < 1.25
    # The score's own error is far from it: the floor's counts.
    alone = math.sqrt(np.mean([one.score.standard_error**2 for one in made]))
    assert alone < 0.6 * spread


def test_score_minus_floor_agrees_with_the_figures_that_are_shown() -> None:
    rng = np.random.default_rng(6)
    scores = rng.normal(0.5, 0.1, (3, 20))
    scores[0, 4] = scores[1, 9] = math.nan
    cross, shuffled = rng.normal(0.2, 0.1, 12), rng.normal(0, 0.1, (3, 12))
    cross[3] = math.nan
    found = contrast(scores, FloorScores(cross, shuffled, np.zeros((3, 12)), np.ones(12)))
    assert found.excess["cross_image"].mean == pytest.approx(np.nanmean(scores) - np.nanmean(cross))
    assert found.excess["shuffled"].mean == pytest.approx(np.nanmean(scores) - np.nanmean(shuffled))
    assert found.room["cross_image"].mean == pytest.approx(1 - np.nanmean(cross))
    # Twelve samples know the floors, twenty the score.
    assert found.excess["cross_image"].parts[1][1] == 11
    half = contrast(scores, FloorScores(cross, shuffled, np.zeros((3, 12)), np.ones(12)), share=0.5)
    assert half.excess["cross_image"].mean == pytest.approx(np.nanmean(scores) - (1 + np.nanmean(cross)) / 2)


def outcome(score: MeanEstimate, floors: Floors, **settings: Any) -> str:
    return judge([known_contrasts(score, floors)], **settings)[0].outcome


def test_no_score_is_sensitive_where_the_ceiling_leaves_no_room() -> None:
    low = MeanEstimate(0.0, 0.001, 100)
    assert outcome(low, Floors(0.0, 0.0, 0.0, 1.0)) == "sensitive"
    for ceiling in (0.0, 0.1, math.nan):
        (verdict,) = judge([known_contrasts(low, Floors(0.0, 0.0, 0.0, ceiling))])
        assert verdict.outcome == "inconclusive"
        assert verdict.reason.startswith("Its own noise hides it")
    # Maps of different images are alike: what is as alike says nothing; what noise scores says enough.
    alike = Floors(0.97, 0.0, 0.0, 1.0)
    (verdict,) = judge([known_contrasts(MeanEstimate(0.98, 0.001, 100), alike)])
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith("Maps of different inputs already score this much: 0.97")
    assert outcome(MeanEstimate(0.5, 0.001, 100), alike) == "inconclusive"
    assert outcome(low, alike) == "sensitive"
    # A ceiling that is hardly known is no room either.
    vague = known_contrasts(low, Floors(0.0, math.nan, 0.0, 0.5))
    vague = Contrasts(vague.score, vague.floors, vague.excess, {"cross_image": MeanEstimate(0.5, 0.3, 20)})
    assert judge([vague])[0].outcome == "inconclusive"


def test_insensitive_is_above_both_floors_and_sensitive_below_one_at_half_the_level() -> None:
    floors = Floors(0.3, 0.0, 0.0, 1.0)
    # Above the lower floor only.
    assert outcome(MeanEstimate(0.35, 0.01, 100), floors) == "sensitive"
    assert outcome(MeanEstimate(0.45, 0.01, 100), floors) == "insensitive"
    # 2.1 standard errors are significant on two sides at 5 %, and not at the half.
    assert outcome(MeanEstimate(0.4 + 0.021, 0.01, 1000), floors) == "insensitive"
    assert outcome(MeanEstimate(0.4 - 0.021, 0.01, 1000), floors) == "inconclusive"
    assert outcome(MeanEstimate(0.4 - 0.024, 0.01, 1000), floors) == "sensitive"
    # One floor has the whole level.
    assert outcome(MeanEstimate(0.4 - 0.021, 0.01, 1000), Floors(0.3, math.nan, 0.0, 1.0)) == "sensitive"


def test_the_outcome_is_where_the_corrected_interval_lies() -> None:
    rng = np.random.default_rng(7)
    worlds = [World(score) for score in (0.0, 0.08, 0.1, 0.12, 0.2, 0.5)]
    for _ in range(10):
        for verdict in judge([world.contrasts(rng, 30, 4) for world in worlds]):
            low, high = verdict.excess_interval
            assert (verdict.outcome == "insensitive") == (low > MARGIN)
            assert (verdict.outcome == "sensitive") == (high < MARGIN)
            assert f"[{low:.2f}, {high:.2f}]" in verdict.reason


def test_the_shown_interval_is_the_scores_own() -> None:
    scores = np.random.default_rng(0).normal(0.5, 0.1, (4, 30))
    floors = FloorScores(np.zeros(30), np.zeros((4, 30)), np.zeros((6, 30)), np.ones(30))
    many = judge([contrast(scores, floors)] * 8)
    assert many[0].interval == estimate_mean(scores).interval(0.95)
    wide, narrow = many[0].excess_interval, judge([contrast(scores, floors)])[0].excess_interval
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_draw_decides_nothing_but_that_nothing_changed() -> None:
    floors = FloorScores(np.zeros(30), np.zeros((1, 30)), np.zeros((0, 30)), np.ones(30))
    for mean in (0.0, 0.5):
        scores = np.random.default_rng(0).normal(mean, 0.01, (1, 30))
        for verdict in (
            *judge([contrast(scores, floors)]),
            *judge_step([contrast(scores, floors, share=0.5)], [0]),
        ):
            assert verdict.outcome == "inconclusive"
            assert verdict.reason.startswith("One draw says nothing of other random weights")
    assert judge([contrast(np.ones((1, 30)), floors, unchanged=True)])[0].outcome == "insensitive"
    # Of two draws, one of which has no score, one is left.
    scores = np.stack([np.random.default_rng(0).normal(0.5, 0.01, 30), np.full(30, np.nan)])
    two = FloorScores(np.zeros(30), np.zeros((2, 30)), np.zeros((1, 30)), np.ones(30))
    assert judge([contrast(scores, two)])[0].outcome == "inconclusive"


def test_a_draw_without_any_score_is_left_out_and_counted() -> None:
    scores = np.random.default_rng(1).normal(0.3, 0.1, (5, 40))
    full = estimate_mean(scores[1:])
    scores[0] = math.nan
    found = estimate_mean(scores)
    assert found.interval() == full.interval()
    assert (found.draws, found.empty_draws, full.empty_draws) == (4, 1, 0)
    assert math.isnan(estimate_mean(np.full((2, 5), np.nan)).mean)


@pytest.mark.parametrize("mean", [0.1, 0.25])
def test_an_exact_score_at_the_limit_is_inconclusive(mean: float) -> None:
    exact = MeanEstimate(mean, 0.0, 10)
    assert exact.probability_above(mean) == exact.probability_below(mean) == 1
    floors = Floors(0.0, math.nan, 0.0, 1.0)
    (verdict,) = judge([known_contrasts(exact, floors)], margin=mean)
    assert verdict.outcome == "inconclusive"
    # It takes nothing from the family either.
    others = [known_contrasts(MeanEstimate(mean + 0.021, 0.01, 1000), floors)]
    assert judge([known_contrasts(exact, floors), *others], margin=mean)[1].outcome == "inconclusive"
    assert outcome(MeanEstimate(mean + 1e-6, 0.0, 10), floors, margin=mean) == "insensitive"


def test_what_judge_refuses() -> None:
    one = known_contrasts(MeanEstimate(0.5, 0.1, 10), Floors(0.0, 0.0, 0.0, 1.0))
    for given in ({"margin": -5}, {"margin": math.nan}, {"level": 0}, {"level": 1.5}):
        with pytest.raises(ArgumentError):
            judge([one], **given)
        with pytest.raises(ArgumentError):
            judge_step([one], [0.0], **given)
    distances = FloorScores(np.ones(4), np.ones((2, 4)), np.ones((1, 4)), np.zeros(4), distance=True)
    with pytest.raises(ArgumentError, match="whose larger scores mean less alike"):
        contrast(np.ones((2, 4)), distances)
    with pytest.raises(ArgumentError, match="whose larger scores mean less alike"):
        known_contrasts(MeanEstimate(0.5, 0.1, 10), distances.means)


BLOB = np.exp(-((np.mgrid[:16, :16] - 8.0) ** 2).sum(axis=0) / 20).astype(np.float32)


def centred(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
    """The same map for every image."""
    return np.repeat(BLOB[None, None], len(inputs), 0)


def test_a_map_that_ignores_model_and_image_is_insensitive_and_a_noisy_one_is_not_sensitive() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 3))
    x = np.random.default_rng(0).random((40, 1, 16, 16)).astype(np.float32)
    rng = np.random.default_rng(5)

    def shaken(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        return centred(model, inputs, targets) + 0.05 * rng.standard_normal(inputs.shape)

    def copier(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> Any:
        return inputs.numpy() + 3 * rng.standard_normal(inputs.shape)

    report = sanity_check(net, x, explainers=[centred, shaken, copier], seed=0, blocks=2, measures=("spearman",))
    assert report["centred"].verdict.outcome == "insensitive"
    assert [verdict.outcome for verdict in report["centred"].by_step] == ["insensitive"] * 2
    assert report["shaken"].verdict.outcome == "inconclusive"
    assert report["shaken"].floors["spearman"].cross_image > 0.6
    for name in ("copier", "random_map"):
        assert report[name].verdict.outcome == "inconclusive"
        assert "Its own noise hides it" in report[name].verdict.reason
        assert all(verdict.outcome != "sensitive" for verdict in report[name].by_step)
    # Aligned images: a copy of the input is one, however alike the inputs are.
    same = (BLOB + 0.01 * rng.random((20, 1, 16, 16))).astype(np.float32)
    assert sanity_check(net, same, explainers=["gradient"], seed=0, blocks=1)["input_map"].verdict.outcome == (
        "insensitive"
    )


def test_one_draw_of_a_real_run() -> None:
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    report = sanity_check(net, x, explainers=["gradient", "smoothgrad"], seed=0, draws=1, blocks=1)
    assert [report[name].verdict.outcome for name in ("gradient", "smoothgrad")] == ["inconclusive"] * 2
    assert ar.ModelRandomizationMetric(net, x, seed=0).run("gradient").scores["spearman"].shape[0] == 1


def print_error_rates(names: Sequence[str], runs: int) -> None:
    """The family's error in every world, by explainers, images and draws."""
    for name in names:
        for explainers, images, draws in ((1, 50, 5), (5, 50, 5), (5, 50, 3), (5, 50, 10), (5, 256, 10)):
            rate = errors(BORDERS[name], explainers, runs, images, draws) / runs
            print(f"{name:20} explainers {explainers} images {images:4} draws {draws:3}: {rate:.3f}")  # noqa: T201


if __name__ == "__main__":
    print_error_rates(list(BORDERS), 1000)
