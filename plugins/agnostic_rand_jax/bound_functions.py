"""Functions among a model's attributes that may be bound to the model itself.

JAX takes them as fixed, so that a model with other weights would go on with the old ones. A traced
call shows whether they do (see `closures`); this is for models of which no call was traced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

import jax

from agnostic_rand.errors import ModelError


def refuse_bound_functions(attributes: Iterable[Any], owned: Iterable[Any], name: str) -> None:
    """Refuse a model of which a function reaches a part.

    Args:
        attributes: What the model's modules hold.
        owned: The model's modules and arrays.
        name: The model's name in errors.

    Raises:
        ModelError: A function, a partial function or a bound method leads to one of them.
    """
    known = {id(part) for part in owned}
    functions = [value for value in attributes if isinstance(value, FunctionType | MethodType | partial)]
    found = next((function for function in functions if _reaches(function, known)), None)
    if found is not None:
        raise ModelError(
            f"the function {getattr(found, '__qualname__', type(found).__name__)!r} in the model {name}",
            expected="functions that take the model's layers as arguments",
            received="one that is bound to the model's own, and no example inputs to see what it computes with",
            fix="Pass example_inputs with a small batch, or make the function a method of the module's class.",
        )


def _reaches(start: Any, known: set[int]) -> bool:
    waiting, seen = [start], set()
    while waiting:
        value = waiting.pop()
        if id(value) in known:
            return True
        if id(value) not in seen:
            seen.add(id(value))
            waiting += _parts(value)
    return False


def _parts(value: Any) -> Iterator[Any]:
    """What a function, a container or another object holds."""
    match value:
        case FunctionType():
            yield from value.__closure__ or ()
            yield from value.__defaults__ or ()
            yield from (value.__kwdefaults__ or {}).values()
        case CellType():
            try:
                yield value.cell_contents
            except ValueError:
                return
        case MethodType():
            yield from (value.__func__, value.__self__)
        case partial():
            yield from (value.func, value.args, value.keywords)
        case Mapping():
            yield from value.values()
        case list() | tuple() | set() | frozenset():
            yield from value
        case type() | jax.Array() | str() | bytes():
            return
        case _:
            yield from getattr(value, "__dict__", {}).values()
