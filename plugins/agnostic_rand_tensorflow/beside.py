"""A model of several inputs as a function of one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import SideInputs, joined, mapped, names_of
from agnostic_rand_tensorflow.functions import Functions

Make = Callable[[Callable[[tf.Tensor], tf.Tensor]], Functions]


@dataclass
class SideFunctions:
    """What was traced for a model of several inputs, by the place of the explained one and the others' shapes.

    The others are held in variables of their own, so that another batch traces nothing anew.

    Args:
        call: The model, from all its inputs to its outputs.
        make: From a call to its traced functions.
    """

    call: Callable[[Any], tf.Tensor]
    make: Make
    opened: dict[tuple[object, ...], tuple[SideInputs, Functions]] = field(default_factory=dict)

    def at(self, side: SideInputs) -> Functions:
        """The model as a function of the input in whose place `None` stands."""
        arrays = [None if array is None else np.asarray(array) for array in _values(side)]
        key = (*names_of(side), *(None if a is None else (a.shape[1:], a.dtype.str) for a in arrays))
        if key not in self.opened:
            held = mapped(_variable, side)
            self.opened[key] = held, self.make(lambda x: self.call(joined(mapped(lambda v: _rows(v, x), held), x)))
        held, functions = self.opened[key]
        for variable, array in zip(_values(held), arrays, strict=True):
            if variable is not None:
                variable.assign(array)
        return functions


def _variable(array: Any) -> tf.Variable:
    host = np.asarray(array)
    return tf.Variable(host, trainable=False, shape=tf.TensorShape([None, *host.shape[1:]]))


def _rows(variable: tf.Variable, explained: tf.Tensor) -> tf.Tensor:
    """As many rows as the explained input has: the first of the batch's, or the batch's several times."""
    value = tf.convert_to_tensor(variable)
    places = tf.range(tf.shape(explained)[0]) % tf.shape(value)[0]
    rows = tf.ensure_shape(tf.gather(value, places), [explained.shape[0], *variable.shape[1:]])
    cast = explained.dtype.is_floating and rows.dtype.is_floating
    return tf.cast(rows, explained.dtype) if cast else rows


def _values(side: SideInputs) -> list[Any]:
    return list(side) if isinstance(side, tuple) else list(side.values())
