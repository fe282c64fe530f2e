"""Functions that are bound to arrays of the model, which stay as they are when its weights change."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from agnostic_rand.adapters import BoundSearch
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.compiled import Values

_FRAMEWORKS = frozenset({"jax", "jaxlib", "flax", "equinox", "numpy"})


def refuse_closures(constants: Iterable[Any], values: Values, used: Collection[str], name: str) -> None:
    """Refuse a computation that holds parameters as constants.

    A constant is a parameter if it is the very array, or if it equals one on which the outputs do not
    depend otherwise. Arrays of one number, such as zeros, equal others by chance.

    Args:
        constants: Arrays that the computation holds, and on which the outputs depend.
        values: The model's arrays by key.
        used: The keys of those on which the outputs depend as arguments.
        name: The model's name in errors.

    Raises:
        ModelError: A constant is a parameter.
    """
    held = list(constants)
    for key, value in values.items():
        if any(constant is value or (key not in used and _equal(constant, value)) for constant in held):
            raise ModelError(
                f"the parameter {key} of the model {name}",
                expected="a model whose functions take every parameter from the model that is called",
                received="one with a function that is bound to the array itself, as a closure over a layer or "
                "over an array is, so that it stays trained while the model's own is randomized",
                fix="Call the layer as an attribute of the module (self.layer(x)), or take the array from the "
                "parameters that apply(params, inputs) is given; let forward= call the model that it is given.",
            )


def refuse_bound_functions(modules: Sequence[Any], arrays: Sequence[Any], name: str) -> None:
    """Refuse a model of which a function leads to a part, where no call was traced to see whether it is used.

    JAX takes functions as fixed, so that a model with other weights would go on with the old ones.

    Args:
        modules: The model's modules.
        arrays: Its arrays, and what holds them.
        name: The model's name in errors.

    Raises:
        ModelError: A function, a partial function or a bound method leads to one of them.
    """
    named = {id(part): f"a {type(part).__name__} of its own" for part in (*modules, *arrays)}
    search = BoundSearch(named, _FRAMEWORKS)
    for value in (value for module in modules for value in vars(module).values()):
        found = search.reached(value) if isinstance(value, FunctionType | MethodType | partial) else None
        if found is not None:
            raise ModelError(
                f"the function {getattr(value, '__qualname__', type(value).__name__)!r} in the model {name}",
                expected="functions that take the model's layers as arguments",
                received=f"one that is bound to {found}, and no example inputs to see what it computes with",
                fix="Pass example_inputs with a small batch, or make the function a method of the module's class.",
            )


def varied(array: Any) -> bool:
    """Whether an array holds different numbers."""
    held = np.asarray(array)
    return held.size > 1 and bool((held != held.flat[0]).any())


def _equal(constant: Any, value: Any) -> bool:
    alike = (constant.shape, constant.dtype) == (value.shape, value.dtype)
    return alike and varied(value) and np.array_equal(np.asarray(constant), np.asarray(value))
