"""Every parameter of a module, each in exactly one layer, with the tensors that hold it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn

from agnostic_rand.adapters import Entry, Inventory, Parameter, Role, inventory_of
from agnostic_rand_torch.refusals import packed_weights, refuse_unusable
from agnostic_rand_torch.reparametrization import attribute_of, singular_vectors, split_path
from agnostic_rand_torch.roles import keeps_statistics, kind_of, meaning
from agnostic_rand_torch.unwrap import public_names

QUANTIZED = "packed int8"
"""The type of the weight of a quantized layer, which no forward pass shows to read it."""


def take_inventory(root: nn.Module) -> Inventory[torch.Tensor]:
    """List the parameters of a module.

    Raises:
        ModelError: A parameter is lazy and not initialized, on the meta device, or packed out of reach.
    """
    modules = dict(root.named_modules(remove_duplicate=False))
    names = public_names(root)
    kept: dict[tuple[int, ...], Entry[torch.Tensor]] = {}
    for path, tensor in root.named_parameters(remove_duplicate=False):
        refuse_unusable(path, tensor)
        owner_path, inner = split_path(path)
        entry = _entry(root, modules[owner_path], names, inner, tensor)
        key = _identity(tensor)
        first = kept.get(key)
        also = (path.replace("_orig_mod.", ""),)
        kept[key] = entry if first is None else replace(first, aliases=first.aliases + also)
    return inventory_of(_in_order(root, [*kept.values(), *_packed(root, names), *_statistics(root, names)]))


def _entry(
    root: nn.Module, owner: nn.Module, names: dict[int, str], name: str, tensor: torch.Tensor
) -> Entry[torch.Tensor]:
    attribute, is_magnitude = attribute_of(owner, name)
    role, axes = ("magnitude", None) if is_magnitude else meaning(owner, attribute, tensor.ndim)
    parameter = Parameter(name, tuple(tensor.shape), _dtype(tensor), role, axes)
    if owner is root and any(child != "parametrizations" for child, _ in root.named_children()):
        # A parameter of the model itself, beside its modules: a class token, a position table.
        return Entry(name, "Parameter", parameter, tensor)
    return Entry(_name(root, owner, names), kind_of(owner).__name__, parameter, tensor, owner)


def _packed(root: nn.Module, names: dict[int, str]) -> Iterator[Entry[torch.Tensor]]:
    for _, module, numbers in packed_weights(root):
        parameter = Parameter("weight", tuple(numbers.shape), QUANTIZED, "other")
        yield Entry(_name(root, module, names), kind_of(module).__name__, parameter, numbers, module)


def _statistics(root: nn.Module, names: dict[int, str]) -> Iterator[Entry[torch.Tensor]]:
    for module in root.modules():
        found: list[tuple[str, Role, torch.Tensor | None]] = []
        if keeps_statistics(kind_of(module)):
            found += [("running_mean", "mean", module.running_mean)]  # type: ignore[list-item]
            found += [("running_var", "variance", module.running_var)]  # type: ignore[list-item]
        found += [(name, "other", vector) for name, vector in singular_vectors(module).items()]
        layer = _name(root, module, names)
        for name, role, buffer in found:
            if buffer is not None:
                refuse_unusable(f"{layer}.{name}", buffer)
                parameter = Parameter(name, tuple(buffer.shape), _dtype(buffer), role)
                yield Entry(layer, kind_of(module).__name__, parameter, buffer, module, statistic=True)


def _in_order(root: nn.Module, entries: list[Entry[torch.Tensor]]) -> list[Entry[torch.Tensor]]:
    """As declared; bare parameters first, and each kernel directly before its own magnitude."""
    declared = {id(module): position for position, module in enumerate(root.modules())}
    first: dict[tuple[str, str], int] = {}
    for position, entry in enumerate(entries):
        first.setdefault(_place(entry), position)

    def rank(entry: Entry[torch.Tensor]) -> tuple[int, int, bool]:
        owner = -1 if entry.owner is None else declared[id(entry.owner)]
        return owner, first[_place(entry)], entry.parameter.role == "magnitude"

    return sorted(entries, key=rank)


def _identity(tensor: torch.Tensor) -> tuple[int, ...]:
    """What tied parameters share: one object, or two over the same memory."""
    if tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.data_ptr(), tensor.numel()


def _name(root: nn.Module, owner: nn.Module, names: dict[int, str]) -> str:
    return names[id(owner)] or kind_of(root).__name__


def _place(entry: Entry[torch.Tensor]) -> tuple[str, str]:
    name = entry.parameter.name
    return entry.layer, name if entry.owner is None else attribute_of(entry.owner, name)[0]


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
