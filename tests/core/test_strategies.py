"""Which layers are random in which step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agnostic_rand.adapters import Layer, Parameter
from agnostic_rand.errors import ArgumentError, ModelError, UnknownNameError
from agnostic_rand.weights import (
    CascadingRandomization,
    FullRandomization,
    GaussianNoise,
    IndependentRandomization,
    ModelRandomizationStrategy,
    Permute,
    Plan,
    ProgressiveLayerRandomization,
    resolve_strategy,
)
from agnostic_rand.weights.plan import Group

from .fakes import Array, Net, weights_of


def layer(name: str, size: int = 1, *, statistics: int = 0) -> Layer:
    parameters = (Parameter("weight", (size,), "float32", "other"),) if size else ()
    held = tuple(Parameter(f"mean{i}", (4,), "float32", "mean") for i in range(statistics))
    return Layer(name, "Layer", parameters, held)


LAYERS = tuple(layer(f"layer{i}", size=i + 1) for i in range(10))
NAMES = tuple(one.name for one in LAYERS)


def random_layers(
    strategy: ModelRandomizationStrategy, layers: tuple[Layer, ...] = LAYERS
) -> list[tuple[str, ...]]:
    return [step.layers for step in strategy.plan(layers).steps]


@pytest.mark.parametrize(
    ("stop", "count"),
    [
        (0.25, 2),
        (0.29, 2),
        (0.3, 3),
        (1.0, 10),
        (0.01, 1),
        (0.0, 0),
        (0, 0),
        (1, 1),
        (10, 10),
        (np.float64(0.5), 5),
    ],
)
def test_progressive_randomization_stops_after_a_share_or_a_number_of_layers(stop: Any, count: int) -> None:
    assert random_layers(ProgressiveLayerRandomization(stop_layer=stop)) == [NAMES[10 - count :]]
    assert random_layers(ProgressiveLayerRandomization(stop_layer=stop, reverse=False)) == [NAMES[:count]]


@pytest.mark.parametrize("layers", [1, 2, 3, 7, 10, 100])
def test_every_exact_share_gives_its_exact_number_of_layers(layers: int) -> None:
    model = tuple(layer(f"layer{i}") for i in range(layers))
    for count in range(1, layers + 1):
        (step,) = ProgressiveLayerRandomization(stop_layer=count / layers).plan(model).steps
        assert len(step.layers) == count


def test_progressive_randomization_stops_before_a_layer_that_is_named() -> None:
    assert random_layers(ProgressiveLayerRandomization(stop_layer="layer6")) == [NAMES[7:]]
    assert random_layers(ProgressiveLayerRandomization(stop_layer="layer6", reverse=False)) == [NAMES[:6]]


@pytest.mark.parametrize("stop", [-1, -0.1, 1.5, True, None, [1], float("nan"), float("inf")])
def test_stops_that_make_no_sense_are_refused(stop: Any) -> None:
    with pytest.raises(ArgumentError, match=r"stop_layer: expected a layer's name, an int of at least 0, or"):
        ProgressiveLayerRandomization(stop_layer=stop)


def test_stops_that_the_model_does_not_have_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'layer1'"):
        ProgressiveLayerRandomization(stop_layer="layr1").plan(LAYERS)
    with pytest.raises(ArgumentError, match="at most the model's 10 layers, received 11"):
        ProgressiveLayerRandomization(stop_layer=11).plan(LAYERS)


def test_a_cascade_adds_one_layer_a_step_until_all_are_random() -> None:
    assert random_layers(CascadingRandomization()) == [NAMES[9 - i :] for i in range(10)]
    assert random_layers(CascadingRandomization(order="bottom_up")) == [NAMES[: i + 1] for i in range(10)]
    with pytest.raises(ArgumentError, match="'top_down' or 'bottom_up'"):
        CascadingRandomization(order="sideways")  # type: ignore[arg-type]


def test_steps_are_named_for_what_is_new_in_them() -> None:
    assert [step.name for step in CascadingRandomization().plan(LAYERS).steps] == list(NAMES[::-1])
    assert [step.name for step in ProgressiveLayerRandomization().plan(LAYERS).steps] == ["layer9 … layer8"]


def test_independent_randomization_takes_one_layer_at_a_time_from_the_output() -> None:
    assert random_layers(IndependentRandomization()) == [(name,) for name in NAMES[::-1]]


def test_full_randomization_takes_all_at_once() -> None:
    assert random_layers(FullRandomization()) == [NAMES]


GROUPINGS = st.one_of(
    st.none(),
    st.integers(1, 12),
    st.just(["layer[0-4]", "layer9"]),
    st.just(["*[13579]"]),
    st.integers(1, 4).map(lambda k: lambda one: f"block{int(one.name[5:]) % k}"),
    st.just(lambda one: None if one.name == "layer3" else "rest"),
)


@given(groups=GROUPINGS, exclude=st.lists(st.sampled_from(NAMES[1:]), max_size=4, unique=True))
def test_the_steps_partition_the_layers_and_cover_every_parameter(groups: Any, exclude: list[str]) -> None:
    left = [name for name in NAMES if name not in exclude]
    # Names that are left out would be globs without a match.
    if isinstance(groups, list) and not all(set(left) & set(_matches(glob)) for glob in groups):
        return
    settings: dict[str, Any] = {"groups": groups, "exclude": exclude}
    parts = random_layers(IndependentRandomization(**settings))
    assert sorted(name for part in parts for name in part) == sorted(left)
    for order, strategy in (
        ("top_down", CascadingRandomization(order="top_down", **settings)),
        ("bottom_up", CascadingRandomization(order="bottom_up", **settings)),
    ):
        sets = [set(names) for names in random_layers(strategy)]
        assert all(before < after for before, after in pairwise(sets)), order
        assert sets[-1] == set(left)
    assert random_layers(FullRandomization(**settings)) == [tuple(left)]
    (full,) = FullRandomization(**settings).plan(LAYERS).steps
    assert full.covered == sum(one.size for one in LAYERS if one.name in left)
    assert full.total == 55
    assert (full.coverage == 1) == (not exclude)


def _matches(glob: str) -> list[str]:
    pattern = re.compile(glob.replace("*", ".*"))
    return [name for name in NAMES if pattern.fullmatch(name)]


def test_coverage_counts_elements_and_not_layers() -> None:
    coverages = [step.coverage for step in CascadingRandomization().plan(LAYERS).steps]
    np.testing.assert_allclose(coverages, np.cumsum(np.arange(10, 0, -1)) / 55)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [10]), (2, [5, 5]), (3, [3, 4, 3]), (10, [1] * 10), (99, [1] * 10)]
)
def test_blocks_are_of_equal_length_and_without_gaps(count: int, sizes: list[int]) -> None:
    parts = random_layers(IndependentRandomization(groups=count))[::-1]
    assert [len(part) for part in parts] == sizes
    assert sum(parts, ()) == NAMES


def test_globs_make_groups_and_other_layers_stay_alone() -> None:
    plan = IndependentRandomization(groups=["layer[0-7]", "layer[5-9]"]).plan(LAYERS[:9])
    assert [(step.name, step.layers) for step in plan.steps] == [
        ("layer[5-9]", ("layer8",)),
        ("layer[0-7]", NAMES[:8]),
    ]
    alone = IndependentRandomization(groups=["layer0"]).plan(LAYERS[:3])
    assert [step.name for step in alone.steps] == ["layer2", "layer1", "layer0"]


def test_a_function_names_groups_by_layer() -> None:
    plan = IndependentRandomization(groups=lambda one: "wide" if one.size > 7 else None).plan(LAYERS)
    assert plan.steps[0].name == "wide"
    assert plan.steps[0].layers == NAMES[7:]
    assert [step.name for step in plan.steps[1:]] == list(NAMES[:7])[::-1]


@pytest.mark.parametrize("groups", [0, -3, True, 2.5, "layer*", b"layer*", [1], lambda one: 3])
def test_groups_that_are_none_of_the_forms_are_refused(groups: Any) -> None:
    with pytest.raises(ArgumentError, match="groups: expected a function"):
        FullRandomization(groups=groups).plan(LAYERS)


def test_globs_that_match_nothing_are_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match=r"groups glob 'layr7'.*Did you mean 'layer7'"):
        FullRandomization(groups=["layr7"]).plan(LAYERS)
    with pytest.raises(UnknownNameError, match=r"exclude glob 'layr7'.*Did you mean 'layer7'"):
        FullRandomization(exclude=["layr7"]).plan(LAYERS)


def test_a_layer_is_found_by_its_exact_name_whatever_characters_it_has() -> None:
    layers = (layer("blocks[0].weight"), layer("blocks[1].weight"))
    assert random_layers(FullRandomization(exclude=["blocks[0].weight"]), layers) == [("blocks[1].weight",)]
    plan = IndependentRandomization(groups=["blocks[0].weight"]).plan(layers)
    assert len(plan.steps) == 2


def test_excluded_layers_stay_trained_and_are_listed() -> None:
    plan = CascadingRandomization(exclude=["layer[89]", "layer0"]).plan(LAYERS)
    assert plan.excluded == ("layer0", "layer8", "layer9")
    assert plan.steps[-1].layers == NAMES[1:8]
    assert plan.steps[-1].coverage == pytest.approx(35 / 55)
    with pytest.raises(ArgumentError, match="10 of 10 layers excluded"):
        FullRandomization(exclude=["*"]).plan(LAYERS)
    with pytest.raises(ArgumentError, match=r"Pass \['layer1'\]"):
        FullRandomization(exclude="layer1").plan(LAYERS)


def test_layers_with_statistics_alone_go_with_the_layer_before_them() -> None:
    layers = (layer("stem", 0, statistics=1), layer("a"), layer("norm", 0, statistics=2), layer("b"))
    assert random_layers(IndependentRandomization(), layers) == [("b",), ("stem", "a", "norm")]


def test_a_model_without_parameters_is_refused() -> None:
    for layers in ((), (layer("norm", 0, statistics=2),)):
        with pytest.raises(ModelError, match="a model without parameters"):
            FullRandomization().plan(layers)


def test_a_plan_says_how_weights_are_drawn() -> None:
    plan: Plan = CascadingRandomization(perturbation="permute", fresh=True).plan(LAYERS)
    assert (plan.perturbation, plan.fresh, plan.statistics) == (Permute(), True, "keep")
    assert FullRandomization().plan(LAYERS).statistics == "reset"
    assert FullRandomization(perturbation=GaussianNoise(1)).plan(LAYERS).statistics == "keep"
    assert FullRandomization(statistics="keep").plan(LAYERS).statistics == "keep"
    with pytest.raises(ArgumentError, match="'reset', 'keep', 'recalibrate' or None"):
        FullRandomization(statistics="forget")  # type: ignore[arg-type]


class Ends(ModelRandomizationStrategy):
    def steps(self, groups: Sequence[Group]) -> list[list[Group]]:
        return [[groups[0]], [groups[0], groups[-1]]]


def test_a_strategy_of_ones_own_is_one_method_or_a_function_of_layers_or_their_names() -> None:
    ends: list[Any] = [
        Ends(),
        lambda layers: [layers[:1], [layers[0], layers[-1]]],
        lambda layers: [["layer0"], ["layer0", "layer9"]],
    ]
    for strategy in ends:
        plan = resolve_strategy(strategy).plan(LAYERS)
        assert [step.layers for step in plan.steps] == [("layer0",), ("layer0", "layer9")]
        assert [step.name for step in plan.steps] == ["layer0", "layer9"]
        assert [(step.covered, step.total) for step in plan.steps] == [(1, 55), (11, 55)]
    assert Ends(groups=2).plan(LAYERS).steps[-1].coverage == 1


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (None, "expected a list of steps.*received None"),
        ([], r"received \[\]"),
        ("layer0", "received 'layer0'"),
        (["layer0"], "received a step 'layer0'"),
        ([["layer"]], "layer of a step 'layer'.*Did you mean"),
    ],
)
def test_steps_that_are_none_are_refused(steps: Any, message: str) -> None:
    with pytest.raises((ArgumentError, UnknownNameError), match=f"(?i){message}"):
        resolve_strategy(lambda _: steps).plan(LAYERS)


def test_a_strategy_has_a_name_that_stands_for_it() -> None:
    assert resolve_strategy("full_randomization") == FullRandomization()
    assert resolve_strategy("top_down") == resolve_strategy("cascading_randomization") == CascadingRandomization()
    with pytest.raises(UnknownNameError, match="Did you mean 'cascading_randomization'"):
        resolve_strategy("cascading_randomisation")


@pytest.mark.usefixtures("fake_backend")
def test_a_randomized_copy_is_of_the_same_type_and_the_model_stays(net: Net, inputs: Array) -> None:
    before = weights_of(net)
    other = FullRandomization().randomize(net, seed=1)
    assert type(other) is Net
    assert weights_of(net) == before
    assert (other.weights["hidden1"]["weight"] != net.weights["hidden1"]["weight"]).all()
    assert weights_of(FullRandomization().randomize(net, seed=1)) == weights_of(other)
    assert weights_of(FullRandomization().randomize(net, seed=2)) != weights_of(other)
    partial = ProgressiveLayerRandomization(stop_layer=1).randomize(net, seed=1)
    changed = {place for place, bits in weights_of(partial).items() if bits != before[place]}
    assert changed == {("head", "weight"), ("head", "bias")}
    assert weights_of(partial)["head", "weight"] == weights_of(other)["head", "weight"]


def test_what_can_be_called_and_is_no_function_is_no_strategy() -> None:
    class Model:
        def __call__(self, inputs: object) -> object:
            return inputs

    with pytest.raises(ArgumentError, match=r"strategy: expected a strategy .*received a Model\."):
        resolve_strategy(Model())
    assert resolve_strategy(partial(lambda last, layers: [layers[-last:]], 1)).steps([1, 2]) == [[2]]
