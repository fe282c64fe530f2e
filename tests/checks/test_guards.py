"""What is looked at before a run, and whom it accuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.explainers import (
    AtLayer,
    Explainer,
    GuidedBackprop,
    Saliency,
    SmoothGrad,
    asks_adapter_only,
    resolve_explainer,
)
from agnostic_rand.explainers.named import NamedExplainer

X = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)


def positive_net() -> nn.Module:
    """A net whose guided map is the gradient: what passes back through its ReLU is never negative."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        net[2].weight.abs_()
    return net


def run(explainer: object) -> ar.Scores:
    metric = ar.ModelRandomizationMetric(
        positive_net(), X, None, seed=0, batch_size=5, randomization_strategy=ar.FullRandomization()
    )
    return metric.run(explainer)


def test_the_librarys_guided_method_is_not_accused_where_it_is_the_gradient() -> None:
    assert run("guided_backprop").findings == ()


def test_a_function_by_the_name_of_a_guided_method_is() -> None:
    def guided(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs.requires_grad_()
        (gradient,) = torch.autograd.grad(model(inputs).gather(1, targets[:, None]).sum(), inputs)
        return gradient

    (finding,) = run(guided).findings
    assert "equals the plain gradient" in finding


class Mine(Saliency):
    """A user's own method."""


@pytest.mark.parametrize(
    ("explainer", "alone"),
    [
        (Saliency(), True),
        (SmoothGrad(), True),
        (SmoothGrad(GuidedBackprop()), True),
        (AtLayer("0", Saliency()), True),
        (NamedExplainer(Saliency(), "mine"), True),
        (NamedExplainer(Mine(), "saliency"), False),
        (resolve_explainer("rise"), True),
        (resolve_explainer(lambda model, inputs, targets: inputs), False),
        (Mine(), False),
        (SmoothGrad(Mine()), False),
        (resolve_explainer("random_map"), False),
    ],
)
def test_methods_that_ask_the_adapter_only_are_told_from_foreign_code(explainer: Explainer, alone: bool) -> None:
    assert asks_adapter_only(explainer) is alone


def test_the_model_is_not_explained_twice_where_the_contract_tells_the_outcome() -> None:
    rows: list[int] = []

    class Counting(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows.append(len(x))
            result: torch.Tensor = super().forward(x)
            return result

    labels = np.arange(12) % 3
    metric = ar.ModelRandomizationMetric(
        Counting(*positive_net()), X, labels, seed=0, batch_size=5, randomization_strategy=ar.FullRandomization()
    )
    rows.clear()
    result = metric.run("saliency")
    # A few samples each time show whose weights a forward pass reads: the copy's, and the new ones.
    assert rows == [3, 5, 5, 2] * 2
    assert result.self_similarity == pytest.approx({"spearman": 1.0, "spearman_abs": 1.0})


def test_undefined_maps_have_no_likeness_to_themselves_either() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    nn.init.zeros_(net[0].weight)
    metric = ar.ModelRandomizationMetric(net, X, seed=0, randomization_strategy=ar.FullRandomization())
    assert np.isnan(metric.run("gradient").self_similarity["spearman"])
