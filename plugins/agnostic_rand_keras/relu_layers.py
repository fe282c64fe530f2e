"""Layers that Keras computes by ReLUs without being one, and ReLUs that it computes without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import keras
from keras import ops

from agnostic_rand.adapters import Array, ReluRule
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.interception import intercepted
from agnostic_rand_keras.tree import places


@contextmanager
def plain_leaks(model: keras.Model, rule: ReluRule) -> Iterator[None]:
    """Compute each PReLU in one piece, so that no rule changes what it is made of.

    Raises:
        ModelError: A ReLU layer has a threshold, or a slope and a maximum: Keras makes it of pieces
            that no rule tells apart.
    """
    with ExitStack() as stack:
        for place in places(model):
            layer = place.layer
            if isinstance(layer, keras.layers.ReLU):
                _refuse_pieces(layer, place.path, rule)
            elif type(layer) is keras.layers.PReLU:
                stack.enter_context(intercepted(layer, partial(_leaky, layer)))
        yield


def _leaky(layer: Any, _call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Array:
    x = ops.convert_to_tensor(args[0] if args else kwargs["inputs"])
    return ops.where(x > 0, x, layer.alpha * x)


def _refuse_pieces(layer: Any, path: str, rule: ReluRule) -> None:
    sloped = layer.negative_slope != 0
    if layer.threshold != 0 or (sloped and layer.max_value is not None):
        raise ModelError(
            f"relu={rule!r} at the layer {path!r}",
            expected="a ReLU that begins at zero, or a leaky one without a maximum",
            received=f"ReLU(max_value={layer.max_value}, negative_slope={layer.negative_slope}, "
            f"threshold={layer.threshold})",
            fix="Use Gradient(): the method is not defined for this activation.",
        )
