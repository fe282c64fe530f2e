"""C3: what is written is read back, in place, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from zoo import BY_NAME, Case, cases

import agnostic_rand as ar
from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.errors import UnknownNameError, WeightsError


def drawn(adapter: ModelAdapter, layer: str, seed: int) -> dict[str, HostArray]:
    """Values for a layer that its element type can hold."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, held in adapter.read(layer).items():
        # Multiples of 1/32 below 2 have an exact half-precision form.
        values[name] = (rng.integers(1, 64, held.shape) / 32).astype(held.dtype)
    return values


@cases()
def test_a_value_is_read_as_it_was_written(case: Case) -> None:
    adapter = case.adapter()
    others = {layer.name: adapter.read(layer.name) for layer in adapter.layers()}
    for number, layer in enumerate(adapter.layers()):
        values = drawn(adapter, layer.name, number)
        adapter.write(layer.name, values)
        others[layer.name] = values
        for name, expected in others.items():
            held = adapter.read(name)
            assert held.keys() == expected.keys()
            for key, array in expected.items():
                assert held[key].dtype == array.dtype
                np.testing.assert_array_equal(held[key], array, err_msg=f"{name}.{key} after {layer.name}")


@cases()
def test_a_write_is_in_place(case: Case) -> None:
    model = case.model()
    adapter = ar.adapt(model, forward=case.forward)
    next(iter(model.parameters())).requires_grad_(False)

    def identity() -> list[tuple[object, ...]]:
        return [(id(p), p.data_ptr(), p.dtype, p.stride(), p.requires_grad) for p in model.parameters()]

    before = identity()
    for layer in adapter.layers():
        adapter.write(layer.name, drawn(adapter, layer.name, 0))
    assert identity() == before


def test_reading_gives_copies() -> None:
    net = nn.Linear(3, 2)
    held = ar.adapt(net).read("Linear")["weight"]
    held[:] = 7
    assert not (net.weight == 7).any()


@cases("mlp", "compiled", "data parallel", "scripted", "compiled inside")
def test_the_model_itself_sees_new_weights(case: Case) -> None:
    model, x = case.model(), case.tensor(3)
    adapter = ar.adapt(model)
    old = model(x).detach()
    for layer in adapter.layers():
        adapter.write(layer.name, {name: 0 * value for name, value in adapter.read(layer.name).items()})
    assert not torch.equal(model(x), old)
    assert (model(x) == 0).all()


@cases("tied head", "tied by memory")
def test_a_tied_parameter_is_written_everywhere(case: Case) -> None:
    model = case.model()
    adapter = ar.adapt(model)
    layer = adapter.layers()[0]
    weight = layer.parameters[0].name
    adapter.write(layer.name, {weight: np.full(layer.parameters[0].shape, 0.5, "f")})
    (alias,) = layer.aliases
    assert (model.get_parameter(alias) == 0.5).all()


def test_hooks_stay() -> None:
    net = BY_NAME["mlp"].model()
    seen: list[str] = []
    net[0].register_forward_hook(lambda *_: seen.append("forward"))
    net[0].register_forward_pre_hook(lambda *_: seen.append("before"))
    net[0].weight.register_hook(lambda gradient: seen.append("gradient"))
    adapter = ar.adapt(net)
    adapter.write("0", drawn(adapter, "0", 0))
    net(torch.ones(1, 6)).sum().backward()
    assert seen == ["before", "forward", "gradient"]


def test_a_read_only_or_reversed_array_can_be_written() -> None:
    adapter = ar.adapt(nn.Linear(3, 2))
    value = np.arange(6, dtype="f").reshape(2, 3)
    value.flags.writeable = False
    adapter.write("Linear", {"weight": value})
    np.testing.assert_array_equal(adapter.read("Linear")["weight"], value)
    adapter.write("Linear", {"weight": value[::-1, ::-1], "bias": np.zeros(2)})
    np.testing.assert_array_equal(adapter.read("Linear")["weight"], value[::-1, ::-1])


def test_another_shape_is_refused_and_nothing_is_written() -> None:
    adapter = ar.adapt(nn.Linear(3, 2))
    before = adapter.read("Linear")
    with pytest.raises(WeightsError, match=r"Linear\.bias.*shape \(2,\).*shape \(1,\)"):
        # torch would broadcast it.
        adapter.write("Linear", {"weight": np.zeros((2, 3)), "bias": np.zeros(1)})
    for name, value in before.items():
        np.testing.assert_array_equal(adapter.read("Linear")[name], value)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    adapter = ar.adapt(BY_NAME["resnet with functional relu"].model())
    with pytest.raises(UnknownNameError, match="'second_norm'"):
        adapter.read("second_nrm")
    with pytest.raises(UnknownNameError, match="'weight'"):
        adapter.write("head", {"wieght": np.zeros((4, 8))})


def test_half_precision_is_read_without_loss() -> None:
    for kind, host in ((torch.float16, np.float16), (torch.bfloat16, np.float32), (torch.float64, np.float64)):
        net = nn.Linear(40, 40).to(kind)
        adapter = ar.adapt(net)
        held = adapter.read("Linear")["weight"]
        assert held.dtype == host
        np.testing.assert_array_equal(held.astype(np.float64), net.weight.detach().double().numpy())
        assert adapter.layers()[0].parameters[0].dtype == str(kind).removeprefix("torch.")


def test_memory_layouts_stay() -> None:
    net = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    adapter = ar.adapt(net)
    value = np.random.default_rng(0).standard_normal((6, 4, 3, 3)).astype("f")
    adapter.write("Conv2d", {"weight": value})
    assert net.weight.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(net.weight.detach().numpy(), value)
    assert adapter.clone().native.weight.is_contiguous(memory_format=torch.channels_last)
