"""Streams of keyed randomness: the only place of the library where a random generator is made."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from agnostic_rand.arguments import whole_number


class Purpose(IntEnum):
    """What a stream is for. Streams of different purposes never meet."""

    WEIGHTS = 0
    SMOOTHING = 1
    CONTROL = 2
    BOOTSTRAP = 3
    TRAINING = 4
    FLOOR = 5
    TARGETS = 6


@dataclass(frozen=True)
class Streams:
    """Independent random streams, each named by a purpose and a key, all from one seed.

    A stream depends on nothing but its name and the seed: not on the order in which streams are
    asked for, nor on batches, workers or frameworks.

    Args:
        seed: The root of all streams, an int of at least 0.

    Raises:
        ArgumentError: `seed` is not such an int.

    Example:
        >>> streams = Streams(7)
        >>> a = streams.generator(Purpose.WEIGHTS, 0, 3).standard_normal(2)
        >>> b = streams.generator(Purpose.WEIGHTS, 0, 3).standard_normal(2)
        >>> bool((a == b).all())
        True
    """

    seed: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole_number("seed", self.seed, least=0, example=0))

    @classmethod
    def ensure(cls, seed: int | None) -> Streams:
        """Streams of `seed`; of a fresh one, which the result records, where it is `None`."""
        return cls(secrets.randbits(63) if seed is None else seed)

    def generator(self, purpose: Purpose, *key: int) -> np.random.Generator:
        """A new generator at the start of the named stream."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(int(purpose), *key))
        return np.random.Generator(np.random.Philox(sequence))

    def derived_seed(self, purpose: Purpose, *key: int) -> int:
        """An int below 2**63 for a framework that takes a seed and no generator."""
        return int(self.generator(purpose, *key).integers(2**63))
