"""From the arrays of a model to its layers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax

from agnostic_rand.adapters import Layer, Parameter, Role, distinct_axes

Meaning: TypeAlias = tuple[Role, tuple[str, ...] | None]
"""What an array does in its layer, and a name for each of its dimensions."""

UNKNOWN: Meaning = ("other", None)

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Leaf:
    """One array of a model.

    Args:
        key: Its name in the model, unique.
        layer: The layer that it belongs to.
        kind: The type of that layer.
        parameter: What the core is told.
        statistic: Whether it is a running statistic.
        aliases: Other places of the model where the same parameter stands.
    """

    key: str
    layer: str
    kind: str
    parameter: Parameter
    statistic: bool = False
    aliases: tuple[str, ...] = ()


class DistinctNames:
    """A name for each place; one that another place has already is numbered.

    Names of nested places are paths, and a part of a path may hold what joins the parts.
    """

    def __init__(self) -> None:
        self._names: dict[Hashable, str] = {}
        self._taken: set[str] = set()

    def of(self, place: Hashable, name: str) -> str:
        """The name of a place, which is `name` if it is the first to have it."""
        if place not in self._names:
            candidate, number = name, 0
            while candidate in self._taken:
                number += 1
                candidate = f"{name}_{number}"
            self._taken.add(candidate)
            self._names[place] = candidate
        return self._names[place]


def with_distinct_parameters(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    """The arrays, of which no two have one name in one layer."""
    names: dict[str, DistinctNames] = {}
    return tuple(
        replace(
            leaf,
            parameter=replace(
                leaf.parameter,
                name=names.setdefault(leaf.layer, DistinctNames()).of(leaf.key, leaf.parameter.name),
            ),
        )
        for leaf in leaves
    )


def layers_of(leaves: Iterable[Leaf]) -> tuple[Layer, ...]:
    """The layers, in the order of their first arrays."""
    members: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        members.setdefault(leaf.layer, []).append(leaf)
    return tuple(
        Layer(
            name=name,
            kind=held[0].kind,
            parameters=tuple(leaf.parameter for leaf in held if not leaf.statistic),
            statistics=tuple(leaf.parameter for leaf in held if leaf.statistic),
            aliases=tuple(alias for leaf in held for alias in leaf.aliases),
        )
        for name, held in members.items()
    )


def described(name: str, array: jax.Array, meaning: Meaning) -> Parameter:
    """The core's view of an array.

    A kernel with more dimensions than its kind of layer has is a stack of kernels, as `vmap` and
    `scan` over layers make it: the dimensions in front are groups.
    """
    role, axes = meaning
    if axes is not None and len(axes) != array.ndim:
        extra = array.ndim - len(axes)
        axes = ("groups",) * extra + axes if extra > 0 else None
    if role == "kernel" and axes is None:
        # A kernel without axes has no fan-in.
        role = "other"
    named = None if axes is None else distinct_axes(axes)
    return Parameter(name, tuple(array.shape), array.dtype.name, role, named)


def plain_path(path: Sequence[Any]) -> Path:
    """The names and numbers in a path of JAX keys."""
    parts: list[str | int] = []
    for key in path:
        part = next(
            getattr(key, attribute)
            for attribute in ("key", "name", "idx")
            if getattr(key, attribute, None) is not None
        )
        parts.append(part if isinstance(part, int) else str(part))
    return tuple(parts)


def declared_rank(root: Any, path: Iterable[str | int]) -> tuple[int, ...]:
    """Where a path stands in the order in which attributes and items were set."""
    rank: list[int] = []
    node = root
    for part in path:
        if isinstance(node, Mapping):
            names = [str(name) for name in node]
            rank.append(names.index(str(part)) if str(part) in names else len(names))
        elif isinstance(part, int):
            rank.append(part)
        else:
            names = list(getattr(node, "__dict__", {}))
            rank.append(names.index(part) if part in names else len(names))
        node = child(node, part)
    return tuple(rank)


def followed(root: Any, path: Iterable[str | int]) -> Any:
    """What stands at a path."""
    for part in path:
        root = child(root, part)
    return root


def child(node: Any, part: str | int) -> Any:
    """What stands at one part of a path; `None` where the path leads through no object."""
    if isinstance(node, Mapping):
        return next((value for name, value in node.items() if str(name) == str(part)), None)
    if isinstance(part, int):
        return node[part] if hasattr(node, "__getitem__") else None
    return getattr(node, part, None)
