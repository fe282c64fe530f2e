"""Backward passes through ReLU by other rules, in the jaxpr of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
from jax.extend import core

from agnostic_rand.adapters import Array, ReluRule
from agnostic_rand_keras.rectifiers_on_jax import (
    CALLS,
    OTHER_ACTIVATIONS,
    Values,
    has_relu,
    inner,
    opened,
    rule_relu,
)
from agnostic_rand_keras.relu_layers import plain_leaks
from agnostic_rand_keras.runtime import refuse_plain_gradient


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
        outputs, _ = interpreter.evaluated(closed.jaxpr, closed.consts, [inputs], [True])
        refuse_plain_gradient(model, rule, met=interpreter.met, hidden=interpreter.hidden)
        return outputs[0]

    return ruled


class _Interpreter:
    """Evaluates a program; a ReLU of what does not depend on the inputs is left alone."""

    def __init__(self, rule: ReluRule) -> None:
        self._guided = rule == "guided"
        self._values = Values()
        self.met = 0
        self.hidden: str | None = None

    def evaluated(
        self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any], depending: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        """The outputs, and which of them depend on the inputs."""
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, arguments, strict=True))
        data = {variable for variable, depends in zip(jaxpr.invars, depending, strict=True) if depends}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        def depends(atom: Any) -> bool:
            return not isinstance(atom, core.Literal) and atom in data

        for equation in jaxpr.eqns:
            given = [read(atom) for atom in equation.invars]
            if _is_constant(equation, given):
                # As values, not as steps of the trace: the zero of a maximum(x, 0) is to be seen.
                with jax.ensure_compile_time_eval():
                    results, changed = _as_it_is(jaxpr, equation, given), [False] * len(equation.outvars)
            else:
                results, changed = self._results(jaxpr, equation, given, [depends(a) for a in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
            data.update(v for v, flag in zip(equation.outvars, changed, strict=True) if flag)
        return [read(atom) for atom in jaxpr.outvars], [depends(atom) for atom in jaxpr.outvars]

    def _results(
        self, jaxpr: Any, equation: Any, given: list[Any], depending: list[bool]
    ) -> tuple[list[Any], list[bool]]:
        name = equation.params.get("name")
        rectified = self._values.rectified(equation, given) if any(depending) else None
        if rectified is not None and depending[rectified[0]]:
            place, top = rectified
            self.met += 1
            return [rule_relu(self._guided, top)(given[place])], [True]
        body = equation.params.get(CALLS.get(equation.primitive.name, ""))
        # Clipping begins with a maximum, which is no ReLU.
        if body is not None and name != "clip" and name not in OTHER_ACTIVATIONS:
            return self.evaluated(*opened(body), given, depending)
        if any(depending) and any(has_relu(part) for part in inner(equation)):
            self.hidden = f"the JAX operation {equation.primitive.name!r}"
        results = _as_it_is(jaxpr, equation, given)
        self._values.note(equation, given, results)
        return results, [any(depending)] * len(results)


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
