"""What passes at a named place of a model, seen and differentiated from outside.

A tap is an identity that leaves the place's name in the jaxpr. Inside `vmap` it brings the mapped
axis to the front, so that what is seen has the batch first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap
from jax.extend.core import Literal

from agnostic_rand.adapters import Array, runs_not_once, unusable_layer
from agnostic_rand.errors import unknown_name
from agnostic_rand_jax.arrays import full_precision
from agnostic_rand_jax.compiled import Outputs, Values, selected
from agnostic_rand_jax.program import Program, Step, as_it_is, evaluated, flattened

_PREFIX = "agnostic_rand:"


def tapped(value: Any, layer: str) -> Any:
    """The value itself, marked as the output of a layer; what is no array passes unmarked."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], jax.Array):
        # A stateful layer returns its output and the state.
        return tapped(value[0], layer), value[1]
    if not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, jnp.floating) or value.ndim == 0:
        return value

    @custom_vmap
    def identity(x: Array) -> Array:
        named: Array = checkpoint_name(x, _PREFIX + layer)  # type: ignore[no-untyped-call]
        return named

    @identity.def_vmap
    def _(_size: int, _batched: Any, x: Array) -> tuple[Array, bool]:
        return identity(x), True

    return identity(value)


def tapped_shapes(function: Outputs, values: Values, inputs: Array) -> dict[str, tuple[int, ...]]:
    """By layer, the shape of its last output, in the order of the forward pass."""
    program = flattened(jax.make_jaxpr(function)(values, inputs), through_remat=True)
    shapes: dict[str, tuple[int, ...]] = {}
    for step in program.steps:
        layer = _layer(step)
        if layer is not None:
            shapes.pop(layer, None)
            shapes[layer] = tuple(step.equation.outvars[0].aval.shape)
    return shapes


def gradient_at(function: Outputs, layer: str) -> Callable[[Values, Array, Array], tuple[jax.Array, jax.Array]]:
    """A function `(values, inputs, targets) -> (output of the layer, gradient at it)`.

    Args:
        function: The model with its taps.
        layer: The name of the place.

    Returns:
        A function that raises `UnknownNameError` when it is traced, if no tap has the name, and
        `ModelError` if the outputs do not depend on the place.
    """

    def output_and_gradient(values: Values, inputs: Array, targets: Array) -> tuple[jax.Array, jax.Array]:
        program = flattened(jax.make_jaxpr(function)(values, inputs), through_remat=True)
        places = _places(program, layer)
        if not _reaches(program, places[-1]):
            raise unusable_layer(layer, "an output that is not used")
        aval = program.steps[places[-1]].equation.outvars[0].aval
        arguments = [*jax.tree.leaves(values), inputs]

        def score(shift: Array) -> tuple[jax.Array, jax.Array]:
            outputs, seen = _shifted(program, arguments, places[-1], shift)
            return selected(outputs, targets), seen

        gradient, seen = jax.grad(score, has_aux=True)(jnp.zeros(aval.shape, aval.dtype))
        return full_precision(seen), full_precision(gradient)

    return output_and_gradient


def output_at(function: Outputs, layer: str) -> Callable[[Values, Array], jax.Array]:
    """A function `(values, inputs) -> output of the layer`, which must run once; else `ModelError` when traced."""

    def output(values: Values, inputs: Array) -> jax.Array:
        program = flattened(jax.make_jaxpr(function)(values, inputs), through_remat=True)
        place = _only_place(program, layer)
        seen: list[jax.Array] = []

        def handle(position: int, step: Step, given: list[Any]) -> Sequence[Any]:
            if position == place:
                seen.append(given[0])
            return as_it_is(step, given)

        evaluated(program, [*jax.tree.leaves(values), inputs], handle)
        return seen[0]

    return output


def from_layer(function: Outputs, layer: str) -> Callable[[tuple[Values, Array], Array], jax.Array]:
    """A function `((values, inputs), output of the layer) -> outputs` of the model from a layer on."""

    def outputs(given: tuple[Values, Array], output: Array) -> jax.Array:
        values, inputs = given
        program = flattened(jax.make_jaxpr(function)(values, inputs), through_remat=True)
        place = _only_place(program, layer)

        def handle(position: int, step: Step, passed: list[Any]) -> Sequence[Any]:
            return [output.astype(passed[0].dtype)] if position == place else as_it_is(step, passed)

        (made,) = evaluated(program, [*jax.tree.leaves(values), inputs], handle)
        result: jax.Array = made
        return result

    return outputs


def _places(program: Program, layer: str) -> list[int]:
    places = [i for i, step in enumerate(program.steps) if _layer(step) == layer]
    if not places:
        raise unknown_name("layer", layer, dict.fromkeys(n for s in program.steps if (n := _layer(s))))
    return places


def _only_place(program: Program, layer: str) -> int:
    place, *others = _places(program, layer)
    if others:
        raise runs_not_once(layer, f"{len(others) + 1} calls")
    return place


def _shifted(program: Program, arguments: Sequence[Any], place: int, shift: Array) -> tuple[jax.Array, jax.Array]:
    seen: list[jax.Array] = []

    def handle(position: int, step: Step, values: list[Any]) -> Sequence[Any]:
        if position != place:
            return as_it_is(step, values)
        seen.append(values[0])
        return [values[0] + shift]

    (outputs,) = evaluated(program, arguments, handle)
    return outputs, seen[0]


def _reaches(program: Program, place: int) -> bool:
    """Whether the program's output depends on what the step at `place` makes."""
    reached: set[Any] = set(program.steps[place].outputs)
    for step in program.steps[place + 1 :]:
        if any(not isinstance(atom, Literal) and atom in reached for atom in step.inputs):
            reached.update(step.outputs)
    return any(not isinstance(atom, Literal) and atom in reached for atom in program.outputs)


def _layer(step: Step) -> str | None:
    name = step.params.get("name") if step.name == "name" else None
    return name.removeprefix(_PREFIX) if isinstance(name, str) and name.startswith(_PREFIX) else None
