"""Loops, conditions and checkpoints, rebuilt around bodies that are evaluated in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax

from agnostic_rand_jax.program import Program, Step, flattened

LOOPS = frozenset({"scan", "while", "cond", "remat2", "checkpoint", "remat"})

BodyRun: TypeAlias = Callable[[Program, Sequence[Any]], list[Any]]
"""`run(body, arguments) -> results`."""


def looped(step: Step, values: Sequence[Any], run: BodyRun) -> list[Any]:
    """The results of a step in `LOOPS`, its bodies evaluated by `run`."""
    match step.name:
        case "scan":
            return _scan(step, values, run)
        case "while":
            return _while(step, values, run)
        case "cond":
            branches = [_callable(flattened(branch), run) for branch in step.params["branches"]]
            return list(jax.lax.switch(values[0], branches, *values[1:]))
        case _:
            body = _callable(flattened(step.params["jaxpr"]), run)
            kept = jax.checkpoint(body, prevent_cse=step.params["prevent_cse"], policy=step.params["policy"])
            return list(kept(*values))


def _scan(step: Step, values: Sequence[Any], run: BodyRun) -> list[Any]:
    params = step.params
    constants, carries = params["num_consts"], params["num_carry"]
    body = flattened(params["jaxpr"])

    def one_round(carried: tuple[Any, ...], slices: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        results = run(body, [*values[:constants], *carried, *slices])
        return tuple(results[:carries]), tuple(results[carries:])

    carried, stacked = jax.lax.scan(
        one_round,
        tuple(values[constants : constants + carries]),
        tuple(values[constants + carries :]),
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [*carried, *stacked]


def _while(step: Step, values: Sequence[Any], run: BodyRun) -> list[Any]:
    params = step.params
    tests, rounds = params["cond_nconsts"], params["body_nconsts"]
    test = jax.extend.core.jaxpr_as_fun(params["cond_jaxpr"])
    body = flattened(params["body_jaxpr"])
    return list(
        jax.lax.while_loop(
            lambda carried: test(*values[:tests], *carried)[0],
            lambda carried: tuple(run(body, [*values[tests : tests + rounds], *carried])),
            tuple(values[tests + rounds :]),
        )
    )


def _callable(program: Program, run: BodyRun) -> Callable[..., tuple[Any, ...]]:
    return lambda *arguments: tuple(run(program, arguments))
