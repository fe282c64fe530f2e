"""The example adapter with every capability of the contract: what the kit must find no fault with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from agnostic_rand_example_numpy.adapter import RELU_RULES, NumpyAdapter
from agnostic_rand_example_numpy.network import Array, BatchNorm, Dense

from agnostic_rand.adapters import (
    HostArray,
    ModelAdapter,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    joined,
    repeated,
)
from agnostic_rand.errors import unknown_name

GENERATOR = np.random.default_rng(0)
"""The global generator that this framework would have."""


@dataclass(frozen=True)
class NumpyFromLayer:
    adapter: FullNumpyAdapter
    inputs: Array
    start: int

    @property
    def output(self) -> Array:
        return self.adapter._reached(self.inputs)[self.start]

    def predict(self, output: Array) -> Array:
        for name in self.adapter.native.path[self.start :]:
            output = self.adapter.native.modules[name].forward(output, training=False)
        return output * self.adapter.factors(len(output))

    def gradient(self, output: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        reached = [output]
        path = self.adapter.native.path[self.start :]
        for name in path:
            reached.append(self.adapter.native.modules[name].forward(reached[-1], training=False))
        gradient = self.adapter._weights(self.inputs, targets)
        for name, x in zip(reversed(path), reversed(reached[:-1]), strict=True):
            gradient = self.adapter.native.modules[name].backward(x, gradient)
        return gradient


class FullNumpyAdapter(NumpyAdapter):
    """A second input multiplies the outputs."""

    side_inputs: SideInputs | None = None

    def beside(self, inputs: SideInputs) -> FullNumpyAdapter:
        twin = copy.copy(self)
        twin.side_inputs = inputs
        return twin

    def factors(self, rows: int) -> Array | float:
        return 1.0 if self.side_inputs is None else joined(repeated(self.side_inputs, rows), None)[1]

    def predict(self, inputs: Array) -> Array:
        return super().predict(inputs) * self.factors(len(inputs))

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> Array:
        return super().gradient(inputs, targets, relu=relu) * self.factors(len(inputs))

    other_arrays: tuple[str, ...] = ()

    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        used = {id(array) for name in self.native.path for array in vars(self.native.modules[name]).values()}
        assert isinstance(of, NumpyAdapter)
        held = ((layer, name, array) for layer, arrays in of._arrays.items() for name, array in arrays.items())
        return Reads(frozenset((layer, name) for layer, name, array in held if id(array) in used))

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[Array, Array]:
        return self.predict(inputs), self.gradient(inputs, targets, relu=relu)

    def native_init(self, layer: str, seed: int) -> dict[str, HostArray]:
        held, module = self._held(layer), self.native.modules[layer]
        if not isinstance(module, Dense):
            return {}
        fresh = zip(("weight", "bias"), module.initial_values(np.random.default_rng(seed)), strict=True)
        return {name: value for name, value in fresh if name in held}

    def estimate_statistics(self, inputs: Array, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        for name in layers:
            self._held(name)
        estimated: dict[str, dict[str, HostArray]] = {}
        for name in self.native.path:
            module = self.native.modules[name]
            if name in layers and isinstance(module, BatchNorm):
                estimated[name] = {"mean": inputs.mean(axis=0), "variance": inputs.var(axis=0)}
                normal = (inputs - inputs.mean(axis=0)) / np.sqrt(inputs.var(axis=0) + module.epsilon)
                inputs = normal * module.scale + module.shift
            else:
                inputs = module.forward(inputs, training=False)
        return estimated

    def layer_shapes(self, inputs: Array) -> dict[str, tuple[int, ...]]:
        return {
            name: output.shape for name, output in zip(self.native.path, self._reached(inputs)[1:], strict=True)
        }

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[Array, Array]:
        if layer not in self.native.path:
            raise unknown_name("layer", layer, self.native.path)
        reached = self._reached(inputs)
        gradients = self._gradients(reached, self._weights(inputs, targets), "standard")
        last = max(i for i, name in enumerate(self.native.path) if name == layer) + 1
        return reached[last], gradients[last] * self.factors(len(inputs))

    def from_layer(self, inputs: Array, layer: str) -> NumpyFromLayer:
        if self.native.path.count(layer) != 1:
            raise unknown_name("layer", layer, self.native.path)
        return NumpyFromLayer(self, inputs, self.native.path.index(layer) + 1)

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        averages: dict[tuple[str, str], tuple[Any, Any]] = {}
        steps = 0

        def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            nonlocal steps
            steps += 1
            reached = self._reached(self.asarray(inputs))
            outputs = reached[-1].astype(np.float64)
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            chances = powers / powers.sum(axis=1, keepdims=True)
            hot = np.eye(outputs.shape[1])[labels]
            slopes = self._slopes(reached, (chances - hot) / len(labels))
            for place, slope in slopes.items():
                first, second = averages.get(place, (0.0, 0.0))
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                averages[place] = first, second
                root = np.sqrt(second / (1 - 0.999**steps)) + 1e-8
                getattr(self.native.modules[place[0]], place[1])[...] -= (
                    learning_rate * (first / (1 - 0.9**steps)) / root
                )
            loss = -np.log((chances * hot).sum(axis=1)).mean()
            return float(loss), int((outputs.argmax(axis=1) == labels).sum())

        return step

    @contextmanager
    def explaining(self, inputs: Array) -> Iterator[Callable[[], Array | None]]:
        with self._evaluating():
            yield lambda: None

    def kept_state(self) -> Callable[[], None]:
        training = self.native.training

        def restore() -> None:
            self.native.training = training

        return restore

    def random_state(self) -> Any:
        return GENERATOR.bit_generator.state

    def set_random_state(self, state: Any) -> None:
        GENERATOR.bit_generator.state = state

    def _reached(self, inputs: Array) -> list[Array]:
        reached = [inputs]
        for name in self.native.path:
            reached.append(self.native.modules[name].forward(reached[-1], training=False))
        return reached

    def _weights(self, inputs: Array, targets: Array) -> Array:
        return (
            targets if targets.ndim == 2 else np.eye(self.predict(inputs[:1]).shape[1], dtype=np.float32)[targets]
        )

    def _gradients(self, reached: list[Array], weights: Array, rule: ReluRule) -> list[Array]:
        assert RELU_RULES[rule] is None
        gradients = [weights]
        for name, x in zip(reversed(self.native.path), reversed(reached[:-1]), strict=True):
            gradients.append(self.native.modules[name].backward(x, gradients[-1]))
        return gradients[::-1]

    def _slopes(self, reached: list[Array], weights: Array) -> dict[tuple[str, str], Array]:
        gradients = self._gradients(reached, weights, "standard")
        slopes: dict[tuple[str, str], Array] = {}
        for i, name in enumerate(self.native.path):
            module, x, gradient = self.native.modules[name], reached[i], gradients[i + 1]
            found: dict[str, Array] = {}
            if isinstance(module, Dense):
                found = {"weight": x.T @ gradient, "bias": gradient.sum(axis=0)}
            elif isinstance(module, BatchNorm):
                normal = (x - module.mean) / np.sqrt(module.variance + module.epsilon)
                found = {"scale": (gradient * normal).sum(axis=0), "shift": gradient.sum(axis=0)}
            for key, slope in found.items():
                slopes[name, key] = slopes.get((name, key), 0.0) + slope
        return slopes
