"""Arguments of plain kinds: their checks, said once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agnostic_rand.errors import ArgumentError


def whole_number(name: str, value: Any, *, least: int, example: int) -> int:
    """The value as an int.

    Raises:
        ArgumentError: It is not an int of at least `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ArgumentError(
            name,
            expected=f"an int of at least {least}",
            received=repr(value),
            fix=f"Pass for example {name}={example}.",
        )
    return int(value)


def real_number(name: str, value: Any, *, least: float, example: float, above: bool = False) -> float:
    """The value as a float.

    Raises:
        ArgumentError: It is not a finite number of at least `least`, or above it.
    """
    fits = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
    if not fits or value < least or (above and value == least):
        raise ArgumentError(
            name,
            expected=f"a finite number {'above' if above else 'of at least'} {least:g}",
            received=repr(value),
            fix=f"Pass for example {name}={example:g}.",
        )
    return float(value)


def several(name: str, values: Any, *, example: str) -> tuple[Any, ...]:
    """The values as a tuple.

    Raises:
        ArgumentError: They are no list or tuple, or there is none.
    """
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or len(values) == 0:
        raise ArgumentError(
            name,
            expected="a tuple or list of at least one",
            received="an empty one" if isinstance(values, Sequence) and len(values) == 0 else repr(values),
            fix=f"Pass for example {name}={example}.",
        )
    return tuple(values)
