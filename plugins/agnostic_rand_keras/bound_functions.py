"""Functions that a copy of a model shares with the model, bound to the model's own layers.

Python copies no function: the closure of one that is an attribute of a layer, or what a Lambda layer
calls, names the same objects in the copy. A trace on example inputs finds out whether they are used;
without one, that they can be reached is all that is known.
"""

from __future__ import annotations

import keras

from agnostic_rand.adapters import BoundSearch, bound_copy
from agnostic_rand_keras.tree import all_layers, all_variables, operations

_FRAMEWORKS = frozenset({"keras", "tensorflow", "torch", "jax", "jaxlib", "numpy"})


def refuse_bound_functions(model: keras.Model, duplicate: keras.Model) -> None:
    """Raise where a function that the copy may call reaches a layer or weight of the original.

    Args:
        model: The original.
        duplicate: The copy.

    Raises:
        ModelError: There is one; the message names where it is.
    """
    search = BoundSearch(_named(model), _FRAMEWORKS)
    parts = {id(part): part for part in (*all_layers(duplicate), *operations(duplicate))}
    for part in parts.values():
        # One that another model's graph holds was left out of the copy.
        calls = [node.arguments for node in part._inbound_nodes if node is not None]
        given = [(*call.args, *call.kwargs.values()) for call in calls]
        for name, value in {**vars(part), "call": type(part).call, "the arguments": given}.items():
            reached = search.reached(value)
            if reached is not None:
                raise bound_copy(repr(model.name), f"{name} of {part.name!r}", reached)


def _named(model: keras.Model) -> dict[int, str]:
    """By their `id`, the parts of a model that a function of its copy must not use."""
    named: dict[int, str] = {}
    for layer in all_layers(model):
        named[id(layer)] = f"the layer {layer.name!r}"
        # On torch a layer is a module, and may hold others that Keras does not know.
        inner = layer.modules() if hasattr(layer, "modules") else ()
        named |= {
            id(module): f"a module of the layer {layer.name!r}" for module in inner if id(module) not in named
        }
    for variable in all_variables(model):
        named[id(variable)] = f"the weight {variable.path!r}"
        if keras.backend.backend() != "jax":
            # Arrays of JAX never change, so that copies may share them.
            named[id(variable.value)] = f"the weight {variable.path!r}"
    return named
