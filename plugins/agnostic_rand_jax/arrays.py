"""Arrays between the host and the model's device, in the model's precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agnostic_rand.adapters import Array, HostArray

_HALF = frozenset({"float16", "bfloat16"})


def is_parameter_like(leaf: Any) -> bool:
    """Whether a leaf is an array of numbers, and not a key of a random generator."""
    return isinstance(leaf, jax.Array | np.ndarray) and bool(jnp.issubdtype(leaf.dtype, jnp.number))


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf is an array of floating-point or complex numbers."""
    return is_parameter_like(leaf) and bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def strong(leaf: Any) -> jax.Array:
    """The leaf as an array of a fixed type: one whose type gives way to others would be compiled anew."""
    array = leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)
    return jnp.asarray(array, dtype=array.dtype) if array.weak_type else array


def on_host(x: Array) -> HostArray:
    """The values on the host; half precision becomes float32."""
    return np.asarray(full_precision(x)) if isinstance(x, jax.Array) else np.asarray(x)


def host_copy(x: jax.Array) -> HostArray:
    """A writable copy in the array's own type, or in float32 where NumPy lacks it."""
    array = np.array(x)
    return array if array.dtype.kind in "biufc" else array.astype(np.float32)


def full_precision(x: jax.Array) -> jax.Array:
    """The array, in float32 where it has half precision."""
    return x.astype(jnp.float32) if x.dtype.name in _HALF else x


def replacing(old: jax.Array, value: HostArray) -> jax.Array:
    """A copy of `value` in the type of `old`, on its device or devices."""
    new = jnp.array(value, dtype=old.dtype)
    return jax.device_put(new, old.sharding) if old.committed else new


def _widest(types: Iterable[Any]) -> Any:
    # Types of eight bits and less hold parameters alone, and JAX promotes them to no other.
    wide = {dtype for dtype in types if dtype.itemsize > 1}
    return jnp.result_type(*wide) if wide else jnp.float32


def placed(x: Array, parameters: Iterable[jax.Array]) -> jax.Array:
    """A copy of `x` where the parameters are; floating values in a type that holds those of all of them.

    That is half precision only where all parameters have the same one.
    """
    array = jnp.array(x)
    floating = [p for p in parameters if jnp.issubdtype(p.dtype, jnp.floating)]
    if not floating:
        return array
    first = floating[0]
    if jnp.issubdtype(array.dtype, jnp.floating):
        array = jnp.array(x, dtype=_widest(p.dtype for p in floating))
    # Parameters that are spread over devices take inputs from anywhere.
    if first.committed and len(first.sharding.device_set) == 1:
        array = jax.device_put(array, first.sharding)
    return array
