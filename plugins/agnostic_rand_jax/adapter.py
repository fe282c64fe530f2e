"""What the adapters of all kinds of JAX models share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import (
    Array,
    HostArray,
    Layer,
    ModelAdapter,
    OrderSource,
    Reads,
    ReluRule,
    SideInputs,
    TrainingStep,
    by_first_use,
)
from agnostic_rand.errors import InputError, WeightsError, unknown_name
from agnostic_rand_jax.arrays import host_copy, on_host, placed, replacing
from agnostic_rand_jax.calling import with_side_inputs
from agnostic_rand_jax.compiled import Compiled, Outputs, Values
from agnostic_rand_jax.inventory import Leaf, layers_of, with_distinct_parameters
from agnostic_rand_jax.spectral import SpectralLink, following
from agnostic_rand_jax.tracing import Trace
from agnostic_rand_jax.training import TrainingFunction, adam_update, trainer


class JaxAdapter(ABC):
    """A model seen as a pure function of named arrays.

    Args:
        leaves: Its parameters and statistics, in the order of declaration.
        outputs: `outputs(values, inputs)`, in evaluation mode. It must not refer to the arrays.
        trace: What a call of `outputs` on an example showed, or `None`.
    """

    framework = "jax"
    channel_axis = -1

    def __init__(self, leaves: Sequence[Leaf], outputs: Outputs, trace: Trace | None) -> None:
        leaves = with_distinct_parameters(leaves)
        self._leaves = {leaf.key: leaf for leaf in leaves}
        self._keys: dict[str, dict[str, str]] = {}
        for leaf in leaves:
            self._keys.setdefault(leaf.layer, {})[leaf.parameter.name] = leaf.key
        self._layers = layers_of(leaves)
        self._compiled = Compiled(outputs)
        self.side_inputs: SideInputs | None = None
        self._spectral: tuple[SpectralLink, ...] = ()
        self.order_source: OrderSource = "declared"
        self.other_arrays: tuple[str, ...] = ()
        # Adapters of copies have another one; those beside other inputs have the same.
        self._weights = object()
        if trace is not None:
            order = (self._leaves[key].layer for key in trace.order)
            used = trace.used
            self._layers = by_first_use(self._layers, order, lambda layer, name: self._keys[layer][name] in used)
            self.order_source, self.other_arrays = "traced", trace.others

    @property
    @abstractmethod
    def native(self) -> Any:
        """The framework's model, holding the current weights."""

    @abstractmethod
    def values(self) -> Values:
        """The current arrays by key."""

    @abstractmethod
    def store(self, changes: Values) -> None:
        """Take new arrays."""

    def clone(self) -> Self:
        """An adapter of a copy of the model; compiled functions are shared."""
        twin = copy.copy(self)
        twin._weights = object()
        return twin

    def reads(self, inputs: Array, of: ModelAdapter) -> Reads:
        """What the outputs depend on.

        The arrays are arguments of a program that copies share, and one that holds arrays of the model as
        constants is refused when it is traced: so nothing is read of another adapter's model.
        """
        if not isinstance(of, JaxAdapter) or of._weights is not self._weights:
            return Reads(frozenset())
        parameters = {(layer.name, p.name) for layer in self._layers for p in (*layer.used, *layer.statistics)}
        return Reads(frozenset(parameters))

    def beside(self, inputs: SideInputs) -> Self:
        """The same model as a function of one of its inputs; compiled functions are shared."""
        twin = copy.copy(self)
        twin.side_inputs = inputs
        return twin

    @property
    def xp(self) -> ModuleType:
        """`jax.numpy`."""
        return jnp

    def layers(self) -> tuple[Layer, ...]:
        """The layers, in the order of the traced call where there was one."""
        return self._layers

    def read(self, layer: str) -> dict[str, HostArray]:
        """Host copies; bfloat16 comes as float32."""
        values = self.values()
        return {name: host_copy(values[key]) for name, key in self._held(layer).items()}

    def write(self, layer: str, values: Mapping[str, HostArray]) -> None:
        """Replace the arrays, on their devices and in their types."""
        held, current = self._held(layer), self.values()
        changes = {}
        for name, value in values.items():
            if name not in held:
                raise unknown_name(f"parameter of layer {layer!r}", name, held)
            old = current[held[name]]
            if tuple(value.shape) != tuple(old.shape):
                raise WeightsError(
                    f"{layer}.{name}",
                    expected=f"values of shape {tuple(old.shape)}",
                    received=f"shape {tuple(value.shape)}",
                    fix="Write an array shaped like the parameter.",
                )
            changes[held[name]] = replacing(old, value)
        self.store(changes | following(self._spectral, current, changes))

    def asarray(self, x: Array) -> jax.Array:
        """A copy on the model's device; floating values in its precision."""
        return placed(x, self.values().values())

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        return on_host(x)

    def to_native(self, x: Array) -> Array:
        """The array itself."""
        return x

    def predict(self, inputs: Array) -> jax.Array:
        """The outputs in evaluation mode, `(n, classes)`."""
        return self._compiled.predict(self._given(inputs), inputs)

    def gradient(self, inputs: Array, targets: Array, *, relu: ReluRule = "standard") -> jax.Array:
        """The gradient of the targets' outputs, shaped like the inputs."""
        return self.output_and_gradient(inputs, targets, relu=relu)[1]

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[jax.Array, jax.Array]:
        """The outputs and the gradient, from one forward pass."""
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise InputError(
                "inputs",
                expected="floating-point inputs, which have a gradient",
                received=f"inputs of type {inputs.dtype}",
                fix="Convert images to float32 (and scale them as in training). For token ids pass wrt_layer= with "
                "the name of their embedding.",
            )
        return self._compiled.output_and_gradient(self._given(inputs), inputs, targets, relu)

    def relu_rules(self) -> tuple[ReluRule, ...]:
        """All rules; a model whose ReLUs cannot be reached is refused when it is traced."""
        return ("standard", "guided", "deconv")

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """Adam on the cross entropy of the adapter's own model."""
        update = self._compiled.function("train", lambda: adam_update(self._training()))
        learned = [key for key, leaf in self._leaves.items() if not leaf.statistic]
        return trainer(self, update, learned, learning_rate=learning_rate, seed=seed)

    @abstractmethod
    def _training(self) -> TrainingFunction:
        """The model in training mode."""

    def _given(self, inputs: Array) -> Values:
        """The current arrays, and what stands beside these inputs."""
        return with_side_inputs(self.values(), self.side_inputs, inputs.shape[0])

    def _by_layer(self, found: Values, layers: Sequence[str]) -> dict[str, dict[str, HostArray]]:
        """Estimated statistics as the core asks for them."""
        estimates = {}
        for layer in self._layers:
            keys = {statistic.name: self._keys[layer.name][statistic.name] for statistic in layer.statistics}
            known = {name: host_copy(found[key]) for name, key in keys.items() if key in found}
            if layer.name in layers and known:
                estimates[layer.name] = known
        return estimates

    def _refuse_unknown(self, layers: Sequence[str]) -> None:
        for name in layers:
            self._held(name)

    def _held(self, layer: str) -> dict[str, str]:
        if layer not in self._keys:
            raise unknown_name("layer", layer, self._keys)
        return self._keys[layer]


class ImmutableAdapter(JaxAdapter):
    """An adapter of a model that is a tree of arrays and cannot be changed.

    It holds arrays of its own, and `native` is built of them: the object that the caller passed
    until the first write, a new one of the same type after it. So the caller's object stays as it
    is under `isolation="in_place"` too. A copy may share arrays, which nobody can write to.
    """

    def __init__(self, leaves: Sequence[Leaf], outputs: Outputs, trace: Trace | None, model: Any, values: Values):
        super().__init__(leaves, outputs, trace)
        self._model: Any | None = model
        self._current = values

    @property
    def native(self) -> Any:
        """A model of the caller's type that holds the current weights."""
        if self._model is None:
            self._model = self._built(self._current)
        return self._model

    @abstractmethod
    def _built(self, values: Values) -> Any:
        """A model that holds the arrays."""

    def values(self) -> Values:
        """The current arrays by key."""
        return self._current

    def store(self, changes: Values) -> None:
        """Take new arrays; the ones before are left to whoever holds them."""
        self._current = self._current | changes
        self._model = None
