"""Foreign code: what it gets, and how it is watched; it may change or mark its arrays, but not ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from array_api_compat import array_namespace

from agnostic_rand.adapters import (
    Array,
    ModelAdapter,
    SupportsExternalExplainers,
    joined,
    mapped,
    repeated,
    side_inputs_of,
)


@contextmanager
def watched(adapter: ModelAdapter, inputs: Array) -> Iterator[None]:
    """A context in which foreign code explains `inputs`, watched where the backend can."""
    if isinstance(adapter, SupportsExternalExplainers):
        with adapter.explaining(inputs):
            yield
    else:
        yield


def own_arrays(adapter: ModelAdapter, inputs: Array, targets: Array) -> tuple[Any, Any]:
    """Copies that foreign code may change or mark, as it often does with `requires_grad`.

    For a model of several inputs the first are all of them, as the caller passed them.
    """

    def own(array: Array) -> Any:
        return adapter.to_native(array_namespace(array).asarray(array, copy=True))

    side = side_inputs_of(adapter)
    if side is None:
        return own(inputs), own(targets)
    return joined(mapped(own, repeated(side, inputs.shape[0])), own(inputs)), own(targets)
