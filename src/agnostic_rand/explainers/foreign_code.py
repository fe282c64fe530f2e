"""What foreign code gets, and how it is watched: it may change or mark its arrays, but not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, ModelAdapter, SupportsExternalExplainers


@contextmanager
def watched(adapter: ModelAdapter, inputs: Array) -> Iterator[None]:
    """A context in which foreign code explains `inputs`, watched where the backend can."""
    if isinstance(adapter, SupportsExternalExplainers):
        with adapter.explaining(inputs):
            yield
    else:
        yield


def own_arrays(adapter: ModelAdapter, inputs: Array, targets: Array) -> tuple[Any, Any]:
    """Copies that foreign code may change or mark, as it often does with `requires_grad`."""
    copies = (array_namespace(array).asarray(array, copy=True) for array in (inputs, targets))
    own_inputs, own_targets = (adapter.to_native(array) for array in copies)
    return own_inputs, own_targets
