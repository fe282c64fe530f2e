"""Traces that foreign code leaves on a torch module, taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

_CONTENTS = (
    "_parameters",
    "_buffers",
    "_modules",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
)
"""The dictionaries in which a module keeps its parts."""


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Give a module its own parts, hooks and values back at the end, also after an exception.

    Libraries leave things behind where they stop half-way: SHAP its `x` and `y` on modules in
    modules, zennit a batch normalization that is merged into the layer before it.
    """
    held = [_Held(part) for part in module.modules()]
    try:
        yield
    finally:
        for part in held:
            part.put_back()


class _Held:
    """What one module holds."""

    def __init__(self, part: nn.Module) -> None:
        self._part = part
        self._attributes = set(vars(part))
        self._contents = {name: dict(vars(part)[name]) for name in _CONTENTS if name in vars(part)}
        self._full_backward = vars(part).get("_is_full_backward_hook")
        tensors = (*part.parameters(recurse=False), *part.buffers(recurse=False))
        self._values = [(tensor, tensor.data) for tensor in tensors]

    def put_back(self) -> None:
        own = vars(self._part)
        for name in set(own) - self._attributes:
            del own[name]
        for name, content in self._contents.items():
            _restore(own[name], content)
        if "_is_full_backward_hook" in own:
            own["_is_full_backward_hook"] = self._full_backward
        for tensor, value in self._values:
            if tensor.data_ptr() != value.data_ptr():
                tensor.data = value


def _restore(current: dict[Any, Any], before: dict[Any, Any]) -> None:
    # In place: handles of hooks hold the dictionary itself. The order of its items is that of calls.
    if [(key, id(value)) for key, value in current.items()] != [(key, id(value)) for key, value in before.items()]:
        current.clear()
        current.update(before)
