"""Models that take a batch only, or one size of batches, and scores that depend on the batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import agnostic_rand as ar
from agnostic_rand.errors import InputError, ModelError

X = np.random.default_rng(0).standard_normal((16, 6)).astype("float32")


class Squeezed(nn.Module):
    """Outputs `(n,)`, and a single number for one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(x).squeeze()
        return outputs


class Fixed(nn.Module):
    """Takes one size of batches, as an exported model does, or a graph's nodes."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size = size
        self.hidden = nn.Linear(6, 5)
        self.head = nn.Linear(5, 3)
        self.register_buffer("graph", torch.softmax(torch.eye(size) * 3, dim=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(torch.relu(self.graph @ self.hidden(x)))
        return outputs


def normalized() -> nn.Module:
    """Normalizes by the batch, also in evaluation mode."""
    norm = nn.BatchNorm1d(8, track_running_stats=False)
    return nn.Sequential(nn.Linear(6, 8), norm, nn.ReLU(), nn.Linear(8, 3)).eval()


def scored(model: nn.Module, inputs: Any = X, explainer: Any = "gradient", **options: Any) -> Any:
    full = ar.FullRandomization()
    return ar.ModelRandomizationMetric(model, inputs, randomization_strategy=full, **options).run(explainer)


def loss_gradient(model: Any, inputs: Any, targets: Any) -> Any:
    leaf = inputs.detach().clone().requires_grad_()
    outputs = model(leaf)
    chosen = (outputs if outputs.ndim == 1 else outputs[range(len(leaf)), targets]).sum()
    return torch.autograd.grad(chosen, leaf)[0]


@pytest.mark.parametrize("explainer", ["gradient", loss_gradient])
@pytest.mark.parametrize(
    ("model", "size"), [(Squeezed(), 16), (Squeezed(), 2), (Fixed(), 8), (Fixed(16), None), (normalized(), 16)]
)
def test_a_model_that_takes_batches_only_is_looked_at_with_one(model: Any, size: Any, explainer: Any) -> None:
    result = scored(model, batch_size=size, explainer=explainer)
    assert np.isfinite(result.scores["spearman"]).all()
    assert ar.explain(model, X, None, explainer, batch_size=size or 16).shape == X.shape


def test_a_fixed_batch_goes_through_a_whole_sanity_check_and_every_way_of_statistics() -> None:
    methods = ["gradient", loss_gradient]
    report = ar.sanity_check(Fixed(), X, explainers=methods, seed=0, draws=2, batch_size=8)
    assert {"gradient", "loss_gradient"} <= {explainer.name for explainer in report.explainers}
    model = nn.Sequential(Fixed(), nn.BatchNorm1d(3)).eval()
    full = ar.FullRandomization(statistics="recalibrate")
    metric = ar.ModelRandomizationMetric(model, X, randomization_strategy=full, batch_size=8)
    assert np.isfinite(metric.run("gradient").scores["spearman"]).all()


@pytest.mark.parametrize(("model", "count"), [(Fixed(), 12), (Squeezed(), 9), (normalized(), 9)])
@pytest.mark.parametrize("call", [scored, lambda model, x, **o: ar.explain(model, x, None, "gradient", **o)])
def test_a_smaller_last_batch_that_the_model_does_not_take_is_refused_before_the_run(
    model: Any, count: int, call: Any
) -> None:
    with pytest.raises(InputError, match="Choose a batch_size that divides the number of samples"):
        call(model, X[:count], batch_size=8)


def test_a_model_that_takes_no_batch_says_why() -> None:
    with pytest.raises(ModelError, match="shapes cannot be multiplied"):
        scored(nn.Linear(3, 5), X)


@pytest.mark.parametrize("size", [4, 8, 16])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_scores_that_depend_on_the_batch_size_are_told(size: int, activation: Any) -> None:
    (finding,) = scored(normalized(), batch_size=size, activation=activation).findings
    assert "depend on the rest of its batch" in finding
    assert f"in a batch of {size}" in finding
    plain = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    assert not scored(plain, batch_size=size, activation=activation).findings
