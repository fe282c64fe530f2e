"""Backward passes through ReLU by other rules, in the jaxpr of a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.extend import core

from agnostic_rand.adapters import Array, ReluRule
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import refuse_plain_gradient

# Where an equation that only calls a function keeps that function's jaxpr.
_CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr", "checkpoint": "jaxpr"}


def with_rule(model: keras.Model, function: Callable[[Array], Array], rule: ReluRule) -> Callable[[Array], Array]:
    """The function with another derivative at each ReLU.

    Args:
        model: What the function calls.
        function: `function(inputs) -> outputs`.
        rule: `"guided"` lets only positive gradients pass, where the input was positive
            (Springenberg et al. 2015); `"deconv"` lets positive gradients pass wherever the input
            was (Zeiler & Fergus 2014).

    Raises:
        ModelError: When the result is called: no ReLU was met, or one that the rule does not reach.
    """

    def ruled(inputs: Array) -> Array:
        with plain_leaks(model, rule):
            closed = jax.make_jaxpr(function)(inputs)
        interpreter = _Interpreter(rule)
        outputs = interpreter.evaluated(closed.jaxpr, closed.consts, [inputs])
        refuse_plain_gradient(model, rule, met=interpreter.met, hidden=interpreter.hidden)
        return outputs[0]

    return ruled


class _Interpreter:
    def __init__(self, rule: ReluRule) -> None:
        self._rule = rule
        self._minima: list[Any] = []
        self.met = 0
        self.hidden: str | None = None

    def evaluated(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for equation in jaxpr.eqns:
            given = [read(atom) for atom in equation.invars]
            if _is_constant(equation, given):
                # As values, not as steps of the trace: the zero of a maximum(x, 0) is to be seen.
                with jax.ensure_compile_time_eval():
                    results = _as_it_is(jaxpr, equation, given)
            else:
                results = self._results(jaxpr, equation, given)
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _results(self, jaxpr: Any, equation: Any, arguments: list[Any]) -> list[Any]:
        top = _ceiling(equation)
        if top is not None:
            self.met += 1
            return [_rule_relu(self._rule == "guided", top)(*arguments)]
        rectified = self._rectified(equation, arguments)
        if rectified is not None:
            self.met += 1
            return [_rule_relu(self._rule == "guided", math.inf)(rectified)]
        body = equation.params.get(_CALLS.get(equation.primitive.name, ""))
        # Clipping begins with a maximum, which is no ReLU.
        if body is not None and equation.params.get("name") != "clip":
            return self.evaluated(*_opened(body), arguments)
        if any(_has_relu(inner) for inner in _inner(equation)):
            self.hidden = f"the JAX operation {equation.primitive.name!r}"
        results = _as_it_is(jaxpr, equation, arguments)
        if equation.primitive.name == "min":
            self._minima += results
        return results

    def _rectified(self, equation: Any, arguments: list[Any]) -> Any | None:
        """What a maximum with zero rectifies; a minimum is clipped by it, which is no ReLU."""
        if equation.primitive.name != "max":
            return None
        for x, bound in (arguments, arguments[::-1]):
            if isinstance(x, jax.core.Tracer) and not isinstance(bound, jax.core.Tracer):
                floating = jnp.issubdtype(x.dtype, jnp.floating)
                clips = any(x is minimum for minimum in self._minima)
                if floating and not clips and np.size(bound) == 1 and not np.any(bound):
                    return x
        return None


def _is_constant(equation: Any, arguments: list[Any]) -> bool:
    """Whether one number is computed of known ones."""
    known = not any(isinstance(value, jax.core.Tracer) for value in arguments)
    return known and not equation.effects and all(variable.aval.size == 1 for variable in equation.outvars)


def _as_it_is(jaxpr: Any, equation: Any, arguments: list[Any]) -> list[Any]:
    pairs = zip(equation.invars, arguments, strict=True)
    given = {variable: value for variable, value in pairs if not isinstance(variable, core.Literal)}
    kept = [variable for variable in equation.outvars if not isinstance(variable, core.DropVar)]
    alone = jaxpr.replace(invars=list(given), outvars=kept, constvars=[], eqns=[equation])
    results = iter(jax.core.eval_jaxpr(alone, (), *given.values()))
    return [None if isinstance(variable, core.DropVar) else next(results) for variable in equation.outvars]


def _ceiling(equation: Any) -> float | None:
    """Where a function of its own derivative stops to rise: infinity for `jax.nn.relu`, 6 for `relu6`."""
    if equation.primitive.name != "custom_jvp_call" or len(equation.invars) != 1:
        return None
    steps = [(step.primitive.name, _number(step)) for step in _steps(_opened(equation.params["call_jaxpr"])[0])]
    if steps == [("max", 0)]:
        return math.inf
    return 6.0 if steps == [("max", 0), ("min", 6)] else None


def _steps(jaxpr: Any) -> Iterator[Any]:
    """The equations, with those of a called function in its place."""
    for equation in jaxpr.eqns:
        body = equation.params.get(_CALLS.get(equation.primitive.name, ""))
        yield from [equation] if body is None else _steps(_opened(body)[0])


def _number(equation: Any) -> float | None:
    """The one number among what the equation takes."""
    numbers = [atom.val for atom in equation.invars if isinstance(atom, core.Literal)]
    return float(numbers[0]) if len(numbers) == 1 and np.ndim(numbers[0]) == 0 else None


def _inner(equation: Any) -> list[Any]:
    parts = [
        part
        for value in equation.params.values()
        for part in (value if isinstance(value, tuple | list) else (value,))
    ]
    return [_opened(part)[0] for part in parts if isinstance(part, core.Jaxpr | core.ClosedJaxpr)]


def _has_relu(jaxpr: Any) -> bool:
    return any(
        _ceiling(equation) is not None
        or (equation.primitive.name == "max" and _number(equation) == 0)
        or any(_has_relu(inner) for inner in _inner(equation))
        for equation in jaxpr.eqns
        # A function with a derivative of its own, such as softplus, may hold a maximum that is no ReLU.
        if _ceiling(equation) is not None or not equation.primitive.name.startswith("custom_")
    )


def _opened(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, ())


def _rule_relu(guided: bool, top: float) -> Callable[[Array], Array]:
    """A ReLU, capped at `top`, with the rule's backward pass."""

    def rectified(x: Array) -> Array:
        return jnp.clip(x, 0, top)

    def forward(x: Array) -> tuple[Array, Array]:
        return rectified(x), (x > 0) & (x < top)

    def backward(passes: Array, gradient: Array) -> tuple[Array]:
        positive = jnp.maximum(gradient, 0)
        return (jnp.where(passes, positive, 0) if guided else positive,)

    function = jax.custom_vjp(rectified)
    function.defvjp(forward, backward)
    return function
