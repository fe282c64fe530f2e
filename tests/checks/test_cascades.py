"""Cascades in both orders, independent and full randomization against models changed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar

from .nets import Array
from .slow import flat, gradient_map, rank_correlation, with_weights

LABELS = np.array([0, 3, 1, 2, 0])


def shifted(value: Array, _parameter: Any, _rng: Any) -> Array:
    """A change without chance: every weight is rolled by three places in the shared layout, and turned."""
    return -np.roll(value.ravel(), 3).reshape(value.shape)


def by_hand(_name: str, value: torch.Tensor) -> torch.Tensor:
    array = value.detach().numpy()
    # (out, in, h, w) to (h, w, in, out), (out, in) to (in, out), and back.
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[array.ndim]
    moved = np.transpose(array, order)
    return torch.from_numpy(np.transpose(shifted(moved, None, None), np.argsort(order)).copy())


STRATEGIES = [
    (ar.CascadingRandomization(perturbation=shifted), [("3",), ("0", "3")]),
    (ar.CascadingRandomization(order="bottom_up", perturbation=shifted), [("0",), ("0", "3")]),
    (ar.IndependentRandomization(perturbation=shifted), [("3",), ("0",)]),
    (ar.FullRandomization(perturbation=shifted), [("0", "3")]),
]


@pytest.mark.parametrize(("strategy", "steps"), STRATEGIES, ids=["top down", "bottom up", "independent", "full"])
def test_scores_are_those_of_models_changed_by_hand(
    small: tuple[nn.Module, Array], strategy: Any, steps: list[tuple[str, ...]]
) -> None:
    net, x = small
    metric = ar.ModelRandomizationMetric(net, x, LABELS, randomization_strategy=strategy, seed=0)
    result = metric.run("gradient")
    trained = gradient_map(net, x, LABELS)
    assert [step.layers for step in result.steps] == steps
    for number, layers in enumerate(steps):
        other = gradient_map(with_weights(net, by_hand, layers), x, LABELS)
        for measure, sign in (("spearman", "signed"), ("spearman_abs", "absolute")):
            expected = rank_correlation(flat(trained, sign), flat(other, sign))
            np.testing.assert_allclose(result.scores[measure][0, number], expected, atol=1e-12)


def test_both_orders_end_at_the_same_random_model(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    ends = [
        ar.ModelRandomizationMetric(net, x, LABELS, randomization_strategy=strategy, seed=4, draws=2)
        .run("gradient")
        .scores["spearman"][:, -1]
        for strategy in (
            ar.CascadingRandomization(),
            ar.CascadingRandomization(order="bottom_up"),
            ar.FullRandomization(),
        )
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])
    # Draws are other models.
    assert np.abs(ends[0][0] - ends[0][1]).min() > 1e-6


def test_the_dynamic_target_is_the_current_models_choice(small: tuple[nn.Module, Array]) -> None:
    net, x = small
    strategy = ar.FullRandomization(perturbation=shifted)
    dynamic = ar.ModelRandomizationMetric(net, x, "dynamic", randomization_strategy=strategy, seed=0)
    other = with_weights(net, by_hand, ("0", "3"))
    first, second = (m(torch.from_numpy(x)).argmax(1).numpy() for m in (net, other))
    assert (first != second).any()
    expected = rank_correlation(flat(gradient_map(net, x, first)), flat(gradient_map(other, x, second)))
    np.testing.assert_allclose(dynamic.run("gradient").scores["spearman"][0, 0], expected, atol=1e-12)
