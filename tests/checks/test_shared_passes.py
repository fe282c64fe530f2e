"""Passes that several checks share give each of them what a pass of its own gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.passes.needs import Needs, Walk
from agnostic_rand.passes.run import run
from agnostic_rand.similarity import resolve_measures

from .nets import Array


def weighted(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return inputs * model(inputs).gather(1, targets[:, None])[:, :, None, None] + inputs**2


@pytest.mark.parametrize("explainer", ["gradient", "random_map", "smoothgrad", weighted])
def test_walks_that_share_states_keep_their_own_measures_draws_and_noise(
    small: tuple[nn.Module, Array], explainer: Any
) -> None:
    net, x = small
    subject = ar.Subject(net, x, seed=0, batch_size=2)
    explainers = (subject.explainer(explainer),)
    walks = [
        Walk(ar.CascadingRandomization(), 2, explainers, resolve_measures(["spearman"])),
        Walk(ar.FullRandomization(), 1, explainers, resolve_measures(["pearson", "ssim"])),
        Walk(ar.CascadingRandomization(order="bottom_up"), 1, explainers, resolve_measures(["ssim"])),
        Walk(ar.FullRandomization(perturbation="permute"), 3, explainers, resolve_measures(["cosine"])),
    ]
    together = run(subject, Needs(tuple(walks)))
    for walk, record in zip(walks, together.walks, strict=True):
        (alone,) = run(subject, Needs((walk,))).walks
        name = explainers[0].name
        assert list(record.scores[name]) == [measure.name for measure in walk.measures]
        for measure, scores in alone.scores[name].items():
            np.testing.assert_allclose(record.scores[name][measure], scores, rtol=0, atol=1e-12)
        for outputs in ("correlation", "agreement", "scale"):
            np.testing.assert_array_equal(getattr(record.outputs, outputs), getattr(alone.outputs, outputs))
