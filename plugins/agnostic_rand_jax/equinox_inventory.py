"""Every parameter and statistic of an Equinox module, each in exactly one layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import equinox as eqx
import jax

from agnostic_rand.adapters import DistinctNames, Entry, Role
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.arrays import is_inexact
from agnostic_rand_jax.compiled import Values
from agnostic_rand_jax.equinox_roles import meaning
from agnostic_rand_jax.inventory import Path, child, declared_rank, described, plain_path
from agnostic_rand_jax.spectral import SpectralLink
from agnostic_rand_jax.tree import ArrayTree

Whole: TypeAlias = tuple[Any, Any]
"""A module and its state; the state is `None` for a module without one."""

_MODEL, _STATE = 0, 1
_NORMED = (eqx.nn.WeightNorm, eqx.nn.SpectralNorm)


@dataclass(frozen=True)
class _Statistic:
    name: str
    role: Role
    owner: Path


def named_arrays(whole: Whole) -> ArrayTree:
    """The parameters of the module, and the running means and variances in its state."""
    statistics = _statistics(whole)

    def takes(path: Path, leaf: Any) -> bool:
        if path[0] == _STATE:
            return path in statistics
        inside = list(_nodes(whole[_MODEL], path[1:]))
        # A module that was not split from its state holds the state's first values.
        return is_inexact(leaf) and not any(isinstance(node, eqx.nn.StateIndex) for node in inside)

    return ArrayTree(whole, takes, ties=lambda path: path[0] == _MODEL)


def take_inventory(
    whole: Whole, tree: ArrayTree, values: Values
) -> tuple[list[Entry[str]], tuple[SpectralLink, ...]]:
    """The arrays in the order of declaration, and which statistics follow from which kernels.

    The owner of an array is the path of its module; it is `None` for a bare parameter of the model.

    Raises:
        ModelError: There is no parameter.
    """
    model = whole[_MODEL]
    statistics = _statistics(whole)
    aliases = _aliases(model)
    names = module_names(model)
    nested = any(path for path, _ in modules(model))
    ranked: list[tuple[tuple[int, ...], Entry[str]]] = []
    for key, path in tree.paths.items():
        if path[0] == _STATE:
            continue
        owner_path, owner = _owner(model, path[1:])
        name = _dotted(path[1 + len(owner_path) :])
        parameter = described(name, values[key], meaning(owner, name))
        rank = declared_rank(model, path[1:])
        others = (*aliases.get(path[1:], ()), *(_dotted(other[1:]) for other in tree.other_paths(key)))
        if owner is model and nested:
            layer = names.of(("array", path), name)
            ranked.append((rank, Entry(layer, "array", parameter, key, aliases=others)))
            continue
        layer = _named(names, owner_path, model)
        ranked.append((rank, Entry(layer, type(owner).__name__, parameter, key, owner_path, aliases=others)))
    if not ranked:
        raise ModelError(
            f"the model {type(model).__name__}",
            expected="at least one floating-point array",
            received="a module without any",
            fix="Pass the module that holds the trained weights.",
        )
    at = dict(modules(model))
    for key, path in tree.paths.items():
        if path[0] == _STATE:
            found = statistics[path]
            layer = _named(names, found.owner, model)
            parameter = described(found.name, values[key], (found.role, None))
            kind = type(at[found.owner]).__name__
            entry = Entry(layer, kind, parameter, key, found.owner, statistic=True)
            ranked.append((declared_rank(model, found.owner), entry))
    entries = [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]
    return entries, _spectral_links(whole, tree)


def module_names(model: Any) -> DistinctNames:
    """By path, the names of all modules inside a module."""
    names = DistinctNames()
    for path, _ in modules(model):
        if path:
            names.of(path, _dotted(path))
    return names


def modules(root: Any) -> Iterator[tuple[Path, Any]]:
    """All modules inside `root`, itself first, with their paths."""
    yield from _modules(root, ())


def _modules(node: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, eqx.nn.StateIndex):
        return
    if isinstance(node, eqx.Module):
        yield path, node
        for field in dataclasses.fields(node):
            yield from _modules(getattr(node, field.name, None), (*path, field.name))
    elif isinstance(node, list | tuple):
        for number, part in enumerate(node):
            yield from _modules(part, (*path, number))
    elif isinstance(node, Mapping):
        for name, part in node.items():
            yield from _modules(part, (*path, name if isinstance(name, int) else str(name)))


def _named(names: DistinctNames, path: Path, model: Any) -> str:
    return names.of(path, _dotted(path) or type(model).__name__)


def _nodes(root: Any, path: Path) -> Iterator[Any]:
    for part in path:
        root = child(root, part)
        yield root


def _owner(model: Any, path: Path) -> tuple[Path, Any]:
    """The module that an array belongs to; a normalized kernel belongs to what normalizes it."""
    owner_path: Path = ()
    owner, node = model, model
    for position, part in enumerate(path[:-1]):
        node = child(node, part)
        if isinstance(node, eqx.Module) and not isinstance(owner, _NORMED):
            owner_path, owner = path[: position + 1], node
    return owner_path, owner


def _statistics(whole: Whole) -> dict[Path, _Statistic]:
    """By path in the whole, what each running statistic in the state is."""
    model, state = whole
    if state is None:
        return {}
    found, structure = jax.tree_util.tree_flatten_with_path(state)
    paths = [(_STATE, *plain_path(keys)) for keys, _ in found]
    # A state of the same structure that holds positions tells which arrays a layer would get.
    positions = jax.tree_util.tree_unflatten(structure, range(len(paths)))
    statistics: dict[Path, _Statistic] = {}
    for path, module in modules(model):
        if isinstance(module, eqx.nn.BatchNorm):
            mean, variance = positions.get(module.ema_state_index or module.batch_state_index)
            # A layer that stands in two places belongs to the first.
            statistics.setdefault(paths[mean], _Statistic("mean", "mean", path))
            statistics.setdefault(paths[variance], _Statistic("var", "variance", path))
        if isinstance(module, eqx.nn.SpectralNorm):
            for name, position in zip(("u", "v"), positions.get(module.uv_index), strict=True):
                statistics.setdefault(paths[position], _Statistic(name, "other", path))
    return statistics


def _spectral_links(whole: Whole, tree: ArrayTree) -> tuple[SpectralLink, ...]:
    vectors = {(found.owner, found.name): tree.names[path] for path, found in _statistics(whole).items()}
    return tuple(
        SpectralLink(
            tree.names[_MODEL, *path, "layer", module.weight_name],
            rows=True,
            left=vectors[path, "u"],
            right=vectors[path, "v"],
        )
        for path, module in modules(whole[_MODEL])
        if isinstance(module, eqx.nn.SpectralNorm) and (path, "u") in vectors
    )


def _aliases(model: Any) -> dict[Path, list[str]]:
    """By the path of a parameter, the places where `equinox.nn.Shared` puts it too."""
    found: dict[Path, list[str]] = {}
    for path, module in modules(model):
        if not isinstance(module, eqx.nn.Shared):
            continue
        inside = (*path, "pytree")
        placed = jax.tree_util.tree_flatten_with_path(module.pytree)[0]
        path_of = {id(leaf): plain_path(keys) for keys, leaf in placed}
        holes, sources = module.where(module.pytree), module.get(module.pytree)
        pairs = zip(holes, sources, strict=True) if isinstance(holes, list | tuple) else [(holes, sources)]
        for hole, source in pairs:
            for keys, leaf in jax.tree_util.tree_flatten_with_path(source)[0]:
                if id(leaf) in path_of and id(hole) in path_of:
                    alias = _dotted((*inside, *path_of[id(hole)], *plain_path(keys)))
                    found.setdefault((*inside, *path_of[id(leaf)]), []).append(alias)
    return found


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
