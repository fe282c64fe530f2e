"""How a model is called: on one input, or on several, of which one is explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agnostic_rand.adapters import Array, SideInputs, joined, repeated

_SIDE = "\uffff side inputs"
"""Among the values of a function it comes last, as a key that no array of a model has."""


def with_side_inputs(values: dict[str, Any], side: SideInputs | None, rows: int) -> dict[str, Any]:
    """The values, with what stands beside so many rows of the explained input."""
    return values if side is None else values | {_SIDE: repeated(side, rows)}


def side_inputs(values: Mapping[str, Any]) -> SideInputs | None:
    """What stands beside the explained input."""
    side: SideInputs | None = values.get(_SIDE)
    return side


def all_inputs(values: Mapping[str, Any], explained: Array) -> Any:
    """What the model takes: the explained input alone, or all of several."""
    side = side_inputs(values)
    return explained if side is None else joined(side, explained)
