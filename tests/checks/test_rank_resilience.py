"""Rank resilience: the scores of every setting, and how far the order of explainers outlives it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError, UnknownNameError
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
    subject = ar.Subject(trained_cnn.model, trained_cnn.x[:20], trained_cnn.y[:20], seed=2)
    names = ["gradient", "guided_backprop"]
    grid = ar.RankResilience(draws=2).run(subject, names)
    assert list(grid.dimensions) == ["explainer", "normalization", "order", "draw", "step", "sample"]
    assert {name: array.shape for name, array in grid.scores.items()} == dict.fromkeys(
        ("spearman", "spearman_abs", "ssim", "mse"), (2, 3, 2, 2, 4, 20)
    )
    place = grid.dimensions["normalization"].index("percentile"), grid.dimensions["order"].index("bottom_up")
    base = MEASURES["ssim"]
    changed = ar.Measure(
        "changed",
        ar.similarity.MapForm(base.form.sign, base.form.channels, "percentile"),
        base.prepare,
        base.compare,
    )
    cascade = ar.ModelRandomization("bottom_up", 2, changed).run(subject, names)
    np.testing.assert_allclose(grid.scores["ssim"][:, *place], cascade.scores["changed"], rtol=0, atol=1e-12)
    # What the settings say together, from the means of each, distances with their sign turned.
    means = {
        (measure, normalization, order): (-1 if measure == "mse" else 1) * grid.mean(measure)[:, i, j]
        for measure in grid.scores
        for i, normalization in enumerate(grid.dimensions["normalization"])
        for j, order in enumerate(grid.dimensions["order"])
    }
    rows = np.array(list(means.values()))
    # Ranks are the same under every scale: such rows count once.
    distinct = rows[np.sort(np.unique(rows.round(9), axis=0, return_index=True)[1])]
    assert len(distinct) < len(rows)
    assert grid.settings["resilience"] == pytest.approx(rank_resilience(distinct), abs=1e-12)
    lowest = {" / ".join(place): names[int(row.argmin())] for place, row in means.items()}
    assert grid.settings["lowest"] == lowest
    # The distance itself is kept as it is.
    assert (grid.scores["mse"] >= 0).all()
    assert "rank nothing" in " ".join(str(grid).split())


def a(model: Any, inputs: Any, targets: Any) -> Any:
    return np.ones(tuple(inputs.shape))


def b(model: Any, inputs: Any, targets: Any) -> Any:
    return 2 * a(model, inputs, targets)


def made_up(**scores: tuple[float, float]) -> ar.Scores:
    """A run of two measures that give each of the two explainers a score of its own."""
    measures = [
        ar.Measure(
            name, ar.similarity.MapForm(), lambda maps: maps[:, 0], lambda which, _, s=of: np.where(which == 1, *s)
        )
        for name, of in scores.items()
    ]
    subject = ar.Subject(nn.Linear(3, 2), np.ones((4, 3), "float32"), seed=0)
    check = ar.RankResilience(normalizations=("none",), orders=("top_down",), measures=measures)
    return check.run(subject, [a, b])


def test_a_choice_of_setting_can_pick_the_winner() -> None:
    scores = made_up(first=(0.1, 0.2), second=(0.4, 0.3))
    assert scores.settings["lowest"] == {"first / none / top_down": "a", "second / none / top_down": "b"}
    assert scores.settings["resilience"] == -1
    assert any("Lowest under some setting: a, b" in finding for finding in scores.findings)


def test_bad_arguments(trained_cnn: Trained) -> None:
    subject = ar.Subject(trained_cnn.model, trained_cnn.x[:4])
    for alone in (["gradient"], "gradient", {"mine": "gradient"}):
        with pytest.raises(ArgumentError, match=r"explainers: expected at least two.* received 1"):
            ar.RankResilience().run(subject, alone)
    for name in ("measures", "normalizations", "orders"):
        with pytest.raises(ArgumentError, match=f"{name}: expected .*at least one"):
            ar.RankResilience(**{name: ()})
        with pytest.raises((ArgumentError, UnknownNameError), match="sideways"):
            ar.RankResilience(**{name: ("sideways",)})


def test_a_setting_without_any_score_has_no_winner() -> None:
    scores = made_up(first=(np.nan, np.nan), second=(0.4, 0.3))
    assert scores.settings["lowest"] == {"second / none / top_down": "b"}
    assert any("Lowest under some setting: b." in finding for finding in scores.findings)
    nothing = made_up(first=(np.nan, np.nan))
    assert nothing.settings["lowest"] == {}
    assert any("Lowest under some setting: none." in finding for finding in nothing.findings)
