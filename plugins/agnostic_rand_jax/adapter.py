"""What the adapters of all kinds of JAX models share."""

from __future__ import annotations

import copy
import itertools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import (
    Array,
    Entry,
    HostArray,
    ListedAdapter,
    ModelAdapter,
    Reads,
    ReluRule,
    TrainingStep,
    by_first_use,
    inventory_of,
    refuse_integers,
)
from agnostic_rand_jax.arrays import host_copy, on_host, placed, replacing
from agnostic_rand_jax.calling import with_side_inputs
from agnostic_rand_jax.compiled import Compiled, Outputs, Values
from agnostic_rand_jax.inventory import with_distinct_parameters
from agnostic_rand_jax.spectral import SpectralLink, following
from agnostic_rand_jax.tracing import Trace
from agnostic_rand_jax.training import Batch, TrainingFunction, adam, adam_update, key_of


class JaxAdapter(ListedAdapter[str]):
    """A model seen as a pure function of named arrays.

    Args:
        entries: Its parameters and statistics, held by their keys, in the order of declaration.
        outputs: `outputs(values, inputs)`, in evaluation mode. It must not refer to the arrays.
        trace: What a call of `outputs` on an example showed, or `None`.
    """

    framework = "jax"
    channel_axis = -1

    def __init__(self, entries: Sequence[Entry[str]], outputs: Outputs, trace: Trace | None) -> None:
        entries = with_distinct_parameters(entries)
        inventory = inventory_of(entries)
        self._layers, self._held, self._owners = inventory.layers, inventory.held, inventory.owners
        self._learned = [entry.held for entry in entries if not entry.statistic]
        self._compiled = Compiled(outputs)
        self._spectral: tuple[SpectralLink, ...] = ()
        # Adapters of copies have another one; those beside other inputs have the same.
        self._weights = object()
        if trace is not None:
            layer_of = {entry.held: entry.layer for entry in entries}
            order = (layer_of[key] for key in trace.order)
            used = trace.used
            self._layers = by_first_use(self._layers, order, lambda layer, name: self._held[layer][name] in used)
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

    @property
    def xp(self) -> ModuleType:
        """`jax.numpy`."""
        return jnp

    def _copies(self, held: Mapping[str, str]) -> dict[str, HostArray]:
        values = self.values()
        return {name: host_copy(values[key]) for name, key in held.items()}

    def _assign(self, layer: str, values: Mapping[str, HostArray]) -> None:
        held, current = self._held[layer], self.values()
        changes = {held[name]: replacing(current[held[name]], value) for name, value in values.items()}
        self.store(changes | following(self._spectral, current, changes))

    def asarray(self, x: Array) -> jax.Array:
        """A copy on the model's device; floating values in its precision."""
        return placed(x, self.values().values())

    def to_numpy(self, x: Array) -> HostArray:
        """The values on the host; half precision becomes float32."""
        return on_host(x)

    def predict(self, inputs: Array) -> jax.Array:
        """The outputs in evaluation mode, `(n, classes)`."""
        return self._compiled.predict(self._given(inputs), inputs)

    def output_and_gradient(
        self, inputs: Array, targets: Array, *, relu: ReluRule = "standard"
    ) -> tuple[jax.Array, jax.Array]:
        """The outputs and the gradient, from one forward pass."""
        refuse_integers(inputs.dtype, floating=jnp.issubdtype(inputs.dtype, jnp.floating))
        return self._compiled.output_and_gradient(self._given(inputs), inputs, targets, relu)

    def trainer(self, *, learning_rate: float, seed: int) -> TrainingStep:
        """Adam on the cross entropy of the adapter's own model."""
        update = self._compiled.function("train", lambda: adam_update(self._training()))
        root, numbers = key_of(seed), itertools.count(1)
        state: Any = None

        def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
            nonlocal state
            values = self.values()
            moving = {k: values[k] for k in self._learned if jnp.issubdtype(values[k].dtype, jnp.floating)}
            rest = {key: value for key, value in values.items() if key not in moving}
            state = adam().init(moving) if state is None else state
            batch = Batch(self.asarray(inputs), self.asarray(labels), jax.random.fold_in(root, next(numbers)))
            moved, statistics, state, loss, correct = update(moving, rest, state, batch, jnp.float32(learning_rate))
            self.store(moved | statistics)
            return float(loss), int(correct)

        return step

    @abstractmethod
    def _training(self) -> TrainingFunction:
        """The model in training mode."""

    def _given(self, inputs: Array) -> Values:
        """The current arrays, and what stands beside these inputs."""
        return with_side_inputs(self.values(), self.side_inputs, inputs.shape[0])


class ImmutableAdapter(JaxAdapter):
    """An adapter of a model that is a tree of arrays and cannot be changed.

    It holds arrays of its own, and `native` is built of them: the object that the caller passed
    until the first write, a new one of the same type after it. So the caller's object stays as it
    is under `isolation="in_place"` too. A copy may share arrays, which nobody can write to.
    """

    def __init__(
        self, entries: Sequence[Entry[str]], outputs: Outputs, trace: Trace | None, model: Any, values: Values
    ):
        super().__init__(entries, outputs, trace)
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
