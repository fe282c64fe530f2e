"""Laws of randomization: walks whose states one randomizer can make, none of them twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agnostic_rand.adapters import Layer
from agnostic_rand.passes.needs import Walk
from agnostic_rand.weights import Plan, Step


@dataclass(frozen=True)
class Place:
    """Where a state stands in a walk.

    Args:
        walk: The number of the walk.
        step: The number of the step in it.
    """

    walk: int
    step: int


@dataclass(frozen=True)
class Law:
    """States that are made by one perturbation, and where they stand in the walks that need them.

    Args:
        plan: The states as steps, each once.
        places: For each, where it is needed.
        draws: The most draws of any of the walks.
    """

    plan: Plan
    places: tuple[tuple[Place, ...], ...]
    draws: int


def laws_of(walks: Sequence[Walk], layers: Sequence[Layer]) -> tuple[tuple[Plan, ...], tuple[Law, ...]]:
    """The plan of each walk, and the laws by which all their states are made.

    Walks that draw by one perturbation share the states in which the same layers are random. With `fresh`
    every step has draws of its own, so that such a walk shares none.

    Raises:
        AgnosticRandError: A walk cannot be planned for these layers.
    """
    plans = tuple(walk.strategy.plan(layers) for walk in walks)
    alike: dict[Any, list[int]] = {}
    for number, plan in enumerate(plans):
        key = number if plan.fresh else (same(plan.perturbation), plan.statistics)
        alike.setdefault(key, []).append(number)
    return plans, tuple(_law(numbers, walks, plans) for numbers in alike.values())


def same(thing: Any) -> Any:
    """A key that two things share where they are equal, or where they are one thing that cannot be compared."""
    try:
        hash(thing)
    except TypeError:
        return id(thing)
    return type(thing), thing


def _law(numbers: Sequence[int], walks: Sequence[Walk], plans: Sequence[Plan]) -> Law:
    first = plans[numbers[0]]
    places: dict[Any, list[Place]] = {}
    steps: dict[Any, Step] = {}
    for number in numbers:
        for place, step in enumerate(plans[number].steps):
            key = (number, place) if first.fresh else step.layers
            places.setdefault(key, []).append(Place(number, place))
            steps.setdefault(key, step)
    return Law(
        plan=replace(first, steps=tuple(steps.values())),
        places=tuple(tuple(found) for found in places.values()),
        draws=max(walks[number].draws for number in numbers),
    )
