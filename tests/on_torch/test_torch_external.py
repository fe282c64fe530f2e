"""Foreign code at work: its forward pass is used where it is the model's own, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest
import torch
from torch import nn
from zoo import BY_NAME

import agnostic_rand as ar

Foreign: TypeAlias = Callable[[nn.Module, torch.Tensor], object]
CASE = BY_NAME["cnn with batch normalization"]


def noted(
    foreign: Callable[[nn.Module, torch.Tensor], object], case: object = CASE
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """What was noted while foreign code ran, and what `predict` gives."""
    adapter = ar.adapt(case.model())
    x = adapter.asarray(case.inputs(4))
    with adapter.explaining(x) as captured:
        foreign(adapter.native, x.clone())
    return captured(), adapter.predict(x)


@pytest.mark.parametrize("name", ["mlp", "bfloat16", "single output", "data parallel", CASE.name])
def test_the_outputs_of_a_call_on_the_inputs_are_noted(name: str) -> None:
    found, expected = noted(lambda model, x: model(x.requires_grad_()).relu_(), BY_NAME[name])
    assert found is not None
    assert torch.equal(found, expected)
    assert not found.requires_grad


FOREIGN: dict[str, Foreign] = {
    "no call": lambda model, x: None,
    "other inputs": lambda model, x: model(x + 1),
    "a part of them": lambda model, x: model(x[:2]),
    "a part of the model": lambda model, x: model[:3](x),
    "training mode": lambda model, x: model.train()(x),
    "dropout alone": lambda model, x: [model[9].train(), model(x)],
    "noisy weights": lambda model, x: [model[4].weight.data.mul_(1.5), model(x), model[4].weight.data.div_(1.5)],
    "other statistics": lambda model, x: [model[1].running_mean.add_(1), model(x), model[1].running_mean.sub_(1)],
    "autocast": lambda model, x: _autocast(model, x),
}


def _autocast(model: nn.Module, x: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        model(x)


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_else_is(what: str) -> None:
    found, _ = noted(FOREIGN[what])
    assert found is None


def test_a_method_that_explains_a_noisy_model_does_not_change_what_is_reported_of_the_model() -> None:
    def noise_grad(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        weight = model[4].weight
        held = weight.detach().clone()
        weight.data.mul_(3)
        inputs.requires_grad_()
        maps = torch.autograd.grad(model(inputs).gather(1, targets[:, None]).sum(), inputs)[0]
        weight.data.copy_(held)
        return maps

    metric = ar.ModelRandomizationMetric(CASE.model(), CASE.inputs(4), seed=0)
    np.testing.assert_array_equal(metric.run(noise_grad).outputs.scale, metric.run("random_map").outputs.scale)


def test_no_hook_stays_and_none_is_set_on_compiled_code() -> None:
    adapter = ar.adapt(CASE.model())
    with pytest.raises(KeyboardInterrupt), adapter.explaining(adapter.asarray(CASE.inputs(2))):
        raise KeyboardInterrupt
    assert not adapter.native._forward_hooks
    compiled = ar.adapt(BY_NAME["compiled"].model())
    x = compiled.asarray(BY_NAME["mlp"].inputs(2))
    with compiled.explaining(x) as captured:
        assert not compiled.native._orig_mod._forward_hooks
        compiled.native(x)
    assert captured() is None


def test_foreign_code_finds_evaluation_mode_and_recorded_gradients() -> None:
    seen = []

    def look(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append((any(part.training for part in model.modules()), torch.is_grad_enabled()))
        return inputs

    with torch.no_grad():
        ar.explain(CASE.model().train(), CASE.inputs(2), None, look)
    assert seen == [(False, True)]


def test_hooks_that_foreign_code_leaves_are_seen() -> None:
    model = CASE.model()
    adapter = ar.adapt(model)
    before = adapter.model_state()
    model[0].register_full_backward_hook(lambda *_: None)
    after = adapter.model_state()
    assert {name for name in after if after[name] != before[name]} == {"backward hooks"}


def test_functions_explain_scripted_models() -> None:
    case = BY_NAME["scripted"]

    def gradient(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs.requires_grad_()
        return torch.autograd.grad(model(inputs).gather(1, targets[:, None]).sum(), inputs)[0]

    metric = ar.ModelRandomizationMetric(case.model(), case.inputs(4), None, ar.FullRandomization(), seed=0)
    assert metric.evaluate(gradient) == pytest.approx(metric.evaluate("gradient"), abs=1e-6)
