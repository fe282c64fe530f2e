"""Weights that are computed from other parameters: which are they, and what follows a new value.

Both generations are known: `torch.nn.utils.parametrizations`, and the older hooks of
`weight_norm`, `spectral_norm` and `prune`.
"""

from __future__ import annotations

import re
from collections.abc import Set

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _Orthogonal, _SpectralNorm, _WeightNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from agnostic_rand_torch.spectral import converged

_ORIGINAL = re.compile(r"(?:^|.*\.)parametrizations\.([^.]+)\.original(\d*)$")


def split_path(path: str) -> tuple[str, str]:
    """The path of the module that a parameter belongs to, and the parameter's name in it."""
    if _ORIGINAL.match(path):
        before, _, after = path.rpartition("parametrizations.")
        return before.rstrip("."), f"parametrizations.{after}"
    owner, _, name = path.rpartition(".")
    return owner, name


def is_reparametrized(module: nn.Module) -> bool:
    """Whether a weight of the module itself is computed from other parameters."""
    return parametrize.is_parametrized(module) or bool(_hooks(module))


def attribute_of(owner: nn.Module, name: str) -> tuple[str, bool]:
    """The attribute that the parameter `name` makes up, and whether it is that one's magnitude only."""
    if found := _ORIGINAL.match(name):
        attribute, number = found.groups()
        steps = list(owner.parametrizations[attribute])  # type: ignore[index]
        return attribute, number == "0" and any(isinstance(step, _WeightNorm) for step in steps)
    for hook in _hooks(owner):
        if isinstance(hook, WeightNorm) and name in (f"{hook.name}_g", f"{hook.name}_v"):
            return hook.name, name.endswith("_g")
        if isinstance(hook, SpectralNorm) and name == f"{hook.name}_orig":
            return hook.name, False
        if isinstance(hook, BasePruningMethod) and name == f"{hook._tensor_name}_orig":
            return hook._tensor_name, False
    return name, False


def is_orthogonal(owner: nn.Module, name: str) -> bool:
    """Whether the parameter `name` is what an orthogonal weight is computed of."""
    found = _ORIGINAL.match(name)
    steps = list(owner.parametrizations[found[1]]) if found else []  # type: ignore[index]
    return any(isinstance(step, _Orthogonal) for step in steps)


def singular_vectors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The buffers in which spectral normalization keeps what it knows of its weights, by name."""
    found: dict[str, torch.Tensor] = {}
    if parametrize.is_parametrized(module):
        for attribute, steps in module.parametrizations.items():  # type: ignore[operator, union-attr]
            for number, step in enumerate(steps):
                if isinstance(step, _SpectralNorm):
                    prefix = f"parametrizations.{attribute}.{number}"
                    found |= {f"{prefix}.{name}": buffer for name, buffer in step.named_buffers()}
    for hook in _hooks(module):
        if isinstance(hook, SpectralNorm):
            found |= {f"{hook.name}_{end}": module.get_buffer(f"{hook.name}_{end}") for end in "uv"}
    return found


def update_derived(module: nn.Module, written: Set[str]) -> None:
    """Bring singular vectors and computed weights up to date with the parameters in `written`."""
    if parametrize.is_parametrized(module):
        for attribute, steps in module.parametrizations.items():  # type: ignore[operator, union-attr]
            prefix = f"parametrizations.{attribute}"
            for number, step in enumerate(steps):
                new = f"{prefix}.original" in written and f"{prefix}.{number}._u" not in written
                if new and isinstance(step, _SpectralNorm) and hasattr(step, "_u"):
                    converged(steps.original, step.dim, step._u, step._v)
    for hook in _hooks(module):
        if not isinstance(hook, SpectralNorm):
            hook(module, None)
            continue
        if f"{hook.name}_orig" in written and f"{hook.name}_u" not in written:
            vectors = module.get_buffer(f"{hook.name}_u"), module.get_buffer(f"{hook.name}_v")
            converged(module.get_parameter(f"{hook.name}_orig"), hook.dim, *vectors)
        # Called as a hook it would change the vectors again in training mode.
        setattr(module, hook.name, hook.compute_weight(module, do_power_iteration=False))


def _hooks(module: nn.Module) -> list[WeightNorm | SpectralNorm | BasePruningMethod]:
    kinds = (WeightNorm, SpectralNorm, BasePruningMethod)
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, kinds)]
