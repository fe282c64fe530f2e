"""Repeatability against maps of each model, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import ArgumentError

from .nets import Array, random_images
from .slow import flat, gradient_map, rank_correlation


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)).double().eval()


MODELS = [net(seed) for seed in range(3)]
X: Array = random_images(6, (2, 6, 6)).astype(np.float64)


def test_every_pair_of_models(small: object) -> None:
    subject = ar.Subject(MODELS[0], X, seed=0, batch_size=4)
    result = ar.Repeatability(MODELS[1:], ("spearman",)).run(subject, "gradient")
    assert result.dimensions["pair"] == ((0, 1), (0, 2), (1, 2))
    for place, (i, j) in enumerate(result.dimensions["pair"]):
        # Without labels, the first model's predictions are explained in all.
        labels = MODELS[0](torch.from_numpy(X)).argmax(1).numpy()
        expected = rank_correlation(*(flat(gradient_map(MODELS[k], X, labels)) for k in (i, j)))
        np.testing.assert_allclose(result.scores["spearman"][place], expected, atol=1e-12)


def test_a_copier_repeats_itself_and_the_models_stay(small: object) -> None:
    before = [[p.clone() for p in model.parameters()] for model in MODELS]
    scores = ar.Repeatability(MODELS[1:]).run(ar.Subject(MODELS[0], X), "input_map")
    assert scores.mean("spearman").tolist() == [1, 1, 1]
    for model, held in zip(MODELS, before, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), held, strict=True))


def test_bad_models() -> None:
    with pytest.raises(ArgumentError, match="at least one other model"):
        ar.Repeatability([])
    with pytest.raises(ArgumentError, match="one model twice"):
        ar.Repeatability([MODELS[0], MODELS[0]])
    with pytest.raises(ArgumentError, match="one model twice"):
        ar.Repeatability([MODELS[0]]).run(ar.Subject(MODELS[0], X), "gradient")
    with pytest.raises(ArgumentError, match=r"at least one other model.*Sequential"):
        ar.Repeatability(MODELS[0])  # type: ignore[arg-type]
