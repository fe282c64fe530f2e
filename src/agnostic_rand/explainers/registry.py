"""Registry of the explainers that have a name: each is entered where it is defined."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

METHODS: dict[str, Any] = {}
"""The explanation methods that have a name; each value makes one with its defaults."""

RELEVANCE: dict[str, Any] = {}
"""Relevance propagation by its rule, for PyTorch where zennit is installed."""

CONTROLS: dict[str, Any] = {}
"""Maps that explain nothing, by name, and one that is made to pass the test."""

EXPLAINERS = ChainMap(CONTROLS, RELEVANCE, METHODS)
"""Everything that has a name."""


def named(table: dict[str, Any], name: str) -> Callable[[type[T]], type[T]]:
    """Enter the class that is decorated into a table."""

    def enter(cls: type[T]) -> type[T]:
        table[name] = cls
        return cls

    return enter
