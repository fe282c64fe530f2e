"""Running means and variances as one batch gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from agnostic_rand.adapters import Array, Layer, no_variance, own_normalization
from agnostic_rand_keras.forward import ForwardPass
from agnostic_rand_keras.interception import intercepted
from agnostic_rand_keras.tree import all_layers


def normalizations(model: keras.Model) -> tuple[keras.layers.BatchNormalization, ...]:
    """The layers whose statistics can be estimated, in order of declaration."""
    return tuple(layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization))


def refuse_unknown_statistics(
    layers: Sequence[Layer], wanted: Mapping[int, str], norms: Sequence[keras.Layer]
) -> None:
    """Raise where a layer keeps statistics that nothing here can estimate.

    Args:
        layers: Those of the model.
        wanted: By the `id` of the Keras layer, the names of those to estimate.
        norms: Those that can be estimated.

    Raises:
        ModelError: There is one; the message names it.
    """
    known = {id(norm) for norm in norms}
    strangers = {name for owner, name in wanted.items() if owner not in known}
    for layer in layers:
        if layer.name in strangers and layer.statistics:
            raise own_normalization(layer.name, layer.kind)


def batch_statistics(
    forward: ForwardPass, values: Sequence[Array] | None, inputs: Array, chosen: Sequence[bool] | Array
) -> list[Array]:
    """Run the model with the chosen layers normalizing by the batch.

    They normalize by statistics that hold in the scope of this call alone: nothing of the model
    changes. A layer that is called several times has the mean of what it saw each time.

    Args:
        forward: The model.
        values: The values of its variables; `None` for their own.
        inputs: `(n, ...)`.
        chosen: For each of `normalizations`, whether it normalizes by the batch.

    Returns:
        The mean and the variance of what reached each of `normalizations`, one after the other.

    Raises:
        InputError: A layer saw a single value of each feature.
    """
    norms = normalizations(forward.model)
    seen: list[list[tuple[Array, Array, int]]] = [[] for _ in norms]
    with keras.StatelessScope(state_mapping=forward.mapping(values)) as scope, ExitStack() as stack:
        for norm, by_batch, moments in zip(norms, chosen, seen, strict=True):
            stack.enter_context(intercepted(norm, partial(_normalized, scope, norm, by_batch, moments)))
        forward.called(inputs, values)
        # Not from inside of the layer: Keras would wrap the error into one of its own.
        _refuse_single_values(norms, seen)
        return [value for norm, moments in zip(norms, seen, strict=True) for value in _means(norm, moments)]


def _normalized(
    scope: keras.StatelessScope,
    norm: keras.layers.BatchNormalization,
    by_batch: bool | Array,
    seen: list[tuple[Array, Array, int]],
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    held = [(norm.moving_mean, norm.moving_mean.value), (norm.moving_variance, norm.moving_variance.value)]
    inputs = args[0] if args else kwargs["inputs"]
    moments = _moments(inputs, norm.axis, kwargs.get("mask"))
    seen.append((*moments, int(np.prod(inputs.shape)) // int(inputs.shape[norm.axis])))
    for (variable, value), moment in zip(held, moments, strict=True):
        scope.add_update((variable, ops.where(by_batch, ops.cast(moment, variable.dtype), value)))
    output = call(*args, **kwargs)
    for update in held:
        scope.add_update(update)
    return output


def _moments(inputs: Array, axis: int, mask: Array | None) -> tuple[Array, Array]:
    values = ops.cast(
        inputs, "float64" if keras.backend.standardize_dtype(inputs.dtype) == "float64" else "float32"
    )
    axes = [i for i in range(len(values.shape)) if i != axis % len(values.shape)]
    if mask is None:
        mean, variance = ops.moments(values, axes)
        return mean, variance
    counted = ops.broadcast_to(ops.cast(ops.expand_dims(mask, -1), values.dtype), ops.shape(values))
    count = ops.sum(counted, axes, keepdims=True)
    mean = ops.sum(values * counted, axes, keepdims=True) / count
    variance = ops.sum((values - mean) ** 2 * counted, axes, keepdims=True) / count
    return ops.reshape(mean, (-1,)), ops.reshape(variance, (-1,))


def _refuse_single_values(norms: Sequence[keras.Layer], seen: Sequence[Sequence[tuple[Array, Array, int]]]) -> None:
    for norm, calls in zip(norms, seen, strict=True):
        if any(count == 1 for _, _, count in calls):
            raise no_variance(f"a single value at the layer {norm.name!r}")


def _means(norm: keras.layers.BatchNormalization, seen: list[tuple[Array, Array, int]]) -> tuple[Array, Array]:
    if not seen:
        return norm.moving_mean.value, norm.moving_variance.value
    means, variances, _ = zip(*seen, strict=True)
    return sum(means) / len(means), sum(variances) / len(variances)
