"""Output relevance: what random relevances become on their way back to a layer or the input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import Array, FromLayer, HostArray, ModelAdapter, ReluRule
from agnostic_rand.checks._inside import channel_axis
from agnostic_rand.errors import ModelError
from agnostic_rand.explainers import Deconvnet, Explainer, Gradient, GuidedBackprop
from agnostic_rand.passes.explained_batches import explain_batch, explained_batches
from agnostic_rand.subject.subject import Subject

RULES: dict[type, ReluRule] = {Gradient: "standard", GuidedBackprop: "guided", Deconvnet: "deconv"}
"""The methods whose way back can start with any relevance of the outputs, and their rule at a ReLU."""

INPUT = "input"
"""The name of the input among places."""


def started(
    adapter: ModelAdapter, subject: Subject, rule: ReluRule, vectors: HostArray, names: tuple[str, ...]
) -> Iterator[tuple[str, slice, HostArray, int | None]]:
    """By place and batch, what the vectors became: `(vectors, n, ...)`, and the axis of channels in `(n, ...)`."""
    samples, size = subject.samples, subject.batch_size
    layers = {layer.name: layer for layer in adapter.layers()}
    for start in range(0, len(samples), size):
        rows = slice(start, min(start + size, len(samples)))
        batch = samples[rows].placed(adapter)
        capable: Any = batch.seen_by(adapter)
        starts = [adapter.asarray(np.ascontiguousarray(v)) for v in np.moveaxis(vectors[rows], 1, 0)]
        at_input = [adapter.to_numpy(capable.gradient(batch.explained, v, relu=rule)) for v in starts]
        axis = None if subject.channel_axis is None else subject.channel_axis % at_input[0].ndim
        yield INPUT, rows, np.stack(at_input).astype(np.float64), axis
        for name in names:
            if rule == "standard":
                found = [capable.layer_gradient(batch.explained, v, name)[1] for v in starts]
            else:
                rest = capable.from_layer(batch.explained, name)
                found = [_ruled(rest, v, rule) for v in starts]
            maps = np.stack([adapter.to_numpy(one) for one in found]).astype(np.float64)
            yield name, rows, maps, channel_axis(layers[name], maps.shape[1:], subject.layer_axis)


def combined(
    adapter: ModelAdapter, explainer: Explainer, subject: Subject, vectors: HostArray
) -> Iterator[tuple[slice, HostArray, int | None]]:
    """By batch, the maps of all classes added up with the vectors: `(vectors, n, ...)`."""
    first, context = np.zeros(len(subject.samples), dtype=np.int64), subject.context()
    for batch in explained_batches(adapter, explainer, subject.samples, first, context, "the trained model"):
        maps = [adapter.to_numpy(batch.maps)]
        for number in range(1, vectors.shape[2]):
            targets = adapter.asarray(first[batch.rows] + number)
            # A step of its own for each class: a control draws other noise for it.
            place = replace(context, first_sample=batch.start, draw=0, step=number)
            again, _ = explain_batch(batch.view, explainer, targets, place, "another class")
            maps.append(adapter.to_numpy(again))
        added = np.einsum("nvc,cn...->vn...", vectors[batch.rows], np.stack(maps).astype(np.float64))
        yield batch.rows, added, batch.channel_axis


def _ruled(rest: FromLayer, relevance: Array, rule: ReluRule) -> Array:
    try:
        return rest.gradient(rest.output, relevance, relu=rule)
    except ModelError:
        # Adapters refuse a rule where they meet no ReLU. At the input it was taken; behind the last ReLU
        # the way back is the plain gradient's.
        return rest.gradient(rest.output, relevance)
