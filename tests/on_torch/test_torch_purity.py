"""C5: no call leaves a trace on the model, the inputs or torch's flags, not even one that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from networks import mlp
from torch import nn
from torch.utils.checkpoint import checkpoint
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.adapters import ModelAdapter
from agnostic_rand_torch.modes import differentiable

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_FLAGS = ("enabled", "benchmark", "deterministic", "allow_tf32")


def state(model: nn.Module) -> dict[str, Any]:
    """All that a call could disturb, comparable by `==`."""
    parts = list(model.modules())
    return {
        "modes": [part.training for part in parts],
        "hooks": [[list(getattr(part, name)) for name in _HOOKS] for part in parts],
        "required": [p.requires_grad for p in model.parameters()],
        "gradients": [None if p.grad is None else (id(p.grad), p.grad.tolist()) for p in model.parameters()],
        "values": [t.tolist() for t in (*model.parameters(), *model.buffers())],
        "addresses": [t.data_ptr() for t in (*model.parameters(), *model.buffers())],
        "flags": [getattr(torch.backends.cudnn, name) for name in _FLAGS],
        "recording": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


def mixed(case: Case) -> nn.Module:
    """The network as it may come from an interrupted training: modes, flags and gradients of all sorts."""
    net = case.model()
    for number, part in enumerate(net.modules()):
        part.training = number % 2 == 0
    parameters = list(net.parameters())
    for parameter in parameters[::2]:
        parameter.grad = torch.ones_like(parameter)
    parameters[-1].requires_grad_(False)
    return net


CALLS: dict[str, Callable[[ModelAdapter, torch.Tensor, torch.Tensor], object]] = {
    "predict": lambda adapter, x, y: adapter.predict(x),
    "gradient": lambda adapter, x, y: adapter.gradient(x, y),
    "guided": lambda adapter, x, y: adapter.gradient(x, y, relu="guided"),
    "deconv": lambda adapter, x, y: adapter.gradient(x, y, relu="deconv"),
    "clone": lambda adapter, x, y: adapter.clone(),
    "read": lambda adapter, x, y: [adapter.read(layer.name) for layer in adapter.layers()],
    "native_init": lambda adapter, x, y: [adapter.native_init(layer.name, 1) for layer in adapter.layers()],
    "layer_shapes": lambda adapter, x, y: adapter.layer_shapes(x),
    "layer_gradient": lambda adapter, x, y: adapter.layer_gradient(x, y, next(iter(adapter.layer_shapes(x)))),
    "estimate_statistics": lambda adapter, x, y: adapter.estimate_statistics(
        x, [layer.name for layer in adapter.layers()]
    ),
}
_PURE = (
    "resnet with functional relu",
    "cnn with batch normalization",
    "weight_norm",
    "spectral_norm",
    "spectral_norm hooks",
    "shared module",
    "data parallel",
)


@cases(*_PURE)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_no_trace(case: Case, call: str) -> None:
    net = mixed(case)
    before = state(net)
    adapter = ar.adapt(net, example_inputs=case.inputs(1))
    x, y = adapter.asarray(case.inputs(3)), adapter.asarray(np.array([0, 1, 2]))
    held = x.clone()
    CALLS[call](adapter, x, y)
    assert state(net) == before
    assert torch.equal(x, held)
    assert not x.requires_grad


class Failing(nn.Module):
    """Fails in the middle of its forward pass while `fails` is set."""

    def __init__(self, fails: type[BaseException] | None = None) -> None:
        super().__init__()
        self.norm, self.body, self.head = nn.BatchNorm1d(6), nn.Linear(6, 8), nn.Linear(8, 4)
        self.fails = fails

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.body(self.norm(x)))
        if self.fails is not None:
            raise self.fails("in the middle")
        return self.head(x)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("call", ["predict", "gradient", "guided", "deconv", "estimate_statistics", "layer_shapes"])
def test_a_call_that_fails_leaves_no_trace(call: str, error: type[BaseException]) -> None:
    case = Case("failing", Failing)
    net = mixed(case)
    before = state(net)
    adapter = ar.adapt(net)
    net.fails = error
    x, y = adapter.asarray(case.inputs(3)), adapter.asarray(np.array([0, 1, 2]))
    with pytest.raises(error, match="in the middle"):
        CALLS[call](adapter, x, y)
    assert state(net) == before


@cases("resnet with functional relu", "cnn with batch normalization", "weight_norm hooks", "lstm")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_a_whole_run_leaves_no_trace(case: Case, isolation: str) -> None:
    net = mixed(case)
    before = state(net)
    metric = ar.ModelRandomizationMetric(
        net, case.inputs(3), isolation=isolation, randomization_strategy=ar.CascadingRandomization(), seed=0
    )
    metric.run("gradient")
    assert state(net) == before


def test_a_model_that_works_on_its_input_in_place_leaves_the_batch() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.mul_(2).relu_())

    adapter = ar.adapt(InPlace())
    x = adapter.asarray(BY_NAME["mlp"].inputs(2))
    held = x.clone()
    first = adapter.predict(x)
    adapter.gradient(x, torch.tensor([0, 1]), relu="guided")
    adapter.layer_shapes(x)
    assert torch.equal(x, held)
    assert torch.equal(adapter.predict(x), first)


def test_a_module_with_its_own_train_method_is_not_called() -> None:
    calls: list[bool] = []

    class Merging(nn.Linear):
        def train(self, mode: bool = True) -> Merging:
            calls.append(mode)
            return super().train(mode)

    net = nn.Sequential(Merging(6, 4))
    calls.clear()
    adapter = ar.adapt(net)
    adapter.predict(adapter.asarray(np.ones((1, 6))))
    assert calls == []
    assert net.training


def test_evaluation_mode_holds_within_the_call() -> None:
    net = BY_NAME["cnn with batch normalization"].model().train()
    adapter = ar.adapt(net)
    x = adapter.asarray(BY_NAME["cnn with batch normalization"].inputs(4))
    expected = copy_in_eval(net)(x)
    torch.testing.assert_close(adapter.predict(x), expected)


def copy_in_eval(net: nn.Module) -> nn.Module:
    other = BY_NAME["cnn with batch normalization"].model()
    other.load_state_dict(net.state_dict())
    return other.eval()


def test_cudnn_is_off_for_recurrent_layers_on_a_gpu_and_as_it_was_afterwards() -> None:
    cudnn = torch.backends.cudnn
    before = [getattr(cudnn, name) for name in _FLAGS]
    gpu = torch.device("cuda")
    seen = []

    def failing() -> None:
        with differentiable(nn.Sequential(nn.LSTM(2, 2)), gpu):
            seen.append(cudnn.enabled)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        failing()
    assert seen == [False]
    assert [getattr(cudnn, name) for name in _FLAGS] == before
    with differentiable(mlp(), gpu):
        assert [getattr(cudnn, name) for name in _FLAGS] == before


class WritesIntoItself(nn.Module):
    """Keeps a counter, a running average, a cache and a tensor of its own outside of the module."""

    def __init__(self, outside: torch.Tensor) -> None:
        super().__init__()
        self.body = nn.Linear(6, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("average", torch.zeros(3))
        self.cache: dict[int, torch.Tensor] = {}
        self.last: torch.Tensor | None = None
        self.outside = lambda: outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.body(x)
        with torch.no_grad():
            self.calls += 1
            self.average = 0.9 * self.average + 0.1 * outputs.detach().mean(0)
            self.outside().add_(1)
        self.cache[len(x)] = self.last = outputs.detach()
        return outputs


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_what_a_forward_pass_writes_into_the_model_is_put_back(isolation: str) -> None:
    outside = torch.zeros(2)
    model = WritesIntoItself(outside).eval()
    average = model.average
    ar.ModelRandomizationMetric(model, np.eye(6, dtype="float32"), seed=0, isolation=isolation).run("gradient")
    assert model.calls == 0
    assert model.average is average
    assert not average.any()
    assert model.cache == {}
    assert model.last is None
    if isolation == "in_place":
        assert not outside.any()


class Checkpointed(nn.Module):
    """A part of it is computed again in the backward pass, by a backward pass of its own."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 16), nn.Linear(16, 3)
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def inner(z: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.second(z))

        x = self.first(x)
        return self.last(checkpoint(inner, x, use_reentrant=True) if self.reentrant else inner(x))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_reentrant_checkpoints_have_the_plain_gradient() -> None:
    model, plain = Checkpointed(reentrant=True).eval(), Checkpointed(reentrant=False).eval()
    held = torch.ones(16, 6)
    model.second.weight.grad = held
    stepped: list[torch.Tensor] = []
    model.first.weight.register_post_accumulate_grad_hook(stepped.append)
    x, y = torch.randn(5, 6), torch.arange(5) % 3
    one, other = ar.adapt(model, example_inputs=x[:1].numpy()), ar.adapt(plain, example_inputs=x[:1].numpy())
    torch.testing.assert_close(one.output_and_gradient(x, y), other.output_and_gradient(x, y))
    torch.testing.assert_close(one.layer_gradient(x, y, "first"), other.layer_gradient(x, y, "first"))
    assert model.second.weight.grad is held
    assert (held == 1).all()
    assert model.first.weight.grad is None
    assert not stepped
    assert all(parameter.requires_grad for parameter in model.parameters())
