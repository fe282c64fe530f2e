"""The JAX backend of agnostic_rand: Flax NNX, Flax Linen, Equinox, and bare `(apply, params)` pairs.

It claims an `nnx.Module`, a tuple `(linen module, variables)` or `(linen module.apply, variables)`, a bound
Linen module, a Flax `TrainState`, an `equinox.Module`, a tuple `(equinox module, equinox.nn.State)`, a tuple
`(apply, params)`, and what `jax_model` returns. This module imports no framework; the adapter is loaded when a
model is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from agnostic_rand.adapters import Claim, ModelAdapter, OpenRequest, hookimpl
from agnostic_rand_jax.pair import JaxModel, jax_model

__all__ = ["JaxModel", "agnostic_rand_claim", "jax_model"]

REQUIRES = ("jax",)

# By the kind of model, the module and the function in it that opens one.
_OPENERS = {
    "bare": ("bare_adapter", "BareAdapter"),
    "equinox": ("equinox_adapter", "EquinoxAdapter"),
    "linen": ("linen_adapter", "LinenAdapter"),
    "linen form": ("linen_forms", "open_form"),
    "nnx": ("nnx_adapter", "NnxAdapter"),
}


@hookimpl
def agnostic_rand_claim(model: Any) -> Claim | None:
    """Claim the model if JAX is loaded and it has one of the forms above."""
    if "jax" not in sys.modules:
        return None
    found = _recognized(model)
    if found is None:
        return None
    model_type, kind = found
    return Claim(backend="jax", model_type=model_type, open=partial(_open, kind, model), api_version=1)


def _open(kind: str, model: Any, request: OpenRequest) -> ModelAdapter:
    module, name = _OPENERS[kind]
    adapter: ModelAdapter = getattr(import_module(f"agnostic_rand_jax.{module}"), name)(model, request)
    return adapter


def _recognized(model: Any) -> tuple[type, str] | None:
    nnx, equinox = sys.modules.get("flax.nnx"), sys.modules.get("equinox")
    if isinstance(model, JaxModel):
        return JaxModel, "bare"
    if isinstance(model, tuple):
        return _recognized_pair(model)
    if (form := _linen_form(model)) is not None:
        return form, "linen form"
    if nnx is not None and isinstance(model, nnx.Module):
        return nnx.Module, "nnx"
    if equinox is not None and isinstance(model, equinox.Module):
        return equinox.Module, "equinox"
    return None


def _recognized_pair(pair: tuple[Any, ...]) -> tuple[type, str] | None:
    if len(pair) != 2:
        return None
    linen, equinox = sys.modules.get("flax.linen"), sys.modules.get("equinox")
    if linen is not None and isinstance(pair[0], linen.Module):
        return (tuple, "linen") if isinstance(pair[1], Mapping) else None
    if (
        linen is not None
        and _is_bound_apply(pair[0], linen)
        and isinstance(pair[1], Mapping)
        and "params" in pair[1]
    ):
        return tuple, "linen"
    if equinox is not None and isinstance(pair[1], equinox.nn.State):
        return (tuple, "equinox") if isinstance(pair[0], equinox.Module) else None
    if callable(pair[0]) and not callable(pair[1]) and _has_arrays(pair[1]):
        return tuple, "bare"
    return None


def _linen_form(model: Any) -> type | None:
    """The type of a bound Linen module, or of a state of training that holds the `apply` of one."""
    linen, training = sys.modules.get("flax.linen"), sys.modules.get("flax.training.train_state")
    if linen is not None and isinstance(model, linen.Module):
        return None if model.scope is None else linen.Module
    if linen is None or training is None or not isinstance(model, training.TrainState):
        return None
    return training.TrainState if _is_bound_apply(model.apply_fn, linen) else None


def _is_bound_apply(function: Any, linen: Any) -> bool:
    """Whether it is the `apply` of a Linen module, as a `TrainState` keeps it."""
    owner = getattr(function, "__self__", None)
    return isinstance(owner, linen.Module) and getattr(function, "__name__", None) == "apply"


def _has_arrays(tree: Any) -> bool:
    import jax
    import numpy as np

    return any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(tree))
