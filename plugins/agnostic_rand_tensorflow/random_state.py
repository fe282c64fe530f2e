"""TensorFlow's global random generators, whose states it offers no public way to read."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

from agnostic_rand.adapters import HostArray


@dataclass(frozen=True)
class GlobalState:
    """What draws random numbers that nobody gave a generator for.

    Args:
        generator: What `tf.random.get_global_generator` returns; `None` where it was not made yet.
        numbers: A copy of its state.
        seed: The seed that `tf.random.set_seed` set, or `None`.
        drawn: The state of the seeds that eager operations draw after `tf.random.set_seed`.
    """

    generator: Any
    numbers: HostArray | None
    seed: int | None
    drawn: Any

    @classmethod
    def now(cls) -> Self:
        """The state as it is."""
        generator = stateful_random_ops.global_generator
        numbers = None if generator is None else np.array(generator.state.numpy())
        return cls(generator, numbers, _seed(), _drawn())

    def put_back(self) -> None:
        """Bring the generators back into this state."""
        stateful_random_ops.global_generator = self.generator
        if self.generator is not None:
            self.generator.state.assign(self.numbers)
        if (_seed(), _drawn()) != (self.seed, self.drawn):
            eager = context.context()
            eager._seed, eager._rng = self.seed, random.Random()
            if self.drawn is not None:
                eager._rng.setstate(self.drawn)
            # An operation that was made for one of these seeds would go on from where it was.
            eager.clear_kernel_cache()


def global_variables() -> dict[int, tf.Variable]:
    """By the `id` of its handle, the variable that holds the global generator's state, if there is one."""
    generator = stateful_random_ops.global_generator
    return {} if generator is None else {id(generator.state.handle): generator.state}


def _seed() -> Any:
    return context.global_seed()


def _drawn() -> Any:
    seeds = getattr(context.context(), "_rng", None)
    return None if seeds is None else seeds.getstate()
