"""Groups of layers, which a strategy takes as its units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TypeAlias

from agnostic_rand.adapters import Layer
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.weights.plan import Group

Grouping: TypeAlias = Callable[[Layer], str | None] | Sequence[str] | int | None
"""A function from a layer to its group's name (`None`: a group of its own), globs over layer
names (one group each; a layer that matches none is a group of its own), a number of blocks of
equal length, or `None` for each layer on its own."""


def group_layers(layers: Sequence[Layer], groups: Grouping, exclude: Sequence[str]) -> tuple[Group, ...]:
    """The groups from input to output, in the order of their first layers.

    A layer that has statistics but no parameters joins the group of the layer before it. One of whose
    parameters the outputs depend on none is in no group.

    Raises:
        UnknownNameError: A glob in `groups` or `exclude` matches no layer.
        ArgumentError: `groups` is none of the forms that it may have.
    """
    excluded = set(excluded_layers(layers, exclude))
    carriers = [layer for layer in layers if layer.used and layer.name not in excluded]
    if not carriers:
        raise ArgumentError(
            "exclude",
            expected="at least one layer with parameters that is left to randomize",
            received=f"{len(excluded)} of {len(layers)} layers excluded",
            fix="Exclude fewer layers.",
        )
    names = _group_names(carriers, groups)
    members: dict[str, list[Layer]] = {}
    current = names[carriers[0].name]
    pending: list[Layer] = []
    for layer in layers:
        if layer.name in excluded or (layer.parameters and not layer.used):
            continue
        if not layer.parameters:
            members.get(current, pending).append(layer)
            continue
        current = names[layer.name]
        members.setdefault(current, []).extend([*pending, layer])
        pending = []
    return tuple(Group(name, tuple(group)) for name, group in members.items())


def excluded_layers(layers: Sequence[Layer], exclude: Sequence[str]) -> tuple[str, ...]:
    """The names of the layers that the globs in `exclude` match, from input to output."""
    if isinstance(exclude, str):
        raise ArgumentError(
            "exclude", expected="a list of globs", received=repr(exclude), fix=f"Pass [{exclude!r}]."
        )
    for glob in exclude:
        if not any(_matches(layer, glob) for layer in layers):
            raise unknown_name("exclude glob", glob, [layer.name for layer in layers])
    return tuple(layer.name for layer in layers if any(_matches(layer, glob) for glob in exclude))


def _matches(layer: Layer, glob: str) -> bool:
    # A name with brackets (`blocks[0]`) stands for itself too.
    return layer.name == glob or fnmatchcase(layer.name, glob)


def _group_names(carriers: Sequence[Layer], groups: Grouping) -> dict[str, str]:
    if groups is None:
        return {layer.name: layer.name for layer in carriers}
    if isinstance(groups, int) and not isinstance(groups, bool):
        return _equal_blocks(carriers, groups)
    if callable(groups):
        named = {layer.name: groups(layer) for layer in carriers}
        for layer_name, group in named.items():
            if group is not None and not isinstance(group, str):
                raise _bad_grouping(f"{group!r} for layer {layer_name!r}")
        return {name: group if group is not None else name for name, group in named.items()}
    if isinstance(groups, Sequence) and not isinstance(groups, str | bytes):
        return _by_globs(carriers, groups)
    raise _bad_grouping(repr(groups))


def _by_globs(carriers: Sequence[Layer], globs: Sequence[str]) -> dict[str, str]:
    for glob in globs:
        if not isinstance(glob, str):
            raise _bad_grouping(repr(glob))
        if not any(_matches(layer, glob) for layer in carriers):
            raise unknown_name("groups glob", glob, [layer.name for layer in carriers])
    return {layer.name: next((glob for glob in globs if _matches(layer, glob)), layer.name) for layer in carriers}


def _equal_blocks(carriers: Sequence[Layer], count: int) -> dict[str, str]:
    if count < 1:
        raise _bad_grouping(repr(count))
    count = min(count, len(carriers))
    edges = [round(i * len(carriers) / count) for i in range(count + 1)]
    names: dict[str, str] = {}
    for start, stop in pairwise(edges):
        block = carriers[start:stop]
        title = block[0].name if len(block) == 1 else f"{block[0].name} … {block[-1].name}"
        names.update({layer.name: title for layer in block})
    return names


def _bad_grouping(received: str) -> ArgumentError:
    return ArgumentError(
        "groups",
        expected="a function layer -> group name, a list of globs, a number of blocks of at least 1, or None",
        received=received,
        fix="Pass for example groups=10 or groups=['layer1.*', 'layer2.*'].",
    )
