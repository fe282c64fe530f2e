"""Guided backpropagation and deconvolution: against the definition, against Captum, for every form of ReLU."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import ResNet
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar

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


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu in place, positional": lambda x: F.relu(x, True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu, keyword": lambda x: torch.relu(input=x),
    "torch.relu_": torch.relu_,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp, positional": lambda x: torch.clamp(x, 0.0),
    "clamp in place": lambda x: x.clamp_(0),
    "clip": lambda x: torch.clip(x, 0, None),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "clamp_min in place": lambda x: x.clamp_min_(min=0),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "nn.Threshold": nn.Threshold(0.0, 0.0, inplace=True),
    "operator": torch.ops.aten.relu.default,
    "operator in place": torch.ops.aten.relu_,
    "view in place": lambda x: [x.view(-1).relu_(), x][-1],
    "recomputed": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
}


class Chain(nn.Module):
    """Three linear layers with any function between them."""

    def __init__(self, form: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        net = BY_NAME["mlp"].model()
        self.layers, self.form = nn.ModuleList([net[0], net[2], net[4]]), form

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[2](self.form(self.layers[1](self.form(self.layers[0](x)))))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_every_form_of_relu_gives_the_same(form: str, rule: str) -> None:
    x, y = BY_NAME["mlp"].tensor(8), torch.arange(8) % 4
    module = BY_NAME["mlp"].adapter()
    adapter = ar.adapt(Chain(FORMS[form]))
    torch.testing.assert_close(adapter.predict(x), module.predict(x))
    assert torch.equal(adapter.gradient(x, y, relu=rule), module.gradient(x, y, relu=rule))
    torch.testing.assert_close(adapter.gradient(x, y), module.gradient(x, y))


@pytest.mark.parametrize(
    "form",
    [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6, nn.Hardtanh(0, 6), lambda x: x.clamp(0, 6)],
    ids=["nn.ReLU6", "nn.ReLU6 in place", "F.relu6", "nn.Hardtanh", "clamp"],
)
def test_relu6_is_a_relu_with_a_ceiling(form: Callable[[Tensor], Tensor]) -> None:
    adapter = ar.adapt(Chain(form).double())
    first, second, head = adapter.native.layers
    # Large inputs, so that some of both layers are above six.
    x, y = 40 * BY_NAME["mlp"].tensor(8).double(), torch.arange(8) % 4
    before = first(x).detach(), second(F.relu6(first(x))).detach()
    assert all((b > 6).any() for b in before)
    signal = head.weight[y].clamp(min=0)
    guided = (signal * ((before[1] > 0) & (before[1] < 6))) @ second.weight
    guided = (guided.clamp(min=0) * ((before[0] > 0) & (before[0] < 6))) @ first.weight
    torch.testing.assert_close(adapter.gradient(x, y, relu="guided"), guided.detach())
    deconv = (signal @ second.weight).clamp(min=0) @ first.weight
    torch.testing.assert_close(adapter.gradient(x, y, relu="deconv"), deconv.detach())
    torch.testing.assert_close(adapter.predict(x), head(F.relu6(second(F.relu6(first(x))))).detach())


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
