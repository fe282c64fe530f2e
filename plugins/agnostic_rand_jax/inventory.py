"""From the arrays of a model to its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import jax

from agnostic_rand.adapters import DistinctNames, Entry, Meaning, Parameter, distinct_axes

Path: TypeAlias = tuple[str | int, ...]


def with_distinct_parameters(entries: Iterable[Entry[str]]) -> tuple[Entry[str], ...]:
    """The arrays, of which no two have one name in one layer."""
    names: dict[str, DistinctNames] = {}
    return tuple(
        replace(
            entry,
            parameter=replace(
                entry.parameter,
                name=names.setdefault(entry.layer, DistinctNames()).of(entry.held, entry.parameter.name),
            ),
        )
        for entry in entries
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
