"""A function and its parameters as one model, with what cannot be seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agnostic_rand.adapters import Array, Role
from agnostic_rand.errors import ArgumentError


@dataclass(frozen=True)
class JaxModel:
    """What `jax_model` returns: see there.

    Args:
        apply: `apply(params, inputs) -> (n, classes)`.
        params: A pytree of arrays.
        init: `init(key) -> params`, or `None`.
        roles: By glob over `"layer/parameter"` paths, the role and the names of the axes.
        channel_axis: Where inputs keep their channels.
    """

    apply: Callable[[Any, Array], Array]
    params: Any
    init: Callable[[Array], Any] | None = None
    roles: Mapping[str, tuple[Role, tuple[str, ...] | None]] = field(default_factory=dict)
    channel_axis: int = -1

    def __call__(self, inputs: Array) -> Array:
        """The function's outputs for the parameters held here."""
        return self.apply(self.params, inputs)


def jax_model(
    apply: Callable[[Any, Array], Array],
    params: Any,
    *,
    init: Callable[[Array], Any] | None = None,
    roles: Mapping[str, tuple[Role, tuple[str, ...] | None]] | None = None,
    channel_axis: int = -1,
) -> JaxModel:
    """Make a model of a pure function and its parameters, as Haiku, Stax or plain JAX code have them.

    The tuple `(apply, params)` will do where nothing else is to be said.

    Args:
        apply: `apply(params, inputs) -> (n, classes)`, pure and traceable.
        params: A pytree of arrays. Each container that holds arrays directly is a layer; an array
            at the root is a layer of its own. Running statistics belong to the layer whose scale or shift
            a traced call shows beside them.
        init: `init(key) -> params`, for `NativeInit()`.
        roles: What the arrays do, by glob over their paths, such as
            `{"*/w": ("kernel", ("in", "out")), "*/b": ("bias", ("out",))}`. It is believed before
            what the computation shows: contractions and convolutions with the data, what is added
            to their results, and written-out normalizations. An array of which neither says
            anything is drawn by its own mean and standard deviation.
        channel_axis: Where inputs keep their channels.

    Raises:
        ArgumentError: `apply` is not callable.

    Example:
        >>> import jax.numpy as jnp
        >>> model = jax_model(lambda w, x: x @ w, jnp.ones((3, 2)), roles={"*": ("kernel", ("in", "out"))})
        >>> model(jnp.ones((1, 3))).tolist()
        [[3.0, 3.0]]
    """
    if not callable(apply):
        raise ArgumentError(
            "jax_model(apply, params)",
            expected="a callable apply(params, inputs) -> outputs first",
            received=type(apply).__name__,
            fix="Pass for example jax_model(lambda params, x: x @ params['w'], params).",
        )
    return JaxModel(apply, params, init, dict(roles or {}), channel_axis)
