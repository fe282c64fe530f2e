"""Gradients against finite differences in double precision, and outputs as the model gives them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks import DictionaryOutput, mlp
from torch import nn
from zoo import BY_NAME, CASES, Case, cases

import agnostic_rand as ar
from agnostic_rand.errors import InputError, ModelError, UnknownNameError

_FLOATING = [case.name for case in CASES if case.dtype is torch.float32]


# torch.compile looks at .grad of every input, and hides the warning by a filter that errors pass.
@pytest.mark.filterwarnings("ignore:The .grad attribute")
@cases(*_FLOATING)
def test_the_gradient_is_the_limit_of_differences(case: Case) -> None:
    model = case.model()
    # A scripted module keeps the type that it was compiled with.
    adapter = ar.adapt(model.double(), forward=case.forward)
    x = adapter.asarray(case.inputs(2))
    classes = adapter.predict(x).shape[1]
    targets = torch.tensor([0, classes - 1])
    gradient = adapter.gradient(x, targets)
    assert gradient.shape == x.shape
    assert gradient.dtype == torch.float64
    rng = np.random.default_rng(0)
    for position in rng.choice(x[0].numel(), min(6, x[0].numel()), replace=False):
        step = torch.zeros_like(x).flatten(1)
        step[:, position] = 1e-5
        step = step.view_as(x)
        difference = (adapter.predict(x + step) - adapter.predict(x - step)) / 2e-5
        expected = difference.gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(gradient.flatten(1)[:, position], expected, rtol=1e-5, atol=1e-7)


@cases("mlp", "cnn with batch normalization", "single output")
def test_weights_differentiate_the_weighted_sum(case: Case) -> None:
    adapter = ar.adapt(case.model().double())
    x = adapter.asarray(case.inputs(3))
    classes = adapter.predict(x).shape[1]
    weights = torch.randn(3, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parts = [
        adapter.gradient(x, torch.full((3,), k)) * weights[:, k].view(3, *[1] * (x.ndim - 1))
        for k in range(classes)
    ]
    torch.testing.assert_close(adapter.gradient(x, weights), sum(parts))


@cases("mlp", "float16", "bfloat16", "dictionary output", "single output", "vision transformer")
def test_the_outputs_come_with_the_gradient(case: Case) -> None:
    adapter = case.adapter()
    x, y = adapter.asarray(case.inputs(3)), adapter.asarray(np.zeros(3, dtype=np.int64))
    outputs, gradient = adapter.output_and_gradient(x, y)
    assert not outputs.requires_grad
    assert not gradient.requires_grad
    torch.testing.assert_close(outputs, adapter.predict(x))
    assert torch.equal(gradient, adapter.gradient(x, y))


@cases("float16", "bfloat16")
def test_half_precision_models_get_their_own_type_and_give_float32(case: Case) -> None:
    adapter, reference = case.adapter(), BY_NAME["mlp"].adapter()
    x, y = adapter.asarray(case.inputs(3)), torch.tensor([0, 1, 2])
    assert x.dtype == case.dtype
    outputs, gradient = adapter.predict(x), adapter.gradient(x, y)
    assert outputs.dtype == gradient.dtype == torch.float32
    full = reference.asarray(case.inputs(3))
    torch.testing.assert_close(outputs, reference.predict(full), rtol=0.02, atol=0.02)
    assert adapter.to_numpy(gradient).dtype == np.float32


def test_outputs_of_shape_n_become_one_column() -> None:
    case = BY_NAME["single output"]
    adapter = case.adapter()
    outputs = adapter.predict(adapter.asarray(case.inputs(3)))
    assert torch.equal(outputs, case.model()(case.tensor(3))[:, None])


def test_forward_takes_outputs_out_of_what_the_model_returns() -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = BY_NAME["mlp"].model()

        def forward(self, x: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.body(x))

    x = BY_NAME["mlp"].inputs(3)
    plain = BY_NAME["mlp"].adapter()
    for model, forward in (
        (Logits(), lambda model, inputs: model(inputs).logits),
        (BY_NAME["dictionary output"].model(), lambda model, inputs: model(inputs)["logits"]),
    ):
        adapter = ar.adapt(model, forward=forward)
        y = torch.tensor([0, 1, 2])
        assert torch.equal(adapter.predict(adapter.asarray(x)), plain.predict(plain.asarray(x)))
        guided = adapter.gradient(adapter.asarray(x), y, relu="guided")
        assert torch.equal(guided, plain.gradient(plain.asarray(x), y, relu="guided"))
        assert torch.equal(adapter.clone().predict(adapter.asarray(x)), adapter.predict(adapter.asarray(x)))


def test_outputs_that_are_no_tensor_are_refused_with_the_fix() -> None:
    adapter = ar.adapt(DictionaryOutput())
    with pytest.raises(ModelError, match=r"received a dict.*forward=lambda"):
        adapter.predict(torch.ones(1, 6))


def test_integers_have_no_gradient() -> None:
    case = BY_NAME["tied head"]
    adapter = case.adapter()
    x = adapter.asarray(case.inputs(2))
    assert x.dtype == torch.int64
    assert adapter.predict(x).shape == (2, 7)
    with pytest.raises(InputError, match=r"floating-point inputs.*int64"):
        adapter.gradient(x, torch.tensor([0, 1]))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.detach())


class Unrecorded(Detached):
    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.mark.parametrize("kind", [Detached, Unrecorded])
def test_a_model_that_cuts_the_gradient_is_refused(kind: type[nn.Module]) -> None:
    adapter = ar.adapt(kind())
    with pytest.raises(ModelError, match="no gradient connects"):
        adapter.gradient(torch.ones(2, 6), torch.tensor([0, 1]))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_labels_of_any_integer_type(dtype: type) -> None:
    adapter = BY_NAME["mlp"].adapter()
    x = adapter.asarray(BY_NAME["mlp"].inputs(2))
    expected = adapter.gradient(x, torch.tensor([1, 3]))
    assert torch.equal(adapter.gradient(x, adapter.asarray(np.array([1, 3], dtype))), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@cases("resnet with functional relu", "vision transformer", "lstm", "compiled inside", "weight_norm")
def test_the_gradient_at_a_layer(case: Case) -> None:
    adapter = ar.adapt(case.model().double())
    x, y = adapter.asarray(case.inputs(2)), torch.tensor([0, 3])
    shapes = adapter.layer_shapes(x)
    head = list(shapes)[-1]
    output, gradient = adapter.layer_gradient(x, y, head)
    # Attention has a fused kernel for passes without gradients.
    torch.testing.assert_close(output, adapter.predict(x))
    assert torch.equal(gradient, torch.nn.functional.one_hot(y, 4).double())
    for layer, shape in shapes.items():
        output, gradient = adapter.layer_gradient(x, y, layer)
        assert output.shape == gradient.shape == shape
        assert not gradient.requires_grad


def test_the_gradient_at_a_layer_by_hand() -> None:
    adapter = ar.adapt(BY_NAME["mlp"].model().double())
    net = adapter.native
    x, y = adapter.asarray(BY_NAME["mlp"].inputs(3)), torch.tensor([0, 1, 2])
    hidden, gradient = adapter.layer_gradient(x, y, "2")
    torch.testing.assert_close(hidden, net[2](torch.relu(net[0](x))).detach())
    torch.testing.assert_close(gradient, (net[4].weight[y] * (hidden > 0)).detach())


def test_layers_inside_scripted_code_have_no_name() -> None:
    part = BY_NAME["scripted"].model()
    adapter = ar.adapt(nn.Sequential(part, nn.Linear(4, 4)))
    x = adapter.asarray(BY_NAME["scripted"].inputs(2))
    assert list(adapter.layer_shapes(x)) == ["1"]
    with pytest.raises(UnknownNameError, match=r"layer '0\.4'"):
        adapter.layer_gradient(x, torch.tensor([0, 1]), "0.4")


def test_a_model_that_is_one_layer_has_the_name_of_its_inventory() -> None:
    for name in ("root layer", "spectral_norm root"):
        adapter = BY_NAME[name].adapter()
        x = adapter.asarray(BY_NAME[name].inputs(2))
        assert list(adapter.layer_shapes(x)) == [adapter.layers()[0].name] == ["Linear"]
        output, gradient = adapter.layer_gradient(x, torch.tensor([0, 1]), "Linear")
        torch.testing.assert_close(output, adapter.predict(x))
        assert torch.equal(gradient, torch.eye(4)[:2])
