"""A pytree and those of its arrays that are known by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from agnostic_rand_jax.arrays import is_inexact, strong
from agnostic_rand_jax.compiled import Values
from agnostic_rand_jax.inventory import Path, plain_path


class ArrayTree:
    """The shape of a tree, from which trees with other arrays are built.

    It keeps what is not known by name (keys of generators, functions), and none of the named arrays.

    Args:
        tree: Any pytree.
        takes: `takes(path, leaf)` says whether a leaf is known by name.
        ties: Whether an array that stands at this path and at others is one array, under the name that
            it has first.

    Attributes:
        paths: By name, the path of each array; of a tied one the first.
        names: By path, the name; tied arrays have one.
        fixed: By path, joined with dots, the other arrays of floating-point numbers.
    """

    def __init__(
        self,
        tree: Any,
        takes: Callable[[Path, Any], bool],
        *,
        ties: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        found, self._structure = jax.tree_util.tree_flatten_with_path(tree)
        self.paths: dict[str, Path] = {}
        self.names: dict[Path, str] = {}
        self.fixed: dict[str, Any] = {}
        self._names: list[str | None] = []
        self._others: list[Any] = []
        tied: dict[int, str] = {}
        for keys, leaf in found:
            path = plain_path(keys)
            name = jax.tree_util.keystr(keys) if takes(path, leaf) else None
            if name is not None:
                name = tied.setdefault(id(leaf), name) if ties(path) else name
                self.paths.setdefault(name, path)
                self.names[path] = name
            elif is_inexact(leaf):
                self.fixed[".".join(map(str, path)).removesuffix(".value")] = leaf
            self._names.append(name)
            self._others.append(None if name is not None else leaf)

    def values(self, tree: Any) -> Values:
        """The named arrays of a tree of this shape."""
        values: Values = {}
        for name, leaf in zip(self._names, jax.tree.leaves(tree), strict=True):
            if name is not None and name not in values:
                values[name] = strong(leaf)
        return values

    def other_paths(self, name: str) -> tuple[Path, ...]:
        """Where a tied array stands besides its first path."""
        return tuple(path for path, own in self.names.items() if own == name and path != self.paths[name])

    def filled(self, values: Values) -> Any:
        """The tree with these arrays."""
        leaves = [
            other if name is None else values[name] for name, other in zip(self._names, self._others, strict=True)
        ]
        return jax.tree_util.tree_unflatten(self._structure, leaves)
