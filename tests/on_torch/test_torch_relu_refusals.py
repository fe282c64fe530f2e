"""Where no rule can be applied there is an error: a silent plain gradient would pass for the method."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
@pytest.mark.parametrize("calls", [0, 1, 4])
def test_a_scripted_part_is_interpreted_or_refused(rule: str, calls: int) -> None:
    plain = BY_NAME["mlp"].model()
    part = scripted(plain[2:])
    net = nn.Sequential(plain[0], plain[1], part)
    # After a few calls the compiler fuses operations, and they look different.
    for _ in range(calls):
        net(torch.ones(2, 6).requires_grad_()).sum().backward()
    x = BY_NAME["mlp"].tensor(8)
    message = ""
    try:
        torch.testing.assert_close(guided(net, x, rule), guided(plain, x, rule))
    except ModelError as error:
        message = str(error)
    if calls == 4 or message:
        assert "one inside DifferentiableGraphBackward, where no rule reaches it" in message
        assert "torch.jit" in message
    assert ar.adapt(net).gradient(torch.ones(2, 6), torch.tensor([0, 1])).shape == (2, 6)


class Beside(nn.Module):
    """A ReLU, and a function that may hold another."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.head, self.function = nn.Linear(6, 8), nn.Linear(8, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(torch.relu(self.body(x)) - 0.1))


class Own(torch.autograd.Function):
    """A function with a backward pass of its own, around another."""

    inside: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        kind = type("Own", (cls,), {"inside": staticmethod(function)})
        return kind.apply

    @classmethod
    def forward(cls, ctx, x):
        return cls.inside(2 * x)

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


@pytest.mark.parametrize(
    "form",
    [
        torch.relu,
        nn.functional.relu6,
        lambda x: x.clamp(min=0),
        lambda x: torch.where(x > 0, x, 0),
        lambda x: x * torch.heaviside(x, torch.zeros(1)),
    ],
    ids=["relu", "relu6", "clamp", "where", "product"],
)
def test_a_gradient_of_its_own(form: Callable[[Tensor], Tensor]) -> None:
    x = 4 * BY_NAME["mlp"].tensor(8)
    with pytest.raises(ModelError, match=r"one inside OwnBackward \(aten\..*where no rule reaches it"):
        guided(Beside(Own.of(form)), x, "guided")


def test_a_gradient_of_its_own_without_a_relu() -> None:
    net, same = Beside(Own.of(torch.tanh)), Beside(lambda x: 2 * x + torch.tanh(2 * x).detach())
    same.load_state_dict(net.state_dict())
    x = BY_NAME["mlp"].tensor(8)
    torch.testing.assert_close(guided(net, x, "guided"), guided(same, x, "guided"))


def test_a_relu_that_another_thread_computes() -> None:
    def elsewhere(x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.relu, x).result()

    with pytest.raises(ModelError, match="one inside ReluBackward0, where no rule reaches it"):
        guided(Beside(elsewhere), torch.ones(2, 6), "guided")


def test_a_reentrant_checkpoint() -> None:
    net = Beside(lambda x: checkpoint(torch.relu, x, use_reentrant=True))
    with pytest.raises(ModelError, match=r"one inside CheckpointFunctionBackward \(aten.relu"):
        guided(net, torch.ones(2, 6), "guided")


def test_a_sum_that_comes_out_as_a_relu_is_named() -> None:
    net = Beside(lambda x: x - x.clamp(max=0))
    with pytest.raises(ModelError, match=r"one inside aten.sub, where"):
        guided(net, BY_NAME["mlp"].tensor(8), "guided")


def test_the_metric_refuses_too() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    metric = ar.ModelRandomizationMetric(net, BY_NAME["mlp"].inputs(2), seed=0)
    with pytest.raises(AgnosticRandError, match="at least one ReLU"):
        metric.evaluate("guided_backprop")
