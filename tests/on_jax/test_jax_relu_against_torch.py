"""The ReLU rules of both backends agree on a convolutional network with the same weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zoo
from flax import linen as nn

import agnostic_rand as ar

torch = pytest.importorskip("torch", reason="the comparison needs torch")


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(5, (3, 3), name="a")(x))
        x = jnp.maximum(nn.Conv(5, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)), name="b")(x), 0)
        x = jax.nn.relu6(3 * nn.Dense(7, name="c")(x.reshape(x.shape[0], -1)))
        return nn.Dense(4, name="d")(x)


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(3, 5, 3, padding=1)
        self.b = torch.nn.Conv2d(5, 5, 3, stride=2, padding=1)
        self.c = torch.nn.Linear(80, 7)
        self.d = torch.nn.Linear(7, 4)

    def forward(self, x):
        x = torch.relu(self.a(x))
        x = self.b(x).clamp(min=0)
        # Flax flattens channels last.
        x = torch.nn.functional.relu6(3 * self.c(x.permute(0, 2, 3, 1).flatten(1)))
        return self.d(x)


@pytest.fixture(scope="module")
def twins():
    flax_model = zoo.linen_pair(Net(), zoo.IMAGES)
    ours = ar.adapt(flax_model, example_inputs=zoo.IMAGES[:1])
    theirs = ar.adapt(TorchNet(), example_inputs=zoo.CHANNELS_FIRST[:1])
    for layer in theirs.layers():
        values = ours.read(layer.name)
        kernel = values["kernel"]
        theirs.write(
            layer.name,
            {"weight": kernel.transpose((3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)), "bias": values["bias"]},
        )
    return ours, theirs


@pytest.mark.parametrize("rule", ["standard", "guided", "deconv"])
def test_rules_agree(twins, rule):
    ours, theirs = twins
    labels = np.arange(6) % 4
    mine = ours.output_and_gradient(ours.asarray(zoo.IMAGES), ours.asarray(labels), relu=rule)
    other = theirs.output_and_gradient(theirs.asarray(zoo.CHANNELS_FIRST), theirs.asarray(labels), relu=rule)
    np.testing.assert_allclose(mine[0], theirs.to_numpy(other[0]), atol=1e-4)
    np.testing.assert_allclose(mine[1], np.moveaxis(theirs.to_numpy(other[1]), 1, -1), atol=1e-4)
    assert np.abs(np.asarray(mine[1])).max() > 1e-2
