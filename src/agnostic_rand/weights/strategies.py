"""Strategies of the literature: progressive, cascading, independent and full randomization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isroutine
from typing import Any, Literal, TypeAlias

from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.weights.plan import Group
from agnostic_rand.weights.strategy import FunctionStrategy, ModelRandomizationStrategy, Steps


@dataclass(frozen=True)
class ProgressiveLayerRandomization(ModelRandomizationStrategy):
    """Randomize the layers from one end of the model to a stop, in one step (as Xplique does).

    Args:
        stop_layer: Where to stop. A name: before that layer. An int: after that many layers. A
            float: after that share of the layers, rounded down, but at least one above 0.
        reverse: Start at the output, as on Xplique's page; `False` starts at the input.

    Raises:
        ArgumentError: `stop_layer` is out of range.

    Example:
        >>> ProgressiveLayerRandomization(stop_layer=0.25).stop_layer
        0.25
    """

    stop_layer: str | int | float = 0.25
    reverse: bool = True

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

    def steps(self, groups: Sequence[Group]) -> Steps:
        """One step; see `ModelRandomizationStrategy.steps`."""
        ordered = list(groups)[::-1] if self.reverse else list(groups)
        return [ordered[: self._count(ordered)]]

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
class CascadingRandomization(ModelRandomizationStrategy):
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

    def steps(self, groups: Sequence[Group]) -> Steps:
        """One step for each group; see `ModelRandomizationStrategy.steps`."""
        ordered = list(groups)[::-1] if self.order == "top_down" else list(groups)
        return [ordered[: i + 1] for i in range(len(ordered))]


@dataclass(frozen=True)
class IndependentRandomization(ModelRandomizationStrategy):
    """Randomize one group of layers at a time, from output to input; all others stay trained.

    Source: Adebayo et al. 2018, section 4.

    Example:
        >>> IndependentRandomization(groups=["conv*", "fc*"]).groups
        ['conv*', 'fc*']
    """

    def steps(self, groups: Sequence[Group]) -> Steps:
        """One step for each group; see `ModelRandomizationStrategy.steps`."""
        return [[group] for group in list(groups)[::-1]]


@dataclass(frozen=True)
class FullRandomization(ModelRandomizationStrategy):
    """Randomize all layers at once, in one step.

    Example:
        >>> FullRandomization(perturbation="permute").perturbation
        'permute'
    """

    def steps(self, groups: Sequence[Group]) -> Steps:
        """One step; see `ModelRandomizationStrategy.steps`."""
        return [groups]


_BY_NAME: dict[str, ModelRandomizationStrategy] = {
    "progressive_layer_randomization": ProgressiveLayerRandomization(),
    "cascading_randomization": CascadingRandomization(),
    "top_down": CascadingRandomization(),
    "bottom_up": CascadingRandomization(order="bottom_up"),
    "independent_randomization": IndependentRandomization(),
    "full_randomization": FullRandomization(),
}

StrategyLike: TypeAlias = ModelRandomizationStrategy | str | Callable[[Sequence[Group]], Steps]
"""A strategy, its name, the order of a cascade, or a function of the groups that returns the steps."""


def resolve_strategy(strategy: Any, name: str = "strategy") -> ModelRandomizationStrategy:
    """The strategy that an object, a name or a function stands for.

    Args:
        strategy: What was passed.
        name: The argument's name in errors.

    Raises:
        ArgumentError: It is none of these.
        UnknownNameError: No strategy has the name.

    Example:
        >>> resolve_strategy("bottom_up") == CascadingRandomization(order="bottom_up")
        True
        >>> resolve_strategy(lambda layers: [layers[-1:], layers])
        FunctionStrategy(function=<lambda>)
    """
    if isinstance(strategy, ModelRandomizationStrategy):
        return strategy
    if isinstance(strategy, str):
        if strategy not in _BY_NAME:
            raise unknown_name(name, strategy, _BY_NAME)
        return _BY_NAME[strategy]
    # A model can be called too, and is what a hurried user passes.
    if isroutine(strategy) or isinstance(strategy, partial):
        return FunctionStrategy(strategy)
    made = isinstance(strategy, type) and issubclass(strategy, ModelRandomizationStrategy)
    received = f"a {type(strategy).__name__}" if callable(strategy) else repr(strategy)
    if isinstance(strategy, type):
        received = f"the class {strategy.__name__}"
    raise ArgumentError(
        name,
        expected="a strategy such as CascadingRandomization(), its name, or a function from layers to steps",
        received=received,
        fix=f"Make an object: {strategy.__name__}()." if made else f"Name one of {', '.join(_BY_NAME)}.",
    )
