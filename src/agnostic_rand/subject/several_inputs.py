"""Several inputs of a model: a tuple or a dictionary of arrays, one of them explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agnostic_rand.adapters import (
    AllInputs,
    HostArray,
    ModelAdapter,
    SupportsSeveralInputs,
    names_of,
    require,
)
from agnostic_rand.errors import ArgumentError, InputError, unknown_name


def is_several(inputs: Any) -> bool:
    """Whether these are inputs by name or by position, not one array or a list of samples."""
    if isinstance(inputs, Mapping):
        return bool(inputs)
    return isinstance(inputs, tuple) and bool(inputs) and all(hasattr(part, "shape") for part in inputs)


def chosen_place(inputs: Any, explained_input: int | str | None, adapter: ModelAdapter) -> int | str | None:
    """The place of the input that is explained; `None` for one array.

    Raises:
        ArgumentError: It is not said which one, or said of a single array.
        UnknownNameError: There is no such input.
        CapabilityError: The backend takes one input only.
    """
    if not is_several(inputs):
        if explained_input is not None:
            raise ArgumentError(
                "explained_input",
                expected="None where the inputs are one array",
                received=repr(explained_input),
                fix="Leave it out, or pass all inputs of the model as a tuple or a dictionary.",
            )
        return None
    names = names_of(inputs)
    require(adapter, SupportsSeveralInputs, "several inputs", "Pass forward= and one array that holds all inputs.")
    if explained_input is None:
        if len(names) == 1:
            only: int | str = names[0]
            return only
        raise ArgumentError(
            "explained_input",
            expected=f"the input that is explained: one of {', '.join(map(repr, names))}",
            received="nothing",
            fix=f"Pass for example explained_input={names[0]!r}; the others are given to the model as they are.",
        )
    if explained_input not in names:
        raise unknown_name("input", str(explained_input), [str(name) for name in names])
    return explained_input


def gathered(batches: Sequence[HostArray | AllInputs]) -> HostArray | AllInputs:
    """Batches one after the other; several inputs each for itself.

    Raises:
        InputError: They have other names, or samples of other shapes.
    """
    first = batches[0]
    if not isinstance(first, tuple | Mapping):
        return _concatenated("inputs", batches)
    names = names_of(first)
    for number, batch in enumerate(batches):
        if not isinstance(batch, type(first)) or names_of(batch) != names:
            raise InputError(
                f"the inputs of batch {number}",
                expected=f"the inputs of the first batch: {', '.join(map(repr, names))}",
                received=type(batch).__name__,
                fix="Let every batch bring the same inputs.",
            )
    parts = {name: _concatenated(f"input {name!r}", [batch[name] for batch in batches]) for name in names}
    return parts if isinstance(first, Mapping) else tuple(parts.values())


def _concatenated(subject: str, batches: Sequence[Any]) -> HostArray:
    shapes = {array.shape[1:] if hasattr(array, "shape") else None for array in batches}
    if len(shapes) > 1:
        raise InputError(
            subject,
            expected="batches whose samples have one shape",
            received=" and ".join(sorted(map(str, shapes))[:3]),
            fix="Resize or pad the samples.",
        )
    return np.concatenate(batches)
