"""Every parameter of a module, each in exactly one layer, with the tensors that hold it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from agnostic_rand.adapters import Layer, Parameter, Role
from agnostic_rand_torch.refusals import packed_weights, refuse_unusable
from agnostic_rand_torch.reparametrization import attribute_of, singular_vectors, split_path
from agnostic_rand_torch.roles import keeps_statistics, kind_of, meaning
from agnostic_rand_torch.unwrap import public_names

QUANTIZED = "packed int8"
"""The type of the weight of a quantized layer, which no forward pass shows to read it."""


@dataclass(frozen=True)
class Inventory:
    """The layers in order of declaration, and where their values live.

    Args:
        layers: From first to last declared.
        tensors: By layer and parameter name, the parameter or buffer.
        owners: By layer, the module that owns it, or `None` for a bare parameter of the model.
    """

    layers: tuple[Layer, ...]
    tensors: dict[str, dict[str, torch.Tensor]]
    owners: dict[str, nn.Module | None]


@dataclass(frozen=True, eq=False)
class _Entry:
    layer: str
    attribute: str
    parameter: Parameter
    tensor: torch.Tensor
    owner: nn.Module | None
    statistic: bool = False


def take_inventory(root: nn.Module) -> Inventory:
    """List the parameters of a module.

    Raises:
        ModelError: A parameter is lazy and not initialized, on the meta device, or packed out of reach.
    """
    modules = dict(root.named_modules(remove_duplicate=False))
    names = public_names(root)
    kept: dict[tuple[int, ...], _Entry] = {}
    aliases: dict[str, list[str]] = {}
    for path, tensor in root.named_parameters(remove_duplicate=False):
        refuse_unusable(path, tensor)
        owner_path, inner = split_path(path)
        entry = _entry(root, modules[owner_path], names, inner, tensor)
        first = kept.setdefault(_identity(tensor), entry)
        if first is not entry:
            aliases.setdefault(first.layer, []).append(path.replace("_orig_mod.", ""))
    layers: dict[str, Layer] = {}
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    owners: dict[str, nn.Module | None] = {}
    for entry in _in_order(root, [*kept.values(), *_packed(root, names), *_statistics(root, names)]):
        layer = layers.get(entry.layer) or Layer(entry.layer, _kind(entry), ())
        if entry.statistic:
            layer = replace(layer, statistics=(*layer.statistics, entry.parameter))
        else:
            layer = replace(layer, parameters=(*layer.parameters, entry.parameter))
        layers[entry.layer] = replace(layer, aliases=tuple(aliases.get(entry.layer, ())))
        tensors.setdefault(entry.layer, {})[entry.parameter.name] = entry.tensor
        owners[entry.layer] = entry.owner
    return Inventory(tuple(layers.values()), tensors, owners)


def _entry(root: nn.Module, owner: nn.Module, names: dict[int, str], name: str, tensor: torch.Tensor) -> _Entry:
    attribute, is_magnitude = attribute_of(owner, name)
    role, axes = ("magnitude", None) if is_magnitude else meaning(owner, attribute, tensor.ndim)
    parameter = Parameter(name, tuple(tensor.shape), _dtype(tensor), role, axes)
    if owner is root and any(child != "parametrizations" for child, _ in root.named_children()):
        # A parameter of the model itself, beside its modules: a class token, a position table.
        return _Entry(name, attribute, parameter, tensor, None)
    return _Entry(_name(root, owner, names), attribute, parameter, tensor, owner)


def _packed(root: nn.Module, names: dict[int, str]) -> Iterator[_Entry]:
    for _, module, numbers in packed_weights(root):
        parameter = Parameter("weight", tuple(numbers.shape), QUANTIZED, "other")
        yield _Entry(_name(root, module, names), "weight", parameter, numbers, module)


def _statistics(root: nn.Module, names: dict[int, str]) -> Iterator[_Entry]:
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
                yield _Entry(layer, name, parameter, buffer, module, statistic=True)


def _in_order(root: nn.Module, entries: list[_Entry]) -> list[_Entry]:
    """As declared; bare parameters first, and each kernel directly before its own magnitude."""
    declared = {id(module): position for position, module in enumerate(root.modules())}
    first: dict[tuple[str, str], int] = {}
    for position, entry in enumerate(entries):
        first.setdefault((entry.layer, entry.attribute), position)

    def rank(entry: _Entry) -> tuple[int, int, bool]:
        owner = -1 if entry.owner is None else declared[id(entry.owner)]
        return owner, first[entry.layer, entry.attribute], entry.parameter.role == "magnitude"

    return sorted(entries, key=rank)


def _identity(tensor: torch.Tensor) -> tuple[int, ...]:
    """What tied parameters share: one object, or two over the same memory."""
    if tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.data_ptr(), tensor.numel()


def _name(root: nn.Module, owner: nn.Module, names: dict[int, str]) -> str:
    return names[id(owner)] or kind_of(root).__name__


def _kind(entry: _Entry) -> str:
    return "Parameter" if entry.owner is None else kind_of(entry.owner).__name__


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
