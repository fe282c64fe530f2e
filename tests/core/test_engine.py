"""The loop over shards, batches, draws and steps: what it computes, and what it does not depend on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

import agnostic_rand as ar
from agnostic_rand.explainers import (
    ConstantMap,
    Gradient,
    GradientTimesInput,
    InputMap,
    IntegratedGradients,
    RandomMap,
    Saliency,
    SmoothGrad,
)
from agnostic_rand.passes.explained_batches import ExplainedBatch
from agnostic_rand.passes.needs import Look, Needs
from agnostic_rand.passes.run import run
from agnostic_rand.subject.progress import Progress
from agnostic_rand.weights import (
    CascadingRandomization,
    IndependentRandomization,
    ModelRandomizationStrategy,
    Reinitialize,
    Streams,
)
from agnostic_rand.weights.drawing import draw_layer

from .fakes import LAYER_NAMES, Array, EstimatingAdapter, FakeAdapter, Net, weights_of
from .runs import TARGETS, assert_same, cascade, function, trained_layer

pytestmark = pytest.mark.usefixtures("fake_backend")


def test_scores_are_those_of_a_slow_cascade_that_draws_each_state_from_scratch(net: Net, inputs: Array) -> None:
    record = cascade(net, inputs, seed=9)
    layers = FakeAdapter(net).layers()
    for draw in range(2):
        for step in range(4):
            state = copy.deepcopy(net)
            adapter = FakeAdapter(state)
            for index in range(3 - step, 4):
                layer = layers[index]
                drawn = draw_layer(
                    adapter,
                    trained_layer(layer, adapter.read(layer.name)),
                    Reinitialize(),
                    Streams(9),
                    (draw, index),
                )
                adapter.write(layer.name, drawn)
                if layer.name == "norm":
                    adapter.write("norm", {"running_mean": np.zeros(8), "running_var": np.ones(8)})
            maps = [one.gradient(inputs, np.eye(3)[TARGETS]) for one in (net, state)]
            for name, shown in (("spearman", maps), ("spearman_abs", np.abs(maps))):
                expected = [stats.spearmanr(a, b).statistic for a, b in zip(*shown, strict=True)]
                np.testing.assert_allclose(record.scores["gradient"][name][draw, step], expected, atol=1e-12)
            outputs, trained = state(inputs), net(inputs)
            assert record.outputs.scale[draw, step] == pytest.approx(abs(outputs).max())
            agreement = (outputs.argmax(axis=1) == trained.argmax(axis=1)).mean()
            assert record.outputs.agreement[draw, step] == pytest.approx(agreement)


def test_each_measure_has_a_score_for_every_draw_step_and_sample(net: Net, inputs: Array) -> None:
    record = cascade(net, inputs, Gradient(), Saliency(), draws=3, strategy=IndependentRandomization())
    assert set(record.scores) == {"gradient", "saliency"}
    for scores in record.scores.values():
        assert {name: array.shape for name, array in scores.items()} == {
            "spearman": (3, 4, 20),
            "spearman_abs": (3, 4, 20),
        }
    assert record.outputs.correlation.shape == record.outputs.agreement.shape == (3, 4)


@pytest.mark.parametrize(
    "strategy",
    [
        CascadingRandomization(),
        CascadingRandomization(fresh=True),
        IndependentRandomization(),
        CascadingRandomization(statistics="recalibrate"),
    ],
    ids=["nested", "fresh", "independent", "recalibrated"],
)
@pytest.mark.parametrize("shard_bytes", [1, 2500, 5000])
def test_small_shards_give_the_scores_of_one_shard(
    net: Net, inputs: Array, strategy: ModelRandomizationStrategy, shard_bytes: int
) -> None:
    explainers = (Gradient(), SmoothGrad(samples=3), RandomMap())
    net.adapter_type = EstimatingAdapter
    whole = cascade(net, inputs, *explainers, strategy=strategy, batch_size=6)
    before = weights_of(net)
    parts = cascade(net, inputs, *explainers, strategy=strategy, batch_size=6, shard_bytes=shard_bytes)
    assert_same(whole, parts, tolerance=0)
    assert weights_of(net) == before


@pytest.mark.parametrize(("shard_bytes", "batches"), [(1, 1), (2879, 1), (2880, 2), (5760, 4)])
def test_a_shard_holds_as_many_batches_as_its_inputs_and_base_maps_have_room(
    net: Net, inputs: Array, shard_bytes: int, batches: int
) -> None:
    steps: list[int] = []
    # A sample takes 12 numbers of 8 bytes, and as many for each of the two measures; 5 make a batch.
    cascade(
        net, inputs, batch_size=5, shard_bytes=shard_bytes,
        observe=lambda name, context, maps: steps.append(context.step),
    )  # fmt: skip
    assert steps.index(0) == batches


def test_dynamic_targets_cost_no_forward_pass_of_their_own(net: Net, inputs: Array) -> None:
    passes = []
    for targets in (TARGETS, "dynamic"):
        FakeAdapter.calls.clear()
        cascade(net, inputs, Gradient(), InputMap(), targets=targets)
        passes.append(sum(name == "predict" for name, _ in FakeAdapter.calls))
    assert passes == [1 + 2 * 4] * 2


@pytest.mark.parametrize("targets", [TARGETS, "dynamic"], ids=["labels", "dynamic"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_does_not_change_the_scores(
    net: Net, inputs: Array, batch_size: int, targets: Array | str
) -> None:
    explainers = (
        Gradient(),
        GradientTimesInput(),
        IntegratedGradients(steps=5),
        SmoothGrad(samples=5),
        SmoothGrad(base=Saliency(), samples=5),
        RandomMap(),
    )
    whole = cascade(net, inputs, *explainers, targets=targets, batch_size=64)
    parts = cascade(net, inputs, *explainers, targets=targets, batch_size=batch_size)
    assert_same(whole, parts, tolerance=1e-9)


def test_the_model_takes_no_more_samples_at_once_than_the_batch_size(net: Net, inputs: Array) -> None:
    cascade(net, inputs, Gradient(), SmoothGrad(samples=5), IntegratedGradients(steps=5), batch_size=7)
    assert max(size for _, size in FakeAdapter.calls) == 7


def test_explainers_do_not_see_each_other(net: Net, inputs: Array) -> None:
    explainers = [Gradient(), RandomMap(), SmoothGrad(samples=4), IntegratedGradients(steps=4)]
    together = cascade(net, inputs, *explainers)
    reversed_order = cascade(net, inputs, *explainers[::-1])
    assert_same(together, reversed_order, tolerance=0)
    for explainer in explainers:
        alone = cascade(net, inputs, explainer)
        assert_same(alone, together, tolerance=0)


def test_another_seed_gives_other_scores_and_the_same_one_the_same(net: Net, inputs: Array) -> None:
    first, again, other = (cascade(net, inputs, seed=seed) for seed in (1, 1, 2))
    assert_same(first, again, tolerance=0)
    assert (first.scores["gradient"]["spearman"] != other.scores["gradient"]["spearman"]).mean() > 0.9


def test_controls_score_what_they_must(net: Net) -> None:
    inputs = np.random.default_rng(0).standard_normal((100, 12))
    explainers = (InputMap(), ConstantMap(), RandomMap(), RandomMap("normal"))
    record = cascade(net, inputs, *explainers[:3], targets=np.zeros(100, np.int64))
    np.testing.assert_allclose(record.scores["input_map"]["spearman"], 1, atol=1e-12)
    assert np.isnan(record.scores["constant_map"]["spearman"]).all()
    noise = record.scores["random_map"]["spearman"]
    assert noise.mean() == pytest.approx(0, abs=4 * (11 * noise.size) ** -0.5)
    assert noise.std() == pytest.approx(11**-0.5, rel=0.1)
    apart = np.corrcoef(noise.reshape(8, 100))[~np.eye(8, dtype=bool)]
    assert abs(apart).max() < 0.4, "each step and draw has noise of its own"
    normal = cascade(net, inputs, explainers[3], targets=np.zeros(100, np.int64))
    assert abs(normal.scores["random_map"]["spearman"].mean()) < 0.05


def test_maps_that_are_constant_in_some_samples_are_undefined_there_only(net: Net, inputs: Array) -> None:
    def partly_constant(model: Net, x: Array, y: Array) -> Array:
        maps = model.gradient(x, np.eye(3)[y])
        maps[y == 1] = 4.0
        return maps

    record = cascade(net, inputs, function(partly_constant), batch_size=7)
    expected = np.broadcast_to(TARGETS == 1, (2, 4, 20))
    for scores in record.scores["mine"].values():
        np.testing.assert_array_equal(np.isnan(scores), expected)


def test_dynamic_targets_follow_the_current_model(net: Net, inputs: Array) -> None:
    seen: list[Array] = []

    def noting(model: Net, x: Array, y: Array) -> Array:
        np.testing.assert_array_equal(y, model(x).argmax(axis=1))
        seen.append(y)
        return x

    cascade(net, inputs, function(noting), targets="dynamic", draws=1)
    # The last: guards explain a few samples before them.
    walked = [y for y in seen if len(y) == len(inputs)]
    assert len(walked) == 5
    assert any((later != walked[0]).any() for later in walked[1:])


def test_progress_counts_every_explained_batch(net: Net, inputs: Array) -> None:
    told: list[Progress] = []
    cascade(net, inputs, Gradient(), InputMap(), batch_size=6, shard_bytes=1, progress=told.append)
    total = 4 * (1 + 2 * 4) * 2
    assert [one.done for one in told] == list(range(1, total + 1))
    assert {one.total for one in told} == {total}
    assert {one.description for one in told} == {"gradient", "input_map"}


def test_a_measure_of_the_users_own_scores_each_sample(net: Net, inputs: Array) -> None:
    def first_pixel(first: Array, second: Array) -> Array:
        return second[:, 0]

    scores = cascade(net, inputs, InputMap(), measures=[first_pixel], batch_size=7).scores
    np.testing.assert_array_equal(scores["input_map"]["first_pixel"], np.broadcast_to(inputs[:, 0], (2, 4, 20)))


def test_every_layer_is_random_in_the_last_step_and_trained_in_the_base(net: Net, inputs: Array) -> None:
    before, states = weights_of(net), []

    def noting(model: Net, x: Array, y: Array) -> Array:
        if len(x) == len(inputs):
            states.append({layer for (layer, _), bits in _differing(weights_of(model), before) if bits})
        return x

    cascade(net, inputs, function(noting), draws=1)
    assert states == [set(LAYER_NAMES[4 - count :]) for count in range(5)]


def _differing(now: Mapping[Any, bytes], before: Mapping[Any, bytes]) -> list[tuple[Any, bool]]:
    return [(place, bits != before[place]) for place, bits in now.items()]


def test_numbers_of_maps_are_found_in_double_precision_for_all_samples(net: Net, inputs: Array) -> None:
    def first_pixel(batches: Sequence[ExplainedBatch]) -> dict[str, Array]:
        return {"pixel": batches[0].maps[:, 0].astype(np.float32)}

    subject = ar.Subject(net, inputs, TARGETS, batch_size=7)
    looks = (Look((InputMap(),), first_pixel), Look((InputMap(),), first_pixel, samples=5))
    whole, few = (one["input_map"]["pixel"] for one in run(subject, Needs(looks=looks)).looks)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole, inputs[:, 0].astype(np.float32))
    np.testing.assert_array_equal(few, whole[:5])
