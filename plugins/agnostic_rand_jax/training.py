"""A plain training loop: Adam on the mean cross entropy of a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array
from agnostic_rand_jax.compiled import Values

TrainingFunction: TypeAlias = Callable[[Values, Array, Array], tuple[jax.Array, Values]]
"""`function(values, inputs, key) -> (outputs, statistics)`: the model in training mode, and what its
running statistics become. The key decides all randomness inside the model."""


def key_of(seed: int) -> jax.Array:
    """A key of JAX's generator that depends on all bits of a seed below 2**64."""
    return jax.random.fold_in(jax.random.key(seed & 0xFFFFFFFF), seed >> 32)


def adam_update(function: TrainingFunction) -> Callable[..., tuple[Any, ...]]:
    """A pure function from parameters, statistics, moments and a batch to what they become."""

    def loss(learned: Values, rest: Values, batch: Batch) -> tuple[jax.Array, tuple[jax.Array, Values]]:
        outputs, statistics = function(learned | rest, batch.inputs, batch.key)
        logs = jax.nn.log_softmax(outputs)
        entropy: jax.Array = -jnp.take_along_axis(logs, batch.labels[:, None], axis=1).mean()
        return entropy, ((outputs.argmax(axis=1) == batch.labels).sum(), statistics)

    def update(learned: Values, rest: Values, state: Any, batch: Batch, rate: Array) -> tuple[Any, ...]:
        (value, (correct, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(learned, rest, batch)
        changes, state = adam().update(gradients, state)

        def moved(parameter: jax.Array, change: jax.Array) -> jax.Array:
            new: jax.Array = (parameter - rate * change).astype(parameter.dtype)
            return new

        return jax.tree.map(moved, learned, changes), statistics, state, value, correct

    return update


def adam() -> Any:
    """Adam without a rate: what turns gradients into changes."""
    # Models are explained without it.
    import optax  # type: ignore[import-untyped]

    return optax.scale_by_adam()


class Batch(NamedTuple):
    """What a step takes, and the key of its random draws."""

    inputs: jax.Array
    labels: jax.Array
    key: jax.Array
