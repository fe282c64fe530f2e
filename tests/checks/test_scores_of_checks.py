"""What all checks give back: scores over named dimensions that can be read, kept and not changed."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.checks._training import TrainingOptions, train
from agnostic_rand.checks.check import resolve_explainers
from agnostic_rand.errors import ArgumentError, ModelError, UnknownNameError
from agnostic_rand.explainers.named import NamedExplainer
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.statistics import estimate_mean
from agnostic_rand.weights import Streams

from .nets import Array, fitted, random_images

SCORES = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5))
SCORES[1, 0, 2] = np.nan


def result(**changed: Any) -> Scores:
    given: dict[str, Any] = {
        "check": "mine",
        "notes": {"gradient": Notes(("look out",))},
        "dimensions": {"level": (0.1, 0.2), "draw": (0, 1, 2), "sample": tuple(range(5))},
        "scores": {"spearman": SCORES.copy(), "other": -SCORES},
        "meaning": "a high score says nothing",
        "seed": 3,
        "settings": {"a": 1},
        **changed,
    }
    return Scores(**given)


def test_means_and_intervals_are_over_draws_and_samples() -> None:
    np.testing.assert_allclose(result().mean(), [SCORES[0].mean(), np.nanmean(SCORES[1])])
    np.testing.assert_allclose(result().mean("other"), -result().mean())
    assert result().estimate("spearman", {"level": 1}) == estimate_mean(SCORES[1])
    for counts in result().undefined.values():
        np.testing.assert_array_equal(counts, [[0, 0, 0], [1, 0, 0]])
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
    x = np.random.default_rng(0).standard_normal((6, 3)).astype("float32")
    subject = ar.Subject(bound.model, x, seed=0)
    (first, second), single = resolve_explainers(subject, {"mine": bound, "noise": "random_map"})
    assert isinstance(first, NamedExplainer)
    assert isinstance(second, NamedExplainer)
    assert not single
    assert (first.name, first.bound_model, second.bound_model) == ("mine", bound.model, None)
    # The object sees the random weights under its new name too.
    assert abs(ar.ModelRandomization("full_randomization").run(subject, {"mine": bound})["mine"].mean()[-1]) < 1
    with pytest.raises(ArgumentError, match="at least one explainer"):
        resolve_explainers(subject, [])
    with pytest.raises(ArgumentError, match="names of their own"):
        resolve_explainers(subject, ["gradient", "gradient"])


@pytest.fixture(scope="module")
def subject() -> ar.Subject:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 3)).double().eval()
    x = random_images(24, (1, 8, 8)).astype(np.float64)
    labels = net(torch.from_numpy(x)).argmax(1).numpy()
    return ar.Subject(net, x, labels, seed=0, batch_size=7)


def other_model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()


def fit(model: nn.Module, x: Array, y: Array) -> nn.Module:
    return fitted(model, x, y, epochs=1, rate=1e-3)


CHECKS = (
    ar.ModelRandomization(),
    ar.SmoothMPRT(samples=2),
    ar.EfficientMPRT(),
    ar.ParameterNoise(levels=(0.1, 0.5)),
    ar.GeneralizedFaithfulness(draws=2),
    ar.RandomLogit("all"),
    ar.Faithfulness(2),
    ar.InputMultiplier(),
    ar.CosineConvergence(3),
    ar.Repeatability([other_model()]),
    ar.DataRandomization(random_images(9, (1, 8, 8)).astype(float), np.arange(9) % 3, fit, least_accuracy=0),
)
METHODS = {"gradient": ar.explainers.Gradient(), "path": ar.explainers.IntegratedGradients(steps=3)}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_several_explainers_have_each_what_it_has_alone(subject: ar.Subject, check: ar.Check) -> None:
    together = check.run(subject, METHODS)
    assert together.explainers == together.dimensions["explainer"] == tuple(METHODS)
    again = pickle.loads(pickle.dumps(together))
    for name, explainer in METHODS.items():
        alone, own = check.run(subject, {name: explainer}), again[name]
        assert alone.explainers == (name,)
        assert described(own) == described(alone[name])


def described(scores: ar.Scores) -> dict[str, Any]:
    """Everything but which explainers shared the run."""
    found = scores.to_dict()
    del found["settings"]["explainers"]
    return found


def test_what_differs_between_explainers_is_in_their_notes(subject: ar.Subject, tmp_path: Path) -> None:
    scores = ar.CosineConvergence(2).run(subject, METHODS)
    assert "median" not in scores.settings
    assert scores.settings["vectors"] == 2
    scores.save(tmp_path / "scores.npz")
    for one in (scores, Scores.load(tmp_path / "scores.npz")):
        medians = [one.notes[name].settings["median"]["input"] for name in METHODS]
        assert medians == [np.median(scores[name].of()) for name in METHODS]
        assert [one[name].settings["median"]["input"] for name in METHODS] == medians


def test_the_library_knows_its_methods_under_another_name(subject: ar.Subject) -> None:
    seen = ar.CosineConvergence(2, "all").run(subject, {"mine": "gradient"})
    assert seen.dimensions["place"] == ("input", "3", "0")
    np.testing.assert_array_equal(
        seen.scores["cosine"][0], ar.CosineConvergence(2, "all").run(subject, "gradient").of()
    )


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


def test_a_model_with_one_output_is_no_classifier() -> None:
    x = np.zeros((4, 6), np.float32)
    with pytest.raises(ModelError, match="at least two classes"):
        train(ar.adapt(nn.Linear(6, 1)), x, np.zeros(4, np.int64), TrainingOptions(epochs=1), Streams(0))
