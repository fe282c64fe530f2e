"""Which layers are randomized, in which order."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agnostic_rand.adapters import AllInputs, Forward, HostArray, Layer, PlacedInputs, adapt
from agnostic_rand.errors import ArgumentError, ModelError, unknown_name
from agnostic_rand.weights.grouping import Grouping, excluded_layers, group_layers
from agnostic_rand.weights.isolation import independent_copy
from agnostic_rand.weights.perturbations import (
    Perturbation,
    Reinitialize,
    StatisticsPolicy,
    default_statistics,
    resolve_perturbation,
)
from agnostic_rand.weights.plan import Group, Plan, Step, step_of, unused_parameters
from agnostic_rand.weights.randomizer import Randomizer
from agnostic_rand.weights.streams import Streams


@dataclass(frozen=True, kw_only=True)
class RandomizationStrategy(ABC):
    """What all strategies share.

    Args:
        perturbation: What happens to a weight: an object such as `Permute()`, its snake_case
            name, or any function `(value, parameter, rng) -> value`.
        groups: Which layers are randomized together: a function from a layer to a group name, a
            list of globs over layer names, a number of blocks of equal length, or `None` for each
            layer on its own.
        fresh: Whether each step draws all its layers anew (as the code of Adebayo et al. 2018
            does); by default a layer keeps its draw from step to step.
        statistics: What happens to running means and variances of randomized layers: `"reset"`
            (mean 0, variance 1), `"keep"`, `"recalibrate"` (estimated anew on the evaluated
            inputs), or `None` for the perturbation's default.
        exclude: Globs over the names of layers that stay as they are.

    Raises:
        ArgumentError: An argument is none of these.
    """

    perturbation: str | Perturbation = Reinitialize()
    groups: Grouping = None
    fresh: bool = False
    statistics: StatisticsPolicy | None = None
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        resolve_perturbation(self.perturbation)
        if self.statistics not in (None, "reset", "keep", "recalibrate"):
            raise ArgumentError(
                "statistics",
                expected="'reset', 'keep', 'recalibrate' or None",
                received=repr(self.statistics),
                fix="Leave it out for the perturbation's default.",
            )

    @abstractmethod
    def _steps(self, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
        """The steps over the groups, which come from input to output."""

    def plan(self, layers: Sequence[Layer]) -> Plan:
        """The steps for a model with these layers, from input to output.

        Raises:
            ModelError: No layer has parameters.
            UnknownNameError: A layer or glob names nothing.
        """
        if not any(layer.parameters for layer in layers):
            raise ModelError(
                "the model",
                expected="at least one parameter to randomize",
                received="a model without parameters",
                fix="Pass the model that holds the trained weights.",
            )
        if not any(layer.used for layer in layers):
            raise ModelError(
                "the model",
                expected="outputs that depend on its parameters",
                received="outputs that depend on none of them",
                fix="Let forward= call the model that it is given, and pass the model that it calls.",
            )
        perturbation = resolve_perturbation(self.perturbation)
        groups = group_layers(layers, self.groups, self.exclude)
        return Plan(
            steps=self._steps(groups, layers),
            perturbation=perturbation,
            fresh=self.fresh,
            statistics=self.statistics or default_statistics(perturbation),
            excluded=excluded_layers(layers, self.exclude),
            unused=unused_parameters(layers),
        )

    def randomize(
        self,
        model: Any,
        *,
        seed: int,
        example_inputs: HostArray | AllInputs | None = None,
        backend: str | None = None,
        forward: Forward | None = None,
    ) -> Any:
        """A randomized copy of the model, of the same type, in the state of the last step.

        Args:
            model: Stays as it is.
            seed: The root of all draws.
            example_inputs: A small batch `(n, ...)`, to find the order of layers.
            backend: As in `agnostic_rand.adapt`.
            forward: As in `agnostic_rand.adapt`.

        Raises:
            ModelError: The model cannot be copied or randomized.

        Example:
            >>> import torch
            >>> net = torch.nn.Linear(3, 2)
            >>> other = FullRandomization().randomize(net, seed=0)
            >>> bool((other.weight == net.weight).any())
            False
        """
        adapter = adapt(model, backend=backend, example_inputs=example_inputs, forward=forward)
        plan = self.plan(adapter.layers())
        example = None if example_inputs is None else PlacedInputs.of(adapter, example_inputs)
        copy = independent_copy(adapter, example)
        with Randomizer(
            copy, plan, Streams(seed), trained=adapter, calibration=example, example=example
        ) as randomizer:
            randomizer.apply(draw=0, step=len(plan.steps) - 1)
            randomizer.verify()
        return copy.native


@dataclass(frozen=True)
class ProgressiveLayerRandomization(RandomizationStrategy):
    """Randomize the layers from the output down to a stop, in one step (as Xplique does).

    Args:
        stop_layer: Where to stop. A name: before that layer. An int: after that many layers. A
            float: after that share of the layers, rounded down, but at least one above 0.
        reverse: Start from the input instead.

    Raises:
        ArgumentError: `stop_layer` is out of range.

    Example:
        >>> ProgressiveLayerRandomization(stop_layer=0.25).stop_layer
        0.25
    """

    stop_layer: str | int | float = 0.25
    reverse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        stop = self.stop_layer
        valid = isinstance(stop, str) or (
            not isinstance(stop, bool)
            and ((isinstance(stop, int) and stop >= 0) or (isinstance(stop, float) and 0.0 <= stop <= 1.0))
        )
        if not valid:
            raise ArgumentError(
                "stop_layer",
                expected="a layer's name, an int of at least 0, or a float in [0, 1]",
                received=repr(stop),
                fix="Pass for example stop_layer=0.25 for the top quarter of the layers.",
            )

    def _steps(self, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
        ordered = list(groups) if self.reverse else list(groups)[::-1]
        chosen = ordered[: self._count(ordered)]
        name = f"{chosen[0].name} … {chosen[-1].name}" if len(chosen) > 1 else "".join(g.name for g in chosen)
        return (step_of(name or "nothing", chosen, layers),)

    def _count(self, ordered: Sequence[Group]) -> int:
        stop = self.stop_layer
        if isinstance(stop, str):
            for position, group in enumerate(ordered):
                if stop == group.name or any(stop == layer.name for layer in group.layers):
                    if position == 0:
                        raise ArgumentError(
                            "stop_layer",
                            expected="a layer that leaves at least one to randomize before it",
                            received=f"{stop!r}, where the randomization starts",
                            fix="Name a layer further on, or pass an int or a share.",
                        )
                    return position
            raise unknown_name("stop_layer", stop, [group.name for group in ordered])
        if isinstance(stop, float):
            # The small addend keeps 0.29 * 100 from becoming 28.
            return max(1, math.floor(len(ordered) * stop + 1e-9)) if stop > 0 else 0
        if stop > len(ordered):
            raise ArgumentError(
                "stop_layer",
                expected=f"at most the model's {len(ordered)} layers",
                received=repr(stop),
                fix="Pass a smaller int, or 1.0 for all layers.",
            )
        return stop


@dataclass(frozen=True)
class CascadingRandomization(RandomizationStrategy):
    """Randomize one more group of layers in each step, until all are random.

    Source: Adebayo et al. 2018, section 4 (`order="top_down"`); Hedström et al. 2024 argue for
    `"bottom_up"`.

    Args:
        order: `"top_down"` starts at the output, `"bottom_up"` at the input.

    Raises:
        ArgumentError: `order` is neither.

    Example:
        >>> CascadingRandomization(order="bottom_up", groups=4).order
        'bottom_up'
    """

    order: Literal["top_down", "bottom_up"] = "top_down"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ("top_down", "bottom_up"):
            raise ArgumentError(
                "order",
                expected="'top_down' or 'bottom_up'",
                received=repr(self.order),
                fix="Pass order='top_down' to start at the output.",
            )

    def _steps(self, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
        ordered = list(groups)[::-1] if self.order == "top_down" else list(groups)
        return tuple(step_of(ordered[i].name, ordered[: i + 1], layers) for i in range(len(ordered)))


@dataclass(frozen=True)
class IndependentRandomization(RandomizationStrategy):
    """Randomize one group of layers at a time, from output to input; all others stay trained.

    Source: Adebayo et al. 2018, section 4.

    Example:
        >>> IndependentRandomization(groups=["conv*", "fc*"]).groups
        ['conv*', 'fc*']
    """

    def _steps(self, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
        return tuple(step_of(group.name, [group], layers) for group in list(groups)[::-1])


@dataclass(frozen=True)
class FullRandomization(RandomizationStrategy):
    """Randomize all layers at once, in one step.

    Example:
        >>> FullRandomization(perturbation="permute").perturbation
        'permute'
    """

    def _steps(self, groups: Sequence[Group], layers: Sequence[Layer]) -> tuple[Step, ...]:
        return (step_of("all layers", groups, layers),)
