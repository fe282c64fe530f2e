"""Global random generators, which stay as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from keras.src.backend.common import global_state

from agnostic_rand.adapters import put_back
from agnostic_rand_keras.arrays import host_copy

# Keras keeps the generator of unseeded random operations under this name, and makes it when it is needed.
_GENERATOR = "global_seed_generator"


def keras_state() -> Any:
    """The state of Keras' global generator.

    Where there is none yet it is Python's, by which Keras will seed the one that it makes.
    """
    generator = global_state.get_global_attribute(_GENERATOR)
    return (None, random.getstate()) if generator is None else (generator, host_copy(generator.state.value))


def moved(state: Any) -> bool:
    """Whether Keras' generator is another, or elsewhere, than `keras_state` said."""
    generator, value = state
    now, position = keras_state()
    return now is not generator or (generator is not None and not np.array_equal(position, value))


def set_keras_state(state: Any) -> None:
    """Put back what `keras_state` returned."""
    generator, value = state
    global_state.set_global_attribute(_GENERATOR, generator)
    if generator is None:
        random.setstate(value)
    else:
        generator.state.assign(value)


@contextmanager
def unmoved() -> Iterator[None]:
    """Put back Python's, NumPy's and Keras' generators: a layer that is made draws its seeds from them."""
    python, legacy, own = random.getstate(), np.random.get_state(), keras_state()  # noqa: NPY002 - put back

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - as it was
        set_keras_state(own)

    with put_back(restore):
        yield
