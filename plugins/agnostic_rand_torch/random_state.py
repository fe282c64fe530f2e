"""Global random generators, which stay as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from agnostic_rand.adapters import put_back


def random_state() -> Any:
    """The states of the generators of the CPU and of accelerators in use."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if in_use else None


def set_random_state(state: Any) -> None:
    """Put the states back."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state_all(state[1])


@contextmanager
def same_draws(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Let a model that draws random numbers draw the same in each call, and leave no trace.

    It is for such models alone: other threads draw from the same generators.

    Args:
        device: The model's; its generator is set besides the CPU's.
        seed: Decides what it draws.
    """
    accelerators = getattr(getattr(torch, device.type, None), "default_generators", ())
    generators = [torch.default_generator, *accelerators[device.index or 0 : (device.index or 0) + 1]]
    states = [(generator, generator.get_state()) for generator in generators]
    with put_back(lambda: [generator.set_state(state) for generator, state in states]):
        for generator in generators:
            # The generator's own method: torch.manual_seed would reseed every device.
            generator.manual_seed(seed % 2**63)
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators, and put their states back at the end."""
    python, legacy, framework = random.getstate(), np.random.get_state(), random_state()  # noqa: NPY002 - put back

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - as it was
        set_random_state(framework)

    with put_back(restore):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - for initializers that draw from it
        torch.default_generator.manual_seed(seed)
        yield
