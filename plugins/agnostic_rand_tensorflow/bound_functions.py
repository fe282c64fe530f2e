"""Functions that a copy of a model shares with the model, bound to the model's own modules.

Python copies no function: the closure of one that is an attribute of a module, or what a Lambda layer
calls, names the same objects in the copy. The outputs for example inputs find out whether they are
used; without any, that they can be reached is all that is known.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from agnostic_rand_tensorflow.legacy_keras import is_layer
from agnostic_rand_tensorflow.ownership import Ownership

_FRAMEWORKS = frozenset({"tensorflow", "tf_keras", "keras", "numpy"}) | sys.stdlib_module_names
# Where wrappers, such as those of tf.function, keep what they wrap.
_WRAPPED = ("__wrapped__", "python_function")


def bound_function(original: Ownership, copy: Ownership) -> str | None:
    """Where the copy holds a function that reaches a module or variable of the original, or `None`.

    Args:
        original: What the walk through the original found.
        copy: What the walk through the copy found.
    """
    named = {id(owner): f"the module {path or type(owner).__name__!r}" for path, owner in original.owners.items()}
    named |= {id(owned.variable): f"the variable {owned.variable.name!r}" for owned in original.variables}
    search = _Search(named)
    for path, owner in copy.owners.items():
        called = "call" if is_layer(owner) else "__call__"
        calls = [(node.call_args, node.call_kwargs) for node in getattr(owner, "_inbound_nodes", ())]
        attributes = {**vars(owner), called: getattr(type(owner), called, None), "the arguments": calls}
        for name, value in attributes.items():
            reached = search.reached(value)
            if reached is not None:
                return f"{name} of {path or type(owner).__name__!r}, which is bound to {reached} of the original"
    return None


class _Search:
    def __init__(self, named: Mapping[int, str]) -> None:
        self._named = named
        # Kept, so that their ids stay their own.
        self._seen: dict[int, Any] = {}

    def reached(self, value: Any) -> str | None:
        """What of the original can be reached from a value, if anything."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if id(value) in self._named:
                return self._named[id(value)]
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                waiting.extend(_within(value))
        return None


def _within(value: Any) -> Iterator[Any]:
    """What a value holds or, if it is a function, uses."""
    if isinstance(value, types.FunctionType):
        yield from _used(value)
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif not isinstance(value, type | types.ModuleType):
        if not _is_frameworks(type(value)):
            yield from getattr(value, "__dict__", {}).values()
        elif callable(value):
            yield from (found for name in _WRAPPED if (found := getattr(value, name, None)) is not None)


def _used(function: types.FunctionType) -> Iterator[Any]:
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
    if not _is_frameworks(function):
        names = _global_names(function.__code__)
        yield from (function.__globals__[name] for name in names if name in function.__globals__)


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from (str(step.argval) for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _is_frameworks(thing: Any) -> bool:
    return str(getattr(thing, "__module__", None)).partition(".")[0] in _FRAMEWORKS
