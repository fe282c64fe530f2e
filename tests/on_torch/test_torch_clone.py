"""C4: a clone computes the same and shares no memory; the model that it was made from stays."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from networks import mlp
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import ModelError


@cases()
def test_a_clone_has_the_same_outputs_and_no_shared_memory(case: Case) -> None:
    adapter = case.adapter()
    twin = adapter.clone()
    x = adapter.asarray(case.inputs(4))
    assert torch.equal(adapter.predict(x), twin.predict(x))
    assert twin.layers() == adapter.layers()

    def memory(model: nn.Module) -> set[int]:
        tensors = (*model.parameters(), *model.buffers())
        return {t.untyped_storage().data_ptr() for t in tensors if t.numel()}

    assert not memory(adapter.native) & memory(twin.native)


@cases()
def test_writing_to_a_clone_leaves_the_model(case: Case) -> None:
    adapter = case.adapter()
    twin = adapter.clone()
    x = adapter.asarray(case.inputs(4))
    before = adapter.predict(x)
    state = {layer.name: adapter.read(layer.name) for layer in adapter.layers()}
    for layer in twin.layers():
        twin.write(layer.name, {name: value + 1 for name, value in twin.read(layer.name).items()})
    assert torch.equal(adapter.predict(x), before)
    assert not torch.equal(twin.predict(x), before)
    for name, values in state.items():
        for key, value in values.items():
            np.testing.assert_array_equal(adapter.read(name)[key], value)


def test_training_flags_and_frozen_parameters_are_copied_and_gradients_are_not() -> None:
    net = BY_NAME["cnn with batch normalization"].model()
    net[1].train()
    net[0].weight.requires_grad_(False)
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    twin = ar.adapt(net).clone().native
    assert [part.training for part in twin.modules()] == [part.training for part in net.modules()]
    assert not twin[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in twin.parameters())
    assert net[4].weight.grad is not None


def test_a_data_parallel_model_stays_wrapped_for_functions_that_look_inside() -> None:
    net = nn.DataParallel(mlp())
    result = ar.ModelRandomizationMetric(net, np.eye(6, dtype="f"), seed=0).run(
        lambda model, inputs, targets: model.module[0].weight.detach()[: len(inputs)] * inputs
    )
    assert np.isfinite(result.scores["spearman"]).any()


def test_a_randomized_copy_has_the_type_of_the_model() -> None:
    for case in ("mlp", "resnet with functional relu", "data parallel", "scripted"):
        model = BY_NAME[case].model()
        assert type(ar.FullRandomization().randomize(model, seed=0)) is type(model)


def test_a_model_that_cannot_be_copied_names_the_way_out() -> None:
    class Uncopyable(nn.Linear):
        def __deepcopy__(self, memo: object) -> None:
            raise TypeError("cannot copy a lock")

    net = nn.Sequential(Uncopyable(6, 4))
    x = np.eye(6, dtype="f")
    with pytest.raises(ModelError, match=r"cannot copy a lock.*isolation='in_place'"):
        ar.ModelRandomizationMetric(net, x, seed=0).evaluate("gradient")
    before = copy.copy(net[0].weight.detach().clone())
    ar.ModelRandomizationMetric(net, x, seed=0, isolation="in_place").evaluate("gradient")
    assert torch.equal(net[0].weight, before)


def test_tensors_that_are_computed_do_not_stop_a_copy() -> None:
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 4)
            self.cached = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.cached = self.linear(x)
            return self.cached

    net = Cached()
    net(torch.ones(1, 6))
    twin = ar.adapt(net).clone()
    assert torch.equal(twin.native.cached, net.cached)


def test_parameters_over_parts_of_one_memory_keep_their_places() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            memory = torch.randn(40, generator=torch.Generator().manual_seed(0))
            self.weight, self.bias = nn.Parameter(memory[:24].view(4, 6)), nn.Parameter(memory[24:28])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight, self.bias)

    net = Flat()
    twin = ar.adapt(net).clone().native
    assert torch.equal(twin.weight, net.weight)
    assert torch.equal(twin.bias, net.bias)
    assert twin.bias.data_ptr() - twin.weight.data_ptr() == 24 * 4
    with torch.no_grad():
        twin.weight.zero_()
    assert torch.equal(twin.bias, net.bias)
