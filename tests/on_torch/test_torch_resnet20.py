"""A trained ResNet-20 on real images: the findings of the literature come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from resnet20 import ResNet20, load_images, load_resnet20

import agnostic_rand as ar
from agnostic_rand.errors import FindingWarning


@pytest.fixture(scope="module")
def net(test_data: Path) -> ResNet20:
    return load_resnet20(test_data)


def test_the_network_is_right_on_91_percent(net: ResNet20, test_data: Path) -> None:
    images, labels = load_images(test_data, 1000)
    adapter = ar.adapt(net)
    found = adapter.predict(adapter.asarray(images)).argmax(1).numpy()
    assert (found == labels).mean() >= 0.91


def test_every_parameter_is_covered_in_the_order_of_use(net: ResNet20) -> None:
    adapter = ar.adapt(net, example_inputs=np.zeros((1, 3, 32, 32), "f"))
    names = [layer.name for layer in adapter.layers()]
    assert sum(layer.size for layer in adapter.layers()) == sum(p.numel() for p in net.parameters()) == 269_722
    parts = ("conv1", "bn1", "conv2", "bn2")
    blocks = [f"layer{stage}.{block}.{part}" for stage in (1, 2, 3) for block in range(3) for part in parts]
    assert names == ["conv1", "bn1", *blocks, "linear"]


def test_guided_backprop_survives_the_top_layer_and_the_gradient_does_not(net: ResNet20, test_data: Path) -> None:
    metric = ar.ModelRandomizationMetric(
        net,
        *load_images(test_data, 1000),
        randomization_strategy=ar.ProgressiveLayerRandomization(stop_layer=1),
        batch_size=100,
        seed=0,
    )
    with pytest.warns(FindingWarning, match="less than half"):
        gradient, guided = metric.evaluate("gradient"), metric.evaluate("guided_backprop")
    assert guided > gradient + 0.2


def test_nothing_of_the_gradient_survives_full_randomization(net: ResNet20, test_data: Path) -> None:
    metric = ar.ModelRandomizationMetric(
        net, *load_images(test_data, 1000), randomization_strategy=ar.FullRandomization(), batch_size=100, seed=0
    )
    result = metric.run("gradient")
    assert result.coverage == 1.0
    assert abs(result.mean("spearman")[-1]) <= 0.1
    # Random weights do not blow up: statistics are those of a fresh network.
    assert result.outputs.scale.max() < 1e4
    assert np.abs(result.outputs.correlation).max() < 0.5


def test_the_networks_own_weights_are_untouched(net: ResNet20, test_data: Path) -> None:
    fresh = load_resnet20(test_data).state_dict()
    assert all(torch.equal(tensor, fresh[name]) for name, tensor in net.state_dict().items())
