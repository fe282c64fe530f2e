"""Running means and variances as one batch gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from agnostic_rand.adapters import HostArray, no_variance, put_back
from agnostic_rand_tensorflow.layer_calls import hooked
from agnostic_rand_tensorflow.legacy_keras import is_kind


def estimated_statistics(layers: Mapping[str, Any], run: Callable[[], Any]) -> dict[str, dict[str, HostArray]]:
    """Run the model with these layers normalizing by the batch, and give the batch's means and variances.

    The variances are divided by what the layer itself divides running variances by: `n - 1` in the fused
    form, which Keras chooses for images, else `n`. A layer that is called several times in one pass has
    the mean of what it saw each time. The layers' own
    statistics are as before when the call returns, also after an exception.

    Args:
        layers: By name, the layers; those without running statistics are left out.
        run: Calls the model, eagerly and in evaluation mode.

    Raises:
        InputError: There are too few inputs to have a variance.
    """
    norms = {name: layer for name, layer in layers.items() if is_kind(layer, "BatchNormalization")}
    saved = {name: (norm.moving_mean.numpy(), norm.moving_variance.numpy()) for name, norm in norms.items()}
    seen: dict[str, list[tuple[HostArray, HostArray]]] = {}
    counts: dict[str, int] = {}

    def normalize_by_batch(name: str, inputs: tf.Tensor, proceed: Callable[[], tf.Tensor]) -> tf.Tensor:
        norm = norms[name]
        axes = _reduced_axes(norm, inputs.shape.rank)
        mean, variance = tf.nn.moments(tf.cast(inputs, norm.moving_mean.dtype), axes)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
        counts[name] = int(np.prod([inputs.shape[axis] for axis in axes]))
        correction = counts[name] / max(counts[name] - 1, 1) if getattr(norm, "fused", False) else 1
        seen.setdefault(name, []).append((mean.numpy(), variance.numpy() * correction))
        return proceed()

    def restore() -> None:
        for name, (mean, variance) in saved.items():
            norms[name].moving_mean.assign(mean)
            norms[name].moving_variance.assign(variance)

    with put_back(restore), hooked(norms, normalize_by_batch):
        run()
    few = [name for name, count in counts.items() if count < 2]
    if few:
        # Not before: Keras turns errors inside of a call into others.
        raise no_variance(f"a single value at the layer {few[0]!r}")
    return {
        name: dict(zip(("moving_mean", "moving_variance"), np.mean(calls, axis=0), strict=True))
        for name, calls in seen.items()
    }


def _reduced_axes(norm: Any, rank: int) -> list[int]:
    axis = norm.axis if isinstance(norm.axis, list | tuple) else [norm.axis]
    kept = {a % rank for a in axis}
    return [i for i in range(rank) if i not in kept]
