"""A module's own initializer, run on a copy and with a random state of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from agnostic_rand.adapters import HostArray
from agnostic_rand_torch.copying import duplicated
from agnostic_rand_torch.random_state import seeded
from agnostic_rand_torch.reparametrization import is_reparametrized


def initialized(root: nn.Module, owner: nn.Module, names: list[str], seed: int) -> dict[str, HostArray]:
    """Fresh values of those parameters of `owner` in `names` that an initializer sets."""
    if is_reparametrized(owner) or isinstance(owner, torch.jit.ScriptModule):
        # An initializer of a reparametrized weight writes to a value that is computed, and is lost.
        # Scripting leaves the initializer behind.
        return {}
    fresh = duplicated(owner).to("cpu")
    if hasattr(fresh, "_is_hf_initialized"):
        del fresh._is_hf_initialized
    parameters = {name: fresh.get_parameter(name) for name in names}
    with seeded(seed), torch.no_grad():
        for parameter in parameters.values():
            parameter.fill_(float("nan") if parameter.is_floating_point() else 0)
        _run_initializer(root, owner, fresh)
    return {
        name: (parameter.detach() if parameter.dtype is torch.float64 else parameter.detach().float()).numpy()
        for name, parameter in parameters.items()
        if parameter.is_floating_point() and not torch.isnan(parameter).any()
    }


def _run_initializer(root: nn.Module, owner: nn.Module, fresh: nn.Module) -> None:
    # Hugging Face and timm models initialize one submodule at a time by this method.
    of_model = getattr(root, "_init_weights", None)
    if owner is not root and _takes(of_model, fresh):
        of_model(fresh)  # type: ignore[misc]
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(fresh, name, None)
        unset = any(torch.isnan(parameter).any() for parameter in fresh.parameters(recurse=False))
        if unset and _takes(reset):
            reset()  # type: ignore[misc]


def _takes(function: Callable[..., Any] | None, *arguments: Any) -> bool:
    """Whether it can be called so; models have methods of these names that are something else."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    return True
