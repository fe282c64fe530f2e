"""Plan that a strategy decides: which layers are random in which step."""

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
        total: The number of parameter elements on which the model's outputs depend.
    """

    name: str
    layers: tuple[str, ...]
    covered: int
    total: int

    @property
    def coverage(self) -> float:
        """The share of the parameters in use that is random, in [0, 1]."""
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
        unused: Parameters on which the outputs do not depend, as `"layer.parameter"`, or a layer of nothing
            but such: no step counts them.
    """

    steps: tuple[Step, ...]
    perturbation: Perturbation
    fresh: bool
    statistics: StatisticsPolicy
    excluded: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Layers that are randomized together."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """The number of parameter elements in use."""
        return sum(layer.used_size for layer in self.layers)


def step_of(name: str, groups: Sequence[Group], layers: Sequence[Layer]) -> Step:
    """The step in which `groups` are random, its layers in the model's order."""
    chosen = {layer.name for group in groups for layer in group.layers}
    return Step(
        name=name,
        layers=tuple(layer.name for layer in layers if layer.name in chosen),
        covered=sum(group.size for group in groups),
        total=sum(layer.used_size for layer in layers),
    )


def full_name(layer: str, parameter: str) -> str:
    """What a parameter is called outside of its layer; a bare parameter is a layer by itself."""
    return parameter if parameter == layer else f"{layer}.{parameter}"


def unused_parameters(layers: Sequence[Layer]) -> tuple[str, ...]:
    """Names of what the outputs do not depend on: whole layers, or single parameters of a layer in use."""
    return tuple(
        name
        for layer in layers
        if layer.unused
        for name in ([full_name(layer.name, one) for one in layer.unused] if layer.used else [layer.name])
    )
