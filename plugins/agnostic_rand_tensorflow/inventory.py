"""Every parameter of a model, each in exactly one layer, with the variables that hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import UNKNOWN, Entry, Inventory, Meaning, Parameter, inventory_of
from agnostic_rand_keras.roles import meaning
from agnostic_rand_tensorflow.declared import declared_meaning
from agnostic_rand_tensorflow.ownership import Owned, Ownership

_STATISTICS = ("mean", "variance")


def take_inventory(root: Any, ownership: Ownership, deduced: Mapping[int, Meaning]) -> Inventory[tf.Variable]:
    """List the parameters of a model.

    Running means and variances are statistics, where they are known to be. Other trainable variables
    are parameters. Those that are not trainable are parameters too where they are known to be frozen
    weights, and else left alone (constants, counters, states of generators), as integers are.

    Args:
        root: The model.
        ownership: What the walk through it found.
        deduced: By the variable's `id`, what its use in the forward pass says of it.

    Raises:
        ModelError: A module declares something of its variables that does not fit them.
    """
    chosen, aliases = _primary(ownership.variables)
    scopes = _scopes(root, chosen)
    bare = _is_bare(chosen)
    entries = (
        _entry(root, scopes.get(id(owned.variable), owned), bare, deduced, aliases[id(owned.variable)])
        for owned in chosen
    )
    return inventory_of(entry for entry in entries if entry is not None)


def _primary(found: Sequence[Owned]) -> tuple[list[Owned], dict[int, tuple[str, ...]]]:
    """One place for each variable, and the other modules' names for it."""
    places: dict[int, list[Owned]] = {}
    for owned in found:
        places.setdefault(id(owned.variable), []).append(owned)
    # A list that gathers variables of submodules does not own them.
    chosen = {key: next((o for o in held if o.direct), held[0]) for key, held in places.items()}
    aliases = {
        key: tuple(_path(o) for o in held if o.direct and o.path != chosen[key].path)
        for key, held in places.items()
    }
    order = [owned for owned in found if chosen[id(owned.variable)] is owned]
    return order, aliases


def _entry(
    root: Any, owned: Owned, bare: bool, deduced: Mapping[int, Meaning], aliases: tuple[str, ...]
) -> Entry[tf.Variable] | None:
    dtype = owned.variable.dtype
    if not (dtype.is_floating or dtype.is_complex):
        return None
    shape = tuple(owned.variable.shape)
    declared = declared_meaning(owned.owner, owned.parameter, len(shape))
    known = meaning(owned.owner, owned.name, len(shape))
    role, axes = declared or (deduced.get(id(owned.variable), UNKNOWN) if known == UNKNOWN else known)
    if not owned.trainable and role == "other" and declared is None:
        return None
    parameter = Parameter(owned.parameter, shape, dtype.name, role, axes)
    # TensorFlow calls every variable trainable unless it is told otherwise: the use tells more.
    statistic = role in _STATISTICS
    kind, owner = type(owned.owner if owned.path else root).__name__, owned.owner
    layer = owned.path or kind
    if bare and not owned.path:
        parameter = replace(parameter, name=owned.name.rpartition("/")[2])
        layer, kind, owner = owned.name, "Variable", None
    return Entry(layer, kind, parameter, owned.variable, owner, statistic, aliases)


def _is_bare(chosen: Sequence[Owned]) -> bool:
    """Whether the root's own variables are layers of their own: it has submodules, or is a whole network."""
    matrices = [o for o in chosen if o.trainable and not o.path and len(o.variable.shape) >= 2]
    return len(matrices) > 1 or any(owned.path for owned in chosen)


def _scopes(root: Any, chosen: Sequence[Owned]) -> dict[int, Owned]:
    """For loaded SavedModels, owners by the scopes in the variables' names, where those tell them apart.

    The names of attributes in a SavedModel of Keras are numbers (`layer_with_weights-0`).
    """
    if isinstance(root, tf.Module):
        return {}
    names = [owned.variable.name.split(":")[0] for owned in chosen]
    if len(set(names)) < len(names) or not all("/" in name for name in names):
        return {}
    parts = [name.rpartition("/") for name in names]
    return {
        id(o.variable): replace(o, path=path, name=name) for o, (path, _, name) in zip(chosen, parts, strict=True)
    }


def _path(owned: Owned) -> str:
    return f"{owned.path}/{owned.name}" if owned.path else owned.name
