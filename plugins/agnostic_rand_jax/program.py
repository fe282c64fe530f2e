"""A computation as a flat list of equations: what order, ReLU rules and taps are found in.

Only public parts of JAX are used: jaxprs and their equations (`jax.make_jaxpr`,
`jax.extend.core`), and `jax.core.eval_jaxpr` to evaluate one equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.extend import core

Atom: TypeAlias = Any
"""The number of a value of the program, or a `jax.extend.core.Literal`."""

# The parameter that holds the body of a call which means nothing but its body.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_vmap_call": "call",
}


@dataclass(frozen=True)
class Step:
    """One equation.

    Args:
        equation: JAX's own.
        source: The jaxpr that it stands in.
        inputs: The values that it takes.
        outputs: The numbers of the values that it makes.
        scope: The names of the jitted functions around it, the outermost first.
    """

    equation: Any
    source: Any
    inputs: tuple[Atom, ...]
    outputs: tuple[int, ...]
    scope: tuple[str, ...]

    @property
    def name(self) -> str:
        """The primitive's name."""
        return str(self.equation.primitive.name)

    @property
    def params(self) -> dict[str, Any]:
        """The equation's parameters."""
        params: dict[str, Any] = self.equation.params
        return params


@dataclass(frozen=True)
class Program:
    """A jaxpr whose calls of jitted functions are replaced by their bodies.

    Args:
        inputs: The numbers of its arguments.
        constants: By number, arrays that it holds.
        steps: In the order of execution.
        outputs: What it returns.
    """

    inputs: tuple[int, ...]
    constants: dict[int, Any]
    steps: tuple[Step, ...]
    outputs: tuple[Atom, ...]


Handler: TypeAlias = Callable[[int, Step, list[Any]], Sequence[Any]]
"""`handler(position, step, values) -> results`: how one step of a program is evaluated."""


def flattened(jaxpr: Any, *, through_remat: bool = False) -> Program:
    """The program of a jaxpr, open or closed.

    Args:
        jaxpr: A `Jaxpr` without constants, or a `ClosedJaxpr`.
        through_remat: Whether bodies of `jax.checkpoint` replace its calls too.
    """
    return _Flattener(through_remat).program(jaxpr)


def evaluated(
    program: Program,
    arguments: Sequence[Any],
    handler: Handler,
    constant: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """What the program returns when `handler` evaluates its steps.

    Args:
        program: The program.
        arguments: Its arguments, or what stands for them.
        handler: Evaluates a step.
        constant: What stands for an array or a number that the program holds.
    """
    values = {number: constant(value) for number, value in program.constants.items()}
    values.update(zip(program.inputs, arguments, strict=True))

    def read(atom: Atom) -> Any:
        return constant(literal_value(atom)) if isinstance(atom, core.Literal) else values[atom]

    for position, step in enumerate(program.steps):
        results = handler(position, step, [read(atom) for atom in step.inputs])
        values.update(zip(step.outputs, results, strict=True))
    return [read(atom) for atom in program.outputs]


def as_it_is(step: Step, values: Sequence[Any]) -> list[Any]:
    """The results of the step's own equation."""
    equation = step.equation
    given = {
        variable: value
        for variable, value in zip(equation.invars, values, strict=True)
        if not isinstance(variable, core.Literal)
    }
    kept = [variable for variable in equation.outvars if not isinstance(variable, core.DropVar)]
    alone = step.source.replace(invars=list(given), outvars=kept, constvars=[], eqns=[equation])
    results = iter(jax.core.eval_jaxpr(alone, (), *given.values()))
    return [None if isinstance(variable, core.DropVar) else next(results) for variable in equation.outvars]


def bodies(step: Step) -> list[Program]:
    """The programs inside a step: the body of a loop, the branches of a condition."""
    found = []
    for value in step.params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.Jaxpr | core.ClosedJaxpr):
                found.append(flattened(part))
    return found


def literal_value(literal: Any) -> Any:
    """A literal as a NumPy scalar of its own type."""
    return np.asarray(literal.val, dtype=literal.aval.dtype)


class _Flattener:
    def __init__(self, through_remat: bool) -> None:
        self._calls = _CALLS | ({"remat2": "jaxpr", "checkpoint": "jaxpr"} if through_remat else {})
        self._count = 0
        self._constants: dict[int, Any] = {}
        self._steps: list[Step] = []

    def program(self, jaxpr: Any) -> Program:
        inputs = tuple(self._new() for _ in _opened(jaxpr)[0].invars)
        outputs = self._body(jaxpr, inputs, ())
        return Program(inputs, self._constants, tuple(self._steps), tuple(outputs))

    def _body(self, jaxpr: Any, inputs: Sequence[Atom], scope: tuple[str, ...]) -> list[Atom]:
        inner, constants = _opened(jaxpr)
        known: dict[Any, Atom] = dict(zip(inner.invars, inputs, strict=True))
        for variable, constant in zip(inner.constvars, constants, strict=True):
            known[variable] = self._new()
            self._constants[known[variable]] = constant

        def resolved(atom: Any) -> Atom:
            return atom if isinstance(atom, core.Literal) else known[atom]

        for equation in inner.eqns:
            taken = tuple(resolved(atom) for atom in equation.invars)
            body = equation.params.get(self._calls.get(equation.primitive.name, ""))
            if body is not None:
                results = self._body(body, taken, (*scope, str(equation.params.get("name", ""))))
            else:
                results = [self._new() for _ in equation.outvars]
                self._steps.append(Step(equation, inner, taken, tuple(results), scope))
            known.update(zip(equation.outvars, results, strict=True))
        return [resolved(atom) for atom in inner.outvars]

    def _new(self) -> int:
        self._count += 1
        return self._count


def _opened(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    return (jaxpr.jaxpr, jaxpr.consts) if isinstance(jaxpr, core.ClosedJaxpr) else (jaxpr, ())
