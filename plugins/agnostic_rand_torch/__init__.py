"""The PyTorch backend of agnostic_rand: it claims every `torch.nn.Module`.

This module imports no framework; the adapter is loaded when a model is opened.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from agnostic_rand.adapters import Claim, ModelAdapter, OpenRequest, hookimpl

REQUIRES = ("torch",)


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    """Claim the model if torch is loaded and it is a module."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        return None
    return Claim(backend="torch", model_type=torch.nn.Module, open=partial(_open, model), api_version=1)


def _open(model: Any, request: OpenRequest) -> ModelAdapter:
    from agnostic_rand_torch.adapter import TorchAdapter

    return TorchAdapter(model, request)
