"""Explainers of others: objects that are bound to the model, and functions that are rough with their arguments."""

from __future__ import annotations

import pytest
import torch
from test_torch_isolation import STRATEGY, bits, gradient
from torch import nn
from zoo import BY_NAME

import agnostic_rand as ar
from agnostic_rand.errors import AgnosticRandError


class Bound:
    """An explainer object as Xplique and others have them, with a reference to a layer."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.layer = model, model.head
        self.seen: list[torch.Tensor] = []

    def explain(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.layer.weight.detach().clone())
        return gradient(self.model, inputs, targets)


def test_a_bound_object_is_explained_in_place() -> None:
    case = BY_NAME["resnet with functional relu"]
    model = case.model()
    before, bound = bits(model), Bound(model)
    metric = ar.ModelRandomizationMetric(model, case.inputs(4), randomization_strategy=STRATEGY, seed=0)
    result = metric.run(bound)
    assert result.settings["isolation"] == "in_place"
    assert bits(model) == before
    # The layer that the object holds was random too: the head is the first step.
    assert not torch.equal(bound.seen[0], bound.seen[-1])
    expected = metric.run("gradient")
    torch.testing.assert_close(
        torch.from_numpy(result.scores["spearman"].copy()), torch.from_numpy(expected.scores["spearman"].copy())
    )


@pytest.mark.parametrize("refused", ["another model", "clone"])
def test_a_bound_object_that_cannot_be_randomized_is_refused(refused: str) -> None:
    case = BY_NAME["resnet with functional relu"]
    model = case.model()
    isolation = "clone" if refused == "clone" else None
    metric = ar.ModelRandomizationMetric(model, case.inputs(2), seed=0, isolation=isolation)
    bound = Bound(case.model() if refused == "another model" else model)
    with pytest.raises(AgnosticRandError, match=r"bound|another model"):
        metric.run(bound)
    assert bound.seen == []


@pytest.mark.parametrize("isolation", ["clone", "in_place"])
def test_inputs_and_targets_of_the_caller_stay_whatever_is_done_to_them(isolation: str) -> None:
    case = BY_NAME["cnn with batch normalization"]
    x, y = case.tensor(4), torch.tensor([0, 1, 2, 3])
    arrays = x.numpy().copy(), y.numpy().copy()
    held = x.clone(), y.clone()

    def rough(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        maps = gradient(model, inputs, targets)
        with torch.no_grad():
            inputs.fill_(7)
            targets.zero_()
        return maps

    maps = []
    for inputs, targets in ((x, y), arrays):
        metric = ar.ModelRandomizationMetric(
            case.model(), inputs, targets, randomization_strategy=STRATEGY, isolation=isolation, seed=0
        )
        maps += [metric.run(rough), metric.run(gradient), metric.run("gradient")]
    assert torch.equal(x, held[0])
    assert torch.equal(y, held[1])
    assert not x.requires_grad
    assert x.grad is None
    assert (arrays[0] == x.numpy()).all()
    assert (arrays[1] == y.numpy()).all()
    # What one call does to its copies does not reach the next.
    for result in maps[1:]:
        torch.testing.assert_close(
            torch.from_numpy(result.scores["spearman"].copy()), torch.from_numpy(maps[0].scores["spearman"].copy())
        )
