"""Whether the model that computes is the one whose weights are random, in a backend of which nothing is watched."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.adapters import Layer, PlacedInputs, Reads
from agnostic_rand.errors import ModelError
from agnostic_rand.weights import FullRandomization, independent_copy
from agnostic_rand.weights.witness import Witness, refuse_unmoved

from .fakes import Array, FakeAdapter, Net, weights_of
from .runs import TARGETS, metric, randomizing_of

STRATEGIES = [ar.FullRandomization(), ar.CascadingRandomization()]


@pytest.mark.usefixtures("fake_backend")
@pytest.mark.parametrize("isolation", ["clone", "in_place"])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_outputs_that_stay_to_the_bit_though_every_kernel_is_new_are_an_error(
    net: Net, inputs: Array, isolation: str, strategy: Any
) -> None:
    stale, before = copy.deepcopy(net), weights_of(net)
    one = metric(
        net, inputs, TARGETS, forward=lambda _, x: stale(x), isolation=isolation, randomization_strategy=strategy
    )
    with pytest.raises(ModelError, match=r"the very same outputs, bit for bit.*forward=.*caches"):
        one.run("input_map")
    assert weights_of(net) == before


@pytest.mark.usefixtures("fake_backend")
def test_a_part_that_stays_trained_is_no_error_by_itself(net: Net, inputs: Array) -> None:
    strategy = ar.FullRandomization(exclude=["hidden1", "norm", "hidden2"])
    assert metric(net, inputs, TARGETS, randomization_strategy=strategy).run("input_map").coverage < 1


@pytest.mark.parametrize(
    "outputs",
    [
        np.zeros((4, 3)),
        np.eye(3)[[0, 1, 2, 0]],
        np.tile([[0.3, 0.7]], (4, 1)),
        np.full((1, 3), 0.5),
    ],
    ids=["dead", "saturated", "the same for all samples", "one number"],
)
def test_outputs_that_tell_nothing_are_passed_over(outputs: Array) -> None:
    refuse_unmoved(outputs, outputs.copy(), "the random model")


def test_other_outputs_are_passed() -> None:
    outputs = np.random.default_rng(0).standard_normal((4, 3))
    other = outputs.copy()
    other[2, 1] = np.nextafter(other[2, 1], 9)
    refuse_unmoved(outputs, other, "the random model")
    with pytest.raises(ModelError, match="bit for bit"):
        refuse_unmoved(outputs, outputs.copy(), "the random model")


class Reading(FakeAdapter):
    """Says what it reads; by default all of its own and nothing of others."""

    other_arrays: tuple[str, ...] = ()
    told: Callable[[Reading, Any], Reads] | None = None
    looks = 0

    def reads(self, inputs: Array, of: Any) -> Reads:
        Reading.looks += 1
        if Reading.told is not None:
            return Reading.told(self, of)
        return reads_of(self) if of is self else Reads(frozenset())


def reads_of(adapter: FakeAdapter, without: str = "") -> Reads:
    named = ((layer.name, p.name) for layer in adapter.layers() for p in layer.parameters)
    return Reads(frozenset(name for name in named if name[0] != without))


@pytest.fixture
def reading(net: Net, monkeypatch: pytest.MonkeyPatch) -> Reading:
    monkeypatch.setattr(Reading, "told", None)
    monkeypatch.setattr(Reading, "looks", 0)
    return Reading(net)


def example(adapter: FakeAdapter, inputs: Array) -> PlacedInputs:
    return PlacedInputs(adapter.asarray(inputs[:1]))


def test_a_copy_that_reads_the_original_is_refused(
    reading: Reading, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert independent_copy(reading, example(reading, inputs)).native is not reading.native
    monkeypatch.setattr(Reading, "told", lambda self, of: Reads(frozenset({("head", "weight")})))
    with pytest.raises(ModelError, match=r"reads head\.weight of the original.*isolation='in_place'"):
        independent_copy(reading, example(reading, inputs))


def test_weights_that_are_read_no_more_are_refused_and_branches_may_leave_them_out(
    reading: Reading, inputs: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reading, "told", lambda self, of: reads_of(self, without="hidden2"))
    one = randomizing_of(reading, FullRandomization(), example=example(reading, inputs))
    with pytest.raises(ModelError, match=r"no longer reads hidden2\.bias, hidden2\.weight"), one as randomizer:
        randomizer.apply(draw=0, step=0)

    def branching(self: Reading, of: Any) -> Reads:
        return Reads(reads_of(self, without="hidden2").parameters, branches=True)

    monkeypatch.setattr(Reading, "told", branching)
    with randomizing_of(reading, FullRandomization(), example=example(reading, inputs)) as randomizer:
        randomizer.apply(draw=0, step=0)


@pytest.mark.parametrize(
    ("strategy", "looks"), [(ar.CascadingRandomization(), 1), (ar.IndependentRandomization(), 4)], ids=repr
)
def test_each_layer_is_looked_at_once_however_many_draws(
    reading: Reading, inputs: Array, strategy: Any, looks: int
) -> None:
    with randomizing_of(reading, strategy, example=example(reading, inputs)) as randomizer:
        for draw in range(3):
            for step in range(4):
                randomizer.apply(draw=draw, step=step)
    assert Reading.looks == looks


def test_without_an_example_nothing_is_looked_at(reading: Reading) -> None:
    layers = {layer.name: layer for layer in reading.layers()}
    Witness(reading, None).look(layers, set(layers))
    assert Reading.looks == 0


def test_unused_parameters_are_in_no_step_and_no_coverage() -> None:
    head, second = FakeAdapter(Net()).layers()[-1], FakeAdapter(Net()).layers()[0]
    layers = (
        second,
        Layer("second_head", "Dense", head.parameters, unused=tuple(p.name for p in head.parameters)),
        Layer("head", "Dense", head.parameters, unused=("bias",)),
    )
    plan = ar.CascadingRandomization().plan(layers)
    assert [step.name for step in plan.steps] == ["head", second.name]
    assert plan.steps[-1].total == second.size + head.size - 3
    assert plan.steps[-1].coverage == 1
    assert plan.unused == ("second_head", "head.bias")
