"""One explanation, outside of any check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import agnostic_rand as ar
from agnostic_rand.errors import (
    ExplanationError,
    InputError,
    UnknownNameError,
)

from .fakes import Array, FakeAdapter, Net
from .runs import TARGETS, gradient

pytestmark = pytest.mark.usefixtures("fake_backend")


@pytest.mark.parametrize("batch_size", [1, 6, 64])
def test_explaining_once_gives_the_maps_themselves(net: Net, inputs: Array, batch_size: int) -> None:
    maps = ar.explain(net, inputs, TARGETS, "gradient", batch_size=batch_size)
    np.testing.assert_allclose(maps, gradient(net, inputs, TARGETS))
    frozen = ar.explain(net, inputs, None, gradient, batch_size=batch_size)
    np.testing.assert_allclose(frozen, gradient(net, inputs, net(inputs).argmax(axis=1)))
    assert max(size for _, size in FakeAdapter.calls) <= batch_size
    noise = ar.explain(net, inputs, None, "random_map", batch_size=batch_size, seed=4)
    np.testing.assert_array_equal(noise, ar.explain(net, inputs, None, "random_map", seed=4))


def test_explaining_once_checks_what_it_gets(net: Net, inputs: Array) -> None:
    with pytest.raises(InputError, match="labels from 0 to 2"):
        ar.explain(net, inputs, np.full(20, 3), "gradient")
    with pytest.raises(ExplanationError, match=r"'short'.*received shape \(20, 5\)"):
        ar.explain(net, inputs, None, short)


def short(model: Net, x: Array, y: Array) -> Array:
    return x[:, :5]


@pytest.mark.parametrize("around", ["SmoothGrad", "SmoothGradSquared", "VarGrad", "PermutedMap"])
def test_a_base_method_may_be_named_wherever_an_object_may(net: Net, inputs: Array, around: str) -> None:
    made: Any = getattr(ar.explainers, around)
    by_name, by_object = (
        ar.explain(net, inputs, None, made(base=base)) for base in ("saliency", ar.explainers.Saliency())
    )
    np.testing.assert_array_equal(by_name, by_object)
    with pytest.raises(UnknownNameError, match="Did you mean 'saliency'"):
        made(base="salency")
