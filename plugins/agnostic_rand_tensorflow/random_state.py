"""TensorFlow's global random generators, whose states it offers no public way to read."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops


def global_state() -> Any:
    """The global generator, and the seeds that eager operations draw after `tf.random.set_seed`."""
    generator = stateful_random_ops.global_generator
    own = None if generator is None else (generator, np.array(generator.state.numpy()))
    return own, _eager_seeds()


def set_global_state(state: Any) -> None:
    """Put back what `global_state` returned."""
    own, seeds = state
    generator, value = own or (None, None)
    stateful_random_ops.global_generator = generator
    if generator is not None:
        generator.state.assign(value)
    if _eager_seeds() != seeds:
        eager = context.context()
        eager._seed, drawn = seeds
        eager._rng = random.Random()
        if drawn is not None:
            eager._rng.setstate(drawn)
        # A kernel that was made for one of these seeds would go on where it was.
        eager.clear_kernel_cache()


def global_variables() -> dict[int, tf.Variable]:
    """By the `id` of its handle, the variable that holds the global generator's state, if there is one."""
    generator = stateful_random_ops.global_generator
    return {} if generator is None else {id(generator.state.handle): generator.state}


def _eager_seeds() -> Any:
    eager = context.context()
    drawn = getattr(eager, "_rng", None)
    return eager._seed, None if drawn is None else drawn.getstate()
