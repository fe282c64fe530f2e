"""What a forward pass computes with: the copy's own weights, all of them, and the new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = np.random.default_rng(0).standard_normal((12, 8)).astype("f")
FULL = ar.FullRandomization()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)
        self.read: Callable[[torch.Tensor], torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        read = self.head if self.read is None else self.read
        return read(torch.relu(self.body(x)))


OUTER = Net()


def in_a_generator(x: torch.Tensor) -> torch.Tensor:
    return sum(OUTER.head(part) for part in (x,))  # type: ignore[return-value]


def in_a_nested_function(x: torch.Tensor) -> torch.Tensor:
    def inner(part: torch.Tensor) -> torch.Tensor:
        return OUTER.head(part)

    return inner(x)


def metric(net: nn.Module, strategy: Any = FULL, **options: Any) -> ar.ModelRandomizationMetric:
    return ar.ModelRandomizationMetric(net, X, randomization_strategy=strategy, seed=0, **options)


@pytest.mark.parametrize("read", [in_a_generator, in_a_nested_function])
def test_a_copy_that_reads_the_original_is_refused_and_works_in_place(
    monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    monkeypatch.setattr(OUTER, "read", read)
    with pytest.raises(ModelError, match=r"reads head\.bias, head\.weight of the original"):
        metric(OUTER).run("gradient")
    with pytest.raises(ModelError, match=r"reads head\.bias, head\.weight of the original"):
        FULL.randomize(OUTER, seed=0, example_inputs=X[:1])
    assert metric(OUTER, isolation="in_place").run("gradient").mean()[-1] < 0.9


def test_forward_that_calls_the_outer_model_is_refused_and_works_in_place() -> None:
    net = Net()

    def forward(_: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return net(inputs)

    with pytest.raises(ModelError, match=r"reads body\.bias.*Let forward= "):
        metric(net, forward=forward).run("gradient")
    assert metric(net, forward=forward, isolation="in_place").run("gradient").mean()[-1] < 0.9


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 6)
        self.cls, self.aux = nn.Linear(6, 3), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = torch.relu(self.second(torch.relu(self.first(x))))
        return {"cls": self.cls(h), "aux": self.aux(h)}


def test_a_head_that_forward_leaves_out_is_in_no_step_and_is_named() -> None:
    result = metric(TwoHeads(), ar.CascadingRandomization(), forward=lambda m, x: m(x)["cls"]).run("gradient")
    assert [step.name for step in result.steps] == ["cls", "second", "first"]
    assert result.steps[-1].coverage == 1
    assert result.steps[-1].total == 8 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3
    assert result.settings["unused_parameters"] == ["aux"]
    assert any("do not depend on aux" in finding for finding in result.findings)
    assert result.mean()[-1] < 0.9


def test_experts_that_the_example_does_not_choose_stay_in_the_steps() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList([nn.Linear(8, 3) for _ in range(3)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = torch.zeros(len(x), 3)
            chosen = (x[:, 0] > 0).long() + (x[:, 0] > 1).long()
            for number, expert in enumerate(self.experts):
                rows = (chosen == number).nonzero()[:, 0]
                if len(rows):
                    out = out.index_add(0, rows, expert(x[rows]))
            return out

    result = metric(Experts(), ar.CascadingRandomization()).run("gradient")
    assert {step.name for step in result.steps} == {"experts.0", "experts.1", "experts.2"}


class Kept(nn.Module):
    """A linear layer whose weight was computed once."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.g = nn.Parameter(self.v.detach().norm(dim=1, keepdim=True))
        self.weight = self.g * self.v / self.v.norm(dim=1, keepdim=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(8, 8), nn.Linear(8, 8)]
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: nn.Sequential(Kept(8, 6), nn.ReLU(), nn.Linear(6, 3)), r"0\.weight"),
        (InAList, r"layers\[0\]\.weight"),
    ],
)
def test_learned_tensors_that_are_no_parameters_are_refused(build: Any, name: str, isolation: str) -> None:
    with pytest.raises(ModelError, match=f"need a gradient and are none: .*{name}"):
        metric(build(), isolation=isolation)


def test_buffers_that_the_outputs_depend_on_are_told() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.rand(6) + 0.5)
            self.register_buffer("steps", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> Any:
            return x * self.weight

    result = metric(nn.Sequential(nn.Linear(8, 6), Frozen(), nn.ReLU(), nn.Linear(6, 3))).run("gradient")
    assert result.settings["other_arrays"] == ["1.weight"]
    assert any("1.weight" in finding for finding in result.findings)


class Caching(nn.Linear):
    """Keeps a value that it computed of its weight, until it is put into training mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "kept"):
            self.kept = self.weight.detach() * 2
        return nn.functional.linear(x, self.kept, self.bias)

    def train(self, mode: bool = True) -> Any:
        vars(self).pop("kept", None)
        return super().train(mode)


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("strategy", [FULL, ar.IndependentRandomization(), ar.CascadingRandomization()])
def test_weights_that_are_read_no_more_because_of_a_cache_are_refused(isolation: str, strategy: Any) -> None:
    net = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), Caching(6, 3)).eval()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    with pytest.raises(ModelError, match=r"no longer reads 2\.weight"):
        metric(net, strategy, isolation=isolation).run("gradient")
    assert all(map(torch.equal, before, net.parameters()))


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_autocast_around_a_run_casts_the_new_weights(isolation: str) -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    plain = metric(net).run("gradient").mean()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(torch.from_numpy(X))
        cast = metric(net, isolation=isolation).run("gradient").mean()
        assert torch.is_autocast_cache_enabled()
    assert cast == pytest.approx(plain, abs=0.1)


def test_cached_parametrizations_around_a_run_are_computed_anew() -> None:
    normed = parametrizations.weight_norm
    net = nn.Sequential(normed(nn.Linear(8, 16)), nn.ReLU(), normed(nn.Linear(16, 4))).eval()
    plain = metric(net).run("gradient").mean()
    with parametrize.cached():
        net(torch.from_numpy(X))
        kept = dict(parametrize._cache)
        assert metric(net, isolation="in_place").run("gradient").mean() == pytest.approx(plain)
        assert parametrize._cache == kept


def test_layers_that_change_their_own_weights_are_refused_and_left_alone() -> None:
    net = nn.Sequential(nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(20, 3)).eval()
    before = net[0].weight.detach().clone()
    tokens = np.arange(40).reshape(8, 5) % 9
    with pytest.raises(ModelError, match=r"changes 0\.weight in place.*max_norm"):
        ar.ModelRandomizationMetric(net, tokens, wrt_layer="0")
    assert torch.equal(net[0].weight, before)


def test_a_model_that_computes_with_none_of_its_parameters_is_refused() -> None:
    other = nn.Linear(8, 3).requires_grad_(False)
    with pytest.raises(ModelError, match="depend on none"):
        metric(Net(), forward=lambda _, x: other(x))
