"""The order in which the functional graphs of a model use its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras

from agnostic_rand.adapters import Layer
from agnostic_rand_keras.tree import sublayers


def graph_order(
    model: keras.Model, layers: Sequence[Layer], owners: dict[str, keras.Layer]
) -> tuple[Layer, ...] | None:
    """The layers by the order of the functional graphs, or `None` where a graph does not show it all."""
    executed = list(_executed(model))
    if any(layer is None for layer in executed):
        return None
    place = {id(layer): position for position, layer in reversed(list(enumerate(executed)))}
    if any(id(owner) not in place for owner in owners.values()):
        return None
    return tuple(sorted(layers, key=lambda layer: place[id(owners[layer.name])]))


def _executed(layer: keras.Layer) -> Iterator[keras.Layer | None]:
    """The layers in the order in which they run; `None` where several run in an order that cannot be seen."""
    if isinstance(layer, keras.Sequential):
        for inner in layer.layers:
            yield from _executed(inner)
    elif (nodes := getattr(layer, "_nodes_by_depth", None)) is not None:
        for depth in sorted(nodes, reverse=True):
            for node in nodes[depth]:
                if isinstance(node.operation, keras.Layer) and not node.is_input:
                    yield from _executed(node.operation)
    else:
        with_weights = [inner for inner in sublayers(layer) if inner.weights]
        yield layer
        if len(with_weights) > 1 or (with_weights and len(layer.weights) > len(with_weights[0].weights)):
            yield None
        for inner in with_weights:
            yield from _executed(inner)
