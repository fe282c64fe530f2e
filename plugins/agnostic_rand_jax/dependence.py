"""Which results of a computation depend on some of its arguments, or on random draws."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jax.extend import core

from agnostic_rand_jax.program import Atom, Program, Step, bodies, flattened

DRAWS = frozenset({"random_bits", "random_gamma", "threefry2x32", "rng_bit_generator", "rng_uniform"})
"""The names of the steps that draw."""


def dependent(jaxpr: Any, arguments: Collection[int], sources: Collection[str] = ()) -> list[bool]:
    """For each result, whether it depends on what is named.

    Args:
        jaxpr: A closed jaxpr.
        arguments: Positions of arguments.
        sources: Names of steps.
    """
    program = flattened(jaxpr)
    return _Search(frozenset(sources)).reached(program, [i in arguments for i in range(len(program.inputs))])


class _Search:
    def __init__(self, sources: frozenset[str]) -> None:
        self._sources = sources

    def reached(self, program: Program, marked: Sequence[bool]) -> list[bool]:
        known = {number for number, mark in zip(program.inputs, marked, strict=True) if mark}

        def is_known(atom: Atom) -> bool:
            return not isinstance(atom, core.Literal) and atom in known

        for step in program.steps:
            made = self._step(step, [is_known(atom) for atom in step.inputs])
            known.update(number for number, mark in zip(step.outputs, made, strict=True) if mark)
        return [is_known(atom) for atom in program.outputs]

    def _step(self, step: Step, taken: list[bool]) -> list[bool]:
        if step.name in self._sources:
            return [True] * len(step.outputs)
        inner = bodies(step)
        match step.name:
            case "scan":
                return self._scan(step, inner[0], taken)
            case "while":
                return self._while(step, taken)
            case "cond":
                branches = [self.reached(body, taken[1:]) for body in inner]
                return [taken[0] or any(made) for made in zip(*branches, strict=True)]
        if len(inner) == 1 and len(inner[0].inputs) == len(taken) and len(inner[0].outputs) == len(step.outputs):
            return self.reached(inner[0], taken)
        drawn = any(any(self.reached(body, [False] * len(body.inputs))) for body in inner)
        return [drawn or any(taken)] * len(step.outputs)

    def _scan(self, step: Step, body: Program, taken: list[bool]) -> list[bool]:
        constants, carries = step.params["num_consts"], step.params["num_carry"]
        carried = taken[constants : constants + carries]
        while True:
            made = self.reached(body, [*taken[:constants], *carried, *taken[constants + carries :]])
            grown = [a or b for a, b in zip(carried, made[:carries], strict=True)]
            if grown == carried:
                return [*grown, *made[carries:]]
            carried = grown

    def _while(self, step: Step, taken: list[bool]) -> list[bool]:
        tests, rounds = step.params["cond_nconsts"], step.params["body_nconsts"]
        test, body = flattened(step.params["cond_jaxpr"]), flattened(step.params["body_jaxpr"])
        carried = taken[tests + rounds :]
        while True:
            made = self.reached(body, [*taken[tests : tests + rounds], *carried])
            # How often the body runs may depend on it too.
            ends = self.reached(test, [*taken[:tests], *carried])[0]
            grown = [a or b or ends for a, b in zip(carried, made, strict=True)]
            if grown == carried:
                return grown
            carried = grown
