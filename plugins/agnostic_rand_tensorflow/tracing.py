"""One trace of a function of the model, for batches of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import HostArray, filled, put_back
from agnostic_rand.errors import ModelError
from agnostic_rand_tensorflow.graph import FlatGraph, flattened
from agnostic_rand_tensorflow.random_state import global_variables


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
        missing = 0 if self.batch is None else self.batch - count
        with kept(self.changed):
            outputs = self.function(*(tf.constant(filled(array, missing)) for array in arrays))
        return [output.numpy()[:count] for output in tf.nest.flatten(outputs)]


def trace(body: Callable[..., Any], arrays: Sequence[HostArray], own: Mapping[int, tf.Variable]) -> Trace:
    """Trace a function for batches like these.

    Args:
        body: Takes and returns tensors.
        arrays: Examples of its arguments; the first dimension of all is the batch's.
        own: By the `id` of its handle, each variable of the model.

    Raises:
        ModelError: The model creates variables when it is called.
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
    graph = flattened(function, {**own, **global_variables()})
    return Trace(function, batch, graph.changed, graph)


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


def refuse_untracked(graph: FlatGraph, own: Mapping[int, tf.Variable]) -> None:
    """Refuse a model whose outputs depend on variables that are learned and none of its own.

    Raises:
        ModelError: There is one.
    """
    for variable in (operation.variable for operation in graph.reached):
        if variable is None or not variable.trainable or not variable.dtype.is_floating:
            continue
        if id(variable.handle) not in own:
            raise ModelError(
                f"the variable {variable.name!r}, which the model uses",
                expected="a variable that the model tracks",
                received="one that is no attribute of the model or of a module in it",
                fix="Assign it to an attribute of the module: TensorFlow would not save or train it either.",
            )


@contextmanager
def kept(variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Put the variables' values back at the end, also after an exception."""
    values = [(variable, tf.identity(variable)) for variable in variables]
    with put_back(lambda: [variable.assign(value) for variable, value in values]):
        yield
