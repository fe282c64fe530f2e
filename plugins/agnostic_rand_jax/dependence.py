"""What the results of a computation depend on, and the order in which its arguments meet the data.

Each value has a mark, a set of bits: for the data, for random draws, for each array that has a name, and
for each constant. An array is met by the data in the first equation that takes both something computed
from the data and something computed from the array alone. Casting all parameters to half precision
before the first layer, or normalizing a kernel, is no meeting yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand_jax.program import Program, Step, bodies, evaluated, flattened

DATA, DRAWN = 1, 2
"""The marks of what depends on the data, and on random draws."""

_FIRST = 2
_DRAWS = frozenset({"random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform"})


@dataclass(frozen=True)
class Dependence:
    """How the arguments of a computation reach its results.

    Args:
        results: The mark of each result.
        met: The positions of named arguments, in the order in which the data meet them.
        constants: By their mark, the arrays that the computation holds; numbers are left out.
    """

    results: tuple[int, ...]
    met: tuple[int, ...]
    constants: dict[int, Any]


def dependence(jaxpr: Any, named: int) -> Dependence:
    """What the results of a closed jaxpr depend on.

    Args:
        jaxpr: The computation.
        named: How many of its first arguments have marks of their own; the others are the data.
    """
    program = flattened(jaxpr)
    search = _Search(named)
    marks = [mark_of(i) if i < named else DATA for i in range(len(program.inputs))]
    results = search.reached(program, marks)
    constants = {mark_of(named + i): value for i, value in enumerate(search.constants.values())}
    return Dependence(tuple(results), tuple(i for i in search.met if i < named), constants)


def mark_of(position: int) -> int:
    """The mark of a named argument."""
    return 1 << (position + _FIRST)


class _Search:
    def __init__(self, named: int) -> None:
        self._named = named
        self._places: dict[int, int] = {}
        self.constants: dict[int, Any] = {}
        self.met: dict[int, None] = {}

    def reached(self, program: Program, marks: Sequence[int]) -> list[int]:
        return evaluated(program, marks, lambda _, step, taken: self._step(step, taken), self._constant)

    def _step(self, step: Step, taken: list[int]) -> list[int]:
        inner = bodies(step)
        match step.name:
            case "scan":
                constants, carries = step.params["num_consts"], step.params["num_carry"]
                start, slices = taken[constants : constants + carries], taken[constants + carries :]
                return self._repeated(
                    lambda carried: self.reached(inner[0], [*taken[:constants], *carried, *slices]), start
                )
            case "while":
                return self._while(step, taken)
            case "cond":
                branches = [self.reached(body, taken[1:]) for body in inner]
                return [self._union([taken[0], *made]) for made in zip(*branches, strict=True)]
        if len(inner) == 1 and len(inner[0].inputs) == len(taken) and len(inner[0].outputs) == len(step.outputs):
            return self.reached(inner[0], taken)
        held = [mark for body in inner for mark in self.reached(body, [0] * len(body.inputs))]
        drawn = DRAWN if step.name in _DRAWS else 0
        return [self._union([*taken, *held]) | drawn] * len(step.outputs)

    def _while(self, step: Step, taken: list[int]) -> list[int]:
        tests, rounds = step.params["cond_nconsts"], step.params["body_nconsts"]
        test, body = flattened(step.params["cond_jaxpr"]), flattened(step.params["body_jaxpr"])

        def one_round(carried: list[int]) -> list[int]:
            # How often the body runs decides what comes out.
            ends = self.reached(test, [*taken[:tests], *carried])[0]
            return [mark | ends for mark in self.reached(body, [*taken[tests : tests + rounds], *carried])]

        return self._repeated(one_round, taken[tests + rounds :])

    def _repeated(self, one_round: Callable[[list[int]], list[int]], start: Sequence[int]) -> list[int]:
        """What any number of rounds makes; what is carried comes first in it."""
        carried, before = list(start), dict(self.met)
        while True:
            made = one_round(carried)
            grown = [old | new for old, new in zip(carried, made[: len(carried)], strict=True)]
            if grown == carried:
                return [*carried, *made[len(carried) :]]
            # The order is that of a round in which all is known that is carried.
            carried, self.met = grown, dict(before)
            for first, now in zip(start, grown, strict=True):
                self._union([first, now])

    def _union(self, marks: Sequence[int]) -> int:
        union = 0
        for mark in marks:
            union |= mark
        if union & DATA:
            for mark in marks:
                if not mark & DATA:
                    self.met.update(dict.fromkeys(_positions(mark)))
        return union

    def _constant(self, value: Any) -> int:
        if np.ndim(value) == 0:
            return 0
        place = self._places.setdefault(id(value), len(self._places))
        self.constants[id(value)] = value
        return mark_of(self._named + place)


def _positions(mark: int) -> list[int]:
    return [i for i, bit in enumerate(reversed(bin(mark >> _FIRST))) if bit == "1"]
