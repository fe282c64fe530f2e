"""Adapters, weights and interruptions at fault: what the randomizer finds, and how it leaves the model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agnostic_rand.errors import WeightsError
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
    Permute,
)

from .fakes import Array, FakeAdapter, Net, weights_of
from .runs import changed, randomizer_of, randomizing_of


class InterruptedOnce(FakeAdapter):
    """Ctrl-C arrives in the middle of the way back."""

    armed = False

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        super().write(layer, values)


def test_ctrl_c_while_the_weights_are_put_back_still_puts_them_all_back(net: Net) -> None:
    adapter, before = InterruptedOnce(net), weights_of(net)

    def run() -> None:
        with randomizing_of(adapter, FullRandomization()) as randomizer:
            randomizer.apply(draw=0, step=0)
            adapter.armed = True

    with pytest.raises(KeyboardInterrupt):
        run()
    assert weights_of(net) == before


def test_a_layer_that_was_tampered_with_is_named(net: Net) -> None:
    for layer, state in (("hidden2", "random weights"), ("hidden1", "trained weights")):
        with randomizing_of(FakeAdapter(net), CascadingRandomization()) as randomizer:
            for step in range(2):
                randomizer.apply(draw=0, step=step)
            randomizer.verify()
            net.weights[layer]["bias"][1] += 1e-9
            with pytest.raises(WeightsError, match=rf"layer '{layer}'.*{state}.*unchanged by the explanations"):
                randomizer.verify()


class TouchesNeighbour(FakeAdapter):
    """A write to the output layer that changes the layer before it too."""

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        super().write(layer, values)
        if layer == "head":
            self.net.weights["hidden2"]["bias"] += 0.5


def test_a_write_that_touches_two_layers_is_found(net: Net) -> None:
    with randomizing_of(TouchesNeighbour(net), CascadingRandomization()) as randomizer:
        randomizer.apply(draw=0, step=0)
        with pytest.raises(WeightsError, match="layer 'hidden2'"):
            randomizer.verify()


class Rounds(FakeAdapter):
    """Keeps three digits of what is written."""

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        super().write(layer, {name: np.round(value, 3) for name, value in values.items()})


class Ignores(FakeAdapter):
    """Writes nothing."""

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        self.writes.append(layer)


@pytest.mark.parametrize("faulty", [Rounds, Ignores])
def test_a_write_that_does_not_hold_is_found_and_blamed_on_the_backend(faulty: type[FakeAdapter]) -> None:
    adapter = faulty(Net())
    randomizer = randomizer_of(adapter, FullRandomization(), trained=FakeAdapter(Net()))
    with pytest.raises(
        WeightsError, match=r"hidden1\.weight: expected the values that were written.*'fake' backend"
    ):
        randomizer.apply(draw=0, step=0)


@pytest.mark.parametrize("broken", ["integer", "nan"])
def test_weights_that_cannot_be_drawn_are_refused_before_any_score_and_the_model_stays(broken: str) -> None:
    net = Net()
    if broken == "integer":
        net.weights["hidden1"]["weight"] = np.arange(96, dtype=np.int8).reshape(8, 12)
    else:
        net.weights["hidden1"]["weight"][0, 0] = np.nan
    before = weights_of(net)
    with (
        pytest.raises(WeightsError, match=r"hidden1\.weight"),
        randomizing_of(FakeAdapter(net), FullRandomization()) as randomizer,
    ):
        randomizer.apply(draw=0, step=0)
    assert weights_of(net) == before
    with randomizing_of(FakeAdapter(net), FullRandomization(perturbation=Permute())) as randomizer:
        randomizer.apply(draw=0, step=0)
        assert "hidden1" in changed(net, before)
    assert weights_of(net) == before


@pytest.mark.parametrize("shape", [(700, 100), (8, 40, 30, 30)])
def test_large_kernels_with_nan_can_be_permuted_too(shape: tuple[int, ...]) -> None:
    adapter = OneKernel(np.random.default_rng(0).standard_normal(shape))
    adapter.net.weights["kernel"]["weight"].flat[5] = np.nan
    before = weights_of(adapter.net)
    with randomizing_of(adapter, FullRandomization(perturbation=Permute())) as randomizer:
        randomizer.apply(draw=0, step=0)
        assert weights_of(adapter.net) != before
    assert weights_of(adapter.net) == before


class OneKernel(FakeAdapter):
    """A model that is one kernel, in a layout that is not the canonical one."""

    def __init__(self, kernel: Array) -> None:
        net = Net()
        net.weights = {"kernel": {"weight": kernel}}
        super().__init__(net)

    def layers(self) -> Any:
        from agnostic_rand.adapters import Layer, Parameter

        kernel = self.net.weights["kernel"]["weight"]
        axes = ("out", "in", "h", "w")[: kernel.ndim]
        return (Layer("kernel", "Kernel", (Parameter("weight", kernel.shape, "float64", "kernel", axes),)),)


# Of 2,000 rows, every third is compared element by element: 402 is, and 401 is not.
@pytest.mark.parametrize("rows", [700, 2000])
@pytest.mark.parametrize("offset", [1e-3, None])
def test_one_wrong_element_of_a_large_kernel_is_found(offset: float | None, rows: int) -> None:
    class Slips(OneKernel):
        def write(self, layer: str, values: Mapping[str, Array]) -> None:
            super().write(layer, values)
            held = self.net.weights[layer]["weight"]
            if offset is None:
                # The right values in the wrong order.
                held[401], held[402] = held[402].copy(), held[401].copy()
            else:
                held[401, 7] += offset

    adapter, trained = Slips(np.zeros((rows, 100))), OneKernel(np.zeros((rows, 100)))
    with pytest.raises(WeightsError, match=r"kernel\.weight"):
        randomizer_of(adapter, FullRandomization(), trained=trained).apply(draw=0, step=0)


@pytest.mark.parametrize("factor", [1.0, 1.02])
def test_a_write_in_bfloat16_may_round_and_no_more(factor: float) -> None:
    class Short(OneKernel):
        def layers(self) -> Any:
            (layer,) = super().layers()
            (parameter,) = layer.parameters
            return (replace(layer, parameters=(replace(parameter, dtype="bfloat16"),)),)

        def write(self, layer: str, values: Mapping[str, Array]) -> None:
            # The upper half of the bits of a float32 is a bfloat16.
            bits = (values["weight"] * factor).astype(np.float32).view(np.uint32) & 0xFFFF0000
            super().write(layer, {"weight": bits.view(np.float32)})

    kernel = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    randomizer = randomizer_of(Short(kernel.copy()), FullRandomization(), trained=OneKernel(kernel))
    with nullcontext() if factor == 1 else pytest.raises(WeightsError, match="values that were written"):
        randomizer.apply(draw=0, step=0)


@pytest.mark.parametrize("layer", ["hidden1", "head"])
def test_weights_that_are_not_finite_are_refused_before_anything_is_written(net: Net, layer: str) -> None:
    net.weights[layer]["weight"][0, 0] = np.nan
    before = weights_of(net)
    with pytest.raises(WeightsError, match=rf"{layer}\.weight: expected finite weights"):
        randomizer_of(FakeAdapter(net), CascadingRandomization())
    assert weights_of(net) == before
