"""A module's own initializer, run on a copy and with a random state of its own."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from agnostic_rand.adapters import HostArray


def initialized(root: nn.Module, owner: nn.Module, names: list[str], seed: int) -> dict[str, HostArray]:
    """Fresh values of those parameters of `owner` in `names` that an initializer sets."""
    if parametrize.is_parametrized(owner) or owner._forward_pre_hooks:
        # An initializer of a reparametrized weight writes to a value that is computed, and is lost.
        return {}
    fresh = copy.deepcopy(owner).to("cpu")
    if hasattr(fresh, "_is_hf_initialized"):
        del fresh._is_hf_initialized
    parameters = {name: fresh.get_parameter(name) for name in names}
    state = torch.default_generator.get_state()
    try:
        # The generator's own method: torch.manual_seed would reseed the accelerators too.
        torch.default_generator.manual_seed(seed)
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.fill_(float("nan"))
            _run_initializer(root, fresh)
    finally:
        torch.default_generator.set_state(state)
    return {
        name: parameter.detach().to(torch.float32).numpy()
        for name, parameter in parameters.items()
        if not torch.isnan(parameter).any()
    }


def _run_initializer(root: nn.Module, module: nn.Module) -> None:
    # Hugging Face and timm models initialize one submodule at a time by this method.
    of_model = getattr(root, "_init_weights", None)
    if callable(of_model) and module is not root:
        of_model(module)
    for name in ("reset_parameters", "_reset_parameters"):
        if any(torch.isnan(parameter).any() for parameter in module.parameters(recurse=False)):
            reset = getattr(module, name, None)
            if callable(reset):
                reset()
