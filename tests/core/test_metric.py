"""The metric that users call, on the fake framework: its scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import FindingWarning, UndefinedScoreWarning

from .fakes import Array, FakeAdapter, Net
from .runs import TARGETS, gradient, metric

pytestmark = pytest.mark.usefixtures("fake_backend")

# Each step covers more than half of the parameters.
SECOND_HALF = ar.CascadingRandomization(order="bottom_up", groups=2)


def test_the_score_is_the_mean_of_signed_spearman(net: Net, inputs: Array) -> None:
    strategy = SECOND_HALF
    one = metric(net, inputs, draws=2, randomization_strategy=strategy)
    result = one.run("gradient")
    assert result.scores["spearman"].shape == (2, 2, 20)
    assert one.evaluate("gradient") == pytest.approx(result.scores["spearman"].mean())
    other = metric(net, inputs, measures=("cosine", "pearson"), randomization_strategy=strategy)
    assert other.evaluate("gradient") == pytest.approx(other.run("gradient").scores["cosine"].mean())


def test_controls_by_name_score_what_they_must(net: Net, inputs: Array) -> None:
    full = metric(net, inputs, randomization_strategy=ar.FullRandomization(), draws=5)
    with pytest.warns(FindingWarning, match="input_map: It does not use the model"):
        assert full.evaluate("input_map") == pytest.approx(1)
    assert abs(full.evaluate("random_map")) < 4 * (11 * 100) ** -0.5
    result = full.run("constant_map")
    assert result.undefined["spearman"].tolist() == [[20]] * 5
    with pytest.warns(UndefinedScoreWarning, match="100 of 100 spearman scores of 'constant_map'"):
        assert np.isnan(full.evaluate("constant_map"))


def test_undefined_scores_are_counted_and_left_out_of_the_mean(net: Net, inputs: Array) -> None:
    def partly(model: Net, x: Array, y: Array) -> Array:
        maps = x.copy()
        maps[y == 2] = 0
        return maps

    one = metric(net, inputs, TARGETS, randomization_strategy=ar.FullRandomization(exclude=["head"]))
    with pytest.warns(UndefinedScoreWarning, match="6 of 20 spearman scores of 'partly'"):
        assert one.evaluate(partly) == pytest.approx(1)


def test_evaluating_warns_where_a_step_covers_less_than_half_of_the_parameters(net: Net, inputs: Array) -> None:
    with pytest.warns(FindingWarning, match="A step randomizes 11% of the parameters in use") as caught:
        metric(net, inputs).evaluate("gradient")
    assert [one.filename for one in caught] == [__file__]


def test_evaluating_warns_of_every_finding_of_a_run(net: Net, inputs: Array) -> None:
    def noisy(model: Net, x: Array, y: Array) -> Array:
        return gradient(model, x, y) + np.random.default_rng().standard_normal(x.shape)

    one = metric(net, inputs, randomization_strategy=ar.FullRandomization())
    with pytest.warns(FindingWarning, match="noisy: It is not deterministic") as caught:
        one.evaluate(noisy)
    assert len(caught) == len(one.run(noisy).findings) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("explainer", ["gradient", "integrated_gradients", "smoothgrad", "random_map", gradient])
def test_the_batch_size_does_not_change_the_scores(
    net: Net, inputs: Array, explainer: Any, batch_size: int
) -> None:
    whole = metric(net, inputs).run(explainer)
    parts = metric(net, inputs, batch_size=batch_size).run(explainer)
    np.testing.assert_allclose(parts.scores["spearman"], whole.scores["spearman"], atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_model_never_takes_more_samples_at_once_than_the_batch_size(
    net: Net, inputs: Array, batch_size: int
) -> None:
    metric(net, inputs, batch_size=batch_size).run("gradient")
    assert max(size for _, size in FakeAdapter.calls) <= batch_size


def test_a_fresh_seed_is_recorded_and_repeats_the_run(net: Net, inputs: Array) -> None:
    first = metric(net, inputs, seed=None).run("gradient")
    again = metric(net, inputs, seed=first.seed).run("gradient")
    other = metric(net, inputs, seed=None).run("gradient")
    np.testing.assert_array_equal(first.scores["spearman"], again.scores["spearman"])
    assert (first.scores["spearman"] != other.scores["spearman"]).any()


def test_a_metric_can_be_run_many_times(net: Net, inputs: Array) -> None:
    one = metric(net, inputs, draws=2)
    first, other, again = one.run("smoothgrad"), one.run("random_map"), one.run("smoothgrad")
    np.testing.assert_array_equal(first.scores["spearman"], again.scores["spearman"])
    assert other.explainer == "random_map"


def test_targets_are_labels_or_the_trained_models_prediction_or_that_of_each_step(net: Net, inputs: Array) -> None:
    frozen = net(inputs).argmax(axis=1)
    by_default, by_label, one_hot = (
        metric(net, inputs, targets).run("gradient") for targets in (None, frozen, np.eye(3)[frozen])
    )
    np.testing.assert_array_equal(by_default.scores["spearman"], by_label.scores["spearman"])
    np.testing.assert_array_equal(one_hot.scores["spearman"], by_label.scores["spearman"])
    dynamic = metric(net, inputs, "dynamic").run("gradient")
    assert (dynamic.scores["spearman"] != by_default.scores["spearman"]).any()
    assert [r.settings["targets"] for r in (by_default, by_label, dynamic)] == [
        "frozen prediction",
        "labels",
        "dynamic",
    ]


def test_a_single_output_explains_itself(inputs: Array) -> None:
    net = Net(classes=1)
    result = metric(net, inputs).run("gradient")
    assert np.isfinite(result.scores["spearman"]).all()
    assert np.isnan(result.outputs.agreement).all()
    assert np.isfinite(result.outputs.correlation).all()
