"""A framework in miniature: a NumPy network with exact gradients, its adapter, and its plugin hook."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar, Self

import array_api_compat.numpy
import numpy as np
import numpy.typing as npt

from agnostic_rand.adapters import (
    API_VERSION,
    Claim,
    Layer,
    OpenRequest,
    OrderSource,
    Parameter,
    ReluRule,
    Role,
    hookimpl,
)

Array = npt.NDArray[Any]
EPSILON = 1e-5
LAYER_NAMES = ("hidden1", "norm", "hidden2", "head")

_LINEAR: dict[str, tuple[Role, tuple[str, ...]]] = {
    "weight": ("kernel", ("out", "in")),
    "bias": ("bias", ("out",)),
}
_NORM: dict[str, tuple[Role, tuple[str, ...] | None]] = {
    "weight": ("scale", None),
    "bias": ("shift", None),
    "running_mean": ("mean", None),
    "running_var": ("variance", None),
}


class Net:
    """linear, normalization, tanh, linear, tanh, linear; inputs of any shape are flattened."""

    def __init__(
        self,
        *,
        features: int = 12,
        classes: int = 3,
        seed: int = 0,
        dtype: npt.DTypeLike = np.float64,
        adapter: type[FakeAdapter] | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        drawn = {
            "hidden1": _linear(rng, 8, features),
            "norm": {
                "weight": rng.uniform(0.5, 1.5, 8),
                "bias": rng.normal(0, 0.1, 8),
                "running_mean": rng.normal(0, 0.1, 8),
                "running_var": rng.uniform(0.5, 1.5, 8),
            },
            "hidden2": _linear(rng, 6, 8),
            "head": _linear(rng, classes, 6),
        }
        self.weights = {name: {k: v.astype(dtype) for k, v in held.items()} for name, held in drawn.items()}
        self.adapter_type = FakeAdapter if adapter is None else adapter

    def __call__(self, inputs: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.run(inputs)[2]

    def run(self, inputs: Array) -> tuple[Array, Array, Array]:
        """The activations of both hidden layers, and the outputs."""
        norm = self.weights["norm"]
        flat = inputs.reshape(inputs.shape[0], -1)
        centred = self._affine("hidden1", flat) - norm["running_mean"]
        first = np.tanh(centred * self._norm_factor() + norm["bias"])
        second = np.tanh(self._affine("hidden2", first))
        return first, second, self._affine("head", second)

    def gradient(self, inputs: Array, direction: Array) -> Array:
        """The gradient of the sum of `direction * outputs`, written out by hand."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._backward(inputs, direction)

    def _backward(self, inputs: Array, direction: Array) -> Array:
        first, second, _ = self.run(inputs)
        at_second = (direction @ self.weights["head"]["weight"]) * (1 - second**2)
        at_first = (at_second @ self.weights["hidden2"]["weight"]) * (1 - first**2) * self._norm_factor()
        flat: Array = at_first @ self.weights["hidden1"]["weight"]
        return flat.reshape(inputs.shape)

    def _norm_factor(self) -> Array:
        factor: Array = self.weights["norm"]["weight"] / np.sqrt(self.weights["norm"]["running_var"] + EPSILON)
        return factor

    def _affine(self, layer: str, inputs: Array) -> Array:
        held = self.weights[layer]
        product: Array = inputs @ held["weight"].T + held["bias"]
        return product


class FakeAdapter:
    """The contract over a `Net`, with a record of what is asked of it."""

    framework = "fake"
    channel_axis = 1
    order_source: OrderSource = "declared"
    calls: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, net: Net, *, forward: Callable[[Any, Array], Array] | None = None) -> None:
        self.net = net
        self.forward = forward
        self.writes: list[str] = []

    @property
    def native(self) -> Net:
        return self.net

    @property
    def xp(self) -> ModuleType:
        return array_api_compat.numpy

    def layers(self) -> tuple[Layer, ...]:
        return tuple(_describe(name, held) for name, held in self.net.weights.items())

    def read(self, layer: str) -> dict[str, Array]:
        return {name: value.copy() for name, value in self.net.weights[layer].items()}

    def write(self, layer: str, values: Mapping[str, Array]) -> None:
        self.writes.append(layer)
        for name, value in values.items():
            self.net.weights[layer][name][...] = value

    def clone(self) -> Self:
        return type(self)(copy.deepcopy(self.net), forward=self.forward)

    def asarray(self, x: Array) -> Array:
        array = np.array(x)
        return array.astype(self._dtype()) if array.dtype.kind == "f" else array

    def to_numpy(self, x: Any) -> Array:
        return np.asarray(x)

    def to_native(self, x: Array) -> Array:
        return x

    def predict(self, inputs: Array) -> Array:
        self.calls.append(("predict", len(inputs)))
        return self.net(inputs) if self.forward is None else self.forward(self.net, inputs)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        self.calls.append(("gradient", len(inputs)))
        classes = len(self.net.weights["head"]["bias"])
        direction = targets if targets.ndim == 2 else np.eye(classes)[targets]
        return self.net.gradient(inputs, direction.astype(self._dtype()))

    def _dtype(self) -> np.dtype[Any]:
        return self.net.weights["head"]["bias"].dtype


class InitializingAdapter(FakeAdapter):
    """Has an initializer for kernels only: a constant that tells the seed."""

    def native_init(self, layer: str, seed: int) -> dict[str, Array]:
        if layer == "norm":
            return {}
        shape = self.net.weights[layer]["weight"].shape
        return {"weight": np.random.default_rng(seed).uniform(5, 6, shape)}


class EstimatingAdapter(FakeAdapter):
    """Estimates the normalization's statistics on a batch."""

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, Array]]:
        seen = self.net._affine("hidden1", inputs.reshape(len(inputs), -1))
        estimated = {"running_mean": seen.mean(axis=0), "running_var": seen.var(axis=0)}
        return dict.fromkeys(layers, estimated)


class WatchingAdapter(FakeAdapter):
    """Counts the contexts in which foreign code works."""

    watched: ClassVar[list[int]] = []

    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        self.watched.append(len(inputs))
        yield lambda: None


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    if not isinstance(model, Net):
        return None

    def opened(request: OpenRequest) -> FakeAdapter:
        return model.adapter_type(model, forward=request.forward)

    return Claim("fake", Net, opened, API_VERSION)


def weights_of(net: Net) -> dict[tuple[str, str], bytes]:
    """The bits of all weights."""
    return {(layer, name): v.tobytes() for layer, held in net.weights.items() for name, v in held.items()}


def _linear(rng: np.random.Generator, out: int, inputs: int) -> dict[str, Array]:
    return {"weight": rng.normal(0, inputs**-0.5, (out, inputs)), "bias": rng.normal(0, 0.1, out)}


def _describe(layer: str, held: Mapping[str, Array]) -> Layer:
    known: Mapping[str, tuple[Role, tuple[str, ...] | None]] = _NORM if layer == "norm" else _LINEAR
    described = [Parameter(k, v.shape, str(v.dtype), *known[k]) for k, v in held.items()]
    return Layer(
        layer,
        "Norm" if layer == "norm" else "Linear",
        tuple(p for p in described if p.role not in ("mean", "variance")),
        tuple(p for p in described if p.role in ("mean", "variance")),
    )
