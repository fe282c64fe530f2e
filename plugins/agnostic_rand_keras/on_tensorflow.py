"""Keras on TensorFlow: one traced function each, with the weights as arguments.

With the weights as arguments a function that was traced for a model serves its copies too. Arrays
are NumPy's: TensorFlow's own do not follow the array API standard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Self

import array_api_compat.numpy
import keras
import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import Array, BatchSizes, HostArray, ReluRule, filled, no_gradient, unusable_layer
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import inner_layer, observed
from agnostic_rand_keras.reads import Name, Seen, named
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import Loss, Update
from agnostic_rand_keras.statistics import batch_statistics
from agnostic_rand_tensorflow.graph import FlatGraph, flattened
from agnostic_rand_tensorflow.random_state import global_state, set_global_state
from agnostic_rand_tensorflow.relu import RuledGraph, in_the_open


class TensorFlowRuntime:
    """Traced functions of one model, shared with its copies.

    Args:
        forward: The model as a function.
    """

    xp: ModuleType = array_api_compat.numpy

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._traced = _TracedFunctions(forward)
        self.traces = self._traced.traces
        self._graph: Any = None
        self._graphs: dict[object, tuple[FlatGraph, tuple[keras.Variable, ...]]] = {}

    def for_copy(self, forward: ForwardPass) -> Self:
        """The same traced functions, on other weights."""
        twin = type(self)(forward)
        twin._traced, twin.traces = self._traced, self.traces
        return twin

    def asarray(self, x: HostArray, dtype: str) -> HostArray:
        """A copy on the host; TensorFlow moves it."""
        array = np.array(x)
        return array.astype(dtype) if np.issubdtype(array.dtype, np.floating) else array

    def to_native(self, x: Array) -> tf.Tensor:
        """A TensorFlow tensor."""
        return tf.convert_to_tensor(x)

    def trace(self, inputs: Array) -> None:
        """Trace a graph and drop it."""

        def called(given: tf.Tensor) -> tf.Tensor:
            self._graph = given.graph
            return self._forward.called(given)

        tf.function(called, autograph=False).get_concrete_function(tf.convert_to_tensor(inputs))

    def seen(self, inputs: Array, held: Mapping[Name, Any]) -> Seen:
        """By the graph of the outputs, which is traced once for inputs of a kind."""
        kind = (tuple(inputs.shape), str(inputs.dtype))
        if kind not in self._graphs:
            first: list[keras.Variable] = []

            def called(given: tf.Tensor) -> tf.Tensor:
                outputs, first[:] = self._forward.first_uses(given)
                return outputs

            traced = tf.function(called, autograph=False).get_concrete_function(tf.convert_to_tensor(inputs))
            self._graphs[kind] = flattened(traced, {}), tuple(first)
        graph, read = self._graphs[kind]
        used = named(held, graph.outside)
        of_keras = {id(variable.value) for variable in read}
        others = (o.variable for o in graph.reached if o.variable is not None and id(o.variable) not in of_keras)
        strangers = tuple(v.name for v in others if v.trainable and v.dtype.is_floating)
        return Seen(read, used, used, strangers, graph.opaque)

    def outside_loops(self, output: Array) -> bool:
        """Whether it is in the graph of the inputs: a loop's body has a graph of its own."""
        return bool(output.graph is self._graph)

    def predict(self, inputs: Array) -> HostArray:
        """The outputs."""
        return self._call("predict", self._traced.predict, inputs)[0]

    def output_and_gradient(self, inputs: Array, targets: Array, relu: ReluRule) -> tuple[HostArray, HostArray]:
        """By one forward and one backward pass."""
        function = partial(self._traced.output_and_gradient, relu=relu)
        outputs, gradient = self._call(f"gradient {relu}", function, inputs, targets)
        return outputs, gradient

    def layer_gradient(self, inputs: Array, targets: Array, layer: str) -> tuple[HostArray, HostArray]:
        """By one forward pass, and a backward pass down to the layer."""
        function = partial(self._traced.layer_gradient, layer=layer)
        activation, gradient = self._call(f"layer {layer}", function, inputs, targets)
        return activation, gradient

    def batch_statistics(self, inputs: Array, chosen: Sequence[bool]) -> list[HostArray]:
        """Computed eagerly."""
        computed = batch_statistics(self._forward, None, tf.convert_to_tensor(inputs), chosen)
        return [value.numpy() for value in computed]

    def training_step(
        self, update: Update, loss: Loss, seed: int
    ) -> Callable[[HostArray, HostArray], tuple[float, HostArray]]:
        """A step of Keras' own optimizer in one traced function."""

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def updated(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                outputs = self._forward.called(inputs, training=True)
                value = loss(labels, outputs)
            update.apply(tape.gradient(value, [v.value for v in update.weights]))
            return value, outputs

        def step(inputs: HostArray, labels: HostArray) -> tuple[float, HostArray]:
            value, outputs = updated(tf.convert_to_tensor(inputs), tf.convert_to_tensor(labels))
            return float(value), outputs.numpy()

        return step

    def evaluating(self) -> AbstractContextManager[None]:
        """Nothing: Keras has no modes here."""
        return nullcontext()

    def kept_modes(self) -> Callable[[], None]:
        """Nothing: Keras has no modes here."""
        return lambda: None

    def is_concrete(self, x: Any) -> bool:
        """Whether it is an eager tensor."""
        return tf.is_tensor(x) and hasattr(x, "numpy")

    def random_state(self) -> Any:
        """The states of TensorFlow's generators."""
        return global_state()

    def set_random_state(self, state: Any) -> None:
        """Put them back."""
        set_global_state(state)

    def _call(self, name: str, function: Callable[..., Any], *arrays: Array) -> list[HostArray]:
        values = [tf.convert_to_tensor(variable.value) for variable in self._forward.variables]
        return self._traced.called(name, function, values, [np.asarray(array) for array in arrays])


@dataclass(frozen=True)
class _Traced:
    """A traced function, and whether it takes batches of any size."""

    function: Any
    any_size: bool


class _TracedFunctions:
    """The functions that were traced."""

    def __init__(self, forward: ForwardPass) -> None:
        self._forward = forward
        self._functions: dict[tuple[object, ...], _Traced] = {}
        self._sizes = BatchSizes()
        self.traces: Counter[Any] = Counter()

    def called(
        self, name: str, function: Callable[..., Any], values: list[tf.Tensor], arrays: list[HostArray]
    ) -> list[HostArray]:
        """What the function of that name gives; it is traced where it was not yet."""
        kind = (name, *((array.shape[1:], array.dtype) for array in arrays))
        if kind not in self._functions:
            self._functions[kind] = self._trace(partial(self._counted, name, function), values, arrays)
        traced = self._functions[kind]
        count = len(arrays[0])
        missing = 0 if traced.any_size else self._sizes.missing(arrays[0])
        results = traced.function(values, *(tf.convert_to_tensor(filled(array, missing)) for array in arrays))
        return [result.numpy()[:count] for result in results]

    def _trace(self, function: Any, values: list[tf.Tensor], arrays: list[HostArray]) -> _Traced:
        # TensorFlow counts the traces of a partial object by itself, those of functions by their code.
        traced = tf.function(function, autograph=False)
        specs = [tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in arrays]
        if not _has_fixed_batch(self._forward.model):
            try:
                return _Traced(traced.get_concrete_function(list(map(_spec, values)), *specs), any_size=True)
            except (TypeError, ValueError):
                # Code that counts on x.shape[0] needs a number there; what else is wrong shows with one too.
                pass
        return _Traced(traced, any_size=False)

    def _counted(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        results = function(*arguments)
        self.traces[name] += 1
        return results

    def predict(self, values: list[tf.Tensor], inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return (self._forward(inputs, values),)

    def output_and_gradient(
        self, values: list[tf.Tensor], inputs: tf.Tensor, targets: tf.Tensor, relu: ReluRule
    ) -> tuple[tf.Tensor, ...]:
        if relu == "standard":
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = self._forward(inputs, values)
                selected = _selected(outputs, targets)
            gradient = tape.gradient(selected, inputs)
        else:
            with plain_leaks(self._forward.model, relu):
                called = in_the_open(lambda: self._forward(inputs, values))
            ruled = RuledGraph(relu, repr(self._forward.model.name), inputs, called)
            outputs = ruled.outputs
            gradient = ruled.gradient(_selected(outputs, targets))
        if gradient is None:
            raise no_gradient(repr(self._forward.model.name))
        return outputs, tf.convert_to_tensor(gradient)

    def layer_gradient(
        self, values: list[tf.Tensor], inputs: tf.Tensor, targets: tf.Tensor, layer: str
    ) -> tuple[tf.Tensor, ...]:
        caught: list[tf.Tensor] = []
        graph = tf.compat.v1.get_default_graph()

        def catch(_name: str, output: tf.Tensor) -> tf.Tensor:
            caught.append(output)
            if output.graph is graph:
                tape.watch(output)
            return output

        with tf.GradientTape() as tape:
            with observed({layer: inner_layer(self._forward.model, layer)}, catch):
                outputs = self._forward(inputs, values)
            selected = _selected(outputs, targets)
        if not caught:
            raise unusable_layer(layer, "no such tensor in the forward pass")
        if caught[-1].graph is not graph:
            raise unusable_layer(layer, "one inside a loop, such as the cell of a recurrent layer")
        gradient = tape.gradient(selected, caught[-1])
        if gradient is None:
            raise unusable_layer(layer, "an output that is not used")
        return caught[-1], tf.convert_to_tensor(gradient)


def _selected(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    if targets.shape.rank == 2:
        return tf.reduce_sum(outputs * tf.cast(targets, outputs.dtype))
    return tf.reduce_sum(tf.gather(outputs, targets, axis=1, batch_dims=1))


def _spec(value: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec(value.shape, value.dtype)


def _has_fixed_batch(model: keras.Model) -> bool:
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return any(len(x.shape) and x.shape[0] is not None for x in inputs)
