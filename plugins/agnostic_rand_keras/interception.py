"""What a layer inside a model puts out, seen and changed while the model is called.

Keras has no hooks. For the length of a context an attribute of the layer object stands before its
method `call`, by which Keras evaluates a layer wherever it is: in a functional graph, inside another
layer or in a model's own code. The class, and all other objects of it, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from agnostic_rand.adapters import put_back
from agnostic_rand.errors import unknown_name
from agnostic_rand_keras.tree import places

Around = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""`around(call, args, kwargs) -> output`: stands for the layer's call."""


@contextmanager
def intercepted(layer: keras.Layer, around: Around) -> Iterator[None]:
    """Let `around` stand for the layer's call; at the end the layer is as it was."""
    original = layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        return around(original, args, kwargs)

    attributes = vars(layer)
    before = {name: attributes[name] for name in ("call",) if name in attributes}

    def restore() -> None:
        attributes.pop("call", None)
        attributes.update(before)

    with put_back(restore):
        attributes["call"] = call
        yield


@contextmanager
def observed(layers: Mapping[str, keras.Layer], change: Callable[[str, Any], Any]) -> Iterator[None]:
    """Pass each output of the layers, if it is one tensor, through `change(name, output)`."""

    def around(name: str) -> Around:
        def changed(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            output = call(*args, **kwargs)
            return change(name, output) if keras.ops.is_tensor(output) else output

        return changed

    with ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(intercepted(layer, around(name)))
        yield


def inner_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """The layers inside a model by path; one that is shared has its first path."""
    first = {id(place.layer): place for place in reversed(list(places(model))) if place.path}
    return {place.path: place.layer for place in reversed(list(first.values()))}


def inner_layer(model: keras.Model, name: str) -> keras.Layer:
    """The layer of that path.

    Raises:
        UnknownNameError: There is none.
    """
    layers = inner_layers(model)
    if name not in layers:
        raise unknown_name("layer", name, layers)
    return layers[name]


def output_shapes(
    model: keras.Model, run: Callable[[], Any], outside_loops: Callable[[Any], bool]
) -> dict[str, tuple[int, ...]]:
    """The shape of each layer's last output in `run`, in the order in which they finish.

    Args:
        model: The model.
        run: Calls it.
        outside_loops: Whether a tensor is one that the model's output can be differentiated by.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Any) -> Any:
        shapes.pop(name, None)
        if outside_loops(output):
            shapes[name] = tuple(output.shape)
        return output

    with observed(inner_layers(model), note):
        run()
    return shapes
