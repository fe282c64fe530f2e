"""Weights that are computed from others: it is the effective weight that has to be random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import WeightsError
from agnostic_rand_torch.spectral import converged

_NORMED = ("0", "2", "6")


def effective(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: model.get_submodule(name).weight.detach().clone() for name in _NORMED}


@cases("weight_norm", "weight_norm hooks", "weight_norm over all")
def test_weight_norm_acts_as_the_kernel_that_was_drawn(case: Case) -> None:
    copy = ar.FullRandomization().randomize(case.model(), seed=2)
    for name, weight in effective(copy).items():
        layer = copy.get_submodule(name)
        hooked = hasattr(layer, "weight_v")
        kernel = layer.weight_v if hooked else layer.parametrizations.weight.original1
        torch.testing.assert_close(weight, kernel.detach())
    before = effective(case.model())
    assert all(not torch.allclose(weight, before[name]) for name, weight in effective(copy).items())


@cases("weight_norm", "weight_norm hooks", "weight_norm over all", "weight_norm hooks lstm")
def test_a_kernel_stands_directly_before_its_magnitude(case: Case) -> None:
    for layer in case.adapter().layers():
        roles = [parameter.role for parameter in layer.parameters]
        assert all(roles[i - 1] == "kernel" for i, role in enumerate(roles) if role == "magnitude")
    counts = [p.role for layer in case.adapter().layers() for p in layer.parameters].count("magnitude")
    assert counts == (2 if "lstm" in case.name else 3)


def test_weight_norm_of_an_lstm_acts_as_the_kernels_that_were_drawn() -> None:
    case = BY_NAME["weight_norm hooks lstm"]
    copy = ar.FullRandomization().randomize(case.model(), seed=2)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        torch.testing.assert_close(getattr(copy.cell, name), getattr(copy.cell, f"{name}_v"))
    plain = nn.LSTM(3, 6, num_layers=2, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(getattr(copy.cell, name))
    x = case.tensor(2)
    torch.testing.assert_close(copy.eval()(x), copy.head(plain(x)[0][:, -1]))


@cases("spectral_norm", "spectral_norm hooks")
def test_the_effective_spectral_norm_is_one_in_evaluation_mode(case: Case) -> None:
    copy = ar.FullRandomization().randomize(case.model(), seed=2).eval()
    copy(case.tensor(1))
    for name, weight in effective(copy).items():
        # The transposed convolution has its outputs in the second dimension.
        matrix = (weight.transpose(0, 1) if name == "2" else weight).flatten(1)
        assert torch.linalg.matrix_norm(matrix, 2) == pytest.approx(1, abs=1e-4), name


@pytest.mark.parametrize("size", [(4, 6), (60, 60), (30, 200), (300, 40)])
def test_the_singular_vectors_converge(size: tuple[int, int]) -> None:
    weight = torch.randn(size, generator=torch.Generator().manual_seed(0))
    u, v = torch.zeros(size[0]), torch.zeros(size[1])
    converged(weight, 0, u, v)
    assert (u @ weight @ v) == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-4)


def test_the_singular_vectors_of_a_matrix_whose_columns_sum_to_zero() -> None:
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    weight -= weight.mean(0)
    u, v = torch.zeros(8), torch.zeros(5)
    converged(weight, 0, u, v)
    assert (u @ weight @ v) == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-4)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_the_singular_vectors_follow_the_dimension_of_the_outputs(dim: int) -> None:
    net = nn.Sequential(parametrizations.spectral_norm(nn.Conv2d(4, 5, 3), dim=dim))
    copy = ar.FullRandomization().randomize(net, seed=1).eval()
    matrix = copy[0].weight.detach().movedim(dim, 0).flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2) == pytest.approx(1, abs=1e-4)


@cases("weight_norm", "weight_norm hooks", "spectral_norm", "spectral_norm hooks", "spectral_norm root", "pruned")
def test_a_restored_model_is_the_same_to_the_bit(case: Case) -> None:
    model = case.model().train()
    before = {name: tensor.clone() for name, tensor in everything(model).items()}
    metric = ar.ModelRandomizationMetric(
        model, case.inputs(3), isolation="in_place", randomization_strategy=ar.CascadingRandomization(), seed=0
    )
    metric.run("gradient")
    after = everything(model)
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


def everything(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, buffers, and the weights that hooks have computed from them."""
    computed = {
        f"{name} computed": vars(m)["weight"].detach() for name, m in model.named_modules() if "weight" in vars(m)
    }
    return {**model.state_dict(), **computed}


