"""The grid of settings, and how far the order of explainers outlives it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

import agnostic_rand as ar
from agnostic_rand.checks import GridResult, MeasureGrid
from agnostic_rand.errors import ArgumentError
from agnostic_rand.similarity import MEASURES
from agnostic_rand.statistics import rank_resilience

from .conftest import Trained


def test_resilience_is_the_mean_kendall_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6, 5))
    pairs = [stats.kendalltau(a, b).statistic for a, b in itertools.combinations(scores, 2)]
    assert rank_resilience(scores) == pytest.approx(np.mean(pairs))
    assert rank_resilience(np.outer([1, 2, 3], [0.1, 0.4, 0.2])) == 1
    assert rank_resilience(np.array([[1.0, 2, 3], [3, 2, 1]])) == -1
    # Of random orders nothing is left; undefined and equal scores have no order.
    assert abs(rank_resilience(rng.standard_normal((80, 8)))) < 0.05
    assert rank_resilience(np.array([[1.0, 2, np.nan], [1, 2, 3]])) == 1
    assert math.isnan(rank_resilience(np.array([[1.0, 1.0], [1, 2]])))
    with pytest.raises(ArgumentError, match="at least two"):
        rank_resilience(np.ones((1, 3)))


def test_every_setting_is_the_cascade_with_that_measure(trained_cnn: Trained) -> None:
    net, x, y = trained_cnn.model, trained_cnn.x[:20], trained_cnn.y[:20]
    names = ["gradient", "guided_backprop"]
    grid = MeasureGrid(net, x, y, options=ar.RunOptions(seed=2)).run(names)
    assert grid.scores.shape == (4 * 3 * 2, 2)
    place = grid.settings.index(("ssim", "percentile", "bottom_up"))
    base = MEASURES["ssim"]
    changed = ar.Measure(
        "changed",
        ar.similarity.MapForm(base.form.sign, base.form.channels, "percentile"),
        base.prepare,
        base.compare,
    )
    strategy = ar.CascadingRandomization(order="bottom_up")
    metric = ar.ModelRandomizationMetric(net, x, y, randomization_strategy=strategy, measures=changed, seed=2)
    for column, name in enumerate(names):
        assert grid.scores[place, column] == pytest.approx(metric.evaluate(name), abs=1e-9)
    # A distance has its sign turned, so that larger means more alike in every row.
    mse = grid.scores[[row for row, one in enumerate(grid.settings) if one[0] == "mse"]]
    assert (mse < 0).all()
    assert (mse[:, 1] > mse[:, 0]).all()
    # Ranks are the same under every scale: such rows count once.
    assert len(grid.distinct) < len(grid.scores)
    assert -1 <= grid.resilience <= 1
    assert "rank nothing" in str(grid)


def test_a_choice_of_setting_can_pick_the_winner() -> None:
    settings = (("spearman", "none", "top_down"), ("ssim", "none", "top_down"))
    grid = GridResult(settings, ("a", "b"), np.array([[0.1, 0.2], [0.4, 0.3]]), 0)
    assert grid.winners == ("a", "b")
    assert grid.resilience == -1


def test_bad_arguments(trained_cnn: Trained) -> None:
    with pytest.raises(ArgumentError, match="at least two"):
        MeasureGrid(trained_cnn.model, trained_cnn.x[:4]).run(["gradient"])
    for name in ("measures", "normalizations", "orders"):
        with pytest.raises(ArgumentError, match=f"{name}: expected .*at least one"):
            MeasureGrid(None, None, **{name: ()})
    with pytest.raises(ArgumentError, match=r"explainers: expected a list.*received 'gradient'"):
        MeasureGrid(trained_cnn.model, trained_cnn.x[:4]).run("gradient")


def test_a_setting_without_any_score_has_no_winner() -> None:
    settings = (("spearman", "none", "top_down"), ("ssim", "none", "top_down"))
    grid = GridResult(settings, ("a", "b"), np.array([[np.nan, np.nan], [0.4, 0.3]]), 0)
    assert grid.winners == ("(undefined)", "b")
    assert "(undefined), b" in grid.summary()
