"""Every parameter and statistic of a Linen module, and what its type or name tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from flax import linen

from agnostic_rand.adapters import DistinctNames, Entry, Parameter
from agnostic_rand_jax.arrays import is_inexact, is_parameter_like
from agnostic_rand_jax.flax_roles import meaning, statistic_meaning
from agnostic_rand_jax.inventory import Path, child, described
from agnostic_rand_jax.linen_model import Modules
from agnostic_rand_jax.spectral import SpectralLink
from agnostic_rand_jax.tree import ArrayTree

PARAMETERS, STATISTICS = "params", "batch_stats"

# Where no call was traced, the types that Linen's own names tell: Dense_0, Conv_1, ...
_ASSUMED: dict[str, linen.Module] = {
    "Dense": linen.Dense(0),
    "Conv": linen.Conv(0, 0),
    "BatchNorm": linen.BatchNorm(),
    "LayerNorm": linen.LayerNorm(),
    "GroupNorm": linen.GroupNorm(),
    "RMSNorm": linen.RMSNorm(),
    "InstanceNorm": linen.InstanceNorm(),
    "WeightNorm": linen.WeightNorm(linen.Dense(0)),
    "Embed": linen.Embed(0, 0),
}

# Names of parameters whose role the type of their layer decides.
_OF_LAYERS = frozenset({"kernel", "bias", "scale", "lora_a", "lora_b"})
_SPECTRAL = frozenset({"u", "sigma"})


def named_arrays(variables: Mapping[str, Any]) -> ArrayTree:
    """The parameters and running statistics among the variables."""
    return ArrayTree(variables, _takes)


@dataclass(frozen=True)
class Found:
    """An array, and the module that has it.

    Args:
        key: Its name in the model.
        owner: The module's path.
        kind: The module's type.
        parameter: What the core is told.
        statistic: Whether it is a running statistic.
        untold: Whether its role depends on a type that is not known.
    """

    key: str
    owner: tuple[str, ...]
    kind: str
    parameter: Parameter
    statistic: bool
    untold: bool


def found_at(root: linen.Module, key: str, names: tuple[str, ...], array: jax.Array, modules: Modules) -> Found:
    """What is known of an array.

    Args:
        root: The model's module.
        key: The array's name in the model.
        names: Its path.
        array: The array.
        modules: By path, the modules that a traced call showed.
    """
    owner, name = names[1:-1], names[-1]
    *inside, kernel, kind = ("", *name.split("/"))
    if names[0] == STATISTICS and inside and kind in _SPECTRAL:
        # What spectral normalization keeps of a kernel names it, and belongs to the layer that has it.
        owner, name = (*owner[:-1], *inside[1:]), f"{kernel}/{kind}"
    module = root if not owner else modules.get(owner, _ASSUMED.get(owner[-1].rpartition("_")[0]))
    statistic = names[0] == STATISTICS
    parameter = described(name, array, statistic_meaning(name) if statistic else meaning(module, name, array.ndim))
    own_kind = type(module).__name__ if module is not None else "Module"
    untold = module is None and not statistic and name.rpartition("/")[2] in _OF_LAYERS
    return Found(key, owner, own_kind, parameter, statistic, untold)


def entry_of(found: Found, names: DistinctNames, *, nested: bool) -> Entry[str]:
    """The array in its layer; one of the root is a layer of its own in a model with submodules."""
    name = found.parameter.name
    if not found.owner and nested:
        return Entry(
            names.of(("param", name), name), "param", found.parameter, found.key, statistic=found.statistic
        )
    layer = names.of(found.owner, "/".join(found.owner) or found.kind)
    return Entry(layer, found.kind, found.parameter, found.key, found.owner, found.statistic)


def spectral_links(names: Mapping[str, tuple[str, ...]], entries: Sequence[Entry[str]]) -> tuple[SpectralLink, ...]:
    """Which statistics follow from which kernels.

    Args:
        names: By key, the path of each array.
        entries: The arrays.
    """
    key_at = {(entry.layer, entry.parameter.name): entry.held for entry in entries}
    return tuple(
        SpectralLink(
            key_at[entry.layer, entry.parameter.name.removesuffix("/u")],
            rows=False,
            right=entry.held,
            value=key_at[entry.layer, entry.parameter.name.removesuffix("u") + "sigma"],
        )
        for entry in entries
        if entry.statistic and names[entry.held][-1] != entry.parameter.name and entry.parameter.name.endswith("/u")
    )


def names_at(variables: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The path as names; what lies inside a box of metadata around an array is left out."""
    names: list[str] = []
    node: Any = variables
    for part in path:
        if not isinstance(node, Mapping):
            break
        names.append(str(part))
        node = child(node, part)
    return tuple(names)


def _takes(path: Path, leaf: Any) -> bool:
    collection = path[0] if path else None
    return (collection == PARAMETERS and is_parameter_like(leaf)) or (collection == STATISTICS and is_inexact(leaf))
