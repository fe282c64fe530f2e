"""Keras on JAX: one jitted function each, with the weights as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp
import keras
import numpy as np

from agnostic_rand.adapters import Array, HostArray, ReluRule, unusable_layer
from agnostic_rand_jax.compiled import Compiled, Values, differentiated, selected
from agnostic_rand_jax.dependence import Dependence, dependence, mark_of
from agnostic_rand_jax.relu import with_rule
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import inner_layer, observed
from agnostic_rand_keras.reads import Name, Seen, named
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import Loss, Update
from agnostic_rand_keras.statistics import batch_statistics


class JaxRuntime:
    """Jitted functions of one model, shared with its copies.

    Args:
        forward: The model as a function.
    """

    xp: ModuleType = jnp

    def __init__(self, forward: ForwardPass) -> None:
        # What is compiled is the original's code, also for copies.
        self._forward = self._original = forward
        self._compiled = Compiled(lambda values, inputs: forward(inputs, list(values.values())))
        self.traces = self._compiled.traces
        self._trace: Any = None
        self._reached: dict[object, tuple[Dependence, tuple[keras.Variable, ...]]] = {}

    def for_copy(self, forward: ForwardPass) -> Self:
        """The same jitted functions, on other weights."""
        twin = type(self)(forward)
        twin._compiled, twin._original, twin.traces = self._compiled, self._original, self.traces
        return twin

    def asarray(self, x: HostArray, dtype: str) -> jax.Array:
        """A copy on the default device; 64 bits become 32 where JAX is not set to keep them."""
        array = np.asarray(x)
        kind = jax.dtypes.canonicalize_dtype(dtype if np.issubdtype(array.dtype, np.floating) else array.dtype)
        return jnp.array(array.astype(kind))

    def to_native(self, x: Array) -> Array:
        """The array itself."""
        return x

    def trace(self, inputs: Array) -> None:
        """Evaluate shapes and types only."""

        def called(given: Array) -> Array:
            self._trace = getattr(given, "_trace", None)
            return self._forward.called(given)

        jax.eval_shape(called, inputs)

    def seen(self, inputs: Array, held: Mapping[Name, Any]) -> Seen:
        """By the jaxpr of the outputs, which is made once for inputs of a kind."""
        kind = (tuple(inputs.shape), str(inputs.dtype))
        if kind not in self._reached:
            first: list[keras.Variable] = []

            def called(values: list[Array], given: Array) -> Array:
                outputs, first[:] = self._forward.first_uses(given, values)
                return outputs

            jaxpr = jax.make_jaxpr(called)(list(self._values().values()), inputs)
            self._reached[kind] = dependence(jaxpr, len(self._forward.variables)), tuple(first)
        found, read = self._reached[kind]
        # A variable of another model has no argument of its own: reading it is all that shows.
        own = {id(variable): i for i, variable in enumerate(self._forward.variables)}
        reached = found.results[0]
        used = {i for i in map(id, read) if i not in own or reached & mark_of(own[i])}
        names = named(held, used | {id(array) for mark, array in found.constants.items() if reached & mark})
        return Seen(read, names, names)

    def outside_loops(self, output: Array) -> bool:
        """Whether it belongs to the trace of the inputs: a loop's body has a trace of its own."""
        return getattr(output, "_trace", self._trace) is self._trace

    def predict(self, inputs: Array) -> jax.Array:
        """The outputs."""
        return self._compiled.predict(self._values(), inputs)

    def output_and_gradient(self, inputs: Array, targets: Array, relu: ReluRule) -> tuple[jax.Array, jax.Array]:
        """By one forward and one backward pass."""
        if relu == "standard":
            return self._compiled.output_and_gradient(self._values(), inputs, targets, relu)
        forward = self._original

        def ruled(values: Values, inputs: Array) -> Array:
            with plain_leaks(forward.model, relu):
                return forward(inputs, list(values.values()))

        function = self._compiled.function(
            ("gradient", relu), lambda: differentiated(with_rule(ruled, relu, repr(forward.model.name)))
        )
        outputs, gradient = self._compiled.over_batch(function, self._values(), inputs, targets)
        return outputs, gradient

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[jax.Array, jax.Array]:
        """By one forward pass, and a backward pass down to the layer."""
        function = self._compiled.function(("layer", layer), lambda: _gradient_at(self._original, layer))
        try:
            activation, gradient = self._compiled.over_batch(function, self._values(), inputs, targets)
        except jax.errors.UnexpectedTracerError as error:
            received = "one inside a loop, such as the cell of a recurrent layer"
            raise unusable_layer(layer, received) from error
        return activation, gradient

    def batch_statistics(self, inputs: Array, chosen: Sequence[bool]) -> list[HostArray]:
        """Computed by one jitted function, whichever layers are chosen."""
        forward = self._original
        function = self._compiled.function(
            "batch statistics",
            lambda: lambda values, x, by: batch_statistics(forward, list(values.values()), x, by),
        )
        return [np.asarray(value) for value in function(self._values(), inputs, jnp.asarray(chosen))]

    def training_step(
        self, update: Update, loss: Loss, seed: int
    ) -> Callable[[HostArray, HostArray], tuple[float, HostArray]]:
        """A step of Keras' own optimizer in one jitted function."""
        chosen = {id(v) for v in update.weights}
        fixed = [v for v in self._forward.variables if id(v) not in chosen]

        def loss_of(
            weights: list[Array], state: list[Array], inputs: Array, labels: Array
        ) -> tuple[Array, tuple[Array, list[Array]]]:
            mapping = [*zip(update.weights, weights, strict=True), *zip(fixed, state, strict=True)]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                outputs = self._forward.called(inputs, training=True)
                return loss(labels, outputs), (outputs, [scope.get_current_value(v) for v in fixed])

        @jax.jit
        def updated(
            masters: list[Array], state: list[Array], slots: list[Array], inputs: Array, labels: Array
        ) -> tuple[Array, ...]:
            differentiated = jax.value_and_grad(loss_of, has_aux=True)
            (value, (outputs, state)), gradients = differentiated(update.cast(masters), state, inputs, labels)
            wide = [g.astype(m.dtype) for g, m in zip(gradients, masters, strict=True)]
            masters, slots = update.optimizer.stateless_apply(slots, wide, masters)
            return value, outputs, masters, state, slots, update.cast(masters)

        groups = (update.masters, fixed, update.optimizer.variables, update.weights)

        def step(inputs: HostArray, labels: HostArray) -> tuple[float, HostArray]:
            held = [[v.value for v in group] for group in groups[:3]]
            value, outputs, *new = updated(*held, inputs, labels)
            for group, values in zip(groups, new, strict=True):
                for variable, array in zip(group, values, strict=True):
                    variable.assign(array)
            return float(value), np.asarray(outputs)

        return step

    def evaluating(self) -> AbstractContextManager[None]:
        """Nothing: Keras has no modes here."""
        return nullcontext()

    def kept_modes(self) -> Callable[[], None]:
        """Nothing: Keras has no modes here."""
        return lambda: None

    def is_concrete(self, x: Any) -> bool:
        """Whether it is no tracer."""
        return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer)

    def random_state(self) -> Any:
        """Nothing: JAX has no global generator."""
        return None

    def set_random_state(self, state: Any) -> None:
        """Nothing to put back."""

    def _values(self) -> Values:
        # JAX sorts them by their keys.
        return {f"{i:09}": variable.value for i, variable in enumerate(self._forward.variables)}


