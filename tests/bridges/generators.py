"""The global random generators that foreign code draws from."""

from __future__ import annotations

import random

import numpy as np
import torch


def reset(seed: int) -> None:
    """Put all of them into a known state."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def states() -> tuple[object, ...]:
    """Where they stand, comparable by `==`."""
    legacy = np.random.get_state()
    return random.getstate(), legacy[1].tolist(), legacy[2], torch.get_rng_state().tolist()
