"""Arrays that a model computes with beside its parameters and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Set

import tensorflow as tf

from agnostic_rand_tensorflow.ownership import Ownership, leaves_of


def other_arrays(
    ownership: Ownership, variables: Mapping[str, Mapping[str, tf.Variable]], reached: Set[int]
) -> tuple[str, ...]:
    """Names of floating variables and tensors that the model holds, no layer lists, and the outputs depend on.

    Args:
        ownership: What the walk through the model found.
        variables: By layer and name, those that are listed.
        reached: The `id` of each variable and tensor that the outputs depend on.
    """
    listed = {id(variable) for held in variables.values() for variable in held.values()}
    held = [(o.path, o.name, o.variable) for o in ownership.variables]
    held += [
        (path, name, leaf)
        for path, owner in ownership.owners.items()
        for name, leaf, _ in leaves_of(owner)
        if isinstance(leaf, tf.Tensor)
    ]
    told = {
        id(array): f"{path}/{name}".lstrip("/")
        for path, name, array in reversed(held)
        if array.dtype.is_floating and id(array) in reached - listed
    }
    return tuple(sorted(told.values()))
