"""Spectral normalization keeps singular vectors of its weight; they follow a new weight here."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

_ITERATIONS = 50


def update_singular_vectors(module: nn.Module, written: set[str]) -> None:
    """Recompute the singular vectors of each weight in `written` whose own are not in it."""
    if parametrize.is_parametrized(module):
        for attribute, steps in module.parametrizations.items():  # type: ignore[operator, union-attr]
            prefix = f"parametrizations.{attribute}"
            for i, step in enumerate(steps):
                if (
                    isinstance(step, _SpectralNorm)
                    and hasattr(step, "_u")
                    and f"{prefix}.original" in written
                    and f"{prefix}.{i}._u" not in written
                ):
                    _iterate(steps.original, step.dim, step._u, step._v)
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, SpectralNorm) and f"{hook.name}_orig" in written and f"{hook.name}_u" not in written:
            weight = getattr(module, f"{hook.name}_orig")
            _iterate(weight, hook.dim, getattr(module, f"{hook.name}_u"), getattr(module, f"{hook.name}_v"))


def _iterate(weight: torch.Tensor, dim: int, u: torch.Tensor, v: torch.Tensor) -> None:
    with torch.no_grad():
        matrix = weight.detach().transpose(0, dim).flatten(1)
        # A fixed start makes the vectors depend on the weight alone, not on what was there before.
        left = torch.ones_like(u)
        for _ in range(_ITERATIONS):
            right = nn.functional.normalize(matrix.T @ left, dim=0)
            left = nn.functional.normalize(matrix @ right, dim=0)
        u.copy_(left)
        v.copy_(right)
