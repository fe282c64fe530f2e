"""One seed, one score: ResNet-20 written by hand here, and in PyTorch in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tf_resnet20 import ResNet20, images, resnet20

import agnostic_rand as ar
from agnostic_rand.adapters import ModelAdapter

COUNT, BLOCKS, SEED = 100, 2, 11
"""As in `torch_reference.py`."""

EXPLAINERS = {
    "saliency": "saliency",
    "gradient_times_input": "gradient_times_input",
    "integrated_gradients": ar.explainers.IntegratedGradients(steps=2),
    "smoothgrad": ar.explainers.SmoothGrad(samples=2),
    "guided_backprop": "guided_backprop",
}


@pytest.fixture(scope="module")
def torch_says(torch_reference: Callable[[], Path]) -> dict[str, np.ndarray]:
    """What the PyTorch backend computes; importing torch after TensorFlow may crash."""
    with np.load(torch_reference()) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def net(test_data: Path) -> ResNet20:
    return resnet20(test_data)


@pytest.fixture(scope="module")
def adapter(net: ResNet20, test_data: Path) -> ModelAdapter:
    return ar.adapt(net, example_inputs=images(test_data, 1)[0])


def metric(model: tf.Module, x: np.ndarray, y: np.ndarray) -> ar.ModelRandomizationMetric:
    # In place: what one explainer traced, the next one uses.
    options = {"randomization_strategy": ar.CascadingRandomization(groups=BLOCKS), "isolation": "in_place"}
    return ar.ModelRandomizationMetric(model, x, y, batch_size=50, seed=SEED, **options)


@pytest.fixture(scope="module")
def of_images(net: ResNet20, test_data: Path) -> ar.ModelRandomizationMetric:
    return metric(net, *images(test_data, COUNT))


def test_the_network_is_the_published_one(adapter: ModelAdapter, test_data: Path) -> None:
    x, y = images(test_data, 1000)
    predicted = np.concatenate([adapter.predict(x[i : i + 250]).argmax(axis=1) for i in range(0, 1000, 250)])
    assert (predicted == y).sum() == 915


def test_layers_are_found_without_a_word_of_declaration(adapter: ModelAdapter) -> None:
    layers = adapter.layers()
    assert [layer.name for layer in layers[:4]] == ["conv1", "bn1", "blocks/0/conv1", "blocks/0/bn1"]
    assert [layer.name for layer in layers[-3:]] == ["blocks/8/conv2", "blocks/8/bn2", "linear"]
    assert sum(layer.size for layer in layers) == 269_722
    roles = {(p.name, p.role, p.axes) for layer in layers for p in (*layer.parameters, *layer.statistics)}
    assert roles == {
        ("kernel", "kernel", ("h", "w", "in", "out")),
        ("kernel", "kernel", ("in", "out")),
        ("bias", "bias", ("out",)),
        ("scale", "scale", None),
        ("offset", "shift", None),
        ("mean", "mean", None),
        ("variance", "variance", None),
    }


def test_outputs_are_those_of_torch(
    adapter: ModelAdapter, test_data: Path, torch_says: dict[str, np.ndarray]
) -> None:
    outputs = adapter.predict(images(test_data, COUNT)[0])
    assert np.abs(outputs - torch_says["outputs"]).max() < 1e-4


def test_one_seed_draws_the_weights_that_it_draws_in_torch_bit_for_bit(
    net: ResNet20, test_data: Path, torch_says: dict[str, np.ndarray]
) -> None:
    example = images(test_data, 1)[0]
    randomized = ar.FullRandomization().randomize(net, seed=SEED, example_inputs=example)
    drawn = ar.adapt(randomized, example_inputs=example)
    due = {key: value for key, value in torch_says.items() if key.startswith("weight ")}
    for place, layer in enumerate(drawn.layers()):
        values = drawn.read(layer.name)
        for number, parameter in enumerate(layer.drawing_order()):
            canonical = values[parameter.name].transpose(parameter.canonical_order)
            assert np.array_equal(canonical, due.pop(f"weight {place} {number} {parameter.role}"))
    assert not due


@pytest.mark.parametrize("name", EXPLAINERS)
def test_one_seed_gives_the_scores_that_it_gives_in_torch(
    name: str, of_images: ar.ModelRandomizationMetric, torch_says: dict[str, np.ndarray]
) -> None:
    scores = of_images.run(EXPLAINERS[name]).scores["spearman"]
    due = torch_says[f"float32 {name}"]
    assert scores.shape == due.shape == (1, BLOCKS, COUNT)
    apart = np.abs(scores - due)
    close = apart < 1e-3
    assert abs((scores - due)[close].mean()) < 1e-5
    # A ReLU whose input is within rounding of 0 opens in one framework and not in the other: in one sample of
    # a hundred, by a few thousandths. In float64 there is none, as the next test shows.
    assert close.mean() >= 0.99
    assert apart.max() < 5e-3
    assert abs((scores - due).mean()) < 3e-5


def test_without_rounding_every_sample_has_the_score_of_torch(
    test_data: Path, torch_says: dict[str, np.ndarray]
) -> None:
    x, y = images(test_data, COUNT)
    scores = metric(resnet20(test_data, np.float64), x.astype(np.float64), y).run("saliency").scores["spearman"]
    assert np.abs(scores - torch_says["float64 saliency"]).max() < 1e-6
