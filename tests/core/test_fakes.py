"""The fake framework is only a fair judge if its gradients are right."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import ModelAdapter

from .fakes import Array, FakeAdapter, Net, weights_of


def test_the_fake_adapter_has_every_member_of_the_contract(net: Net) -> None:
    assert isinstance(FakeAdapter(net), ModelAdapter)


def test_gradients_are_those_of_finite_differences(net: Net, inputs: Array) -> None:
    adapter, targets, step = FakeAdapter(net), np.arange(20) % 3, 1e-6
    gradient = adapter.gradient(inputs, targets)
    for feature in range(12):
        shift = np.eye(12)[feature] * step
        rise = (net(inputs + shift) - net(inputs - shift)) / (2 * step)
        np.testing.assert_allclose(gradient[:, feature], rise[np.arange(20), targets], atol=1e-8)


def test_a_clone_shares_no_weight(net: Net) -> None:
    before = weights_of(net)
    FakeAdapter(net).clone().write("head", {"bias": np.full(3, 9.0)})
    assert weights_of(net) == before
