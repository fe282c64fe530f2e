"""Functions that are bound to arrays of the model, which stay as they are when its weights change."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend import core

from agnostic_rand.errors import ModelError
from agnostic_rand_jax.compiled import Values
from agnostic_rand_jax.program import Program, bodies, flattened


def refuse_closures(jaxpr: Any, values: Values, used: Collection[str], name: str) -> None:
    """Refuse a computation that holds parameters as constants.

    A constant is a parameter if it is the very array, or if it equals one that the computation does
    not take as an argument. Arrays of one number, such as zeros, equal others by chance.

    Args:
        jaxpr: A closed jaxpr of `function(values, inputs)`.
        values: The model's arrays by key.
        used: The keys of those that the computation uses.
        name: The model's name in errors.

    Raises:
        ModelError: A constant is a parameter.
    """
    constants = [constant for constant in _constants(flattened(jaxpr)) if np.ndim(constant) > 0]
    for key, value in values.items():
        if any(constant is value or (key not in used and _equal(constant, value)) for constant in constants):
            raise ModelError(
                f"the parameter {key} of the model {name}",
                expected="a model whose functions take every parameter from the model that is called",
                received="one with a function that is bound to the array itself, as a closure over a layer or "
                "over an array is, so that it stays trained while the model's own is randomized",
                fix="Call the layer as an attribute of the module (self.layer(x)), or take the array from the "
                "parameters that apply(params, inputs) is given.",
            )


def _constants(program: Program) -> Iterator[Any]:
    yield from program.constants.values()
    for step in program.steps:
        yield from (atom.val for atom in step.inputs if isinstance(atom, core.Literal))
        for body in bodies(step):
            yield from _constants(body)


def _equal(constant: Any, value: Any) -> bool:
    if isinstance(constant, jax.core.Tracer) or not hasattr(constant, "dtype"):
        return False
    if constant.shape != value.shape or constant.dtype != value.dtype:
        return False
    held = np.asarray(value)
    return held.size > 1 and bool((held != held.flat[0]).any()) and np.array_equal(np.asarray(constant), held)
