"""What a strategy decides: which layers are random in which step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agnostic_rand.adapters import Layer
from agnostic_rand.weights.perturbations import Perturbation, StatisticsPolicy


@dataclass(frozen=True)
class Step:
    """One state of the model between trained and random.

    Args:
        name: What the step randomizes that the step before did not.
        layers: The names of all layers that are random in this step, from input to output.
        covered: The number of parameter elements in them.
        total: The number of parameter elements in the model.
    """

    name: str
    layers: tuple[str, ...]
    covered: int
    total: int

    @property
    def coverage(self) -> float:
        """The share of the model's parameters that is random, in [0, 1]."""
        return self.covered / self.total


@dataclass(frozen=True)
class Plan:
    """The steps of one run, and how a weight is drawn in them.

    Args:
        steps: In the order in which they are taken.
        perturbation: What happens to a weight.
        fresh: Whether each step draws all its layers anew; otherwise a layer keeps its draw.
        statistics: What happens to running statistics of randomized layers.
        excluded: Layers that the caller excluded by name.
    """

    steps: tuple[Step, ...]
    perturbation: Perturbation
    fresh: bool
    statistics: StatisticsPolicy
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Layers that are randomized together."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """The number of parameter elements."""
        return sum(layer.size for layer in self.layers)


def step_of(name: str, groups: Sequence[Group], layers: Sequence[Layer]) -> Step:
    """The step in which `groups` are random, its layers in the model's order."""
    chosen = {layer.name for group in groups for layer in group.layers}
    return Step(
        name=name,
        layers=tuple(layer.name for layer in layers if layer.name in chosen),
        covered=sum(group.size for group in groups),
        total=sum(layer.size for layer in layers),
    )
