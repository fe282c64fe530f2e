"""Whatever context the caller is in, and whatever wraps the model, the result is the same."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import ModelError
from agnostic_rand_torch.unwrap import public_names

STRATEGY = ar.CascadingRandomization()
CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


def scores(case: Case, explainer: object, isolation: str = "clone") -> np.ndarray:
    metric = ar.ModelRandomizationMetric(
        case.model(),
        case.inputs(4),
        randomization_strategy=STRATEGY,
        isolation=isolation,
        seed=0,
    )
    return metric.run(explainer).scores["spearman"]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("explainer", ["gradient", "guided_backprop", "integrated_gradients", "smoothgrad"])
def test_gradients_within_a_context_that_records_none(context: str, explainer: str) -> None:
    case = BY_NAME["cnn with batch normalization"]
    expected = scores(case, explainer)
    model, data = case.model(), case.inputs(4)
    for isolation in ("clone", "in_place"):
        with CONTEXTS[context]():
            metric = ar.ModelRandomizationMetric(
                model, data, randomization_strategy=STRATEGY, isolation=isolation, seed=0
            )
            found = metric.run(explainer).scores["spearman"]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_activations_in_inference_mode(activation: str) -> None:
    case = BY_NAME["mlp"]
    model = case.model()

    def score() -> float:
        metric = ar.ModelRandomizationMetric(
            model, case.inputs(), None, ar.FullRandomization(), activation=activation, seed=0
        )
        return metric.evaluate("gradient")

    expected = score()
    with torch.inference_mode():
        assert score() == expected


@pytest.mark.parametrize(
    "context",
    [
        "no_grad",
        "inference_mode",
    ],
)
def test_a_function_that_needs_gradients(context: str) -> None:
    def gradient(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs.requires_grad_()
        return torch.autograd.grad(model(inputs).gather(1, targets[:, None]).sum(), inputs)[0]

    case = BY_NAME["mlp"]
    with CONTEXTS[context]():
        found = scores(case, gradient)
    np.testing.assert_allclose(found, scores(case, "gradient"))


def test_a_model_made_in_inference_mode() -> None:
    case = BY_NAME["mlp"]
    with torch.inference_mode():
        model = case.build()
        model.load_state_dict(case.model().state_dict())
    metric = ar.ModelRandomizationMetric(model, case.inputs(4), randomization_strategy=STRATEGY, seed=0)
    # A copy is an ordinary model.
    np.testing.assert_array_equal(metric.run("gradient").scores["spearman"], scores(case, "gradient"))
    adapter = ar.adapt(model)
    before = adapter.read("0")
    adapter.write("0", {name: value + 1 for name, value in before.items()})
    np.testing.assert_array_equal(adapter.read("0")["bias"], before["bias"] + 1)
    with pytest.raises(ModelError, match=r"inference_mode.*copy"):
        adapter.gradient(torch.ones(1, 6), torch.tensor([0]))


def test_a_default_type_does_not_reach_the_model() -> None:
    case = BY_NAME["cnn with batch normalization"]
    model, x = case.model(), case.inputs(4)
    found = []
    try:
        for kind in (torch.float32, torch.float64):
            torch.set_default_dtype(kind)
            metric = ar.ModelRandomizationMetric(model, x, randomization_strategy=STRATEGY, seed=0)
            found.append(metric.run("gradient").scores["spearman"])
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(found[0], found[1])


@cases("compiled", "data parallel", "compiled inside")
def test_names_are_those_without_the_wrapper(case: Case) -> None:
    names = [layer.name for layer in case.adapter().layers()]
    assert names == (["0.0", "1"] if case.name == "compiled inside" else ["0", "2", "4"])


def test_wrappers_in_wrappers() -> None:
    plain = BY_NAME["mlp"].model()
    inner = nn.Sequential(nn.DataParallel(torch.compile(plain, backend="eager")), nn.Linear(4, 4))
    model = torch.compile(nn.DataParallel(inner), backend="eager")
    adapter = ar.adapt(model)
    assert [layer.name for layer in adapter.layers()] == ["0.0", "0.2", "0.4", "1"]
    assert set(public_names(inner).values()) == {"", "0", "0.0", "0.1", "0.2", "0.3", "0.4", "1"}
    x = torch.ones(2, 6)
    torch.testing.assert_close(adapter.predict(x), inner[1](plain(x)).detach())


def test_a_module_compiled_in_place_explains_as_the_plain_one() -> None:
    case = BY_NAME["mlp"]
    model = case.model()
    model.compile(backend="eager")
    model(case.tensor(3))
    adapter, plain = ar.adapt(model, example_inputs=case.inputs(1)), case.adapter()
    x, y = case.tensor(3), torch.tensor([0, 1, 2])
    assert torch.equal(adapter.gradient(x, y, relu="guided"), plain.gradient(x, y, relu="guided"))
    assert adapter.order_source == "traced"
    np.testing.assert_array_equal(
        ar.ModelRandomizationMetric(model, case.inputs(4), seed=0).run("gradient").scores["spearman"],
        ar.ModelRandomizationMetric(case.model(), case.inputs(4), seed=0).run("gradient").scores["spearman"],
    )
