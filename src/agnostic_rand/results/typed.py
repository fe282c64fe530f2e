"""Typed values: what JSON holds, read as the annotations of this library's classes say, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agnostic_rand.errors import ArgumentError

Readers = Mapping[type, Callable[[Any, str], Any]]
"""By class, how it is read from a value and the place where it stands."""

_WORDS = {str: "a word", int: "a whole number", bool: "true or false"}


def typed(kind: Any, value: Any, place: str, readers: Readers | None = None) -> Any:
    """The value as an annotation says: `null` is NaN where a number is asked for, lists are tuples.

    Args:
        kind: A class of plain values or a dataclass of such, with `Mapping`, `tuple`, `Literal`, `| None`.
        value: As JSON has it.
        place: Where it stands, for the message.
        readers: How other classes are read.

    Raises:
        ArgumentError: It is something else, a field is missing, or one is not known.

    Example:
        >>> typed(tuple[float, ...], [1, None], "limits")
        (1.0, nan)
    """
    origin, of = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if readers and kind in readers:
        return readers[kind](value, place)
    if kind is float:
        return _number(value, place)
    if kind in _WORDS:
        return value if type(value) is kind else _refuse(place, _WORDS[kind], value)
    if origin is Literal:
        fits = isinstance(value, str) and value in of
        return value if fits else _refuse(place, f"one of {', '.join(of)}", value)
    if origin in (Union, UnionType):
        return None if value is None else typed(of[0], value, place, readers)
    if origin is tuple:
        return _sequence(of, value, place, readers)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        found = exactly([one.name for one in fields(kind)], value, place)
        made: Any = kind
        return made(**{name: typed(hints[name], one, f"{place}.{name}", readers) for name, one in found.items()})
    if not isinstance(value, dict):
        _refuse(place, "a mapping", value)
    return {name: typed(of[1], one, f"{place}.{name}", readers) for name, one in value.items()}


def exactly(names: list[str], value: Any, place: str) -> dict[str, Any]:
    """A mapping that has these names and no others, in their order.

    Raises:
        ArgumentError: It has others, or is no mapping.
    """
    if not isinstance(value, dict):
        _refuse(place, "a mapping", value)
    if set(value) != set(names):
        wrong = sorted(set(value) ^ set(names))[:5]
        _refuse(place, f"the fields {', '.join(names)}", f"{', '.join(wrong)} missing or too much", shown=True)
    return {name: value[name] for name in names}


def _number(value: Any, place: str) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not math.isfinite(value):
        _refuse(place, "a finite number or null", value)
    return float(value)


def _sequence(of: tuple[Any, ...], value: Any, place: str, readers: Readers | None) -> tuple[Any, ...]:
    endless = of[-1] is Ellipsis
    if not isinstance(value, list) or not (endless or len(value) == len(of)):
        _refuse(place, "a list" if endless else f"a list of {len(of)}", value)
    kinds = (of[0],) * len(value) if endless else of
    places = (f"{place}.{number}" for number in range(len(value)))
    return tuple(typed(kind, one, where, readers) for kind, one, where in zip(kinds, value, places, strict=True))


def _refuse(place: str, expected: str, received: Any, *, shown: bool = False) -> Any:
    raise ArgumentError(
        place,
        expected=expected,
        received=received if shown else f"{received!r:.80}",
        fix="Pass a file that save() wrote.",
    )
