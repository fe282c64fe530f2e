"""Global random generators stay as they were, whatever a user's loader or explainer draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from agnostic_rand.adapters import ModelAdapter, SupportsRandomState


@contextmanager
def preserved_random_state(adapter: ModelAdapter) -> Iterator[None]:
    """Put back the state of Python's, NumPy's and the framework's global generators at the end."""
    python = random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002 - read only, to be put back
    framework = adapter.random_state() if isinstance(adapter, SupportsRandomState) else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - put back as it was
        if isinstance(adapter, SupportsRandomState):
            adapter.set_random_state(framework)
