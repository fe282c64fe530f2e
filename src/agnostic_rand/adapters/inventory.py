"""Inventory of a model: every array in exactly one layer, with what holds it in the framework."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from agnostic_rand.adapters.protocol import Layer, Parameter, Role, distinct_axes

Held = TypeVar("Held")

Meaning: TypeAlias = tuple[Role, tuple[str, ...] | None]
"""What an array does in its layer, and a name for each of its dimensions."""

UNKNOWN: Meaning = ("other", None)

SPACE: dict[int, tuple[str, ...]] = {1: ("w",), 2: ("h", "w"), 3: ("d", "h", "w")}
"""By the number of its dimensions in space, the axes that a convolution's kernel has there."""


@dataclass(frozen=True)
class Entry(Generic[Held]):
    """One array of a model.

    Args:
        layer: The layer that it belongs to.
        kind: The type of that layer.
        parameter: What the core is told.
        held: What holds it: a variable, or a key by which it is found.
        owner: The framework's object that the layer is, or `None` for an array of the model itself.
        statistic: Whether it is a running statistic.
        aliases: Other places of the model where the same parameter stands.
    """

    layer: str
    kind: str
    parameter: Parameter
    held: Held
    owner: Any = None
    statistic: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory(Generic[Held]):
    """The layers, and where their values live.

    Args:
        layers: In the order of their first entries.
        held: By layer and parameter name, what holds the array.
        owners: By layer, the framework's object that it is, or `None`.
    """

    layers: tuple[Layer, ...]
    held: dict[str, dict[str, Held]]
    owners: dict[str, Any]


def inventory_of(entries: Iterable[Entry[Held]]) -> Inventory[Held]:
    """The entries by their layers.

    Example:
        >>> kernel = Parameter("kernel", (3, 2), "float32", "kernel", ("in", "out"))
        >>> found = inventory_of([Entry("head", "Dense", kernel, held="head/kernel")])
        >>> found.held
        {'head': {'kernel': 'head/kernel'}}
    """
    members: dict[str, list[Entry[Held]]] = {}
    for entry in entries:
        members.setdefault(entry.layer, []).append(entry)
    layers = (
        Layer(
            name,
            own[0].kind,
            parameters=tuple(entry.parameter for entry in own if not entry.statistic),
            statistics=tuple(entry.parameter for entry in own if entry.statistic),
            aliases=tuple(dict.fromkeys(alias for entry in own for alias in entry.aliases)),
        )
        for name, own in members.items()
    )
    held = {name: {entry.parameter.name: entry.held for entry in own} for name, own in members.items()}
    return Inventory(tuple(layers), held, {name: own[-1].owner for name, own in members.items()})


class DistinctNames:
    """A name for each place; one that another place has already is numbered.

    Names of nested places are paths, and a part of a path may hold what joins the parts.

    Example:
        >>> names = DistinctNames()
        >>> [names.of(place, "conv") for place in (1, 2, 1)]
        ['conv', 'conv_1', 'conv']
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


def einsum_axes(equation: str, operand: int) -> tuple[str, ...] | None:
    """A name for each dimension of one operand of two in a sum of Einstein's; `None` where it does not tell.

    Example:
        >>> einsum_axes("abc,cde->abde", 1)
        ('in', 'out', 'out2')
    """
    inputs, arrow, output = equation.replace(" ", "").replace("...", "").partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != 2:
        return None
    other, own = operands[1 - operand], operands[operand]
    # A letter that runs through both operands and the output counts kernels that work side by side.
    names = {(True, True): "groups", (False, True): "out"}
    axes = [names.get((letter in other, letter in output), "in") for letter in own]
    return distinct_axes(axes) if "in" in axes else None
