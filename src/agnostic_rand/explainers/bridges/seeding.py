"""Seeding of foreign code: global generators start where the run's seed says, and are put back."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from agnostic_rand.adapters import ModelAdapter, innermost
from agnostic_rand.adapters.random_state import preserved_random_state
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.weights.streams import Purpose

_FOREIGN = 2
"""The key of this use among those of `Purpose.SMOOTHING`: 0 words are common noise, 1 common uniforms."""


@contextmanager
def seeded(adapter: ModelAdapter, context: ExplanationContext, *frameworks: str) -> Iterator[None]:
    """Let global generators give the same numbers in every call, and leave no trace of it.

    The trained and the random model then meet the same noise, as with this library's own methods.

    Args:
        adapter: Knows the state of the framework's generators.
        context: Gives the seed.
        frameworks: Whose generators are seeded besides Python's and NumPy's: "torch", "tensorflow".
    """
    seed = context.streams.derived_seed(Purpose.SMOOTHING, _FOREIGN)
    with preserved_random_state(innermost(adapter)):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - what foreign code draws from
        for framework in frameworks:
            _SEED[framework](sys.modules[framework], seed)
        yield


def _seed_torch(torch: Any, seed: int) -> None:
    # torch.manual_seed would leave a seed behind for accelerators that are not in use yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _seed_tensorflow(tensorflow: Any, seed: int) -> None:
    tensorflow.random.set_seed(seed)


_SEED = {"torch": _seed_torch, "tensorflow": _seed_tensorflow}
