"""One trace of a function of the model, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray, put_back
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.graph import FlatGraph, flattened
from agnostic_rand_tensorflow.random_state import global_variables

# What takes the handle of a variable and leaves its value alone.
_READS = frozenset(
    {"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp", "Identity"}
)


@dataclass(frozen=True)
class Known:
    """The variables that a trace may meet.

    Args:
        own: By the `id` of its handle, each variable of the model.
        foreign: By the `id` of its handle, each variable of the model that this one is a copy of.
    """

    own: dict[int, tf.Variable]
    foreign: dict[int, tf.Variable]


@dataclass(frozen=True)
class Trace:
    """A concrete function, and what it does besides computing.

    Args:
        function: Takes tensors whose first dimension is the batch's.
        batch: The size of batch that it takes, or `None` for any.
        changed: Variables that a call writes to, such as counters and states of generators.
        graph: Its operations.
    """

    function: Any
    batch: int | None
    changed: tuple[tf.Variable, ...]
    graph: FlatGraph

    def __call__(self, *arrays: HostArray) -> list[HostArray]:
        """The outputs for a batch of `n`; a smaller one than `batch` is filled with its last sample."""
        count = len(arrays[0])
        padded = arrays if self.batch in (None, count) else [_filled(a, self.batch) for a in arrays]
        with kept(self.changed):
            outputs = self.function(*(tf.constant(array) for array in padded))
        return [output.numpy()[:count] for output in tf.nest.flatten(outputs)]


def trace(body: Callable[..., Any], arrays: Sequence[HostArray], known: Known) -> Trace:
    """Trace a function for batches like these.

    Args:
        body: Takes and returns tensors.
        arrays: Examples of its arguments; the first dimension of all is the batch's.
        known: The variables that may be met.

    Raises:
        ModelError: The model creates variables when it is called, or uses some that it does not track.
    """

    def guarded(*tensors: tf.Tensor) -> Any:
        with tf.variable_creator_scope(_refuse_creation):
            return body(*tensors)

    batch = None
    try:
        function = _concrete(guarded, [_spec(array, None) for array in arrays])
    except (TypeError, ValueError):
        # Code that reshapes by x.shape[0] needs a number there.
        batch = len(arrays[0])
        function = _concrete(guarded, [_spec(array, batch) for array in arrays])
    _refuse_untracked(function, known)
    graph = flattened(function, known.own | global_variables())
    return Trace(function, batch, _changed(graph), graph)


def _concrete(body: Callable[..., Any], specs: Sequence[tf.TensorSpec]) -> Any:
    return tf.function(body, autograph=False).get_concrete_function(*specs)


def _spec(array: HostArray, batch: int | None) -> tf.TensorSpec:
    return tf.TensorSpec((batch, *array.shape[1:]), array.dtype)


def _refuse_creation(_creator: Any, **kwargs: Any) -> Any:
    raise ModelError(
        "the model",
        expected="a model that has all its variables",
        received=f"one that creates the variable {kwargs.get('name')!r} when it is called",
        fix="Call the model once on a batch before the check.",
    )


def _refuse_untracked(function: Any, known: Known) -> None:
    captured = {id(handle) for handle in function.captured_inputs}
    for handle, variable in known.foreign.items():
        if handle in captured:
            raise ModelError(
                f"the copy of the model, which uses the original's variable {variable.name!r}",
                expected="a model whose functions read the variables of its own attributes",
                received="one that holds a function, closure or SavedModel bound to other variables",
                fix="Pass isolation='in_place': weights are swapped in your model and put back bit for bit.",
            )
    for variable in function.variables:
        if id(variable.handle) not in known.own and variable.trainable and variable.dtype.is_floating:
            raise ModelError(
                f"the variable {variable.name!r}, which the model uses",
                expected="a variable that the model tracks",
                received="one that is no attribute of the model or of a module in it",
                fix="Assign it to an attribute of the module: TensorFlow would not save or train it either.",
            )


def _changed(graph: FlatGraph) -> tuple[tf.Variable, ...]:
    written = {}
    for operation in graph.operations:
        for operand in operation.inputs:
            if operand.variable is not None and operation.type not in _READS:
                written[id(operand.variable)] = operand.variable
    return tuple(written.values())


@contextmanager
def kept(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Put the variables' values back at the end, also after an exception."""
    values = [(variable, tf.identity(variable)) for variable in variables]
    with put_back(lambda: [variable.assign(value) for variable, value in values]):
        yield


def _filled(array: HostArray, count: int) -> HostArray:
    return np.concatenate([array, np.repeat(array[-1:], count - len(array), axis=0)])
