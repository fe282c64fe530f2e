"""The calls of Keras layers (version 2), seen from outside for the length of one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Hook = Callable[[str, Any, Callable[[], Any]], Any]
"""`hook(name, inputs, proceed) -> outputs`, where `proceed()` makes the layer's own call."""


@contextmanager
def hooked(layers: Mapping[str, Any], hook: Hook) -> Iterator[None]:
    """Send each layer's calls through a hook; afterwards, also after an exception, they are its own again.

    Args:
        layers: By name, the layers.
        hook: Gets the name, the first argument of the call and the call itself.
    """
    try:
        for name, layer in layers.items():
            vars(layer)["call"] = _hooked_call(name, layer.call, hook)
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("call", None)


def _hooked_call(name: str, call: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    def hooked_call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return hook(name, inputs, lambda: call(inputs, *args, **kwargs))

    return hooked_call
