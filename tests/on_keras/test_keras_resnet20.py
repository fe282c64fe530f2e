"""One seed, one score: ResNet-20 in Keras, and in PyTorch in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import torch_reference
from keras_cases import host
from keras_resnet20 import images, resnet20

import agnostic_rand as ar
from agnostic_rand.adapters import ModelAdapter

COUNT, FEW = 100, 20


@pytest.fixture(scope="module")
def torch_says(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What PyTorch itself computes, in a process without Keras."""
    output = tmp_path_factory.mktemp("torch") / "reference.npz"
    command = [sys.executable, torch_reference.__file__, str(test_data), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    with np.load(output) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def net(test_data: Path) -> keras.Model:
    return resnet20(test_data)


@pytest.fixture(scope="module")
def adapter(net: keras.Model) -> ModelAdapter:
    return ar.adapt(net)


@pytest.fixture(scope="module")
def scores(net: keras.Model, test_data: Path) -> dict[str, np.ndarray]:
    # JAX compiles for each size of batch, and the metric looks at four samples first.
    batch = 4 if keras.backend.backend() == "jax" else 50
    return torch_reference.scores(net, *images(test_data, COUNT), list(torch_reference.explainers()), batch)


def test_outputs_are_those_of_torch(adapter: ModelAdapter, test_data: Path, torch_says: dict) -> None:
    x, y = images(test_data, COUNT)
    outputs = host(adapter.predict(adapter.asarray(x)))
    assert np.abs(outputs - torch_says["outputs"]).max() < 1e-4
    # Of the 1000 images 915 are right.
    assert (outputs.argmax(axis=1) == y).sum() == (torch_says["outputs"].argmax(axis=1) == y).sum() >= 85


def test_layers_stand_in_the_order_of_torch(adapter: ModelAdapter) -> None:
    names = [layer.name for layer in adapter.layers()]
    assert names[:4] == ["conv1", "bn1", "layer1_0_conv1", "layer1_0_bn1"]
    assert names[-3:] == ["layer3_2_conv2", "layer3_2_bn2", "linear"]
    assert adapter.order_source == "traced"
    assert sum(layer.size for layer in adapter.layers()) == 269_722


def test_one_seed_draws_the_weights_that_it_draws_in_torch_bit_for_bit(
    net: keras.Model, torch_says: dict[str, np.ndarray]
) -> None:
    drawn = ar.adapt(ar.FullRandomization().randomize(net, seed=torch_reference.SEED))
    due = {key: value for key, value in torch_says.items() if key.startswith("weight ")}
    for place, layer in enumerate(drawn.layers()):
        values = drawn.read(layer.name)
        for number, parameter in enumerate(layer.drawing_order()):
            canonical = values[parameter.name].transpose(parameter.canonical_order)
            assert np.array_equal(canonical, due.pop(f"weight {place} {number}"))
    assert not due


@pytest.mark.parametrize("name", torch_reference.explainers())
def test_one_seed_gives_the_scores_that_it_gives_in_torch(
    name: str, scores: dict[str, np.ndarray], torch_says: dict[str, np.ndarray], record_property: Callable
) -> None:
    ours, theirs = scores[name], torch_says[f"float32 {name}"]
    assert ours.shape == theirs.shape == (1, torch_reference.GROUPS, COUNT)
    apart = np.abs(ours - theirs)
    close = apart < 1e-3
    line = f"{name}: mean {ours.mean() - theirs.mean():.1e}, {(~close).sum()} above 1e-3, largest {apart.max():.1e}"
    record_property("apart", line)
    assert abs((ours - theirs)[close].mean()) < 1e-5
    # Rounding turns a ReLU whose input is next to zero on or off: rarely, and in either framework.
    assert close.mean() >= 0.98
    assert apart.max() < 1e-2


def test_without_rounding_every_sample_has_the_score_of_torch(
    test_data: Path, torch_says: dict[str, np.ndarray]
) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras computes means and products of float64 in float32 there")
    x, y = images(test_data, FEW)
    found = torch_reference.scores(resnet20(test_data, "float64"), x.astype(np.float64), y, ["saliency"])
    assert np.abs(found["saliency"] - torch_says["float64 saliency"]).max() < 1e-6
