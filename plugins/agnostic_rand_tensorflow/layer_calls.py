"""The calls of layers and modules, seen from outside for the length of one forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from agnostic_rand.adapters import put_back
from agnostic_rand_tensorflow.legacy_keras import is_layer

Hook = Callable[[str, Any, Callable[[], Any]], Any]
"""`hook(name, inputs, proceed) -> outputs`, where `proceed()` makes the layer's own call."""


@contextmanager
def hooked(layers: Mapping[str, Any], hook: Hook) -> Iterator[None]:
    """Send each layer's calls through a hook; afterwards, also after an exception, they are its own again.

    Functions of the model that are traced already are run anew meanwhile: inside of them, no call
    would be seen.

    Args:
        layers: By name, layers of Keras 2 and modules that are called as `module(inputs)`.
        hook: Gets the name, the first argument of the call and the call itself.
    """
    of_keras = {name: layer for name, layer in layers.items() if is_layer(layer)}
    others = {id(layer): name for name, layer in layers.items() if name not in of_keras}
    types = {type(layers[name]) for name in others.values()}
    own = {kind: vars(kind).get("__call__") for kind in types}
    # All are looked up before one is changed: types inherit calls from each other.
    calls = {kind: inspect.getattr_static(kind, "__call__") for kind in types}
    eager = tf.config.functions_run_eagerly()

    def restore() -> None:
        tf.config.run_functions_eagerly(eager)
        for layer in of_keras.values():
            vars(layer).pop("call", None)
        for kind, call in own.items():
            if call is not None:
                kind.__call__ = call
            elif "__call__" in vars(kind):
                del kind.__call__

    with put_back(restore):
        tf.config.run_functions_eagerly(True)
        for name, layer in of_keras.items():
            vars(layer)["call"] = _hooked_call(name, layer.call, hook)
        for kind, call in calls.items():
            # Python looks for `__call__` on the type only.
            kind.__call__ = _hooked_type_call(call, others, hook)
        yield


def _hooked_call(name: str, call: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    def hooked_call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return hook(name, inputs, lambda: call(inputs, *args, **kwargs))

    return hooked_call


def _hooked_type_call(call: Any, names: Mapping[int, str], hook: Hook) -> Callable[..., Any]:
    def hooked_call(module: Any, *args: Any, **kwargs: Any) -> Any:
        bound = call.__get__(module, type(module))
        if id(module) not in names:
            return bound(*args, **kwargs)
        inputs = next(iter((*args, *kwargs.values())), None)
        return hook(names[id(module)], inputs, lambda: bound(*args, **kwargs))

    return hooked_call
