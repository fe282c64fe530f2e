"""A model of several inputs as a function of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from agnostic_rand.adapters import Array, SideInputs, joined, names_of, repeated
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.runtime import Runtime, open_runtime


@dataclass
class Given:
    """What stands among the variables so that it is an argument of what is compiled, not a constant."""

    value: Array


class BesidePass(ForwardPass):
    """The model as a function of one input; the others are the last of its variables' values.

    Args:
        whole: The model as a function of all its inputs.
        side: What holds each of the others, in its place.
    """

    def __init__(self, whole: ForwardPass, side: SideInputs) -> None:
        held = [given for given in _values(side) if given is not None]
        super().__init__(whole.model, (*whole.variables, *held), whole.forward)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_side", side)

    def mapping(self, values: Sequence[Array] | None) -> list[tuple[keras.Variable, Array]]:
        """The state of a scope in which the model has these values, but for its other inputs."""
        whole: ForwardPass = self._whole  # type: ignore[attr-defined]
        return whole.mapping(None if values is None else values[: len(whole.variables)])

    def called(self, inputs: Array, values: Sequence[Array] | None = None, *, training: bool = False) -> Array:
        """The outputs where the explained input is `inputs`, in the scope of the caller."""
        whole: ForwardPass = self._whole  # type: ignore[attr-defined]
        own = len(whole.variables)
        given = [held.value for held in self.variables[own:]] if values is None else list(values)[own:]
        return whole.called(self._all(inputs, given), training=training)

    def _all(self, explained: Array, given: list[Array]) -> Any:
        side: SideInputs = self._side  # type: ignore[attr-defined]
        remaining = iter(keras.ops.convert_to_tensor(value) for value in given)
        filled = [None if held is None else next(remaining) for held in _values(side)]
        if isinstance(side, tuple):
            return joined(tuple(filled), explained)
        return joined(dict(zip(names_of(side), filled, strict=True)), explained)


@dataclass
class SideRuntimes:
    """What was compiled for a model of several inputs, by the place of the explained one and the batch's shapes."""

    whole: ForwardPass
    opened: dict[tuple[object, ...], tuple[BesidePass, Runtime]] = field(default_factory=dict)

    def at(self, side: SideInputs, rows: int) -> tuple[ForwardPass, Runtime]:
        """The model as a function of so many rows of the input in whose place `None` stands."""
        arrays = repeated(side, rows)
        key = (*names_of(arrays), *(None if a is None else (tuple(a.shape), str(a.dtype)) for a in _values(arrays)))
        if key not in self.opened:
            holders = [None if array is None else Given(array) for array in _values(arrays)]
            places = names_of(arrays)
            held: Any = tuple(holders) if isinstance(arrays, tuple) else dict(zip(places, holders, strict=True))
            made = BesidePass(self.whole, held)
            self.opened[key] = made, open_runtime(made)
        made, runtime = self.opened[key]
        present = [array for array in _values(arrays) if array is not None]
        for holder, array in zip(made.variables[len(self.whole.variables) :], present, strict=True):
            holder.value = array
        return made, runtime


def _values(side: SideInputs) -> list[Any]:
    return list(side) if isinstance(side, tuple) else list(side.values())
