"""The state of a module besides its layers' values, kept so that it can be put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from agnostic_rand_torch.arrays import write_back
from agnostic_rand_torch.modes import alone_with, own_flags, switches


def kept_state(native: nn.Module, written: Sequence[torch.Tensor]) -> Callable[[], None]:
    """A function that puts back attributes, modes, hooks, flags, gradients and some tensors as they are now.

    Args:
        native: The module, with its wrappers.
        written: Tensors whose values its forward pass changes.
    """
    with alone_with(native):
        parts = list(native.modules())
        modes = [(part, part.training) for part in parts]
        # Of a scripted module Python holds no attributes.
        attributes = [_attributes(part) for part in parts if not isinstance(part, torch.jit.ScriptModule)]
        turn_flags_back = own_flags(native.parameters())
        values = [(tensor, tensor.detach().clone()) for tensor in written]
        turn_back = switches()

    def restore() -> None:
        with alone_with(native):
            for held, entries in (pair for own in attributes for pair in own):
                _refill(held, entries)
            for part, training in modes:
                if part.training is not training:
                    part.training = training
            turn_flags_back()
            write_back(values)
            turn_back()

    return restore


def _attributes(part: nn.Module) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    """Dictionaries of the module (its attributes, and those among them) with what is in them now."""
    held = [vars(part), *(value for value in vars(part).values() if isinstance(value, dict))]
    return [(entries, dict(entries)) for entries in held]


def _refill(held: dict[Any, Any], entries: dict[Any, Any]) -> None:
    same = len(held) == len(entries) and all(held.get(key, held) is value for key, value in entries.items())
    if not same:
        for key in held.keys() - entries.keys():
            del held[key]
        held.update(entries)
