"""Where a computation rectifies, however it is written, and other backward passes through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, ReluRule
from agnostic_rand.errors import ModelError
from agnostic_rand_jax.loops import LOOPS, looped
from agnostic_rand_jax.program import Program, Step, as_it_is, bodies, evaluated, flattened
from agnostic_rand_jax.rectifiers import CUSTOM_RULES, Known, rectifiers, rectifies


def with_rule(function: Callable[[Any, Array], Array], rule: ReluRule) -> Callable[[Any, Array], Array]:
    """A function of the same values, with another derivative at each ReLU.

    Args:
        function: `function(values, inputs) -> outputs`, traceable.
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).

    Returns:
        A function that raises `ModelError` when it is traced, if no ReLU is met or one cannot be
        reached: never the plain gradient.
    """

    def ruled(values: Any, inputs: Array) -> Array:
        program = flattened(jax.make_jaxpr(function)(values, inputs))
        run = _Run(rule)
        data = frozenset({program.inputs[-1]})
        (outputs,) = run.outputs(program, [*jax.tree.leaves(values), inputs], Known(data))
        if run.met == 0:
            raise ModelError(
                f"relu={rule!r}",
                expected="at least one ReLU in the forward pass",
                received="none (other activations)",
                fix="Use Gradient(): without a ReLU this method is the plain gradient.",
            )
        return outputs

    return ruled


class _Run:
    def __init__(self, rule: ReluRule) -> None:
        self._rule = rule
        self.met = 0

    def outputs(self, program: Program, arguments: Sequence[Any], known: Known) -> list[Any]:
        found, inside = rectifiers(program, known)

        def handle(position: int, step: Step, values: list[Any]) -> Sequence[Any]:
            if position in found:
                self.met += 1
                return [_ruled(self._rule, step, values, found[position])]
            if step.name in LOOPS:
                return looped(step, values, lambda body, given: self.outputs(body, given, inside(step, body)))
            _refuse_hidden(step, self._rule)
            return as_it_is(step, values)

        return evaluated(program, arguments, handle)


def _ruled(rule: ReluRule, step: Step, values: list[Any], operand: int) -> Array:
    rectified = as_it_is(step, values)[0]
    passed: Array = _keep_positive(rectified) if rule == "guided" else _pass_positive(values[operand], rectified)
    return passed


def _refuse_hidden(step: Step, rule: ReluRule) -> None:
    if any(_hides(body, custom=step.name in CUSTOM_RULES) for body in bodies(step)):
        raise ModelError(
            f"relu={rule!r}",
            expected="ReLUs in plain JAX code, or inside jit, scan, cond, while and checkpoint",
            received=f"a ReLU inside {step.name!r}, whose backward pass is not open to other rules",
            fix="Use Gradient(), or write that part of the model without the custom call.",
        )


def _hides(program: Program, *, custom: bool) -> bool:
    """Whether a body that will not be interpreted holds a ReLU.

    Inside a custom derivative only calls of a ReLU function count: `max(x, 0)` is part of other
    functions, such as softplus.
    """
    if not custom and rectifiers(program, Known(frozenset(program.inputs)))[0]:
        return True
    return any(
        rectifies(step) is not None or any(_hides(body, custom=custom) for body in bodies(step))
        for step in program.steps
    )


@jax.custom_vjp
def _keep_positive(x: Array) -> Array:
    return x


_keep_positive.defvjp(lambda x: (x, None), lambda _, gradient: (jnp.maximum(gradient, 0),))


@jax.custom_vjp
def _pass_positive(_x: Array, rectified: Array) -> Array:
    return rectified


_pass_positive.defvjp(
    lambda _x, rectified: (rectified, None),
    lambda _, gradient: (jnp.maximum(gradient, 0), jnp.zeros_like(gradient)),
)
