"""The order in which a forward pass first uses the layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from agnostic_rand.adapters import Layer


def by_first_use(
    layers: Sequence[Layer], variables: Mapping[str, Mapping[str, tf.Variable]], used: Sequence[int]
) -> tuple[Layer, ...]:
    """The layers by their first use; a layer that is not used follows the one declared before it.

    Args:
        layers: In order of declaration.
        variables: By layer and parameter, the variable.
        used: The `id` of each used variable, by first use.
    """
    layer_of = {id(variable): name for name, held in variables.items() for variable in held.values()}
    order = list(dict.fromkeys(layer_of[key] for key in used if key in layer_of))
    seen = set(order)
    previous: str | None = None
    for layer in layers:
        if layer.name not in seen:
            order.insert(order.index(previous) + 1 if previous is not None else 0, layer.name)
        previous = layer.name
    by_name = {layer.name: layer for layer in layers}
    return tuple(by_name[name] for name in order)
