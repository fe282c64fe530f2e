"""The model's functions, each traced once: outputs, and outputs with the gradient for each ReLU rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray, ReluRule, no_gradient, refuse_integers
from agnostic_rand_tensorflow.calling import Call
from agnostic_rand_tensorflow.graph import FlatGraph
from agnostic_rand_tensorflow.relu import RuledGraph, in_the_open
from agnostic_rand_tensorflow.tracing import Trace, kept, refuse_untracked, trace

_HALF = (tf.float16, tf.bfloat16)


class Functions:
    """Traces of one model. Weights that are assigned later are seen without a new trace.

    Args:
        call: From inputs to outputs.
        own: By the `id` of its handle, each variable of the model.
        copied: Whether it is a copy, which may use variables of the original; others may use none but their own.
        dtype: What the model computes in, where inputs are to be cast to it.
        name: The model's name in errors.
    """

    def __init__(
        self, call: Call, own: Mapping[int, tf.Variable], *, copied: bool, dtype: tf.DType | None, name: str
    ) -> None:
        self._call = call
        self._own, self._copied = own, copied
        self._dtype = dtype
        self._name = name
        self._traces: dict[tuple[object, ...], Trace] = {}

    def forward(self, inputs: HostArray) -> Trace:
        """The trace of the outputs."""
        return self.traced("outputs", self.outputs, inputs)

    def gradient(self, inputs: HostArray, targets: HostArray, rule: ReluRule) -> Trace:
        """The trace of the outputs and the gradient with respect to the inputs.

        Raises:
            InputError: The inputs are no floating-point numbers.
            ModelError: The outputs have no gradient, or no ReLU can follow the rule.
        """
        refuse_integers(inputs.dtype, floating=inputs.dtype.kind == "f")
        if rule == "standard":
            return self.traced("gradient", self._outputs_and_gradient, inputs, targets)
        return self._known_trace(rule, inputs, targets) or self._relu_trace(rule, inputs, targets)

    def seen(self, inputs: HostArray) -> FlatGraph:
        """The operations of a forward pass, from a trace that is there, or of the outputs alone."""
        (kind,) = _key("", [inputs])[1:]
        known = (t for key, t in self._traces.items() if key[0] in ("outputs", "gradient") and key[1] == kind)
        return (next(known, None) or self.forward(inputs)).graph

    def outputs(self, inputs: tf.Tensor) -> tf.Tensor:
        """The outputs `(n, classes)`, in a graph."""
        return full_precision(self._call(self.cast(inputs)))

    def cast(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs in the precision that the model computes in."""
        return tf.cast(inputs, self._dtype) if self._dtype is not None and inputs.dtype.is_floating else inputs

    def derivative(self, outputs: tf.Tensor, targets: tf.Tensor, at: tf.Tensor) -> tf.Tensor | None:
        """`d output[target] / d at`, in a graph; `None` where the outputs do not depend on `at`.

        Args:
            outputs: `(n, classes)`.
            targets: Indices `(n,)` or weights `(n, classes)`.
            at: A tensor of the same graph.
        """
        (gradient,) = tf.gradients(outputs, [at], grad_ys=_weights(outputs, targets))
        return None if gradient is None else full_precision(tf.convert_to_tensor(gradient))

    def eager_call(self, inputs: HostArray) -> Callable[[], tf.Tensor]:
        """A function that computes the outputs operation by operation, for code that looks on."""
        changed = self.forward(inputs).changed

        def call() -> tf.Tensor:
            with kept(changed):
                return self.outputs(tf.constant(inputs))

        return call

    def traced(self, name: str, body: Callable[..., Any], *arrays: HostArray) -> Trace:
        """The trace of a function of the model for such arrays; a new one where there is none."""
        return self._known_trace(name, *arrays) or self._new_trace(name, body, *arrays)

    def _known_trace(self, name: str, *arrays: HostArray) -> Trace | None:
        known = self._traces.get(_key(name, arrays))
        if known is None or (known.batch is not None and known.batch < len(arrays[0])):
            return None
        return known

    def _new_trace(self, name: str, body: Callable[..., Any], *arrays: HostArray) -> Trace:
        try:
            made = trace(body, arrays, self._own)
        except tf.errors.OperatorNotAllowedInGraphError:
            # Python's `if` and `for` over tensors.
            self._call = tf.autograph.to_graph(self._call)
            made = trace(body, arrays, self._own)
        if not self._copied:
            refuse_untracked(made.graph, self._own)
        self._traces[_key(name, arrays)] = made
        return made

    def _relu_trace(self, rule: ReluRule, inputs: HostArray, targets: HostArray) -> Trace:
        def body(x: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            ruled = RuledGraph(rule, self._name, x, in_the_open(lambda: self.outputs(x)))
            gradient = ruled.gradient(ruled.outputs, _weights(ruled.outputs, chosen))
            return ruled.outputs, full_precision(tf.convert_to_tensor(self._connected(gradient)))

        return self._new_trace(rule, body, inputs, targets)

    def _outputs_and_gradient(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = self.outputs(inputs)
        return outputs, self._connected(self.derivative(outputs, targets, inputs))

    def _connected(self, gradient: tf.Tensor | None) -> tf.Tensor:
        if gradient is None:
            raise no_gradient(self._name)
        return gradient


def _key(name: str, arrays: Sequence[HostArray]) -> tuple[object, ...]:
    return (name, *((array.shape[1:], array.dtype.str) for array in arrays))


def _weights(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """What the outputs count in their sum, of indices `(n,)` or as it is."""
    indices = targets.shape.rank == 1
    chosen = tf.one_hot(targets, tf.shape(outputs)[1], dtype=outputs.dtype) if indices else targets
    return tf.cast(chosen, outputs.dtype)


def full_precision(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor; half precision becomes float32."""
    return tf.cast(tensor, tf.float32) if tensor.dtype in _HALF else tensor


def host_targets(targets: HostArray) -> HostArray:
    """Class indices as int64, weights as they are."""
    array = np.asarray(targets)
    return array.astype(np.int64) if array.dtype.kind in "iub" else array
