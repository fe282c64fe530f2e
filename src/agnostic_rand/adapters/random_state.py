"""Random state of global generators: it stays as it was, whatever a loader or explainer draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np

from agnostic_rand.adapters import ModelAdapter, SupportsRandomState, put_back


def drawing(adapter: ModelAdapter, *, foreign: bool) -> AbstractContextManager[None]:
    """`preserved_random_state` where foreign code runs; else nothing, for this library's own draws nothing."""
    return preserved_random_state(adapter) if foreign else nullcontext()


@contextmanager
def preserved_random_state(adapter: ModelAdapter) -> Iterator[None]:
    """Put back the state of Python's, NumPy's and the framework's global generators at the end.

    This is for code of the user's alone (loaders, explainers, `forward=`), which draws as it likes: what
    other threads draw from these generators meanwhile is drawn again afterwards.
    """
    python = random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002 - read only, to be put back
    framework = adapter.random_state() if isinstance(adapter, SupportsRandomState) else None

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - put back as it was
        if isinstance(adapter, SupportsRandomState):
            adapter.set_random_state(framework)

    with put_back(restore):
        yield
