"""A copy whose functions are still bound to the original's layers is refused, not scored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import agnostic_rand as ar
from agnostic_rand.errors import ModelError

X = np.random.default_rng(0).standard_normal((6, 6)).astype("f")


class Net(nn.Module):
    def __init__(self, bind: Callable[[Net], object]) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.function = bind(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        function = self.function
        if isinstance(function, dict):
            function = function["f"][0]
        return self.head(torch.relu(function(x)))  # type: ignore[operator]

    def through_body(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Holder:
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.function = function

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def applied(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return layer(x)


BOUND: dict[str, Callable[[Net], object]] = {
    "closure over the model": lambda net: lambda x: net.body(x),
    "closure over a layer": lambda net: (lambda body: lambda x: body(x))(net.body),
    "closure over a parameter": lambda net: (lambda w: lambda x: F.linear(x, w))(net.body.weight),
    "default": lambda net: lambda x, body=net.body: body(x),
    "keyword default": lambda net: lambda x, *, body=net.body: body(x),
    "partial of a closure": lambda net: partial(lambda scale, x: scale * net.body(x), 2.0),
    "nested": lambda net: (lambda inner: lambda x: inner(x))(lambda x: net.body(x)),
    "in containers": lambda net: {"f": [lambda x: net.body(x)]},
    "in an object": lambda net: Holder(lambda x: net.body(x)),
}

COPIED: dict[str, Callable[[Net], object]] = {
    "bound method": lambda net: net.through_body,
    "bound method of a layer": lambda net: net.body.forward,
    "partial of a layer": lambda net: partial(applied, net.body),
    "partial of a bound method": lambda net: partial(net.through_body),
    "closure over no layer": lambda _: (lambda scale: lambda x: scale * x)(2.0),
}


@pytest.mark.parametrize("bind", BOUND.values(), ids=BOUND)
def test_a_function_that_closes_over_the_original_is_refused(bind: Callable[[Net], object]) -> None:
    net = Net(bind)
    with pytest.raises(ModelError, match=r"'function' uses the original.*isolation='in_place'"):
        ar.adapt(net).clone()


def test_a_model_that_is_named_at_the_top_of_a_script_is_found() -> None:
    namespace: dict[str, object] = {}
    exec("def function(x):\n    return net.body(x)", namespace)
    net = Net(lambda _: namespace["function"])
    namespace["net"] = net
    with pytest.raises(ModelError, match="uses the original"):
        ar.adapt(net).clone()


def test_a_hook_that_closes_over_the_original_is_refused() -> None:
    net = Net(lambda net: net.through_body)
    net.head.register_forward_hook(lambda _module, _inputs, output: output + net.body(output.new_ones(1, 6)).sum())
    with pytest.raises(ModelError, match=r"'head\._forward_hooks' uses the original"):
        ar.adapt(net).clone()


@pytest.mark.parametrize("bind", COPIED.values(), ids=COPIED)
def test_what_a_deep_copy_binds_anew_is_copied(bind: Callable[[Net], object]) -> None:
    net = Net(bind)
    twin = ar.adapt(net).clone()
    x = torch.from_numpy(X)
    torch.testing.assert_close(twin.native(x), net(x))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert twin.native(x).abs().sum() > 0


def test_weights_of_such_a_model_are_randomized_in_place() -> None:
    torch.manual_seed(0)
    net = Net(BOUND["closure over the model"])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    strategy = ar.IndependentRandomization()
    options = {"randomization_strategy": strategy, "seed": 0, "isolation": "in_place"}
    result = ar.ModelRandomizationMetric(net, X, **options).run("gradient")  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert np.nanmax(np.abs(result.mean())) < 0.95
