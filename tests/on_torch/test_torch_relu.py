"""Guided backpropagation and deconvolution: against the definition, against Captum, beside other activations."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import ResNet
from torch import Tensor, nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

RULES = ("guided", "deconv")


def by_hand(layers: list[tuple[Tensor, Tensor]], x: Tensor, targets: Tensor, rule: str) -> Tensor:
    """The method as its paper defines it, on a chain of linear layers with a ReLU between them."""
    maps = []
    for sample, target in zip(x, targets, strict=True):
        values, inputs_of_relu = sample, []
        for weight, bias in layers[:-1]:
            inputs_of_relu.append(weight @ values + bias)
            values = inputs_of_relu[-1].clamp(min=0)
        signal = layers[-1][0][target]
        for (weight, _), before in zip(layers[-2::-1], inputs_of_relu[::-1], strict=True):
            # Springenberg et al. 2015, figure 1; Zeiler & Fergus 2014, section 2.1.
            passed = [
                max(float(s), 0.0) if rule == "deconv" or b > 0 else 0.0
                for s, b in zip(signal, before, strict=True)
            ]
            signal = weight.T @ torch.tensor(passed, dtype=weight.dtype)
        maps.append(signal)
    return torch.stack(maps)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_that_of_the_paper(rule: str) -> None:
    adapter = ar.adapt(BY_NAME["mlp"].model().double())
    net = adapter.native
    x, y = adapter.asarray(BY_NAME["mlp"].inputs(8)), torch.arange(8) % 4
    layers = [(net[i].weight.detach(), net[i].bias.detach()) for i in (0, 2, 4)]
    expected = by_hand(layers, x, y, rule)
    torch.testing.assert_close(adapter.gradient(x, y, relu=rule), expected)
    assert not torch.allclose(expected, adapter.gradient(x, y))


def captum_maps(rule: str, net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    attribution = pytest.importorskip("captum.attr")
    method = {"guided": attribution.GuidedBackprop, "deconv": attribution.Deconvolution}[rule]
    with warnings.catch_warnings():
        # It warns that it sets hooks.
        warnings.simplefilter("ignore", UserWarning)
        return method(net).attribute(x.clone().requires_grad_(), target=y).detach()


@cases("mlp", "cnn with batch normalization", "weight_norm", "spectral_norm", "grouped convolutions")
@pytest.mark.parametrize("rule", RULES)
def test_captum_gives_the_same_for_modules(case: Case, rule: str) -> None:
    adapter = case.adapter()
    x, y = adapter.asarray(case.inputs(5)), torch.arange(5) % 4
    # Captum sets its hooks on modules, and needs them out of place.
    net = case.model()
    for part in net.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    torch.testing.assert_close(adapter.gradient(x, y, relu=rule), captum_maps(rule, net, x, y))


class Chain(nn.Module):
    """Three linear layers with any function between them."""

    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        net = BY_NAME["mlp"].model()
        self.layers, self.form = nn.ModuleList([net[0], net[2], net[4]]), form

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[2](self.form(self.layers[1](self.form(self.layers[0](x)))))


ZERO = torch.zeros(1)
AT_ZERO: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "clamp": lambda x: x.clamp(min=0),
    "maximum": lambda x: torch.maximum(x, ZERO),
    "where": lambda x: torch.where(x >= 0, x, 0),
    "mask": lambda x: x * (x >= 0),
    "magnitude": lambda x: (x + x.abs()) / 2,
}


@pytest.mark.parametrize("form", AT_ZERO)
@pytest.mark.parametrize("rule", RULES)
def test_guided_lets_nothing_pass_at_zero_in_any_form(form: str, rule: str) -> None:
    net = Chain(AT_ZERO[form])
    for layer in net.layers:
        nn.init.zeros_(layer.bias)
    # Black images: without biases each pre-activation is exactly zero.
    gradient = ar.adapt(net).gradient(torch.zeros(2, 6), torch.tensor([0, 1]), relu=rule)
    assert bool(gradient.any()) is (rule == "deconv")


def test_what_is_computed_stays_as_it_is() -> None:
    x, y = BY_NAME["mlp"].tensor(8), torch.arange(8) % 4
    adapter = ar.adapt(Chain(lambda x: x.view(-1).clamp_(0, 6).view(x.shape)))
    outputs = adapter.predict(x)
    assert torch.equal(adapter.output_and_gradient(x, y, relu="guided")[0], outputs)


@pytest.mark.parametrize("rule", RULES)
def test_recurrent_layers_follow_the_rule(rule: str) -> None:
    class Recurrent(nn.Module):
        def __init__(self, unrolled: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cell, self.head = nn.RNN(3, 5, nonlinearity="relu", batch_first=True), nn.Linear(5, 4)
            self.unrolled = unrolled

        def forward(self, x: Tensor) -> Tensor:
            if not self.unrolled:
                return self.head(self.cell(x)[0][:, -1])
            cell, h = self.cell, x.new_zeros(len(x), 5)
            for step in x.unbind(1):
                h = torch.relu(
                    step @ cell.weight_ih_l0.T + cell.bias_ih_l0 + h @ cell.weight_hh_l0.T + cell.bias_hh_l0
                )
            return self.head(h)

    with torch.random.fork_rng():
        x, y = torch.randn(3, 4, 3), torch.tensor([0, 1, 2])
        layer, unrolled = (ar.adapt(Recurrent(flag)).gradient(x, y, relu=rule) for flag in (False, True))
    torch.testing.assert_close(layer, unrolled)
    assert layer.any()


def hard_sigmoid(x: Tensor) -> Tensor:
    return nn.functional.relu6(x + 3) / 6


OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "hard sigmoid": hard_sigmoid,
    "hard swish": lambda x: x * hard_sigmoid(x),
    "clip to 1": lambda x: x.clamp(0, 1),
    "clip to 1 in two steps": lambda x: x.clamp(min=0).clamp(max=1),
    "clip to 1 from above": lambda x: torch.maximum(x.clamp(max=1), ZERO),
    "mask of another": lambda x: (x - 1) * (x > 0),
    "mask of the same signs": lambda x: 2 * x * (x > 0),
    "where of another": lambda x: torch.where(x.roll(1, 1) > 0, x, 0),
    "masked fill": lambda x: x.masked_fill(x > 1, 0),
    "leaky": lambda x: torch.where(x > 0, x, 0.2 * x),
    "prelu of 0": nn.PReLU(init=0.0),
    "prelu of 0, written out": lambda x: torch.where(x > 0, x, torch.zeros(1, requires_grad=True) * x),
    "threshold elsewhere": lambda x: nn.functional.threshold(x, 0.1, 0.0),
    "threshold to a value": lambda x: nn.functional.threshold(x, 0.0, -1.0),
    "residual": lambda x: x + torch.tanh(x),
    "silu": nn.functional.silu,
    "elu": nn.functional.elu,
    "hardtanh": nn.functional.hardtanh,
    "product": lambda x: x * x.abs(),
    "sum of magnitudes": lambda x: x + x.roll(1, 1).abs(),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("rule", RULES)
def test_another_activation_keeps_its_derivative(other: str, rule: str) -> None:
    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            net = BY_NAME["mlp"].model()
            self.layers = nn.ModuleList([net[0], net[2], net[4]])
            self.other = OTHERS[other]

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[2](self.other(self.layers[1](torch.relu(self.layers[0](x)))))

    net, x = First(), 4 * BY_NAME["mlp"].tensor(8)
    before = net.layers[0](x)
    between = torch.relu(before).detach().requires_grad_()
    net.layers[2](net.other(net.layers[1](between)))[:, 0].sum().backward()
    passed = between.grad.clamp(min=0) * ((before > 0) if rule == "guided" else 1)
    seen = ar.adapt(net).gradient(x, torch.zeros(8, dtype=torch.int64), relu=rule)
    torch.testing.assert_close(seen, (passed @ net.layers[0].weight).detach())


def test_a_relu_of_weights_is_none_of_the_network() -> None:
    class Positive(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(nn.functional.linear(x, self.weight.relu(), self.bias))

    with pytest.raises(ModelError, match="at least one ReLU"):
        ar.adapt(Positive(6, 4)).gradient(torch.ones(2, 6), torch.tensor([0, 1]), relu="guided")


@pytest.mark.parametrize("rule", RULES)
def test_functional_and_in_place_relu_in_a_residual_network(rule: str) -> None:
    case = BY_NAME["resnet with functional relu"]
    adapter = case.adapter()

    class OfModules(ResNet):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.load_state_dict(net.state_dict())
            self.relus = nn.ModuleList([nn.ReLU() for _ in range(3)])

        def forward(self, x: Tensor) -> Tensor:
            x = self.relus[0](self.stem(x))
            y = self.relus[1](self.first_norm(self.first(x)))
            return self.head(self.relus[2](self.second_norm(self.second(y)) + x).mean((2, 3)))

    x, y = adapter.asarray(case.inputs(4)), torch.arange(4)
    expected = captum_maps(rule, OfModules(case.model()).eval(), x, y)
    torch.testing.assert_close(adapter.gradient(x, y, relu=rule), expected)


# torch.compile looks at .grad of every input, and hides the warning by a filter that errors pass.
@pytest.mark.filterwarnings("ignore:The .grad attribute")
@cases("compiled", "compiled inside", "data parallel")
@pytest.mark.parametrize("rule", RULES)
def test_the_rules_reach_through_wrappers(case: Case, rule: str) -> None:
    model = case.model()
    model(case.tensor(5))
    adapter = ar.adapt(model)
    x, y = adapter.asarray(case.inputs(5)), torch.arange(5) % 4
    assert torch.equal(adapter.gradient(x, y, relu=rule), adapter.clone().gradient(x, y, relu=rule))
    if case.name != "compiled inside":
        assert torch.equal(adapter.gradient(x, y, relu=rule), BY_NAME["mlp"].adapter().gradient(x, y, relu=rule))
    assert not torch.allclose(adapter.gradient(x, y, relu=rule), adapter.gradient(x, y))


def test_the_rules_reach_exported_programs() -> None:
    net = BY_NAME["mlp"].model()
    x, y = BY_NAME["mlp"].tensor(3), torch.arange(3)
    exported = torch.export.export(net, (x,)).module()
    for rule in RULES:
        expected = ar.adapt(net).gradient(x, y, relu=rule)
        torch.testing.assert_close(ar.adapt(exported).gradient(x, y, relu=rule), expected)


def test_the_explainer_by_name() -> None:
    case = BY_NAME["mlp"]
    x, y = case.inputs(3), np.array([0, 1, 2])
    maps = ar.explain(case.model(), x, y, "guided_backprop")
    adapter = case.adapter()
    np.testing.assert_allclose(maps, adapter.gradient(torch.from_numpy(x), torch.from_numpy(y), relu="guided"))
