"""Every parameter of a module, each in exactly one layer, with the tensors that hold it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm, _WeightNorm

from agnostic_rand.adapters import Layer, Parameter, Role
from agnostic_rand.errors import ModelError
from agnostic_rand_torch.roles import Meaning, meaning


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


@dataclass(frozen=True)
class _Entry:
    layer: str
    parameter: Parameter
    tensor: torch.Tensor
    owner: nn.Module | None
    statistic: bool


def take_inventory(root: nn.Module) -> Inventory:
    """List the parameters of a module.

    Raises:
        ModelError: A parameter is lazy and not initialized, on the meta device, or packed by
            quantization.
    """
    _refuse_packed(root)
    names = {id(module): name for name, module in root.named_modules()}
    kept: dict[tuple[int, ...], _Entry] = {}
    aliases: dict[str, list[str]] = {}
    for path, tensor in root.named_parameters(remove_duplicate=False):
        _refuse_unusable(path, tensor)
        entry = _entry(root, names, path, tensor)
        identity = _identity(tensor)
        if identity in kept:
            aliases.setdefault(kept[identity].layer, []).append(path)
        else:
            kept[identity] = entry
    entries = [*kept.values(), *_statistics(root, names)]
    layers: dict[str, Layer] = {}
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    owners: dict[str, nn.Module | None] = {}
    for entry in sorted(entries, key=lambda entry: _declared(root, entry)):
        layer = layers.get(entry.layer) or Layer(entry.layer, _kind(entry), ())
        if entry.statistic:
            layer = replace(layer, statistics=(*layer.statistics, entry.parameter))
        else:
            layer = replace(layer, parameters=(*layer.parameters, entry.parameter))
        layers[entry.layer] = replace(layer, aliases=tuple(aliases.get(entry.layer, ())))
        tensors.setdefault(entry.layer, {})[entry.parameter.name] = entry.tensor
        owners[entry.layer] = entry.owner
    return Inventory(tuple(layers.values()), tensors, owners)


def _entry(root: nn.Module, names: dict[int, str], path: str, tensor: torch.Tensor) -> _Entry:
    owner_path, inner = _split(path)
    owner = root.get_submodule(owner_path)
    role, axes = _meaning(owner, inner, tensor)
    if axes is not None and len(axes) != tensor.ndim:
        axes = None
    parameter = Parameter(inner, tuple(tensor.shape), _dtype(tensor), role, axes)
    if owner is root:
        bare = any(True for _ in root.children())
        return _Entry(path if bare else type(root).__name__, parameter, tensor, None if bare else root, False)
    return _Entry(names[id(owner)], parameter, tensor, owner, False)


def _split(path: str) -> tuple[str, str]:
    """The path of the module that a parameter belongs to, and the parameter's name in it."""
    before, found, after = path.rpartition("parametrizations.")
    if found:
        return before.rstrip("."), found + after
    owner, _, name = path.rpartition(".")
    return owner, name


def _meaning(owner: nn.Module, name: str, tensor: torch.Tensor) -> Meaning:
    if name.startswith("parametrizations."):
        _, attribute, original = name.split(".")
        steps = list(owner.parametrizations[attribute])  # type: ignore[index]
        if any(isinstance(step, _WeightNorm) for step in steps) and original == "original0":
            return "magnitude", None
        return meaning(owner, attribute, tensor.ndim)
    if _is_hooked(owner, name, "_g", partner="_v"):
        return "magnitude", None
    for suffix, partner in (("_v", "_g"), ("_orig", "_u")):
        if _is_hooked(owner, name, suffix, partner=partner):
            return meaning(owner, name.removesuffix(suffix), tensor.ndim)
    return meaning(owner, name, tensor.ndim)


def _is_hooked(owner: nn.Module, name: str, suffix: str, partner: str) -> bool:
    """Whether the older `weight_norm` or `spectral_norm` made this parameter out of another."""
    return name.endswith(suffix) and hasattr(owner, name.removesuffix(suffix) + partner)


def _statistics(root: nn.Module, names: dict[int, str]) -> list[_Entry]:
    entries = []
    for module in root.modules():
        name = names[id(module)] or type(root).__name__
        found: list[tuple[str, Role, torch.Tensor | None]] = []
        if isinstance(module, nn.modules.batchnorm._NormBase):
            found += [("running_mean", "mean", module.running_mean)]
            found += [("running_var", "variance", module.running_var)]
        if parametrize.is_parametrized(module):
            for attribute, steps in module.parametrizations.items():  # type: ignore[operator, union-attr]
                for i, step in enumerate(steps):
                    if isinstance(step, _SpectralNorm):
                        prefix = f"parametrizations.{attribute}.{i}"
                        found += [(f"{prefix}.{key}", "other", buffer) for key, buffer in step.named_buffers()]
        found += [
            (key, "other", buffer)
            for key, buffer in module.named_buffers(recurse=False)
            if key.endswith(("_u", "_v")) and hasattr(module, key[:-2] + "_orig")
        ]
        for key, role, buffer in found:
            if buffer is not None:
                parameter = Parameter(key, tuple(buffer.shape), _dtype(buffer), role)
                entries.append(_Entry(name, parameter, buffer, module, True))
    return entries


def _declared(root: nn.Module, entry: _Entry) -> int:
    if entry.owner is None:
        return -1
    return next(i for i, module in enumerate(root.modules()) if module is entry.owner)


def _identity(tensor: torch.Tensor) -> tuple[int, ...]:
    """What tied parameters share: one object, or two over the same memory."""
    if tensor.numel() == 0:
        return (id(tensor),)
    return tensor.untyped_storage().data_ptr(), tensor.data_ptr(), tensor.numel()


def _kind(entry: _Entry) -> str:
    if entry.owner is None:
        return "Parameter"
    kind = type(entry.owner)
    # A parametrized module's class is made on the fly as a subclass of its own.
    return kind.__bases__[0].__name__ if parametrize.is_parametrized(entry.owner) else kind.__name__


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _refuse_unusable(path: str, tensor: torch.Tensor) -> None:
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        raise ModelError(
            f"the parameter {path!r}",
            expected="an initialized parameter",
            received="one of a lazy module that has not been called yet",
            fix="Call the model once on a batch before the check.",
        )
    if tensor.is_meta:
        raise ModelError(
            f"the parameter {path!r}",
            expected="a parameter that holds values",
            received="one on the meta device",
            fix="Load the weights first, as with model.to_empty and load_state_dict.",
        )


def _refuse_packed(root: nn.Module) -> None:
    for path, module in root.named_modules():
        if hasattr(module, "_packed_params") or hasattr(module, "_weight_bias"):
            raise ModelError(
                f"the layer {path!r}",
                expected="weights in parameters",
                received=f"a quantized {type(module).__name__}, whose weights are packed",
                fix="Pass the model before quantization.",
            )
