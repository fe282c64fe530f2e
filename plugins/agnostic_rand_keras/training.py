"""A plain training loop's step: Adam and cross entropy, apart from what the user compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from agnostic_rand.adapters import Array, HostArray, TrainingStep
from agnostic_rand.errors import ModelError
from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.runtime import Runtime, Update
from agnostic_rand_keras.tree import seed_states

_HALF = ("float16", "bfloat16")


def make_trainer(
    model: keras.Model, runtime: Runtime, *, dtype: str, learning_rate: float, seed: int
) -> TrainingStep:
    """A function that updates the model by one batch.

    Args:
        model: The model; its optimizer, loss and metrics are left as they are.
        runtime: Evaluates it.
        dtype: The type of its inputs.
        learning_rate: Adam's.
        seed: Decides what the model draws in training.

    Raises:
        ModelError: Nothing in the model is trainable.
    """
    if not model.trainable_variables:
        raise ModelError(
            f"the model {model.name!r}",
            expected="trainable weights",
            received="none (all layers are frozen)",
            fix="Set model.trainable = True.",
        )
    seeds = np.random.SeedSequence(seed).generate_state(len(seed_states(model)) + 1) >> 1
    draws = _OwnDraws(model, seeds[:-1])
    update = _adam(model, learning_rate)
    step_of_runtime = None

    def step(inputs: HostArray, labels: HostArray) -> tuple[float, int]:
        nonlocal step_of_runtime
        floating = np.issubdtype(np.asarray(inputs).dtype, np.floating)
        batch = np.asarray(inputs, dtype=dtype if floating else None)
        classes = np.asarray(labels, dtype=np.int32)
        if step_of_runtime is None:
            loss = _Loss(_are_probabilities(runtime, batch, dtype))
            step_of_runtime = runtime.training_step(update, loss, int(seeds[-1]))
        with draws.in_use():
            value, outputs = step_of_runtime(batch, classes)
        return value, int((outputs.argmax(axis=1) == classes).sum())

    return step


class _OwnDraws:
    """States of the model's generators that go on from step to step; between steps the model has its own."""

    def __init__(self, model: keras.Model, seeds: HostArray) -> None:
        self._variables = seed_states(model)
        self._states = [np.asarray([s, 0], dtype=v.dtype) for s, v in zip(seeds, self._variables, strict=True)]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        before = [host_copy(variable.value) for variable in self._variables]
        self._put(self._states)
        try:
            yield
        finally:
            self._states = [host_copy(variable.value) for variable in self._variables]
            self._put(before)

    def _put(self, states: list[HostArray]) -> None:
        for variable, state in zip(self._variables, states, strict=True):
            variable.assign(state)


def _adam(model: keras.Model, learning_rate: float) -> Update:
    weights = tuple(model.trainable_variables)
    # In half precision the decay of Adam's averages, 0.999, is 1.
    masters = tuple(
        keras.Variable(host_copy(w.value), dtype="float32", name=w.name) if w.dtype in _HALF else w for w in weights
    )
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(list(masters))
    return Update(weights, masters, optimizer)


class _Loss:
    """The mean cross entropy of integer labels."""

    def __init__(self, probabilities: bool) -> None:
        self._from_logits = not probabilities

    def __call__(self, labels: Array, outputs: Array) -> Array:
        losses = keras.ops.sparse_categorical_crossentropy(labels, outputs, from_logits=self._from_logits)
        return keras.ops.mean(losses)


def _are_probabilities(runtime: Runtime, inputs: HostArray, dtype: str) -> bool:
    """Whether the model ends in a softmax, by what it puts out: a subclassed model shows nothing else."""
    outputs = host_copy(runtime.predict(runtime.asarray(inputs, dtype))).astype(np.float64)
    return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-2))
