"""How a module is called: on one input, or on several."""

from __future__ import annotations

from typing import Any

import torch

from agnostic_rand.adapters import SideInputs, joined, mapped, repeated


def all_inputs(explained: torch.Tensor, side: SideInputs | None) -> Any:
    """What the model takes: the explained input alone, or with copies of the others."""
    if side is None:
        return explained
    # Copies: a model may work on its inputs in place.
    return joined(mapped(torch.clone, repeated(side, explained.shape[0])), explained)
