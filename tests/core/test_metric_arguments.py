"""Arguments of the metric: what they do, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import (
    ArgumentError,
    BackendError,
    InputError,
    ModelError,
    UnknownNameError,
)

from .fakes import Array, Net
from .runs import TARGETS, gradient, metric

pytestmark = pytest.mark.usefixtures("fake_backend")


def test_a_forward_function_stands_for_the_call_of_the_model(net: Net, inputs: Array) -> None:
    def two_classes(model: Net, x: Array) -> Array:
        return model(x)[:, :2]

    with pytest.raises(InputError, match="labels from 0 to 1"):
        metric(net, inputs, TARGETS, forward=two_classes)
    with pytest.raises(ModelError, match=r"shape \(20, classes\)"):
        metric(net, inputs, forward=lambda model, x: model(x)[0])


def test_activations_change_the_explained_output(net: Net, inputs: Array) -> None:
    plain, soft = (metric(net, inputs, activation=a).run("gradient") for a in (None, "softmax"))
    assert (plain.scores["spearman"] != soft.scores["spearman"]).any()
    assert soft.outputs.scale.max() <= 1
    assert soft.settings["activation"] == "softmax"


def test_channels_are_averaged_before_maps_are_compared() -> None:
    net = Net(features=48)
    inputs = np.random.default_rng(0).standard_normal((6, 3, 4, 4))
    whole = metric(net, inputs).run("gradient").scores["spearman"]

    def averaged(model: Net, x: Array, y: Array) -> Array:
        maps: Array = gradient(model, x, y).mean(axis=1)
        return maps

    np.testing.assert_allclose(metric(net, inputs).run(averaged).scores["spearman"], whole, atol=1e-12)
    last = metric(net, inputs, channel_axis=-1).run(lambda model, x, y: gradient(model, x, y).mean(axis=3))
    np.testing.assert_allclose(
        metric(net, inputs, channel_axis=3).run("gradient").scores["spearman"], last.scores["spearman"]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected an int of at least 1, received 0"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"draws": 0}, "draws: expected an int of at least 1, received 0"),
        ({"seed": -1}, "seed: expected an int of at least 0, received -1"),
        ({"seed": "x"}, "seed"),
        ({"measures": ()}, "at least one measure"),
        ({"measures": "spearmann"}, "Did you mean 'spearman'"),
        ({"activation": "relu"}, "activation: expected None, 'softmax' or 'sigmoid'"),
        ({"isolation": "copy"}, "isolation: expected 'clone', 'in_place' or None"),
        ({"randomization_strategy": ar.CascadingRandomization}, r"the class Casc.*Make an object: CascadingRand"),
        ({"randomization_strategy": 3}, "a strategy such as CascadingRandomization.*received 3"),
        ({"forward": 3}, "forward: expected a callable"),
        ({"targets": "static"}, "targets: expected labels, None or 'dynamic', received 'static'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(
    net: Net, inputs: Array, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        metric(net, inputs, **settings)


@pytest.mark.parametrize("channel_axis", [0, 4, -5, -4, "last", 1.5, True])
def test_channel_axes_that_the_inputs_do_not_have_are_refused(channel_axis: Any) -> None:
    with pytest.raises(ArgumentError, match="channel_axis"):
        metric(Net(features=48), np.ones((2, 3, 4, 4)), channel_axis=channel_axis)


@pytest.mark.filterwarnings("ignore:A step randomizes:agnostic_rand.errors.FindingWarning")
def test_seven_arguments_go_by_position_and_two_default_runs_give_one_number(net: Net, inputs: Array) -> None:
    labels = np.arange(len(inputs)) % 3
    strategy = ar.ProgressiveLayerRandomization(0.5)
    by_place = ar.ModelRandomizationMetric(net, inputs, labels, strategy, 4, None, 42).evaluate("gradient")
    by_name = metric(net, inputs, targets=labels, randomization_strategy=strategy, batch_size=4, seed=42)
    assert by_place == by_name.evaluate("gradient")
    default = [ar.ModelRandomizationMetric(net, inputs, labels).run("gradient") for _ in range(2)]
    assert default[0].seed == 42
    assert default[0].scores["spearman"].tolist() == default[1].scores["spearman"].tolist()


def test_a_batch_size_of_none_takes_all_samples_at_once(net: Net, inputs: Array) -> None:
    sizes: list[int] = []

    def sized(model: Net, x: Array, targets: Array) -> Array:
        sizes.append(len(x))
        return np.array(x)

    metric(net, inputs, batch_size=None).run(sized)
    assert sizes[-1] == len(inputs)


def test_a_progress_that_cannot_be_called_is_refused(net: Net, inputs: Array) -> None:
    with pytest.raises(ArgumentError, match="progress"):
        metric(net, inputs, progress=3)


def test_objects_that_are_no_models_and_names_that_are_no_explainers_are_refused(net: Net, inputs: Array) -> None:
    with pytest.raises(BackendError, match=r"weights by name .*builtins\.dict"):
        metric({}, inputs)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'saliency'"):
        metric(net, inputs).run("salency")
    with pytest.raises(ArgumentError, match=r"the class Gradient.*Make an object: Gradient\(\)"):
        metric(net, inputs).run(ar.explainers.Gradient)
    with pytest.raises(ArgumentError, match=r"received int"):
        metric(net, inputs).run(3)


def test_layers_that_stay_trained_are_recorded(net: Net, inputs: Array) -> None:
    strategy = ar.FullRandomization(exclude=["head"], perturbation="permute")
    result = metric(net, inputs, randomization_strategy=strategy).run("gradient")
    assert result.coverage == pytest.approx(1 - 21 / (96 + 8 + 16 + 48 + 6 + 21))
    assert result.settings["excluded"] == ["head"]
    assert result.settings["statistics"] == "keep"
