"""The strategy that a name stands for."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from agnostic_rand.errors import ArgumentError
from agnostic_rand.weights import CascadingRandomization, RandomizationStrategy

StrategyLike: TypeAlias = RandomizationStrategy | Literal["top_down", "bottom_up"]
"""A strategy, or the order of a cascade."""


def resolve_strategy(strategy: Any) -> RandomizationStrategy:
    """The strategy itself, or the cascade in the order that was named.

    Raises:
        ArgumentError: It is neither.

    Example:
        >>> resolve_strategy("bottom_up") == CascadingRandomization(order="bottom_up")
        True
    """
    if isinstance(strategy, RandomizationStrategy):
        return strategy
    if strategy in ("top_down", "bottom_up"):
        return CascadingRandomization(order=strategy)
    raise ArgumentError(
        "strategy",
        expected="a strategy object, 'top_down' or 'bottom_up'",
        received=repr(strategy),
        fix="Pass for example strategy=CascadingRandomization().",
    )
