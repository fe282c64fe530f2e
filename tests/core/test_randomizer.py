"""The states of a plan on a model: only what is new is written, and it is undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from agnostic_rand.adapters import Layer, Parameter
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
    GaussianNoise,
    IndependentRandomization,
)

from .fakes import LAYER_NAMES, Array, FakeAdapter, Net, weights_of
from .runs import changed, randomizing_of


def test_a_nested_cascade_writes_each_layer_once_a_draw(net: Net) -> None:
    adapter, before = FakeAdapter(net), weights_of(net)
    with randomizing_of(adapter, CascadingRandomization()) as randomizer:
        for draw in range(2):
            adapter.writes.clear()
            for step in range(4):
                randomizer.apply(draw=draw, step=step)
                if draw == 0:
                    assert changed(net, before) == set(LAYER_NAMES[3 - step :])
            expected = [*LAYER_NAMES[::-1]]
            # The second draw starts by making the three layers below the output trained again.
            assert adapter.writes[-4:] == expected
            assert len(adapter.writes) == (4 if draw == 0 else 7)


def test_applying_the_same_step_again_writes_nothing(net: Net) -> None:
    adapter = FakeAdapter(net)
    with randomizing_of(adapter, FullRandomization()) as randomizer:
        randomizer.apply(draw=0, step=0)
        adapter.writes.clear()
        randomizer.apply(draw=0, step=0)
        assert adapter.writes == []


def test_nested_layers_keep_their_draw_and_fresh_ones_do_not(net: Net) -> None:
    heads: dict[bool, list[bytes]] = {}
    for fresh in (False, True):
        adapter = FakeAdapter(net)
        with randomizing_of(adapter, CascadingRandomization(fresh=fresh)) as randomizer:
            held = []
            for step in range(4):
                randomizer.apply(draw=0, step=step)
                held.append(net.weights["head"]["weight"].tobytes())
            heads[fresh] = held
        if fresh:
            assert len(adapter.writes) == (1 + 2 + 3 + 4) + 4, "every random layer in each step, and the way back"
    assert len(set(heads[False])) == 1
    assert len(set(heads[True])) == 4


def test_an_independent_step_makes_the_layer_before_trained_again(net: Net) -> None:
    adapter, before = FakeAdapter(net), weights_of(net)
    with randomizing_of(adapter, IndependentRandomization()) as randomizer:
        for step, name in enumerate(LAYER_NAMES[::-1]):
            randomizer.apply(draw=0, step=step)
            assert changed(net, before) == {name}


def test_draws_are_distinct_and_repeatable_in_any_order(net: Net) -> None:
    states: dict[int, list[bytes]] = {}
    for order in ([0, 1, 2], [2, 0, 1]):
        with randomizing_of(FakeAdapter(net), FullRandomization()) as randomizer:
            for draw in order:
                randomizer.apply(draw=draw, step=0)
                states.setdefault(draw, []).append(weights_of(net)["head", "weight"])
    assert all(first == second for first, second in states.values())
    assert len({first for first, _ in states.values()}) == 3


def test_a_layers_draw_does_not_depend_on_the_strategy(net: Net) -> None:
    found = set()
    for strategy, step in (
        (FullRandomization(), 0),
        (CascadingRandomization(), 2),
        (IndependentRandomization(), 2),
    ):
        with randomizing_of(FakeAdapter(net), strategy) as randomizer:
            for earlier in range(step + 1):
                randomizer.apply(draw=0, step=earlier)
            found.add(net.weights["norm"]["weight"].tobytes() + net.weights["hidden2"]["bias"].tobytes())
    assert len(found) == 2, "only in the independent step is hidden2 trained"


def test_the_trained_state_comes_back_bit_for_bit_when_the_context_ends(net: Net) -> None:
    before = weights_of(net)

    def run() -> None:
        with randomizing_of(FakeAdapter(net), FullRandomization()) as randomizer:
            randomizer.apply(draw=0, step=0)
            assert changed(net, before) == set(LAYER_NAMES)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert weights_of(net) == before


def test_restoring_in_between_starts_from_the_trained_state(net: Net) -> None:
    before = weights_of(net)
    with randomizing_of(FakeAdapter(net), FullRandomization()) as randomizer:
        randomizer.apply(draw=0, step=0)
        first = weights_of(net)
        randomizer.restore()
        assert weights_of(net) == before
        randomizer.verify()
        randomizer.apply(draw=0, step=0)
        assert weights_of(net) == first


def test_a_copy_is_drawn_from_the_trained_model_and_that_is_not_written(net: Net) -> None:
    trained = FakeAdapter(net)
    copy, before = trained.clone(), weights_of(net)
    with randomizing_of(copy, FullRandomization(perturbation=GaussianNoise(0.1)), trained=trained) as randomizer:
        for draw in range(2):
            randomizer.apply(draw=draw, step=0)
            noise = copy.net.weights["hidden1"]["weight"] - net.weights["hidden1"]["weight"]
            assert noise.std() == pytest.approx(0.1, rel=0.2), "noise does not add up over draws"
    assert trained.writes == []
    assert weights_of(net) == before


def test_layers_that_a_draw_does_not_change_are_listed(net: Net) -> None:
    norm = net.weights["norm"]
    norm["weight"][:], norm["bias"][:] = 1, 0
    norm["running_mean"][:], norm["running_var"][:] = 0, 1
    with randomizing_of(FakeAdapter(net), FullRandomization()) as randomizer:
        randomizer.apply(draw=0, step=0)
        assert randomizer.unchanged == ("norm",)


class WithToken(FakeAdapter):
    """A parameter that is a layer of its own, and a normalization without parameters."""

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        self.token = np.zeros(4)

    def layers(self) -> tuple[Layer, ...]:
        first, norm, *others = super().layers()
        token = Layer("token", "Parameter", (Parameter("token", (4,), "float64", "bias"),), ())
        return token, first, replace(norm, parameters=()), *others

    def read(self, layer: str) -> dict[str, Array]:
        return {"token": self.token.copy()} if layer == "token" else super().read(layer)

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        if layer == "token":
            self.token[...] = values["token"]
        else:
            super().write(layer, values)


def test_what_a_draw_does_not_change_has_its_full_name_once(net: Net) -> None:
    net.weights["head"]["bias"][:] = 0
    strategy = FullRandomization(statistics="keep")
    with randomizing_of(WithToken(net), strategy) as randomizer:
        randomizer.apply(draw=0, step=0)
        assert randomizer.unchanged == ("token",), "a layer without parameters has nothing to change"
        assert randomizer.unchanged_parameters == ("token", "head.bias")
