"""Explanation outside of any check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, untouched
from agnostic_rand.adapters.random_state import drawing
from agnostic_rand.explainers import ExplainerLike, asks_adapter_only
from agnostic_rand.passes.explained_batches import explained_batches
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import Subject


def explain(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike,
    explainer: ExplainerLike,
    *,
    seed: int = 0,
    batch_size: int | None = 64,
    backend: str | None = None,
    forward: Forward | None = None,
    wrt_layer: str | None = None,
    explained_input: int | str | None = None,
    draw: int = -1,
    step: int = -1,
) -> HostArray:
    """The maps of an explainer for a batch of inputs.

    Args:
        model: As in `Subject`.
        inputs: As in `Subject`.
        targets: Class indices `(n,)`, one-hot labels `(n, classes)`, or `None` for the model's
            predictions.
        explainer: As in `ModelRandomizationMetric.evaluate`.
        seed: The root of the explainer's randomness.
        batch_size: The number of samples the model takes at once.
        backend: As in `agnostic_rand.adapt`.
        forward: As in `agnostic_rand.adapt`.
        wrt_layer: As in `Subject`.
        explained_input: As in `Subject`.
        draw: With `step`, where the model stands in a run (`Subject.state`): a control draws other noise in each
            place; -1 for the trained model.
        step: See `draw`.

    Returns:
        Maps shaped like the inputs, or without their channel axis.

    Raises:
        AgnosticRandError: The model, the data or the explainer cannot be used.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> ar.explain(torch.nn.Linear(4, 2), np.ones((5, 4), "float32"), None, "saliency").shape
        (5, 4)
    """
    subject = Subject(
        model,
        inputs,
        targets,
        seed=seed,
        batch_size=batch_size,
        forward=forward,
        backend=backend,
        wrt_layer=wrt_layer,
        explained_input=explained_input,
        within_run=True,
    )
    resolved, adapter = subject.explainer(explainer), subject.adapter
    foreign = forward is not None or not asks_adapter_only(resolved)
    context = replace(subject.context(), draw=draw, step=step)
    with drawing(adapter, foreign=foreign), untouched(adapter):
        labels = subject.fixed_targets(adapter)
        batches = explained_batches(adapter, resolved, subject.samples, labels, context, "the model")
        return np.concatenate([np.array(adapter.to_numpy(batch.maps)) for batch in batches])
