"""Bound functions inside a model: for adapters, whose copies must not use the original's parts.

Python copies no function: what one closes over is the same object in a copy of the model.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

# Where wrappers, such as those of compiled functions, keep what they wrap.
_WRAPPED = ("__wrapped__", "python_function")


class BoundSearch:
    """Looks for parts of a model in what functions are bound to: closures, defaults, partials, globals they use.

    Args:
        named: By the `id` of each part, what it is called.
        frameworks: Packages whose own code is not looked into, beside Python's.

    Example:
        >>> layer = object()
        >>> BoundSearch({id(layer): "the layer 'a'"}, frozenset()).reached(lambda x: (layer, x))
        "the layer 'a'"
    """

    def __init__(self, named: Mapping[int, str], frameworks: frozenset[str]) -> None:
        self._named = named
        self._passed_over = frameworks | sys.stdlib_module_names
        # Kept, so that their ids stay their own.
        self._seen: dict[int, Any] = {}

    def reached(self, value: Any) -> str | None:
        """The name of a part that can be reached from a value, or `None`."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if id(value) in self._named:
                return self._named[id(value)]
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                waiting.extend(self._within(value))
        return None

    def _within(self, value: Any) -> Iterator[Any]:
        """What a value holds or, if it is a function, uses."""
        if isinstance(value, types.FunctionType):
            yield from self._used(value)
        elif isinstance(value, types.MethodType):
            yield from (value.__self__, value.__func__)
        elif isinstance(value, functools.partial):
            yield from (value.func, *value.args, *value.keywords.values())
        elif isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            yield from value
        elif not isinstance(value, type | types.ModuleType):
            if not self._is_frameworks(type(value)):
                yield from getattr(value, "__dict__", {}).values()
            elif callable(value):
                yield from (found for name in _WRAPPED if (found := getattr(value, name, None)) is not None)

    def _used(self, function: types.FunctionType) -> Iterator[Any]:
        for cell in function.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                # A name that has no value yet.
                continue
        yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            yield wrapped
        if not self._is_frameworks(function):
            names = _global_names(function.__code__)
            yield from (function.__globals__[name] for name in names if name in function.__globals__)

    def _is_frameworks(self, thing: Any) -> bool:
        return str(getattr(thing, "__module__", None)).partition(".")[0] in self._passed_over


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from (str(step.argval) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)
