"""One explanation, outside of any check."""

from __future__ import annotations

from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, adapt, untouched
from agnostic_rand.adapters.batch_view import BatchView
from agnostic_rand.adapters.random_state import drawing, preserved_random_state
from agnostic_rand.arguments import whole_number
from agnostic_rand.explainers import ExplainerLike, ExplanationContext, asks_adapter_only, resolve_explainer
from agnostic_rand.explainers.maps import channels_of, scoring_maps
from agnostic_rand.subject.probing import probe
from agnostic_rand.subject.samples import ArrayLike, read_samples
from agnostic_rand.subject.targets import explained_outputs, frozen_targets
from agnostic_rand.weights import Streams


def explain(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike,
    explainer: ExplainerLike,
    *,
    seed: int = 0,
    batch_size: int = 64,
    backend: str | None = None,
    forward: Forward | None = None,
    wrt_layer: str | None = None,
    explained_input: int | str | None = None,
) -> HostArray:
    """The maps of an explainer for a batch of inputs.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`.
        targets: Class indices `(n,)`, one-hot labels `(n, classes)`, or `None` for the model's
            predictions.
        explainer: As in `ModelRandomizationMetric.evaluate`.
        seed: The root of the explainer's randomness.
        batch_size: The number of samples the model takes at once.
        backend: As in `agnostic_rand.adapt`.
        forward: As in `agnostic_rand.adapt`.
        wrt_layer: As in `ModelRandomizationMetric`.
        explained_input: As in `ModelRandomizationMetric`.

    Returns:
        Maps shaped like the inputs, or without their channel axis.

    Raises:
        AgnosticRandError: The model, the data or the explainer cannot be used.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> ar.explain(torch.nn.Linear(4, 2), np.ones((5, 4), "float32"), None, "saliency").shape
        (5, 4)
    """
    resolved = resolve_explainer(explainer, wrt_layer)
    adapter = adapt(model, backend=backend, forward=forward)
    with preserved_random_state(adapter):
        samples = read_samples(inputs, targets, adapter, explained_input)
    size = whole_number("batch_size", batch_size, least=1, example=64)
    foreign = forward is not None or not asks_adapter_only(resolved)
    with drawing(adapter, foreign=foreign), untouched(adapter):
        probed = probe(model, samples, size, backend=backend, forward=forward)
    adapter = probed.adapter
    with drawing(adapter, foreign=foreign), untouched(adapter):
        labels = explained_outputs(samples, probed.classes).targets
        if labels is None:
            labels = frozen_targets(adapter, samples, size)
        axis = channels_of(None, adapter, samples.inputs.ndim)
        parts = []
        noises: dict[tuple[int, ...], Any] = {}
        for start in range(0, len(samples), size):
            placed = samples[start : start + size].placed(adapter)
            chosen = adapter.asarray(labels[start : start + size])
            context = ExplanationContext(Streams(seed), size, axis, first_sample=start, noises=noises)
            view = BatchView(placed.seen_by(adapter), placed.explained)
            maps = resolved.explain(view, view.inputs, chosen, context)
            shape = tuple(view.inputs.shape)
            checked, _ = scoring_maps(maps, shape, axis, adapter, repr(resolved.name))
            parts.append(np.array(adapter.to_numpy(checked)))
    return np.concatenate(parts)
