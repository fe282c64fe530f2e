"""Check of the kit: one statement of the contract, and its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from agnostic_rand.testing.bench import Bench

CheckFunction: TypeAlias = Callable[[Bench], None]


@dataclass(frozen=True)
class Check:
    """One statement of the contract, as it is tested on one case.

    Args:
        name: The clause or capability, and what is stated, such as `"C4_same_outputs"`.
        run: Returns where the adapter keeps to it, and raises where not.
    """

    name: str
    run: CheckFunction

    def __str__(self) -> str:
        return self.name

    @property
    def statement(self) -> str:
        """What the check states, in a sentence."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


def checks(clause: str, *functions: CheckFunction) -> tuple[Check, ...]:
    """The checks of one clause, named after their functions."""
    return tuple(Check(f"{clause}_{function.__name__}", function) for function in functions)
