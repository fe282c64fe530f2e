"""Functions that a copy of a model shares with the model, bound to the model's own layers.

Python copies no function: the closure of one that is an attribute of a layer, or what a Lambda layer
calls, names the same objects in the copy. A trace on example inputs finds out whether they are used;
without one, that they can be reached is all that is known.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from agnostic_rand.errors import ModelError
from agnostic_rand_keras.tree import all_layers, all_variables, operations

_FRAMEWORKS = frozenset({"keras", "tensorflow", "torch", "jax", "jaxlib", "numpy"}) | sys.stdlib_module_names
# Where wrappers, such as those of tf.function and jax.jit, keep what they wrap.
_WRAPPED = ("__wrapped__", "python_function")


def refuse_bound_functions(model: keras.Model, duplicate: keras.Model) -> None:
    """Raise where a function that the copy may call reaches a layer or weight of the original.

    Args:
        model: The original.
        duplicate: The copy.

    Raises:
        ModelError: There is one; the message names where it is.
    """
    search = _Search(_named(model))
    parts = {id(part): part for part in (*all_layers(duplicate), *operations(duplicate))}
    for part in parts.values():
        # One that another model's graph holds was left out of the copy.
        calls = [node.arguments for node in part._inbound_nodes if node is not None]
        given = [(*call.args, *call.kwargs.values()) for call in calls]
        for name, value in {**vars(part), "call": type(part).call, "the arguments": given}.items():
            reached = search.reached(value)
            if reached is not None:
                raise ModelError(
                    "the copy of the model",
                    expected="functions that use the copy's own layers and weights",
                    received=f"{name} of {part.name!r}, which is bound to {reached} of the original",
                    fix="Pass isolation='in_place', or example_inputs: a trace shows what the function uses.",
                )


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


class _Search:
    def __init__(self, named: Mapping[int, str]) -> None:
        self._named = named
        # Kept, so that their ids stay their own.
        self._seen: dict[int, Any] = {}

    def reached(self, value: Any) -> str | None:
        """What of the original can be reached from a value, if anything."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if id(value) in self._named:
                return self._named[id(value)]
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                waiting.extend(_within(value))
        return None


def _within(value: Any) -> Iterator[Any]:
    """What a value holds or, if it is a function, uses."""
    if isinstance(value, types.FunctionType):
        yield from _used(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif not isinstance(value, type | types.ModuleType):
        if not _is_frameworks(type(value)):
            yield from getattr(value, "__dict__", {}).values()
        elif callable(value):
            yield from (found for name in _WRAPPED if (found := getattr(value, name, None)) is not None)


def _used(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            # A name that has no value yet.
            continue
    yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        yield wrapped
    if not _is_frameworks(function):
        names = _global_names(function.__code__)
        yield from (function.__globals__[name] for name in names if name in function.__globals__)


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from (str(step.argval) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _is_frameworks(thing: Any) -> bool:
    return str(getattr(thing, "__module__", None)).partition(".")[0] in _FRAMEWORKS
