"""Small NumPy networks, and what NumPy itself says of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from agnostic_rand_example_numpy.network import BatchNorm, Dense, Module, Network, ReLU
from full_numpy import GENERATOR, FullNumpyAdapter
from relu_forms import Masked

from agnostic_rand.adapters import HostArray, ModelAdapter, OpenRequest
from agnostic_rand.testing import Case, Facts, Native, Rectified

Adapt = Callable[[Network], ModelAdapter]


def parameters_of(network: Network) -> list[HostArray]:
    arrays = [
        array
        for module in network.modules.values()
        for key, array in vars(module).items()
        if key in ("weight", "bias", "scale", "shift")
    ]
    return [array.copy() for array in {id(array): array for array in arrays}.values()]


def outputs_of(network: Network, inputs: HostArray) -> HostArray:
    for name in network.path:
        inputs = network.modules[name].forward(inputs, training=False)
    return inputs


def disturb(network: Network) -> None:
    network.training = not network.training


NATIVE = Native(
    outputs=outputs_of,
    parameters=parameters_of,
    flags=lambda network: network.training,
    draw=lambda: GENERATOR.random(3),
    disturb=disturb,
)


def inputs_of(features: int) -> HostArray:
    return np.random.default_rng(7).normal(0.3, 1.0, (8, features)).astype(np.float32)


def mlp(last: Module | None = None) -> Network:
    rng = np.random.default_rng(1)
    modules: dict[str, Module] = {
        "head": Dense.create(6, 3, rng),
        "first": Dense.create(5, 7, rng),
        "relu": ReLU(),
        "second": Dense.create(7, 6, rng),
        "last": last or ReLU(),
    }
    return _with_biases(Network(modules, path=("first", "relu", "second", "last", "head")))


class Bound(Dense):
    """A layer that a copy of the network shares with the original."""

    def __deepcopy__(self, memo: object) -> Bound:
        return self


def bound() -> Network:
    network = mlp()
    first = network.modules["first"]
    assert isinstance(first, Dense)
    network.modules["first"] = Bound(first.weight, first.bias)
    return network


def with_a_second_head() -> Network:
    rng = np.random.default_rng(6)
    modules: dict[str, Module] = {
        "first": Dense.create(5, 7, rng),
        "relu": ReLU(),
        "second_head": Dense.create(7, 2, rng),
        "head": Dense.create(7, 3, rng),
    }
    return _with_biases(Network(modules, path=("first", "relu", "head")))


def normalized() -> Network:
    rng = np.random.default_rng(2)
    norm = BatchNorm(8)
    norm.mean += rng.normal(0, 0.5, 8)
    norm.variance *= rng.uniform(0.5, 2, 8)
    norm.shift += 0.3
    modules: dict[str, Module] = {
        "dense": Dense.create(5, 8, rng),
        "norm": norm,
        "relu": ReLU(),
        "head": Dense.create(8, 4, rng),
    }
    return _with_biases(Network(modules))


def tied() -> Network:
    rng = np.random.default_rng(3)
    first, head = Dense.create(4, 4, rng), Dense.create(4, 4, rng)
    again = Dense(first.weight, np.zeros(4, np.float32))
    network = _with_biases(Network({"first": first, "relu": ReLU(), "again": again, "head": head}))
    # Each case is in training mode but this one, so that an adapter which sets either is seen.
    network.training = False
    return network


def single() -> Network:
    return _with_biases(Network({"only": Dense.create(6, 1, np.random.default_rng(4))}))


def numpy_cases(adapt: Adapt = FullNumpyAdapter) -> list[Case]:
    """New cases, opened by `adapt` instead of an installed plugin."""
    case = partial(Case, open=partial(_open, adapt), native=NATIVE)
    axes = {"first/weight": ("in", "out"), "first/bias": ("out",)}
    return [
        case(
            "mlp",
            mlp(),
            inputs_of(5),
            np.array([2, 0, 1, 1, 0, 2, 2, 1]),
            facts=Facts(
                order=("first", "second", "head"),
                parameter_count=111,
                axes=axes,
                dense_relu=True,
                times=times,
                unused=(),
                bound=bound,
                rectified=(Rectified("times its mask", "module", lambda: mlp(Masked()), layer=1),),
            ),
        ),
        case(
            "second head",
            with_a_second_head(),
            inputs_of(5),
            facts=Facts(order=("first", "head", "second_head"), unused=("second_head/weight", "second_head/bias")),
        ),
        case("normalized", normalized(), inputs_of(5), facts=Facts(order=("dense", "norm", "head"))),
        case(
            "tied",
            tied(),
            inputs_of(4),
            facts=Facts(tied=lambda network: [network.modules[name].weight for name in ("first", "again")]),
        ),
        case("single", single(), inputs_of(6), facts=Facts(parameter_count=7)),
    ]


def times(network: Network, inputs: Any) -> HostArray:
    return outputs_of(network, inputs[0]) * inputs[1]


def _with_biases(network: Network) -> Network:
    rng = np.random.default_rng(5)
    for module in network.modules.values():
        if isinstance(module, Dense):
            module.bias += rng.normal(0, 0.2, module.bias.shape)
    return network


def _open(adapt: Adapt, model: Any, request: OpenRequest) -> ModelAdapter:
    return adapt(model)
