"""What all checks give back: scores over named dimensions that can be read, kept and not changed."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks._naming import NamedExplainer, named_explainers
from agnostic_rand.checks._training import TrainingOptions, train
from agnostic_rand.errors import ArgumentError, UnknownNameError
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.statistics import estimate_mean
from agnostic_rand.weights import Streams

SCORES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5))
SCORES[1, 0, 2] = np.nan


def result(**changed: Any) -> CheckResult:
    given: dict[str, Any] = {
        "check": "mine",
        "explainer": "gradient",
        "dimensions": {"level": (0.1, 0.2), "draw": (0, 1, 2), "sample": tuple(range(5))},
        "scores": {"spearman": SCORES.copy(), "other": -SCORES},
        "meaning": "a high score says nothing",
        "seed": 3,
        "settings": {"a": 1},
        "findings": ("look out",),
        **changed,
    }
    return CheckResult(**given)


def test_means_and_intervals_are_over_draws_and_samples() -> None:
    np.testing.assert_allclose(result().mean(), [SCORES[0].mean(), np.nanmean(SCORES[1])])
    np.testing.assert_allclose(result().mean("other"), -result().mean())
    assert result().estimate("spearman", {"level": 1}) == estimate_mean(SCORES[1])
    assert result().undefined == {"spearman": 1, "other": 1}
    with pytest.raises(UnknownNameError, match="levle"):
        result().estimate(place={"levle": 0})
    with pytest.raises(UnknownNameError, match="pearson"):
        result().mean("pearson")
    single = result(dimensions={"sample": tuple(range(5))}, scores={"spearman": SCORES[0, 0]})
    assert single.estimate() == estimate_mean(SCORES[0, 0][None])
    assert math.isnan(result(scores={"spearman": np.full((2, 3, 5), np.nan)}).mean()[0])


def test_it_is_frozen_and_survives_json_pickle_and_a_table() -> None:
    made = result()
    with pytest.raises(ValueError, match="read-only"):
        made.scores["spearman"][0, 0, 0] = 1
    with pytest.raises(TypeError):
        made.settings["a"] = 2  # type: ignore[index]
    kept = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert kept["scores"]["spearman"][1][0][2] is None
    again = pickle.loads(pickle.dumps(made))
    assert again.to_dict() == made.to_dict()
    frame = made.to_dataframe()
    assert len(frame) == 2 * 30
    row = frame[(frame.measure == "spearman") & (frame.level == 0.2) & (frame.draw == 2) & (frame["sample"] == 4)]
    assert row.score.item() == SCORES[1, 2, 4]
    assert "look out" in str(made)
    assert "1 undefined" in str(made)


def test_explainers_by_name_keep_what_they_are() -> None:
    class Bound:
        model = nn.Linear(3, 2)

        def explain(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return inputs * self.model.weight[targets].detach()

    bound = Bound()
    first, second = named_explainers({"mine": bound, "noise": "random_map"}, ar.RunOptions())
    assert isinstance(first, NamedExplainer)
    assert (first.name, first.bound_model, second.bound_model) == ("mine", bound.model, None)
    x = np.random.default_rng(0).standard_normal((6, 3)).astype("float32")
    metric = ar.ModelRandomizationMetric(bound.model, x, seed=0, randomization_strategy=ar.FullRandomization())
    # The object sees the random weights under its new name too.
    assert abs(metric.run(first).mean()[-1]) < 1
    with pytest.raises(ArgumentError, match="at least one explainer"):
        named_explainers([], ar.RunOptions())


def test_training_stops_when_it_knows_and_is_decided_by_the_seed() -> None:
    x = np.random.default_rng(0).standard_normal((40, 6)).astype("float32")
    y = (x[:, 0] > 0).astype(np.int64)

    def trained(seed: int) -> tuple[Any, Any]:
        torch.manual_seed(0)
        adapter = ar.adapt(nn.Linear(6, 2))
        options = TrainingOptions(epochs=200, batch_size=10, learning_rate=0.05, stop_at_accuracy=0.9)
        seen: list[int] = []
        history = train(adapter, x, y, options, Streams(seed), on_epoch=lambda epoch, so_far: seen.append(epoch))
        assert seen == list(range(len(history.loss)))
        return history, adapter.native.weight.detach().numpy().copy()

    history, weights = trained(1)
    assert history.accuracy[-1] >= 0.9 > history.accuracy[0]
    assert len(history.loss) < 200
    assert trained(1)[0] == history
    np.testing.assert_array_equal(trained(1)[1], weights)
    assert trained(2)[0] != history
    with pytest.raises(ArgumentError, match="stop_at_accuracy"):
        TrainingOptions(stop_at_accuracy=95)
