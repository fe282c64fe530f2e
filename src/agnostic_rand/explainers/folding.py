"""Many gradients of one batch: variants of the inputs are stacked until the batch size is filled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, ModelAdapter


def mean_gradient(
    adapter: ModelAdapter, variants: Iterable[Array], count: int, targets: Array, batch_size: int
) -> Array:
    """The mean over `count` variants of a batch of the gradient at each.

    Args:
        adapter: The model.
        variants: `count` arrays, each shaped like the inputs `(n, ...)`.
        count: Their number.
        targets: The classes to explain, `(n,)`.
        batch_size: How many samples the model takes at once; variants are stacked up to it.

    Returns:
        `(n, ...)`.
    """
    total: Array = None
    for stacked, stacked_targets, width in _stacks(variants, targets, batch_size):
        gradient = adapter.gradient(stacked, stacked_targets)
        xp = array_namespace(gradient)
        shape = (width, gradient.shape[0] // width, *gradient.shape[1:])
        part = xp.sum(xp.reshape(gradient, shape), axis=0) if width > 1 else gradient
        total = part if total is None else total + part
    return total / count


def _stacks(variants: Iterable[Array], targets: Array, batch_size: int) -> Iterator[tuple[Array, Array, int]]:
    remaining = iter(variants)
    width = max(1, batch_size // targets.shape[0])
    while stack := list(islice(remaining, width)):
        if len(stack) == 1:
            yield stack[0], targets, 1
            continue
        xp = array_namespace(stack[0])
        yield (
            xp.concat(stack, axis=0),
            array_namespace(targets).concat([targets] * len(stack), axis=0),
            len(stack),
        )
