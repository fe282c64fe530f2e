"""The order in which a forward pass first uses the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from agnostic_rand.adapters import Layer
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.tree import sublayers


class FirstUses(keras.StatelessScope):  # type: ignore[misc]
    """A scope that notes each variable whose value is read in it; what is assigned in it is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        """The value in this scope, if any: Keras asks for it at each use."""
        self.seen.setdefault(id(variable), variable)
        return super().get_current_value(variable)


def traced_order(
    layers: Sequence[Layer],
    variables: dict[str, dict[str, keras.Variable]],
    known: Sequence[keras.Variable],
    run: Callable[[], Any],
) -> tuple[Layer, ...]:
    """The layers by their first use in `run`.

    Args:
        layers: As declared.
        variables: By layer and name.
        known: All state of the model.
        run: Calls the model.

    Raises:
        ModelError: The call reads a parameter that belongs to no layer of the model.
    """
    with FirstUses() as scope:
        run()
    _refuse_strangers(scope, known)
    layer_of = {id(variable): name for name, held in variables.items() for variable in held.values()}
    return _in_order(layers, list(dict.fromkeys(layer_of[i] for i in scope.seen if i in layer_of)))


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
    order = sorted((layer.name for layer in layers), key=lambda name: place[id(owners[name])])
    return _in_order(layers, order)


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


def _in_order(layers: Sequence[Layer], order: list[str]) -> tuple[Layer, ...]:
    """A layer that is not in `order` follows the one declared before it."""
    previous: str | None = None
    used = set(order)
    for layer in layers:
        if layer.name not in used:
            order.insert(order.index(previous) + 1 if previous is not None else 0, layer.name)
        previous = layer.name
    by_name = {layer.name: layer for layer in layers}
    return tuple(by_name[name] for name in order)


def _refuse_strangers(scope: FirstUses, known: Sequence[keras.Variable]) -> None:
    own = {id(variable) for variable in known}
    strangers = [v.path for i, v in scope.seen.items() if i not in own and v.trainable]
    if strangers:
        raise ModelError(
            "the model's forward pass",
            expected="parameters of the model's own layers",
            received=f"others that Keras does not count among its weights: {', '.join(strangers[:5])}",
            fix="Assign the layer that holds them to an attribute of the model or of one of its layers.",
        )
