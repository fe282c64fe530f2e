"""Fresh values from the frameworks' own initializers, by making a layer of the same type anew."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand_jax.arrays import host_copy


def made_again(layer: Any, given: Mapping[str, Any]) -> Any | None:
    """A new layer of the same type, made with the arguments that the layer keeps as attributes.

    Args:
        layer: A layer of a framework, whose constructor's arguments are known by their names.
        given: Arguments that it does not keep, such as the key.

    Returns:
        The new layer, or `None` where an argument that it needs is not kept.
    """
    accepted = list(inspect.signature(type(layer).__init__).parameters.values())[1:]
    kept = {
        parameter.name: getattr(layer, parameter.name)
        for parameter in accepted
        if hasattr(layer, parameter.name) and not _holds_arrays(getattr(layer, parameter.name))
    }
    arguments = kept | {p.name: given[p.name] for p in accepted if p.name in given}
    needed = [p.name for p in accepted if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if any(name not in arguments for name in needed):
        return None
    return type(layer)(**arguments)


def same_shaped(fresh: Mapping[str, Any], held: Mapping[str, jax.Array]) -> dict[str, HostArray]:
    """The fresh arrays that fit; a stack of layers, made by `vmap`, does not fit one layer."""
    return {
        name: host_copy(array)
        for name, array in fresh.items()
        if isinstance(array, jax.Array) and array.shape == held[name].shape
    }


def _holds_arrays(value: Any) -> bool:
    return any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(value))
