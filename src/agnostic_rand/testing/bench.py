"""Bench of a case: its adapter opened, as the checks work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from agnostic_rand.adapters import (
    Array,
    Forward,
    HostArray,
    Layer,
    ModelAdapter,
    OpenRequest,
    ReluRule,
    SideInputs,
    SupportsReluRules,
    adapt,
    joined,
)
from agnostic_rand.errors import ModelError
from agnostic_rand.testing.case import Case
from agnostic_rand.testing.compare import Values, changed, representable, same_bits
from agnostic_rand.testing.expectation import ContractError, NotApplicableError, expect
from agnostic_rand.testing.snapshots import NativeState, native_state

_TOLERANCES = {"float64": 1e-8, "float32": 2e-4}
_COARSE = 4e-2


class Bench:
    """An opened case.

    Args:
        case: The model and its data.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.before_opening = native_state(case, case.model)
        self.adapter = open_adapter(case)
        self.after_opening = native_state(case, case.model)
        self.layers: tuple[Layer, ...] = self.adapter.layers()
        self.inputs = self.adapter.asarray(case.inputs)
        self.values = self.read()
        self.state = self.native_state()
        self.outputs = self.predict(self.inputs)
        self.tolerance = max((_TOLERANCES.get(dtype, _COARSE) for dtype in self._dtypes()), default=_COARSE)

    @property
    def classes(self) -> int:
        """The number of the model's outputs."""
        return int(self.outputs.shape[1])

    @property
    def labels(self) -> HostArray:
        """The integer targets `(n,)`."""
        return self.case.labels_for(self.classes)

    def read(self, adapter: ModelAdapter | None = None) -> Values:
        """All values, of another adapter where one is given."""
        adapter = adapter or self.adapter
        # Copies: what an adapter at fault hands out may be the model's own arrays.
        return {
            layer.name: {name: np.array(value) for name, value in adapter.read(layer.name).items()}
            for layer in adapter.layers()
        }

    def host(self, x: Array) -> HostArray:
        """An array on the host, as float64 where it is floating."""
        array = np.asarray(self.adapter.to_numpy(x))
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    def predict(self, inputs: Array, adapter: ModelAdapter | None = None) -> HostArray:
        """Outputs `(n, classes)` on the host."""
        adapter = adapter or self.adapter
        outputs = np.asarray(adapter.to_numpy(adapter.predict(inputs)), dtype=np.float64)
        expect(
            outputs.ndim == 2 and outputs.shape[0] == inputs.shape[0],
            f"predict returned shape {outputs.shape} for {inputs.shape[0]} samples: (n, classes) is due",
        )
        return outputs

    def gradient(self, targets: HostArray, relu: ReluRule = "standard", inputs: Array = None) -> HostArray:
        """Gradients on the host, for host targets."""
        inputs = self.inputs if inputs is None else inputs
        return self.host(self.adapter.gradient(inputs, self.adapter.asarray(targets), relu=relu))

    def one_hot(self, labels: HostArray) -> HostArray:
        """Weights `(n, classes)` that pick one output each."""
        return np.eye(self.classes, dtype=np.float32)[labels]

    def native_state(self) -> NativeState:
        """What the framework says of the model now."""
        return native_state(self.case, self.adapter.native)

    def working_rules(self) -> tuple[ReluRule, ...]:
        """The rules besides the standard one that the adapter has, where the model has a ReLU."""
        if not isinstance(self.adapter, SupportsReluRules):
            return ()
        works = []
        for rule in self.adapter.relu_rules():
            if rule != "standard":
                try:
                    self.gradient(self.labels, rule)
                except ModelError:
                    continue
                works.append(rule)
        return tuple(works)

    def need(self, capability: type) -> Any:
        """The adapter, which has the capability.

        Raises:
            NotApplicableError: It lacks it.
        """
        if not isinstance(self.adapter, capability):
            raise NotApplicableError(f"the adapter lacks {capability.__name__}")
        return self.adapter

    def need_gradient(self) -> None:
        """State that the inputs can be differentiated.

        Raises:
            NotApplicableError: They are integers.
        """
        if np.asarray(self.case.inputs).dtype.kind != "f":
            raise NotApplicableError("the inputs are integers, which have no gradient")

    def write(self, values: Values, adapter: ModelAdapter | None = None) -> None:
        """Write copies of values, layer by layer."""
        for layer, held in values.items():
            (adapter or self.adapter).write(layer, {name: value.copy() for name, value in held.items()})

    @contextmanager
    def restored(self) -> Iterator[None]:
        """A context in which weights may be written: those from before are written at its end."""
        try:
            yield
        finally:
            self.write(self.values)

    def other_values(self, seed: int) -> dict[str, dict[str, HostArray]]:
        """Moderate other values for all floating parameters, by which outputs stay finite."""
        rng = np.random.default_rng(seed)
        return {
            layer.name: {
                p.name: representable(_moved(self.values[layer.name][p.name], rng), p.dtype)
                for p in layer.parameters
                if self.values[layer.name][p.name].dtype.kind == "f"
            }
            for layer in self.layers
        }

    def pristine(self) -> bool:
        """Whether the model is as it was when it was opened."""
        return (
            self.native_state() == self.state
            and not changed(self.values, self.read())
            and same_bits(self.predict(self.inputs), self.outputs)
        )

    def _dtypes(self) -> set[str]:
        return {p.dtype for layer in self.layers for p in layer.parameters if "float" in p.dtype}


def open_adapter(
    case: Case, *, forward: Forward | None = None, example_beside: SideInputs | None = None
) -> ModelAdapter:
    """The adapter of a case's model, called in another way where `forward` is given.

    Raises:
        ContractError: What was opened lacks a member of the contract.
    """
    request = OpenRequest(case.inputs[:1], forward or case.forward, example_beside)
    if case.open is None:
        example = case.inputs[:1] if example_beside is None else joined(example_beside, case.inputs[:1])
        return adapt(case.model, backend=case.backend, example_inputs=example, forward=request.forward)
    adapter: Any = case.open(case.model, request)
    if not isinstance(adapter, ModelAdapter):
        raise ContractError(f"{type(adapter).__name__} lacks a member of ModelAdapter")
    return adapter


def _moved(value: HostArray, rng: np.random.Generator) -> HostArray:
    spread = float(np.abs(value).max(initial=0.0)) or 1.0
    noise = rng.uniform(-0.5, 0.5, value.shape) * min(spread, 1.0)
    moved: HostArray = (value.astype(np.float64) + noise).astype(value.dtype)
    return moved
