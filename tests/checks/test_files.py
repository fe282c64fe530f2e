"""The scores of every check survive a file, whatever their dimensions are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import agnostic_rand as ar

from .nets import Array
from .test_stored_scores import LABELS, TABLE, X, Y, cnn, mlp, subject


def net(seed: int) -> torch.nn.Module:
    """In single precision, as models are; scores are in double precision all the same."""
    return cnn(seed).float()


CHECKS: dict[str, tuple[ar.Check, Any]] = {
    "cascade": (ar.ModelRandomization("top_down", 2), "gradient"),
    "several": (ar.ModelRandomization(draws=2, measures=("mse", "spearman")), ["gradient", "random_map"]),
    "undefined": (ar.ModelRandomization(), "constant_map"),
    "logit": (ar.RandomLogit("all"), ["gradient", "saliency"]),
    "decay": (ar.ModelDecay(), ()),
    "scale": (ar.ScalePreservation(), ()),
    "noise": (ar.ParameterNoise(levels=(0.1, 0.5)), ["gradient", "saliency"]),
    "multiplier": (ar.InputMultiplier(), "integrated_gradients"),
    "smooth": (ar.SmoothMPRT(samples=2), "gradient"),
    "efficient": (ar.EfficientMPRT(), "gradient"),
    "cosine": (ar.CosineConvergence(vectors=3, layers="all"), "gradient"),
    "faithfulness": (ar.Faithfulness(steps=3), ["gradient", "random_map"]),
    "resilience": (ar.RankResilience(), ["gradient", "saliency"]),
    "repeatability": (ar.Repeatability([net(6), net(7)]), "gradient"),
}


def assert_survives(scores: ar.Scores, path: Path) -> None:
    scores.save(path)
    for loaded in (ar.load(path), ar.Scores.load(path)):
        assert isinstance(loaded, ar.Scores)
        assert loaded.to_dict() == scores.to_dict()
        assert dict(loaded.dimensions) == {name: tuple(values) for name, values in scores.dimensions.items()}
        assert (loaded.summary(), repr(loaded)) == (scores.summary(), repr(scores))
        for name, array in scores.arrays().items():
            np.testing.assert_array_equal(loaded.arrays()[name], array)
        for measure in scores.scores:
            np.testing.assert_array_equal(loaded.interval(measure), scores.interval(measure))
            np.testing.assert_array_equal(loaded.undefined[measure], scores.undefined[measure])
        assert loaded.to_dataframe().equals(scores.to_dataframe())
        for name in scores.explainers:
            assert loaded[name].to_dict() == scores[name].to_dict()
    json.dumps(scores.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", CHECKS)
def test_scores_survive_saving_and_loading(name: str, tmp_path: Path) -> None:
    check, explainers = CHECKS[name]
    labels: Array | None = None if name == "cosine" else Y[:4]
    assert_survives(check.run(subject(net(5), X[:4], labels), explainers), tmp_path / "scores.npz")


def test_scores_of_checks_that_train_survive_too(tmp_path: Path) -> None:
    few = subject(mlp().float(), TABLE[:6], LABELS[:6])
    check = ar.DataRandomization(TABLE, LABELS, training=ar.TrainingOptions(epochs=2), least_accuracy=0.0)
    assert_survives(check.run(few, "gradient"), tmp_path / "scores.npz")


def test_scores_of_generalized_faithfulness_survive_too(tmp_path: Path) -> None:
    predicted = mlp()(torch.from_numpy(TABLE)).argmax(1).numpy()
    scores = ar.GeneralizedFaithfulness().run(subject(mlp(), TABLE, predicted), "gradient")
    assert_survives(scores, tmp_path / "scores.npz")


def test_a_sanity_report_of_images_survives(tmp_path: Path) -> None:
    report = ar.sanity_check(net(5), X[:5], Y[:5], explainers=["gradient"], seed=0, draws=2, blocks=2)
    report.save(tmp_path / "report.npz")
    loaded = ar.load(tmp_path / "report.npz")
    assert isinstance(loaded, ar.SanityReport)
    assert loaded.to_dict() == report.to_dict()
    assert loaded.to_dataframe().equals(report.to_dataframe())
    assert loaded["gradient"].faithfulness is not None


def test_only_scores_of_draws_steps_and_samples_are_asserted_on() -> None:
    check, explainers = CHECKS["multiplier"]
    scores = check.run(subject(net(5), X[:4], Y[:4]), explainers)
    with pytest.raises(ar.errors.ArgumentError, match="dimensions multiplier, draw, step, sample"):
        scores.assert_sensitive(0.5)
