"""Side inputs of a model of several: one input is explained, the others stand beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from array_api_compat import array_namespace

from agnostic_rand.adapters.protocol import Array, SideInputs

AllInputs: TypeAlias = tuple[Any, ...] | Mapping[str, Any]
"""What a model of several inputs takes: arrays by position or by name."""


def beside(inputs: AllInputs, place: Any) -> SideInputs:
    """All inputs but the one at a place, where `None` stands.

    Example:
        >>> beside({"image": 1, "age": 2}, "image")
        {'image': None, 'age': 2}
    """
    if isinstance(inputs, Mapping):
        return {name: None if name == place else array for name, array in inputs.items()}
    return tuple(None if position == place else array for position, array in enumerate(inputs))


def joined(side: SideInputs, explained: Any) -> tuple[Any, ...] | dict[str, Any]:
    """All inputs, the explained one in its place.

    Example:
        >>> joined((None, 2), 1)
        (1, 2)
    """
    if isinstance(side, Mapping):
        return {name: explained if array is None else array for name, array in side.items()}
    return tuple(explained if array is None else array for array in side)


def mapped(function: Callable[[Array], Any], side: SideInputs) -> SideInputs:
    """The side inputs, each through a function; the explained one's place stays empty."""
    if isinstance(side, Mapping):
        return {name: None if array is None else function(array) for name, array in side.items()}
    return tuple(None if array is None else function(array) for array in side)


def repeated(side: SideInputs, rows: int) -> SideInputs:
    """The side inputs for so many rows: the first of a batch's, or the batch's several times."""

    def copies(array: Array) -> Array:
        if rows < array.shape[0]:
            return array[:rows, ...]
        count = rows // array.shape[0]
        return array if count == 1 else array_namespace(array).concat([array] * count, axis=0)

    return mapped(copies, side)


def names_of(inputs: AllInputs) -> tuple[Any, ...]:
    """The places of the inputs: names `str`, or positions `int`."""
    return tuple(inputs) if isinstance(inputs, Mapping) else tuple(range(len(inputs)))


def called(function: Callable[..., Any], inputs: Any, *others: Any, **named: Any) -> Any:
    """What the function returns: several inputs are passed by position, others after them, or by name."""
    if isinstance(inputs, dict):
        return function(*others, **inputs, **named)
    return function(*(inputs if isinstance(inputs, tuple) else (inputs,)), *others, **named)
