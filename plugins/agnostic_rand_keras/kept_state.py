"""The state of a model besides its layers' values, kept so that it can be put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from agnostic_rand_keras.arrays import host_copy
from agnostic_rand_keras.random_state import keras_state, moved, set_keras_state
from agnostic_rand_keras.runtime import Runtime
from agnostic_rand_keras.tree import all_layers


def kept_state(model: keras.Model, unlisted: Sequence[keras.Variable], runtime: Runtime) -> Callable[[], None]:
    """A function that puts back what is trainable, modes, and variables that no layer lists, as they are now.

    Among them is Keras' own global generator.

    Args:
        model: The model.
        unlisted: Counters, say, and the states of its random generators.
        runtime: Knows the modes of what Keras did not make.
    """
    # Outer layers first: what is set on one is set on those inside of it.
    trainable = [(layer, layer.trainable) for layer in all_layers(model)]
    learned = [(variable, variable.trainable) for variable in model.variables]
    values = [(variable, host_copy(variable.value)) for variable in unlisted]
    turn_back, generator = runtime.kept_modes(), keras_state()

    def restore() -> None:
        if any(held.trainable is not flag for held, flag in (*trainable, *learned)):
            for held, flag in (*trainable, *learned):
                held.trainable = flag
        for variable, value in values:
            variable.assign(value)
        turn_back()
        if moved(generator):
            set_keras_state(generator)

    return restore
