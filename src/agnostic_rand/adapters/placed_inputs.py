"""Placed inputs: a batch on the model's device, the explained input and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agnostic_rand.adapters.capabilities import require
from agnostic_rand.adapters.protocol import Array, HostArray, ModelAdapter, SideInputs, SupportsSeveralInputs
from agnostic_rand.adapters.side_inputs import AllInputs, beside, mapped, names_of


@dataclass(frozen=True)
class PlacedInputs:
    """One batch.

    Args:
        explained: `(n, ...)`.
        side: The other inputs of a model of several, or `None`.
    """

    explained: Array
    side: SideInputs | None = None

    @classmethod
    def of(cls, adapter: ModelAdapter, inputs: HostArray | AllInputs) -> PlacedInputs:
        """A host array, or all inputs of a model of several, of which the first counts as the explained one."""
        if not isinstance(inputs, tuple | Mapping):
            return cls(adapter.asarray(inputs))
        place = names_of(inputs)[0]
        explained = inputs[place]
        return cls(adapter.asarray(explained), mapped(adapter.asarray, beside(inputs, place)))

    def seen_by(self, adapter: ModelAdapter) -> ModelAdapter:
        """The model as a function of the explained input of this batch."""
        if self.side is None:
            return adapter
        capable: Any = require(
            adapter, SupportsSeveralInputs, "several inputs", "Pass forward= and one array that holds all inputs."
        )
        beside: ModelAdapter = capable.beside(self.side)
        return beside
