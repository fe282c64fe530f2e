"""Where a computation rectifies, however it is written, and other backward passes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, ReluRule, no_relu, relu_out_of_reach
from agnostic_rand_jax.forms import Known
from agnostic_rand_jax.loops import LOOPS, looped
from agnostic_rand_jax.program import Program, Step, as_it_is, evaluated, flattened
from agnostic_rand_jax.rectifiers import Rectifiers


def with_rule(
    function: Callable[[Any, Array], Array], rule: ReluRule, name: str = "the model"
) -> Callable[[Any, Array], Array]:
    """A function of the same values, with another derivative at each ReLU.

    Args:
        function: `function(values, inputs) -> outputs`, traceable.
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).
        name: Of the model, for errors.

    Returns:
        A function that raises `ModelError` when it is traced, if no ReLU is met or one cannot be
        reached: never the plain gradient.
    """

    def ruled(values: Any, inputs: Array) -> Array:
        program = flattened(jax.make_jaxpr(function)(values, inputs))
        run = _Run(rule, name)
        data = frozenset({program.inputs[-1]})
        (outputs,) = run.outputs(program, [*jax.tree.leaves(values), inputs], Known(data))
        if run.met == 0:
            raise no_relu(rule, name)
        return outputs

    return ruled


class _Run:
    def __init__(self, rule: ReluRule, name: str) -> None:
        self._rule = rule
        self._name = name
        self.met = 0

    def outputs(self, program: Program, arguments: Sequence[Any], known: Known) -> list[Any]:
        rectifiers = Rectifiers(program, known)
        if rectifiers.hidden:
            instead = (
                "write that part of the model as jax.nn.relu(x), also inside jit, scan, cond, while and checkpoint"
            )
            raise relu_out_of_reach(self._rule, self._name, rectifiers.hidden[0], instead)
        reached = dict(zip(program.inputs, arguments, strict=True))

        def handle(position: int, step: Step, values: list[Any]) -> Sequence[Any]:
            made: Sequence[Any]
            if step.name in LOOPS:
                made = looped(
                    step, values, lambda body, given: self.outputs(body, given, rectifiers.inside(step, body))
                )
            else:
                made = as_it_is(step, values)
                if position in rectifiers.found:
                    self.met += 1
                    found = rectifiers.found[position]
                    made = [_ruled(self._rule, found.top, reached[found.source], made[0])]
            reached.update(zip(step.outputs, made, strict=True))
            return made

        return evaluated(program, arguments, handle)


def _ruled(rule: ReluRule, top: float, x: Array, rectified: Array) -> Array:
    """What `x` is rectified to, with the rule's backward pass from there to `x`."""

    @jax.custom_vjp
    def passed(_: Array, rectified: Array) -> Array:
        return rectified

    def forward(_: Array, rectified: Array) -> tuple[Array, Array]:
        return rectified, (rectified > 0) & (rectified < top) if rule == "guided" else True

    def backward(passes: Array, gradient: Array) -> tuple[Array, None]:
        return jnp.where(passes, jnp.maximum(gradient, 0), 0).astype(x.dtype), None

    passed.defvjp(forward, backward)
    ruled: Array = passed(x, jax.lax.stop_gradient(rectified))
    return ruled
