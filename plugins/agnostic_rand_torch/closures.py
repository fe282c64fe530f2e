"""Functions inside a copied module that are still bound to the module that it was copied from.

A deep copy keeps functions as they are, with what they close over. Bound methods and partial
functions are copied with what they are bound to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from agnostic_rand.errors import ModelError


def refuse_bound_to(original: nn.Module, duplicate: nn.Module) -> None:
    """Refuse a copy that would compute with layers or tensors of the original.

    Raises:
        ModelError: A function in the copy reaches one.
    """
    owned = {id(part) for part in original.modules()}
    owned |= {id(tensor) for tensor in (*original.parameters(), *original.buffers())}
    # Parts of the copy get their turn under their own names, however else they are reached.
    seen = {id(part) for part in duplicate.modules()}
    for path, part in duplicate.named_modules():
        for name, value in vars(part).items():
            if _reaches(value, owned, seen):
                place = ".".join(filter(None, (path, name)))
                raise ModelError(
                    f"the copy of the model {type(original).__name__}, whose attribute {place!r} uses the original",
                    expected="a model whose functions use the layers of the model that is called",
                    received="one that holds a function which closes over a layer or a parameter of the original",
                    fix="Pass isolation='in_place': weights are swapped in your model and put back bit for bit.",
                )


def _reaches(start: Any, owned: set[int], seen: set[int]) -> bool:
    """Whether what is kept at `start` leads to one of the objects; others are looked at once."""
    waiting = [start]
    while waiting:
        value = waiting.pop()
        if id(value) in owned:
            return True
        if id(value) in seen:
            continue
        seen.add(id(value))
        waiting += _parts(value)
    return False


def _parts(value: Any) -> Iterator[Any]:
    """What a function, a container or another object holds."""
    match value:
        case FunctionType():
            yield from (cell for cell in value.__closure__ or ())
            yield from value.__defaults__ or ()
            yield from (value.__kwdefaults__ or {}).values()
            yield from vars(value).values()
            # Of the names at the top of a script or notebook, a model or layer alone is of interest.
            named = (value.__globals__.get(name) for name in value.__code__.co_names)
            yield from (found for found in named if isinstance(found, nn.Module | torch.Tensor))
        case CellType():
            try:
                yield value.cell_contents
            except ValueError:
                return
        case MethodType():
            yield from (value.__func__, value.__self__)
        case partial():
            yield from (value.func, value.args, value.keywords)
        case Mapping():
            yield from value.values()
        case list() | tuple() | set() | frozenset():
            yield from value
        case type() | ModuleType() | torch.Tensor() | str() | bytes():
            return
        case _:
            yield from getattr(value, "__dict__", {}).values()
