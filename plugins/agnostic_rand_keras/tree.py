"""The layers inside a Keras model by path, and the variables that each one owns itself.

Keras offers no public way to the sublayers of a layer that is not a model, to the operations of a
graph, nor to whether a variable of a frozen layer was declared as trainable: the attributes that hold
these are read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras

from agnostic_rand.adapters import DistinctNames


@dataclass(frozen=True, eq=False)
class Place:
    """One occurrence of a layer in a model; a shared layer has several.

    Args:
        path: Its name under those of the layers that hold it, `"outer/inner/conv"`; empty for the model.
        layer: The layer.
    """

    path: str
    layer: keras.Layer


def places(model: keras.Layer) -> Iterator[Place]:
    """The model and all layers inside it, each before its own sublayers, in order of declaration."""
    yield from _walk(model, "", ())


def sublayers(layer: keras.Layer) -> tuple[keras.Layer, ...]:
    """The layers that a layer holds directly."""
    return tuple(layer._layers)


def all_layers(model: keras.Layer) -> tuple[keras.Layer, ...]:
    """The model and the layers inside it, each once."""
    return tuple({id(place.layer): place.layer for place in places(model)}.values())


def operations(model: keras.Layer) -> tuple[keras.Operation, ...]:
    """The layers and other operations of all functional graphs inside the model, each once."""
    held = (operation for layer in all_layers(model) for operation in getattr(layer, "_operations", ()))
    return tuple({id(operation): operation for operation in held}.values())


def declared_trainable(layer: keras.Layer) -> dict[str, keras.Variable]:
    """By name, the layer's own parameters, also where it is frozen."""
    return _named([*layer._trainable_variables, *layer._non_trainable_variables], layer._trainable_variables)


def declared_fixed(layer: keras.Layer) -> dict[str, keras.Variable]:
    """By name, the layer's own variables that gradient descent never learns, such as running means."""
    return _named([*layer._trainable_variables, *layer._non_trainable_variables], layer._non_trainable_variables)


def seed_states(model: keras.Layer) -> tuple[keras.Variable, ...]:
    """The states of the random generators inside the model, such as those of Dropout."""
    generators = [generator for layer in all_layers(model) for generator in layer._seed_generators]
    return tuple(generator.state for generator in generators)


def all_variables(model: keras.Layer) -> tuple[keras.Variable, ...]:
    """All state of the model, each variable once, in an order that copies of the model share."""
    own = (v for layer in all_layers(model) for v in (*layer._trainable_variables, *layer._non_trainable_variables))
    return tuple({id(v): v for v in (*own, *seed_states(model))}.values())


def take_names(duplicate: keras.Layer, model: keras.Layer) -> None:
    """Name all layers and variables as those of the model are: Keras counts on with names that it makes.

    Args:
        duplicate: Has the same layers and variables in the same order.
        model: Whose names are taken.
    """
    for fresh, original in zip(all_layers(duplicate), all_layers(model), strict=True):
        fresh.name = original.name
    for own, other in zip(all_variables(duplicate), all_variables(model), strict=True):
        own._name, own._path = other.name, other.path


def _walk(layer: keras.Layer, path: str, holders: tuple[int, ...]) -> Iterator[Place]:
    yield Place(path, layer)
    names = DistinctNames()
    for position, inner in enumerate(sublayers(layer)):
        name = names.of(position, inner.name)
        # A layer may refer back to one that holds it.
        if id(inner) not in holders:
            yield from _walk(inner, f"{path}/{name}" if path else name, (*holders, id(layer)))


def _named(variables: list[keras.Variable], wanted: list[keras.Variable]) -> dict[str, keras.Variable]:
    names = DistinctNames()
    for variable in variables:
        names.of(id(variable), variable.name)
    return {names.of(id(v), v.name): v for v in wanted}
