"""What each dimension of an array stands for, followed through changes of its shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from agnostic_rand_jax.program import Step

Label: TypeAlias = frozenset[int | str]
Labels: TypeAlias = tuple[Label, ...]
"""For each dimension, what it stands for: several things where they were merged, nothing where it
was put in with size 1 or by repeating the array."""

# Steps that leave the shape as it is, and each element where its neighbours are.
_SAME = frozenset(
    {"convert_element_type", "reduce_precision", "copy", "copy_p", "rev", "name", "sharding_constraint"}
)
# Steps that take a part of each dimension.
PARTS = frozenset({"slice", "dynamic_slice", "split"})


def moved(step: Step, labels: Labels) -> Labels | None:
    """The labels of what the step makes of its first operand; `None` where it does more than move elements."""
    if step.name in _SAME | PARTS:
        return labels
    match step.name:
        case "transpose":
            return tuple(labels[i] for i in step.params["permutation"])
        case "squeeze":
            return tuple(label for i, label in enumerate(labels) if i not in step.params["dimensions"])
        case "broadcast_in_dim":
            return _repeated(step, labels)
        case "reshape" if step.params.get("dimensions") is None:
            return _reshaped(labels, _shape(step.equation.invars[0]), _shape(step.equation.outvars[0]))
    return None


def unlabelled(step: Step) -> Labels:
    """Empty labels for the step's first operand."""
    return (frozenset(),) * len(_shape(step.equation.invars[0]))


def _repeated(step: Step, labels: Labels) -> Labels:
    made: list[Label] = [frozenset()] * len(step.params["shape"])
    sizes = _shape(step.equation.invars[0])
    for i, place in enumerate(step.params["broadcast_dimensions"]):
        if sizes[i] == step.params["shape"][place]:
            made[place] = labels[i]
    return tuple(made)


def _reshaped(labels: Labels, old: Sequence[int], new: Sequence[int]) -> Labels | None:
    """Dimensions are matched in the smallest groups of equal size; all in a group share their labels."""
    if 0 in old:
        return None
    made: list[Label] = [frozenset()] * len(new)
    left = [(size, label) for size, label in zip(old, labels, strict=True) if size != 1]
    right = [(size, place) for place, size in enumerate(new) if size != 1]
    while left:
        size, label = left.pop(0)
        wanted, place = right.pop(0)
        places = [place]
        while size != wanted:
            if size < wanted:
                more, other = left.pop(0)
                size, label = size * more, label | other
            else:
                more, place = right.pop(0)
                wanted *= more
                places.append(place)
        for place in places:
            made[place] = label
    return tuple(made)


def _shape(variable: Any) -> tuple[int, ...]:
    return tuple(variable.aval.shape)
