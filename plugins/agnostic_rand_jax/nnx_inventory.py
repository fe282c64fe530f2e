"""Every parameter and statistic of an NNX module, each in exactly one layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from flax import nnx

from agnostic_rand.adapters import DistinctNames, Entry
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.arrays import is_inexact, is_parameter_like
from agnostic_rand_jax.flax_roles import meaning, statistic_meaning
from agnostic_rand_jax.inventory import Path, child, declared_rank, described, followed
from agnostic_rand_jax.spectral import SpectralLink
from agnostic_rand_jax.tree import ArrayTree

_NO_WEIGHTS = (nnx.RngState, nnx.Cache, nnx.Intermediate, nnx.OptState)


@dataclass(frozen=True)
class Slot:
    """Where one array of a module lives.

    Args:
        variable: The variable that holds it.
        position: Its place among the arrays of the variable's value.
    """

    variable: Any
    position: int

    def get(self) -> jax.Array:
        """The current array."""
        array: jax.Array = jax.tree.leaves(self.variable.get_value())[self.position]
        return array

    def set(self, array: jax.Array) -> None:
        """Put another array in its place."""
        leaves, structure = jax.tree.flatten(self.variable.get_value())
        leaves[self.position] = array
        self.variable.set_value(jax.tree.unflatten(structure, leaves))


def named_arrays(state: Any) -> ArrayTree:
    """The parameters and statistics in the state of a module."""
    variables = {_named(path): variable for path, variable in nnx.to_flat_state(state)}

    def takes(path: Path, leaf: Any) -> bool:
        variable = variables.get(_of_variable(path)[0])
        if isinstance(variable, nnx.Param):
            return is_parameter_like(leaf)
        # A user's own type of variable may hold weights as well.
        return isinstance(variable, nnx.Variable) and not isinstance(variable, _NO_WEIGHTS) and is_inexact(leaf)

    return ArrayTree(state, takes)


def slots(module: nnx.Module, paths: Mapping[str, Path]) -> dict[str, Slot]:
    """By key, where the arrays at these paths live in the module."""
    found: dict[str, Slot] = {}
    counted: dict[Path, int] = {}
    for key, path in paths.items():
        owner, _ = _of_variable(path)
        found[key] = Slot(followed(module, owner), counted.get(owner, 0))
        counted[owner] = counted.get(owner, 0) + 1
    return found


def take_inventory(
    module: nnx.Module, paths: Mapping[str, Path]
) -> tuple[list[Entry[str]], tuple[SpectralLink, ...]]:
    """The arrays at these paths in the order of declaration, and which statistics follow from which kernels.

    The owner of an array is the path of its module; it is `None` for a bare parameter of the model.

    Raises:
        ModelError: There is no parameter.
    """
    placed = slots(module, paths)
    names = _layer_names(module)
    nested = sum(1 for _, part in nnx.iter_modules(module) if not is_container(part)) > 1
    twins = nnx.find_duplicates(module)
    ranked: list[tuple[tuple[int, ...], Entry[str]]] = []
    for key, path in paths.items():
        variable_path, rest = _of_variable(path)
        places = sorted(_places(variable_path, twins), key=lambda place: declared_rank(module, place))
        owner_path, owner = _owner(module, places[0])
        name = ".".join(map(str, (*places[0][len(owner_path) :], *rest)))
        statistic = isinstance(placed[key].variable, nnx.BatchStat)
        array = placed[key].get()
        inner = followed(module, places[0][:-1]) if isinstance(owner, nnx.SpectralNorm) else owner
        found = statistic_meaning(name) if statistic else meaning(inner, str(places[0][-1]), array.ndim)
        bare = owner is module and nested
        if bare:
            layer = names.of(("array", path), name)
        else:
            layer = names.of(owner_path, ".".join(map(str, owner_path)) or type(module).__name__)
        kind = type(placed[key].variable).__name__ if bare else type(owner).__name__
        aliases = tuple(".".join(map(str, (*place, *rest))) for place in places[1:])
        parameter = described(name, array, found)
        entry = Entry(layer, kind, parameter, key, None if bare else owner_path, statistic, aliases)
        ranked.append((declared_rank(module, places[0]), entry))
    if all(entry.statistic for _, entry in ranked):
        raise ModelError(
            f"the model {type(module).__name__}",
            expected="at least one nnx.Param, or variable of a type of your own, with an array of numbers",
            received="a module without parameters",
            fix="Pass the module that holds the trained weights.",
        )
    entries = [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]
    return entries, _spectral_links(module, paths)


def part_names(module: nnx.Module) -> dict[Any, str]:
    """By the path that NNX finds first, each part's name: the place where it was declared first."""
    names = _layer_names(module)
    return {path: names.of(place, "") if place else "" for path, place in _first_places(module).items()}


def is_container(part: Any) -> bool:
    """Whether a module only holds others."""
    return isinstance(part, nnx.List | nnx.Dict)


def _layer_names(module: nnx.Module) -> DistinctNames:
    """By the place where it was declared first, the name of each part."""
    names = DistinctNames()
    for place in sorted(_first_places(module).values(), key=lambda place: declared_rank(module, place)):
        if place:
            names.of(place, ".".join(map(str, place)))
    return names


def _first_places(module: nnx.Module) -> dict[Any, Path]:
    """By the path that NNX finds first, the place where each part was declared first."""
    twins = nnx.find_duplicates(module)
    return {
        path: min(_places(_named(path), twins), key=lambda place: declared_rank(module, place))
        for path, _ in nnx.iter_modules(module)
    }


def _of_variable(path: Path) -> tuple[Path, Path]:
    """The path of the variable, and that inside its value, of a path in a state."""
    # A state has each variable's value under this name; attributes of modules may have it too. An
    # array that stands in a module without a variable has none.
    if "value" not in path:
        return path, ()
    cut = len(path) - 1 - path[::-1].index("value")
    return path[:cut], path[cut + 1 :]


def _places(path: Path, twins: list[list[Any]]) -> list[Path]:
    """All paths that lead to the variable at `path`, which may be shared or part of a shared module."""
    places = [path]
    for group in twins:
        for place in list(places):
            for shared in group:
                if place[: len(shared)] == tuple(shared):
                    places += [(*other, *place[len(shared) :]) for other in group if other != shared]
    return list(dict.fromkeys(places))


def _owner(module: nnx.Module, path: Path) -> tuple[Path, nnx.Module]:
    """The module that an array belongs to; what spectral normalization wraps belongs to that."""
    owner_path: Path = ()
    owner, node = module, module
    for position, part in enumerate(path[:-1]):
        node = child(node, part)
        if isinstance(node, nnx.Module) and not is_container(node) and not isinstance(owner, nnx.SpectralNorm):
            owner_path, owner = path[: position + 1], node
    return owner_path, owner


def _spectral_links(module: nnx.Module, paths: Mapping[str, Path]) -> tuple[SpectralLink, ...]:
    key_at = {_of_variable(path)[0]: key for key, path in paths.items()}
    links = []
    for path, part in nnx.iter_modules(module):
        if isinstance(part, nnx.SpectralNorm):
            base = _named(path)
            for names in part.batch_stats:
                if names[-1] == "u":
                    kernel = key_at[*base, "layer_instance", *names[:-1]]
                    vector, value = ((*base, "batch_stats", str((*names[:-1], kind))) for kind in ("u", "sigma"))
                    links.append(SpectralLink(kernel, rows=False, right=key_at[vector], value=key_at[value]))
    return tuple(links)


def _named(path: Any) -> Path:
    return tuple(part if isinstance(part, int) else str(part) for part in path)
