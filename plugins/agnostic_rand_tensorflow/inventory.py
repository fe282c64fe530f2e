"""Every parameter of a model, each in exactly one layer, with the variables that hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import Layer, Parameter
from agnostic_rand_tensorflow.declared import Meaning, declared_meaning
from agnostic_rand_tensorflow.ownership import Owned, Ownership
from agnostic_rand_tensorflow.roles import layer_meaning

_STATISTICS = ("mean", "variance")
_UNKNOWN: Meaning = ("other", None)


@dataclass(frozen=True)
class Inventory:
    """The layers in order of declaration, and where their values live.

    Args:
        layers: From first to last declared.
        variables: By layer and parameter name, the variable.
        owners: By layer, the object that owns it, or `None` for a bare variable of the model.
    """

    layers: tuple[Layer, ...]
    variables: dict[str, dict[str, tf.Variable]]
    owners: dict[str, Any]


@dataclass(frozen=True)
class _Entry:
    layer: str
    kind: str
    parameter: Parameter
    owned: Owned
    statistic: bool


def take_inventory(root: Any, ownership: Ownership, deduced: Mapping[int, Meaning]) -> Inventory:
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
    layers: dict[str, Layer] = {}
    variables: dict[str, dict[str, tf.Variable]] = {}
    owners: dict[str, Any] = {}
    for owned in chosen:
        entry = _entry(root, scopes.get(id(owned.variable), owned), bare, deduced)
        if entry is None:
            continue
        layer = layers.get(entry.layer) or Layer(entry.layer, entry.kind, ())
        if entry.statistic:
            layer = replace(layer, statistics=(*layer.statistics, entry.parameter))
        else:
            layer = replace(layer, parameters=(*layer.parameters, entry.parameter))
        also = aliases.get(id(owned.variable), ())
        layers[entry.layer] = replace(layer, aliases=(*layer.aliases, *also))
        variables.setdefault(entry.layer, {})[entry.parameter.name] = owned.variable
        owners[entry.layer] = None if entry.kind == "Variable" else owned.owner
    return Inventory(tuple(layers.values()), variables, owners)


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


def _entry(root: Any, owned: Owned, bare: bool, deduced: Mapping[int, Meaning]) -> _Entry | None:
    dtype = owned.variable.dtype
    if not (dtype.is_floating or dtype.is_complex):
        return None
    shape = tuple(owned.variable.shape)
    declared = declared_meaning(owned.owner, owned.parameter, len(shape))
    role, axes = (
        declared
        or layer_meaning(owned.owner, owned.name, len(shape))
        or deduced.get(id(owned.variable))
        or _UNKNOWN
    )
    if not owned.trainable and role == "other" and declared is None:
        return None
    parameter = Parameter(owned.parameter, shape, dtype.name, role, axes)
    # TensorFlow calls every variable trainable unless it is told otherwise: the use tells more.
    statistic = role in _STATISTICS
    if owned.path:
        return _Entry(owned.path, type(owned.owner).__name__, parameter, owned, statistic)
    if bare:
        parameter = replace(parameter, name=owned.name.rpartition("/")[2])
        return _Entry(owned.name, "Variable", parameter, owned, statistic)
    return _Entry(type(root).__name__, type(root).__name__, parameter, owned, statistic)


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
