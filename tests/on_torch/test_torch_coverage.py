"""C1: every parameter is in exactly one layer, and none keeps its trained value."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import torch
from networks import cnn_with_norm
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.adapters import ModelAdapter
from agnostic_rand.weights import Streams, randomizing

FULL = ar.FullRandomization()


def addresses(model: nn.Module) -> int:
    """How many numbers the parameters hold, counted in memory."""
    held: set[int] = set()
    for parameter in model.parameters():
        held.update(parameter.data_ptr() + parameter.element_size() * i for i in range(parameter.numel()))
    return len(held)


@cases()
def test_the_layers_hold_every_parameter_once(case: Case) -> None:
    model = case.model()
    adapter = ar.adapt(model, forward=case.forward)
    assert sum(layer.size for layer in adapter.layers()) == addresses(model)
    names = [layer.name for layer in adapter.layers()]
    assert len(set(names)) == len(names)


@cases()
def test_a_full_cascade_leaves_no_trained_parameter(case: Case) -> None:
    model = case.model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    strategy = ar.CascadingRandomization()
    plan = strategy.plan(case.adapter().layers())
    assert plan.steps[-1].coverage == 1.0
    other = strategy.randomize(model, seed=3, example_inputs=case.inputs(2), forward=case.forward)
    after = list(other.parameters())
    assert len(after) == len(before)
    for (name, _), old, new in zip(model.named_parameters(), before, after, strict=True):
        assert (old == new).double().mean() < 0.1, name


@cases()
def test_a_cascade_starts_from_the_trained_model_and_adds_layer_by_layer(case: Case) -> None:
    adapter, trained = case.adapter(), case.adapter()
    plan = ar.CascadingRandomization().plan(adapter.layers())
    names = [layer.name for layer in adapter.layers()]
    with randomizing(adapter, [plan], Streams(0), trained=None) as (randomizer,):
        for number, step in enumerate(plan.steps):
            randomizer.apply(draw=0, step=number)
            changed = [name for name in names if not same(adapter, trained, name)]
            assert changed == [name for name in names if name in step.layers]
    assert all(same(adapter, trained, name) for name in names)


def same(adapter: ModelAdapter, other: ModelAdapter, layer: str) -> bool:
    a, b = adapter.read(layer), other.read(layer)
    return all(np.array_equal(a[name], b[name]) for name in a)


@cases("mlp", "resnet with functional relu", "vision transformer", "bare parameters", "shared module", "lstm")
def test_no_two_layers_share_a_draw(case: Case) -> None:
    copy = ar.FullRandomization().randomize(case.model(), seed=3, example_inputs=case.inputs(1))
    drawn = {name: p.detach().double().flatten() for name, p in copy.named_parameters() if p.numel() >= 5}
    drawn = {name: values for name, values in drawn.items() if values.std() > 0}
    assert len(drawn) >= 2
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        count = min(len(a), len(b))
        # Whatever the scale and the mean of the layer, the same stream would correlate perfectly.
        assert abs(torch.corrcoef(torch.stack([a[:count], b[:count]]))[0, 1]) < 0.99, (one, other)


def test_layers_of_one_shape_differ_also_when_sorted() -> None:
    net = nn.Sequential(*[nn.Linear(20, 20, bias=False) for _ in range(4)])
    copy = ar.FullRandomization().randomize(net, seed=0)
    ordered = [layer.weight.flatten().sort().values for layer in copy]
    assert all(not torch.equal(a, b) for a, b in combinations(ordered, 2))


def test_a_layer_that_keeps_its_values_is_listed() -> None:
    torch.manual_seed(0)
    fresh = cnn_with_norm().eval()
    x = BY_NAME["cnn with batch normalization"].inputs(4)
    result = ar.ModelRandomizationMetric(fresh, x, randomization_strategy=ar.FullRandomization(), seed=0).run(
        "gradient"
    )
    # An untrained normalization has the values that randomization gives it.
    assert result.settings["unchanged_layers"] == ["1", "5"]
    trained = ar.ModelRandomizationMetric(
        BY_NAME["cnn with batch normalization"].model(), x, randomization_strategy=ar.FullRandomization(), seed=0
    ).run("gradient")
    assert trained.settings["unchanged_layers"] == []


def test_a_parameter_that_keeps_its_values_in_a_layer_that_changes_is_listed() -> None:
    net = BY_NAME["mlp"].model()
    with torch.no_grad():
        net[2].bias.zero_()
    metric = ar.ModelRandomizationMetric(net, BY_NAME["mlp"].inputs(2), seed=0, randomization_strategy=FULL)
    assert metric.run("gradient").settings["unchanged_parameters"] == ["2.bias"]


@cases("tied autoencoder", "tied head", "tied by memory", "shared module")
def test_tied_parameters_stay_tied_in_the_copy(case: Case) -> None:
    model = case.model()
    copy = ar.FullRandomization().randomize(model, seed=0)
    assert addresses(copy) == addresses(model)


def test_tied_parameters_are_listed() -> None:
    layers = {layer.name: layer for layer in BY_NAME["tied head"].adapter().layers()}
    assert layers["embedding"].aliases == ("head.weight",)
    assert [parameter.name for parameter in layers["head"].parameters] == ["bias"]
    result = ar.ModelRandomizationMetric(BY_NAME["tied by memory"].model(), np.eye(6, dtype="f"), seed=0).run(
        "gradient"
    )
    assert result.settings["tied"] == {"first": ["second.weight"]}


def test_a_model_without_parameters_has_no_layers() -> None:
    adapter = ar.adapt(nn.Sequential(nn.ReLU(), nn.Flatten()), example_inputs=np.ones((1, 3), "f"))
    assert adapter.layers() == ()
    assert adapter.predict(adapter.asarray(np.ones((2, 3)))).shape == (2, 3)


def test_frozen_parameters_are_randomized_too() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    copy = ar.FullRandomization().randomize(net, seed=0)
    assert not torch.equal(copy[0].weight, net[0].weight)
    assert not copy[0].weight.requires_grad
    assert copy[2].weight.requires_grad
