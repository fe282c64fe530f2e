"""Snapshots of a model: what the framework itself says of it at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.testing.case import Case
from agnostic_rand.testing.compare import difference, same_bits

SAME_OUTPUTS = 1e-5


@dataclass(frozen=True, eq=False)
class NativeState:
    """The model's flags, parameters and outputs, as far as the case says how to see them.

    Args:
        flags: What `Native.flags` returned.
        parameters: What `Native.parameters` returned.
        outputs: What `Native.outputs` returned.
    """

    flags: Any
    parameters: tuple[HostArray, ...]
    outputs: HostArray | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NativeState) and not self.differences(other)

    __hash__ = None  # type: ignore[assignment]

    def differences(self, other: NativeState) -> list[str]:
        """What is not the same in another state, in words."""
        found = []
        if self.flags != other.flags:
            found.append(f"the flags (from {self.flags!r} to {other.flags!r})")
        if len(self.parameters) != len(other.parameters):
            found.append(f"the number of parameters (from {len(self.parameters)} to {len(other.parameters)})")
        elif not all(map(same_bits, self.parameters, other.parameters)):
            found.append("the framework's own parameters")
        if not _same_outputs(self.outputs, other.outputs):
            found.append("the outputs of the framework's own model")
        return found


def _same_outputs(a: HostArray | None, b: HostArray | None) -> bool:
    # Not bit for bit: accelerators may add up in another order at each call.
    if a is None or b is None:
        return a is b
    return difference(a.astype(np.float64), b.astype(np.float64)) < SAME_OUTPUTS


def native_state(case: Case, model: Any) -> NativeState:
    """What `case.native` sees in `model` now."""
    native = case.native
    return NativeState(
        flags=None if native.flags is None else native.flags(model),
        parameters=() if native.parameters is None else tuple(np.array(p) for p in native.parameters(model)),
        outputs=None if native.outputs is None else np.array(native.outputs(model, case.inputs)),
    )
