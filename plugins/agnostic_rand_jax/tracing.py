"""Traces of a call: the order of a model's arrays, and what its outputs depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax

from agnostic_rand.adapters import OpenRequest, called_on, mapped
from agnostic_rand_jax.arrays import is_inexact, placed
from agnostic_rand_jax.calling import with_side_inputs
from agnostic_rand_jax.closures import refuse_closures, varied
from agnostic_rand_jax.compiled import Outputs, Values
from agnostic_rand_jax.dependence import dependence, mark_of


@dataclass(frozen=True)
class Trace:
    """What a traced call shows.

    Args:
        jaxpr: The computation, of the arrays and the inputs.
        order: The keys of the arrays that the data meet, by their first meeting.
        used: The keys of the arrays on which the outputs depend.
        others: What else the outputs depend on that may have been learned: arrays of the model that have no
            key, and constants of its functions.
    """

    jaxpr: Any
    order: tuple[str, ...]
    used: frozenset[str]
    others: tuple[str, ...]


def traced(
    outputs: Outputs, values: Values, request: OpenRequest, name: str, fixed: Mapping[str, Any]
) -> Trace | None:
    """A call on the example, if there is one: an abstract evaluation, nothing is compiled.

    Args:
        outputs: The model.
        values: Its arrays.
        request: Brings the example.
        name: The model's name in errors.
        fixed: By name, arrays of the model that are no parameters.

    Raises:
        ModelError: The model cannot be called on the example, or is bound to its arrays.
    """
    example, beside = request.example_inputs, request.example_beside
    if example is None:
        return None
    with called_on(example, name):
        inputs = placed(example, values.values())
        side = None if beside is None else mapped(lambda array: placed(array, values.values()), beside)
        jaxpr = jax.make_jaxpr(outputs)(with_side_inputs(values, side, inputs.shape[0]), inputs)
    # JAX flattens a dictionary by its sorted names.
    keys = sorted(values)
    found = dependence(jaxpr, len(keys))
    reached = found.results[0]
    used = frozenset(key for i, key in enumerate(keys) if reached & mark_of(i))
    constants = [constant for mark, constant in found.constants.items() if reached & mark]
    refuse_closures(constants, values, used, name)
    names = {id(array): path for path, array in fixed.items()}
    others = [
        names.get(id(constant), f"a constant array of shape {tuple(constant.shape)}")
        for constant in constants
        if is_inexact(constant) and varied(constant)
    ]
    return Trace(jaxpr, tuple(keys[i] for i in found.met), used, tuple(dict.fromkeys(others)))
