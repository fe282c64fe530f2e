"""What the values of a program are of earlier ones, number by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from agnostic_rand_jax.elementwise import IDENTITY, UNKNOWN, Form, computed, number
from agnostic_rand_jax.program import Atom, Program, Step, bodies, literal_value

# Where an operand of theirs is not known, it may be zero.
_CHOICES = frozenset({"max", "clamp", "select_n"})


@dataclass(frozen=True)
class Known:
    """What is known of a program's arguments.

    Args:
        data: Those that depend on the model's inputs.
        numbers: Those that are the same number everywhere.
    """

    data: frozenset[int]
    numbers: Mapping[int, Form] = field(default_factory=dict)


class Values:
    """The values of a program.

    Args:
        program: The program; bodies of loops are programs of their own.
        known: What is known of its arguments.

    Attributes:
        forms: Of each value that depends on the data, by earlier value what it is of that.
        makers: The step that makes a value.
        users: The steps that take a value.
        avals: The shapes and types of values that are taken.
    """

    def __init__(self, program: Program, known: Known) -> None:
        self.forms: dict[int, dict[int, Form]] = {n: {n: IDENTITY} for n in known.data}
        self.makers = {n: step for step in program.steps for n in step.outputs}
        self.users: dict[Atom, list[Step]] = {}
        self.avals: dict[Atom, Any] = {}
        self._numbers = dict(known.numbers)
        # What depends on other arguments, which are not known.
        self._unknown = set(program.inputs) - known.data - known.numbers.keys()
        self._same: dict[int, int] = {}
        self._seen: dict[object, int] = {}
        for constant, value in program.constants.items():
            self._note(constant, number(value))
        for step in program.steps:
            self._follow(step)

    def first(self, atom: Atom) -> Atom:
        """The value itself, or an earlier one that is computed in the same way."""
        return atom if isinstance(atom, core.Literal) else self._same.get(atom, atom)

    def depends(self, atom: Atom) -> bool:
        """Whether it depends on the data."""
        return not isinstance(atom, core.Literal) and self.first(atom) in self.forms

    def inside(self, step: Step, body: Program) -> Known:
        """What is known of the arguments of a body of a step, which are the last of the step's inputs."""
        depends = any(self.depends(atom) for atom in step.inputs)
        given = step.inputs[len(step.inputs) - len(body.inputs) :]
        whole = step.name in ("scan", "while") or len(given) != len(body.inputs)
        # What is carried changes from round to round.
        constant = step.params["num_consts"] if step.name == "scan" else 0 if whole else len(given)
        numbers = {n: self._number(atom) for n, atom in zip(body.inputs[:constant], given, strict=False)}
        fixed = {n: form for n, form in numbers.items() if form is not None}
        of_data = frozenset(body.inputs) if depends else frozenset()
        if not whole:
            of_data = frozenset(n for n, atom in zip(body.inputs, given, strict=True) if self.depends(atom))
        return Known(of_data - fixed.keys(), fixed)

    def _follow(self, step: Step) -> None:
        taken = tuple(self.first(atom) for atom in step.inputs)
        for atom, variable in zip(taken, step.equation.invars, strict=True):
            if not isinstance(atom, core.Literal):
                self.users.setdefault(atom, []).append(step)
                self.avals[atom] = variable.aval
        if self._is_repeated(step, taken):
            return
        if not any(self.depends(atom) for atom in taken):
            if any(not isinstance(atom, core.Literal) and atom in self._unknown for atom in taken):
                self._unknown.update(step.outputs)
            numbers = [form for atom in taken if (form := self._number(atom)) is not None]
            if numbers and len(numbers) == len(taken):
                self._note(step.outputs[0], computed(step, numbers))
            return
        forms = {}
        for source in set.intersection(*(set(self.forms[atom]) for atom in taken if self.depends(atom))):
            given = [form for atom in taken if (form := self._form(step, atom, source)) is not None]
            form = computed(step, given) if len(given) == len(taken) else None
            if form is not None:
                forms[source] = form
        for output, variable in zip(step.outputs, step.equation.outvars, strict=True):
            self.forms[output] = forms | ({output: IDENTITY} if is_floating(variable.aval) else {})

    def _is_repeated(self, step: Step, taken: tuple[Atom, ...]) -> bool:
        """Whether the step computes what an earlier one did, as `f(x)` does in `where(f(x) > 0, f(x), 0)`."""
        literal = core.Literal
        atoms = tuple(repr((a.val, a.aval)) if isinstance(a, literal) else a for a in taken)
        if len(step.outputs) != 1 or bodies(step) or step.equation.effects:
            return False
        first = self._seen.setdefault((step.name, atoms, repr(step.params)), step.outputs[0])
        if first != step.outputs[0]:
            self._same[step.outputs[0]] = first
        return first != step.outputs[0]

    def _form(self, step: Step, atom: Atom, source: int) -> Form | None:
        if self.depends(atom):
            return self.forms[atom][source]
        if isinstance(atom, core.Literal) or step.name not in _CHOICES or atom not in self._unknown:
            return self._number(atom)
        return UNKNOWN if is_floating(self.avals[atom]) else None

    def _number(self, atom: Atom) -> Form | None:
        if isinstance(atom, core.Literal):
            return number(literal_value(atom))
        return self._numbers.get(self.first(atom))

    def _note(self, value: int, form: Form | None) -> None:
        if form is not None:
            self._numbers[value] = form


def is_floating(aval: Any) -> bool:
    """Whether it is of an array of floating numbers."""
    return isinstance(aval, jax.core.ShapedArray) and bool(jnp.issubdtype(aval.dtype, jnp.floating))
