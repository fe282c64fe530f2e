"""The order in which a computation first uses its parameters.

A parameter is used where it meets the data: in the first equation that takes both something
computed from the inputs and something computed from the parameter alone. Casting all parameters
to half precision before the first layer, or normalizing a kernel, is no use yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jax.extend import core

from agnostic_rand_jax.program import Program, Step, bodies, flattened


@dataclass(frozen=True)
class _Origin:
    """Where a value comes from: the data, or parameters alone."""

    data: bool = False
    parameters: frozenset[str] = frozenset()


_CONSTANT = _Origin()
_DATA = _Origin(data=True)


def first_uses(jaxpr: Any, parameters: Sequence[str]) -> list[str]:
    """The names of the parameters that are used, in the order of their first use.

    Args:
        jaxpr: A closed jaxpr of `function(parameters, inputs)`.
        parameters: A name for each of its first arguments; the others are inputs.
    """
    search = _Search()
    origins = [_Origin(parameters=frozenset({name})) for name in parameters]
    search.walk(flattened(jaxpr), [*origins, *[_DATA] * (len(jaxpr.jaxpr.invars) - len(origins))])
    return list(search.seen)


@dataclass
class _Search:
    seen: dict[str, None] = field(default_factory=dict)

    def walk(self, program: Program, arguments: Sequence[_Origin]) -> list[_Origin]:
        origins = dict.fromkeys(program.constants, _CONSTANT) | dict(zip(program.inputs, arguments, strict=True))

        def origin(atom: Any) -> _Origin:
            return _CONSTANT if isinstance(atom, core.Literal) else origins[atom]

        for step in program.steps:
            results = self._step(step, [origin(atom) for atom in step.inputs])
            origins.update(zip(step.outputs, results, strict=True))
        return [origin(atom) for atom in program.outputs]

    def _step(self, step: Step, taken: list[_Origin]) -> list[_Origin]:
        inner = bodies(step)
        if step.name == "scan":
            return self._scan(step, inner[0], taken)
        if step.name == "while":
            return self._while(step, taken)
        if step.name == "cond":
            branches = [self.walk(body, taken[1:]) for body in inner]
            return [_merged([taken[0], *results]) for results in zip(*branches, strict=True)]
        if len(inner) == 1 and len(inner[0].inputs) == len(taken) and len(inner[0].outputs) == len(step.outputs):
            return self.walk(inner[0], taken)
        return [self._met(taken)] * len(step.outputs)

    def _scan(self, step: Step, body: Program, taken: list[_Origin]) -> list[_Origin]:
        constants, carries = step.params["num_consts"], step.params["num_carry"]
        # What is carried comes from the data as soon as one round has mixed it in.
        carried = [self._met([origin, _mixed(taken)]) for origin in taken[constants : constants + carries]]
        return self.walk(body, [*taken[:constants], *carried, *taken[constants + carries :]])

    def _while(self, step: Step, taken: list[_Origin]) -> list[_Origin]:
        tests, rounds = step.params["cond_nconsts"], step.params["body_nconsts"]
        carried = [self._met([origin, _mixed(taken)]) for origin in taken[tests + rounds :]]
        self.walk(flattened(step.params["cond_jaxpr"]), [*taken[:tests], *carried])
        return self.walk(flattened(step.params["body_jaxpr"]), [*taken[tests : tests + rounds], *carried])

    def _met(self, taken: list[_Origin]) -> _Origin:
        merged = _merged(taken)
        if merged.data:
            for origin in taken:
                self.seen.update(dict.fromkeys(sorted(origin.parameters)))
        return merged


def _merged(origins: Sequence[_Origin]) -> _Origin:
    if any(origin.data for origin in origins):
        return _DATA
    return _Origin(parameters=frozenset().union(*(origin.parameters for origin in origins)))


def _mixed(taken: list[_Origin]) -> _Origin:
    return _DATA if any(origin.data for origin in taken) else _CONSTANT
