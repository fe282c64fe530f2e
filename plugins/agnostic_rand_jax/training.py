"""A plain training loop: Adam on the mean cross entropy of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp

from agnostic_rand.adapters import Array, HostArray, TrainingStep
from agnostic_rand_jax.compiled import Values

TrainingFunction: TypeAlias = Callable[[Values, Array, Array], tuple[jax.Array, Values]]
"""`function(values, inputs, key) -> (outputs, statistics)`: the model in training mode, and what its
running statistics become. The key decides all randomness inside the model."""

# Kingma & Ba 2015, the defaults that every framework has.
_DECAY, _SQUARE_DECAY, _EPSILON = 0.9, 0.999, 1e-8


class Trained(Protocol):
    """The model that is trained."""

    def values(self) -> Values:
        """The current arrays by key."""

    def store(self, changes: Values) -> None:
        """Take new arrays."""

    def asarray(self, x: Array) -> jax.Array:
        """A batch on the model's device."""


def trainer(
    model: Trained, update: Any, learned: Sequence[str], *, learning_rate: float, seed: int
) -> TrainingStep:
    """A function that updates the model by one batch.

    Args:
        model: The model.
        update: What `adam_update` returns, compiled.
        learned: The keys of its parameters.
        learning_rate: Adam's.
        seed: Decides the randomness inside the model.
    """
    root = key_of(seed)
    state: _State | None = None

    def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
        nonlocal state
        values = model.values()
        moving = {key: values[key] for key in learned if jnp.issubdtype(values[key].dtype, jnp.floating)}
        rest = {key: value for key, value in values.items() if key not in moving}
        if state is None:
            zeros = jax.tree.map(jnp.zeros_like, moving)
            state = _State(0, zeros, zeros)
        count = state.updates + 1
        batch = _Batch(model.asarray(inputs), model.asarray(labels), jax.random.fold_in(root, count))
        moved, statistics, first, second, loss, correct = update(
            moving, rest, state.first, state.second, batch, jnp.float32(count), jnp.float32(learning_rate)
        )
        state = _State(count, first, second)
        model.store(moved | statistics)
        return float(loss), int(correct)

    return step


def key_of(seed: int) -> jax.Array:
    """A key of JAX's generator that depends on all bits of a seed below 2**64."""
    return jax.random.fold_in(jax.random.key(seed & 0xFFFFFFFF), seed >> 32)


def adam_update(function: TrainingFunction) -> Callable[..., tuple[Any, ...]]:
    """A pure function from parameters, statistics, moments and a batch to what they become."""

    def loss(learned: Values, rest: Values, batch: _Batch) -> tuple[jax.Array, tuple[jax.Array, Values]]:
        outputs, statistics = function(learned | rest, batch.inputs, batch.key)
        logs = jax.nn.log_softmax(outputs)
        entropy: jax.Array = -jnp.take_along_axis(logs, batch.labels[:, None], axis=1).mean()
        return entropy, ((outputs.argmax(axis=1) == batch.labels).sum(), statistics)

    def update(
        learned: Values, rest: Values, first: Values, second: Values, batch: _Batch, count: Array, rate: Array
    ) -> tuple[Any, ...]:
        (value, (correct, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(learned, rest, batch)
        first = jax.tree.map(lambda m, g: _DECAY * m + (1 - _DECAY) * g, first, gradients)
        second = jax.tree.map(lambda v, g: _SQUARE_DECAY * v + (1 - _SQUARE_DECAY) * g**2, second, gradients)
        mean, square = 1 - _DECAY**count, 1 - _SQUARE_DECAY**count

        def moved(parameter: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            change = rate * (m / mean) / (jnp.sqrt(v / square) + _EPSILON)
            new: jax.Array = (parameter - change).astype(parameter.dtype)
            return new

        return jax.tree.map(moved, learned, first, second), statistics, first, second, value, correct

    return update


class _State(NamedTuple):
    updates: int
    first: Values
    second: Values


class _Batch(NamedTuple):
    inputs: jax.Array
    labels: jax.Array
    key: jax.Array
