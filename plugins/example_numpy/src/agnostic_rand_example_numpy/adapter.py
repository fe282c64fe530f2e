"""The adapter of a NumPy network."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Self

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, OrderSource, Parameter, ReluRule, Role, refuse_misfits
from agnostic_rand.errors import ModelError, unknown_name
from agnostic_rand_example_numpy.network import Network, ReLU

MEANINGS: dict[str, tuple[Role, tuple[str, ...] | None]] = {
    "weight": ("kernel", ("in", "out")),
    "bias": ("bias", ("out",)),
    "scale": ("scale", None),
    "shift": ("shift", None),
    "mean": ("mean", None),
    "variance": ("variance", None),
}
RELU_RULES: dict[ReluRule, Callable[[HostArray, HostArray], HostArray] | None] = {
    "standard": None,
    "guided": lambda x, gradient: np.maximum(gradient, 0) * (x > 0),
    "deconv": lambda _, gradient: np.maximum(gradient, 0),
}


class NumpyAdapter:
    """A network as agnostic_rand sees it."""

    framework = "example_numpy"
    channel_axis = -1
    order_source: OrderSource = "traced"
    xp: ModuleType = np

    def __init__(self, network: Network) -> None:
        self.native = network
        self._arrays: dict[str, dict[str, HostArray]] = {}
        tied: dict[int, list[tuple[str, str]]] = {}
        for name in dict.fromkeys((*network.path, *network.modules)):
            for key, array in vars(network.modules[name]).items():
                tied.setdefault(id(array), []).append((name, key))
                if len(tied[id(array)]) == 1:
                    self._arrays.setdefault(name, {})[key] = array
        aliases = {place: [".".join(other) for other in others] for place, *others in tied.values()}
        self._layers = tuple(self._layer(name, aliases) for name in self._arrays)

    def _layer(self, name: str, aliases: Mapping[tuple[str, str], list[str]]) -> Layer:
        held = self._arrays[name]
        listed = [Parameter(key, array.shape, str(array.dtype), *MEANINGS[key]) for key, array in held.items()]
        statistics = tuple(p for p in listed if p.role in ("mean", "variance"))
        parameters = tuple(p for p in listed if p not in statistics)
        kind, tied = type(self.native.modules[name]).__name__, tuple(a for key in held for a in aliases[name, key])
        unused = () if name in self.native.path else tuple(p.name for p in parameters)
        return Layer(name, kind, parameters, statistics, tied, unused)

    def layers(self) -> tuple[Layer, ...]:
        """C1, C2: every array once, in the order in which the network's path comes by them."""
        return self._layers

    def read(self, layer: str) -> dict[str, HostArray]:
        """Copies of the layer's arrays."""
        return {name: array.copy() for name, array in self._held(layer).items()}

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """C3: fill the network's own arrays, so that tied ones stay tied."""
        refuse_misfits(layer, values, self._layers)
        for name, value in values.items():
            self._arrays[layer][name][...] = value

    def clone(self) -> Self:
        """C4: a deep copy, in which tied arrays are tied too."""
        return type(self)(copy.deepcopy(self.native))

    def asarray(self, x: HostArray) -> HostArray:
        """A copy; floating values in the network's precision."""
        return np.array(x, np.float32 if np.issubdtype(x.dtype, np.floating) else x.dtype)

    def to_numpy(self, x: HostArray) -> HostArray:
        """The array itself."""
        return x

    def to_native(self, x: HostArray) -> HostArray:
        """The array itself."""
        return x

    def predict(self, inputs: HostArray) -> HostArray:
        """The outputs `(n, classes)`."""
        with self._evaluating():
            return self.native(inputs)

    def gradient(self, inputs: HostArray, targets: HostArray, *, relu: ReluRule = "standard") -> HostArray:
        """The gradient of the targets' outputs."""
        if relu != "standard" and not any(isinstance(m, ReLU) for m in self.native.modules.values()):
            raise ModelError(
                f"relu={relu!r}", expected="a ReLU in the network", received="none", fix="Use Gradient()."
            )
        if targets.ndim == 1:
            targets = np.eye(self.predict(inputs[:1]).shape[1], dtype=np.float32)[targets]
        with self._evaluating():
            return self.native.differentiate(inputs, targets, RELU_RULES[relu])

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """SupportsReluRules: an optional capability, found by its method."""
        return tuple(RELU_RULES)

    def _held(self, layer: str) -> dict[str, HostArray]:
        if layer in self._arrays:
            return self._arrays[layer]
        raise unknown_name("layer", layer, self._arrays)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """C5: evaluation mode, and then the caller's mode again, also after an exception."""
        training, self.native.training = self.native.training, False
        try:
            yield
        finally:
            self.native.training = training
