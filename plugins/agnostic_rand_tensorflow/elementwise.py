"""Elementwise functions in a graph, told by their values for some numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray
from agnostic_rand_tensorflow.graph import Operation, Source

_POSITIVE = (1e-20, 1e-3, 0.3, 1.0, 2.7, 3.0, 5.99, 6.01, 7.0, 19.0, 1e3, 1e20)
NUMBERS: HostArray = np.array([*(-x for x in reversed(_POSITIVE)), 0.0, *_POSITIVE])
"""What each function is evaluated for; they rise."""

# NumPy's names of them are TensorFlow's in another spelling.
_NUMPY: tuple[Callable[..., Any], ...] = (
    *(np.equal, np.greater, np.greater_equal, np.less, np.less_equal, np.not_equal),
    *(np.logical_and, np.logical_not, np.logical_or, np.maximum, np.minimum),
    *(np.ones_like, np.sign, np.sqrt, np.square, np.zeros_like),
)
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{function.__name__.title().replace("_", ""): function for function in _NUMPY},
    **dict.fromkeys(("Add", "AddV2"), np.add),
    **dict.fromkeys(("Div", "DivNoNan", "RealDiv"), np.divide),
    **dict.fromkeys(("Mul", "MulNoNan"), np.multiply),
    **dict.fromkeys(("Select", "SelectV2"), np.where),
    # The last two take more than their inputs.
    **dict.fromkeys(("Identity", "StopGradient", "Cast", "LeakyRelu"), np.asarray),
    "Abs": np.abs,
    "AddN": lambda *terms: sum(terms),
    "ClipByValue": np.clip,
    "Neg": np.negative,
    "Pow": np.power,
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Sub": np.subtract,
}
"""By the type of an operation with one output, what it computes."""

# By operations that spread a number over an array, which of their inputs it is.
_SPREADING = {"BroadcastTo": 0, "ExpandDims": 0, "Fill": 1, "Reshape": 0, "Squeeze": 0, "Tile": 0}
# So many operations may one function be made of.
_DEPTH = 12


class Elementwise:
    """The elementwise functions that operations compute.

    Args:
        operations: All operations, each after those that make its inputs.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._order = {operation: i for i, operation in enumerate(operations)}
        self._numbers: dict[Operation, HostArray] = {}
        # What a graph captured is among the inputs only.
        for made in dict.fromkeys(made for operation in operations for made in (*operation.inputs, operation)):
            value = self._constant(made)
            if value is not None:
                self._numbers[made] = value

    def number(self, operation: Operation) -> float | None:
        """The one number that the operation's output is everywhere, where the graph tells."""
        return float(self._numbers[operation]) if operation in self._numbers else None

    def functions(self, operation: Operation) -> Iterator[tuple[Source, list[Operation]]]:
        """The tensors that it is a function of, the nearest first; and from its end, what that is made of."""
        between: list[Operation] = []
        ahead = {_source((operation, "0"))}
        while ahead and len(between) <= _DEPTH:
            latest = max(ahead, key=lambda source: self._order.get(source[0], -1))
            made = latest[0]
            if between and len(ahead) == 1:
                yield latest, between
            if made.type not in FUNCTIONS or made.carried:
                return
            ahead.remove(latest)
            between.append(made)
            ahead.update(_source(given) for given in made.sources if given[0] not in self._numbers)

    def values(self, source: Source, between: Sequence[Operation]) -> tuple[HostArray, bool]:
        """The values of one of these functions, and whether they hang on what `stop_gradient` hides."""
        known, hidden = {source: NUMBERS}, False
        for operation in reversed(between):
            given = [self._numbers.get(s[0], known.get(_source(s))) for s in operation.sources]
            values = known[operation, "0"] = _applied(operation, given)
            # A mask has no gradient anyway.
            hidden |= operation.type == "StopGradient" and not bool(np.isin(values, (-1, 0, 1)).all())
        return known[between[0], "0"], hidden

    def _constant(self, operation: Operation) -> HostArray | None:
        if operation.type == "Const":
            tensor = operation.attributes["value"].tensor
            if not tf.as_dtype(tensor.dtype).is_numeric:
                return None
            value = tf.make_ndarray(tensor).ravel()
            return np.asarray(value[0], np.float64) if value.size and (value == value[0]).all() else None
        if operation.type in ("OnesLike", "ZerosLike"):
            return np.asarray(float(operation.type == "OnesLike"))
        if operation.type in _SPREADING:
            return self._numbers.get(operation.inputs[_SPREADING[operation.type]])
        given = [self._numbers.get(made) for made in operation.inputs]
        known = operation.type in FUNCTIONS and not operation.carried and all(x is not None for x in given)
        return _applied(operation, given) if known else None


def alike(values: HostArray, due: HostArray) -> bool:
    """Whether values are those, but for rounding."""
    return bool(np.all(np.abs(values * 1.0 - due) <= 1e-6 * np.abs(NUMBERS)))


def _source(source: Source) -> Source:
    """The tensor; one name for the only output of an elementwise operation."""
    return (source[0], "0") if source[0].type in FUNCTIONS else source


def _applied(operation: Operation, given: Sequence[Any]) -> HostArray:
    with np.errstate(all="ignore"):
        x = given[0]
        if operation.type == "LeakyRelu":
            return np.asarray(np.where(x > 0, x, operation.attributes["alpha"].f * x))
        if operation.type == "Cast":
            to = tf.as_dtype(operation.attributes["DstT"].type)
            return np.asarray(x != 0 if to.is_bool else x * 1.0 if to.is_floating else np.trunc(x * 1.0))
        return np.asarray(FUNCTIONS[operation.type](*given))
