"""Folding of many variants of one batch: they are stacked until the batch size is filled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, ModelAdapter


def folded(
    compute: Callable[[Array, Array], Array], variants: Iterable[Array], targets: Array, batch_size: int
) -> Iterator[Array]:
    """What `compute` gives for each variant of a batch, several variants at a time.

    Args:
        compute: Takes inputs `(m, ...)` and targets `(m,)`, returns `(m, ...)`.
        variants: Arrays shaped like the batch's inputs `(n, ...)`.
        targets: The batch's targets `(n,)`.
        batch_size: How many samples the model takes at once.

    Yields:
        `(k, n, ...)` for the next `k` variants.
    """
    remaining = iter(variants)
    n = targets.shape[0]
    while stack := list(islice(remaining, max(1, batch_size // n))):
        if len(stack) == 1:
            result = compute(stack[0], targets)
            yield result[None, ...]
            continue
        inputs = array_namespace(stack[0]).concat(stack, axis=0)
        result = compute(inputs, array_namespace(targets).concat([targets] * len(stack), axis=0))
        yield array_namespace(result).reshape(result, (len(stack), n, *result.shape[1:]))


def mean_gradient(
    adapter: ModelAdapter, variants: Iterable[Array], count: int, targets: Array, batch_size: int
) -> Array:
    """The mean over `count` variants of a batch of the gradient at each, `(n, ...)`."""
    total: Array = None
    for gradients in folded(adapter.gradient, variants, targets, batch_size):
        part = array_namespace(gradients).sum(gradients, axis=0)
        total = part if total is None else total + part
    return total / count


def chosen_outputs(adapter: ModelAdapter, inputs: Array, targets: Array) -> Array:
    """The output of each sample's target, `(n,)`."""
    outputs = adapter.predict(inputs)
    xp = array_namespace(outputs)
    return xp.take_along_axis(outputs, targets[:, None], axis=1)[:, 0]
