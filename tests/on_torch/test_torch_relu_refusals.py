"""Where no rule can be applied there is an error: a silent plain gradient would pass for the method."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from zoo import BY_NAME, scripted

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError, ModelError

RULES = ("guided", "deconv")


def guided(net: nn.Module, x: Tensor, rule: str) -> Tensor:
    return ar.adapt(net).gradient(x, torch.zeros(len(x), dtype=torch.int64), relu=rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.GELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Hardtanh(), nn.Identity()]
)
def test_a_model_without_relu(activation: nn.Module, rule: str) -> None:
    net = nn.Sequential(nn.Linear(6, 4), activation, nn.Linear(4, 2))
    with pytest.raises(ModelError, match=rf"relu='{rule}' on Sequential: expected at least one ReLU.*Gradient\(\)"):
        guided(net, torch.ones(2, 6), rule)


@pytest.mark.parametrize(
    "bounds", [{"min": 0, "max": 1}, {"min": -1}, {"min": 0.1}, {"max": 0}], ids=["image", "below", "above", "max"]
)
def test_a_clamp_that_is_no_relu(bounds: dict[str, float]) -> None:
    class Clamped(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).clamp(**bounds)

    with pytest.raises(ModelError, match="at least one ReLU"):
        guided(Clamped(nn.Linear(6, 4)), torch.ones(2, 6), "guided")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("calls", [1, 4])
def test_a_scripted_model(rule: str, calls: int) -> None:
    net = scripted(BY_NAME["mlp"].model())
    # After a few calls the compiler fuses operations, and they look different.
    x = torch.ones(2, 6).requires_grad_()
    for _ in range(calls):
        net(x).sum().backward()
    with pytest.raises(ModelError, match=r"inside scripted or compiled code.*torch\.jit\.script"):
        guided(net, torch.ones(2, 6), rule)
    assert ar.adapt(net).gradient(torch.ones(2, 6), torch.tensor([0, 1])).shape == (2, 6)


@pytest.mark.parametrize("calls", [1, 4])
def test_a_scripted_part_beside_a_plain_relu(calls: int) -> None:
    part = scripted(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), part, nn.Linear(8, 4))
    x = torch.ones(2, 6).requires_grad_()
    for _ in range(calls):
        net(x).sum().backward()
    with pytest.raises(ModelError, match="inside scripted"):
        guided(net, torch.ones(2, 6), "guided")


def test_a_recurrent_layer_with_relu() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.RNN(3, 5, nonlinearity="relu", batch_first=True), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.cell(x)[0][:, -1]))

    with pytest.raises(ModelError, match="a recurrent layer, where no rule reaches it"):
        guided(Recurrent(), torch.ones(2, 4, 3), "guided")


def test_a_reentrant_checkpoint() -> None:
    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.part = nn.Linear(6, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.part, torch.relu(self.first(x)), use_reentrant=True)

    with pytest.raises(ModelError, match="where no rule reaches it"):
        guided(Recomputed(), torch.ones(2, 6), "guided")


def test_a_scripted_function() -> None:
    function: Callable[[Tensor], Tensor] = _scripted_relu()

    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(function(torch.relu(self.body(x)) - 0.1))

    with pytest.raises(ModelError, match="inside scripted"):
        guided(Calls(), torch.ones(2, 6), "guided")


def _scripted_relu() -> Callable[[Tensor], Tensor]:
    def rectify(x: Tensor) -> Tensor:
        return torch.relu(x) * 2

    return scripted(rectify)


def test_the_metric_refuses_too() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    metric = ar.ModelRandomizationMetric(net, BY_NAME["mlp"].inputs(2), seed=0)
    with pytest.raises(AgnosticRandError, match="at least one ReLU"):
        metric.evaluate("guided_backprop")