@cases("weight_norm hooks", "spectral_norm hooks", "pruned")
def test_a_computed_weight_follows_a_write_at_once(case: Case) -> None:
    model = case.model()
    adapter = ar.adapt(model)
    layer = "2" if case.name == "pruned" else "0"
    before = model.get_submodule(layer).weight.detach().clone()
    values = adapter.read(layer)
    kernel = next(p.name for p in adapter.layers()[1 if layer == "2" else 0].parameters if p.role == "kernel")
    adapter.write(layer, {kernel: values[kernel][::-1]})
    # Without a forward pass in between: code that reads the weights must see the new ones.
    after = model.get_submodule(layer).weight.detach().clone()
    assert not torch.equal(after, before)
    model(case.tensor(1))
    assert torch.equal(model.get_submodule(layer).weight, after)


def test_a_pruned_weight_keeps_its_mask_and_is_a_kernel() -> None:
    model = BY_NAME["pruned"].model()
    copy = ar.FullRandomization().randomize(model, seed=0)
    roles = {p.name: p.role for p in ar.adapt(model).layers()[1].parameters}
    assert roles == {"weight_orig": "kernel", "bias": "bias"}
    assert torch.equal(copy[2].weight == 0, model[2].weight_mask == 0)
    assert prune.is_pruned(copy)


@pytest.mark.parametrize("mapping", ["householder", "matrix_exp", "cayley"])
def test_an_orthogonal_weight_is_refused_and_can_be_excluded(mapping: str) -> None:
    layer = parametrizations.orthogonal(nn.Linear(6, 6), orthogonal_map=mapping)
    net = nn.Sequential(layer, nn.ReLU(), nn.Linear(6, 4))
    with pytest.raises(WeightsError, match=r"the layer '0'.*orthogonal.*exclude=\['0'\]"):
        ar.FullRandomization().randomize(net, seed=0)
    copy = ar.FullRandomization(exclude=["0"]).randomize(net, seed=0)
    assert torch.equal(copy[0].weight, net[0].weight)
    assert not torch.equal(copy[2].weight, net[2].weight)
    parametrize.remove_parametrizations(net[0], "weight")
    copy = ar.FullRandomization().randomize(net, seed=0)
    assert torch.linalg.matrix_rank(copy[0].weight) == 6


def test_parameters_of_a_parametrization_itself_are_covered() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.mix = nn.Parameter(torch.full((1,), 2.0)), nn.Linear(6, 6)

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return self.mix(weight) * self.scale

    net = nn.Sequential(nn.Linear(6, 4))
    parametrize.register_parametrization(net[0], "weight", Scaled())
    adapter = ar.adapt(net, example_inputs=np.ones((1, 6), "f"))
    assert sum(layer.size for layer in adapter.layers()) == sum(p.numel() for p in net.parameters())
    kinds = {layer.name: layer.kind for layer in adapter.layers()}
    assert kinds["0"] == "Linear"
    assert kinds["0.parametrizations.weight.0"] == "Scaled"
    assert kinds["0.parametrizations.weight.0.mix"] == "Linear"
    copy = ar.FullRandomization().randomize(net, seed=0)
    assert all(not torch.equal(a, b) for a, b in zip(net.parameters(), copy.parameters(), strict=True))


def test_names_that_only_look_like_a_reparametrization_are_parameters_of_their_own() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix_g, self.mix_v = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.mix_g + self.mix_v

    (layer,) = ar.adapt(nn.Sequential(Gated())).layers()
    assert [parameter.role for parameter in layer.parameters] == ["other", "other"]
