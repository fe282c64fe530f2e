"""Which steps of a program are ReLUs.

A ReLU is a function of its own derivative that computes `max(x, 0)` (`jax.nn.relu`, `relu6`), or,
where `x` depends on the data: `max(x, 0)`, `clip(x, 0)`, `where(x > 0, x, 0)` or `x * (x > 0)`. Cut
off at 6 it is one too, and cut off elsewhere none, as `clip(x, 0, 1)` of an image. The floor that
normalization layers put under a variance, `max(variance, 0)` whose square root is taken, is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from agnostic_rand_jax.program import Atom, Program, Step, bodies

CUSTOM_RULES = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})

# Steps that carry a value on without changing what it is.
_CARRIES = frozenset(
    {"convert_element_type", "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy", "copy_p"}
)
# What the body of a ReLU with a derivative of its own may be made of.
_OF_RELU = _CARRIES | {"max", "min", "clamp", "select_n", "gt", "ge", "lt", "le", "mul"}
# jax.nn functions that are built of a ReLU and are another activation.
_OTHER_ACTIVATIONS = frozenset({"celu", "hard_sigmoid", "hard_silu", "hard_swish"})
# Where a ReLU6 stops to rise.
_CAP = 6.0
_TOPS = (_CAP, np.inf)
_ABOVE = frozenset({"gt", "ge"})
_BELOW = frozenset({"lt", "le"})


@dataclass(frozen=True)
class Known:
    """What is known of a program's arguments.

    Args:
        data: Those that depend on the model's inputs.
        numbers: Those that are the same number everywhere.
    """

    data: frozenset[int]
    numbers: Mapping[int, float] = field(default_factory=dict)


Inside: TypeAlias = Callable[[Step, Program], Known]


def rectifiers(program: Program, known: Known) -> tuple[dict[int, int], Inside]:
    """The ReLUs among the steps, and what is known of the arguments of their bodies.

    A ReLU is given by its position, and by that of the rectified value among its inputs.
    """
    view = _View(program, known)
    found = {}
    for position, step in enumerate(program.steps):
        operand = view.rectified(step)
        if operand is not None:
            found[position] = operand
    return found, partial(_inside, view)


def rectifies(step: Step) -> int | None:
    """The position of what a function with a derivative of its own rectifies, if it is a ReLU."""
    if step.name not in CUSTOM_RULES:
        return None
    inner = bodies(step)
    operands = [i for i, atom in enumerate(step.inputs) if not isinstance(atom, core.Literal)]
    if len(inner) != 1 or len(operands) != 1 or len(step.outputs) != 1:
        return None
    body = inner[0]
    names = {part.name for part in body.steps}
    found = names <= _OF_RELU and rectifiers(body, Known(frozenset(body.inputs)))[0]
    return operands[0] if found else None


class _View:
    def __init__(self, program: Program, known: Known) -> None:
        self._makers = {number: step for step in program.steps for number in step.outputs}
        self._users: dict[int, list[Step]] = {}
        self.data = set(known.data)
        self._numbers = dict(known.numbers)
        for constant, value in program.constants.items():
            self._note(constant, _number(value))
        for step in program.steps:
            for atom in step.inputs:
                if not isinstance(atom, core.Literal):
                    self._users.setdefault(atom, []).append(step)
            if any(self.depends(atom) for atom in step.inputs):
                self.data.update(step.outputs)
            elif step.name in _CARRIES:
                self._note(step.outputs[0], self.number(step.inputs[0]))

    def depends(self, atom: Atom) -> bool:
        return not isinstance(atom, core.Literal) and atom in self.data

    def number(self, atom: Atom) -> float | None:
        """The number that the value is everywhere."""
        return _number(atom.val) if isinstance(atom, core.Literal) else self._numbers.get(atom)

    def rectified(self, step: Step) -> int | None:
        """The position of what the step rectifies, if it is a ReLU."""
        if _OTHER_ACTIVATIONS & set(step.scope):
            return None
        operand = rectifies(step)
        if operand is not None:
            return operand if self.depends(step.inputs[operand]) else None
        operand = self._cut_off(step) if step.name == "min" else self._plain(step)
        if operand is None or not self.depends(step.inputs[operand]) or not _is_floating(step):
            return None
        tops = [self._top(user) for user in self._users.get(step.outputs[0], [])]
        wrong = self._is_variance(step.outputs[0]) or any(top not in (None, _CAP) for top in tops)
        return None if wrong else operand

    def _plain(self, step: Step) -> int | None:
        """The position of what the step rectifies."""
        match step.name:
            case "max":
                return next((1 - i for i in (0, 1) if self.number(step.inputs[i]) == 0), None)
            case "clamp":
                return 1 if self.number(step.inputs[0]) == 0 and self.number(step.inputs[2]) in _TOPS else None
            case "select_n" if len(step.inputs) == 3:
                return self._selected(step)
            case "mul":
                return next((i for i in (0, 1) if self._masks(step.inputs[1 - i], step.inputs[i])), None)
        return None

    def _top(self, step: Step) -> float | None:
        """The number at which the step cuts its other operand off."""
        numbers = [self.number(atom) for atom in step.inputs] if step.name == "min" else []
        return next((number for number in numbers if number is not None), None)

    def _cut_off(self, step: Step) -> int | None:
        """The position of the ReLU's output that the step makes a ReLU6 of."""
        makers = [self._maker(atom) for atom in step.inputs]
        rectified = [i for i, maker in enumerate(makers) if maker is not None and self._plain(maker) is not None]
        return rectified[0] if rectified and self._top(step) == _CAP else None

    def _selected(self, step: Step) -> int | None:
        predicate, otherwise, chosen = step.inputs
        if self.number(otherwise) == 0 and self._is_test(predicate, chosen, _ABOVE, _BELOW):
            return 2
        if self.number(chosen) == 0 and self._is_test(predicate, otherwise, _BELOW, _ABOVE):
            return 1
        return None

    def _masks(self, mask: Atom, value: Atom) -> bool:
        maker = self._maker(mask)
        converted = maker is not None and maker.name == "convert_element_type"
        return converted and self._is_test(maker.inputs[0], value, _ABOVE, _BELOW)  # type: ignore[union-attr]

    def _is_test(self, predicate: Atom, value: Atom, direct: frozenset[str], swapped: frozenset[str]) -> bool:
        """Whether the predicate compares the value with zero: `value > 0`, or `0 < value`."""
        maker = self._maker(predicate)
        if maker is None or isinstance(value, core.Literal):
            return False
        if maker.name in direct:
            return bool(maker.inputs[0] == value) and self.number(maker.inputs[1]) == 0
        return maker.name in swapped and bool(maker.inputs[1] == value) and self.number(maker.inputs[0]) == 0

    def _maker(self, atom: Atom) -> Step | None:
        return None if isinstance(atom, core.Literal) else self._makers.get(atom)

    def _note(self, value: int, number: float | None) -> None:
        if number is not None:
            self._numbers[value] = number

    def _is_variance(self, number: int) -> bool:
        """Whether all that is done with the value is to add a constant and take the square root."""
        users = self._users.get(number, [])
        return bool(users) and all(self._leads_to_root(user, number) for user in users)

    def _leads_to_root(self, step: Step, number: int) -> bool:
        if step.name in ("sqrt", "rsqrt"):
            return True
        shifted = step.name == "add" and not any(self.depends(atom) for atom in step.inputs if atom != number)
        return (shifted or step.name in _CARRIES) and self._is_variance(step.outputs[0])


def _inside(view: _View, step: Step, body: Program) -> Known:
    """What is known of a body's arguments, which are the last of its step's inputs."""
    given = step.inputs[len(step.inputs) - len(body.inputs) :]
    if step.name in ("scan", "while"):
        # What is carried changes from round to round.
        data = frozenset(body.inputs) if any(view.depends(atom) for atom in step.inputs) else frozenset()
        return Known(data)
    pairs = list(zip(body.inputs, given, strict=True))
    return Known(
        frozenset(value for value, atom in pairs if view.depends(atom)),
        {value: number for value, atom in pairs if (number := view.number(atom)) is not None},
    )


def _number(value: Any) -> float | None:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        # A value that is not known while the function is traced.
        return None
    if array.dtype.kind not in "fiub" or array.size == 0 or not (array == array.flat[0]).all():
        return None
    return float(array.flat[0])


def _is_floating(step: Step) -> bool:
    return bool(jnp.issubdtype(step.equation.outvars[0].aval.dtype, jnp.floating))