def _gradient_at(forward: ForwardPass, layer: str) -> Callable[[Values, Array, Array], tuple[Array, Array]]:
    """A function `(values, inputs, targets) -> (last output of the layer, gradient at it)`."""
    watched = {layer: inner_layer(forward.model, layer)}

    def output_and_gradient(values: Values, inputs: Array, targets: Array) -> tuple[Array, Array]:
        caught: list[Array] = []

        def shapes(inputs: Array) -> Array:
            def catch(_: str, output: Array) -> Array:
                caught.append(output)
                return output

            with observed(watched, catch):
                return forward(inputs, list(values.values()))

        jax.eval_shape(shapes, inputs)
        if not caught:
            raise unusable_layer(layer, "no such tensor in the forward pass")
        calls, last = len(caught), caught[-1]

        def score(shift: Array) -> tuple[Array, Array]:
            caught.clear()

            def move(_name: str, output: Array) -> Array:
                # Only what the last call puts out is differentiated with respect to.
                caught.append(output + shift if len(caught) == calls - 1 else output)
                return caught[-1]

            with observed(watched, move):
                outputs = forward(inputs, list(values.values()))
            return selected(outputs, targets), caught[-1]

        gradient, activation = jax.grad(score, has_aux=True)(jnp.zeros(last.shape, last.dtype))
        return activation, gradient

    return output_and_gradient
