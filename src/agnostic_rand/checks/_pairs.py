"""Pairs of models: their maps for the same inputs, compared."""

from __future__ import annotations

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.explained_batches import explained_batches
from agnostic_rand.similarity import Measure
from agnostic_rand.subject.subject import Subject


def compared_models(
    subject: Subject,
    first: ModelAdapter,
    second: ModelAdapter,
    explainer: Explainer,
    measures: tuple[Measure, ...],
) -> dict[str, HostArray]:
    """By measure, the scores `(n,)` of two models' maps for the subject's inputs and targets.

    Without labels, the predictions of the subject's own model are explained in both.
    """
    one, other = subject.activated(first), subject.activated(second)
    targets = subject.fixed_targets(subject.activated(subject.adapter))
    samples, context = subject.samples, subject.context()
    scores = {measure.name: np.full(len(subject.samples), np.nan) for measure in measures}
    pairs = zip(
        explained_batches(one, explainer, samples, targets, context, "the first model"),
        explained_batches(other, explainer, samples, targets, context, "the second model"),
        strict=True,
    )
    for base, again in pairs:
        for measure in measures:
            prepared = measure.prepare(measure.form.apply(base.maps, base.channel_axis))
            score = measure.compare(prepared, measure.form.apply(again.maps, again.channel_axis))
            scores[measure.name][base.rows] = one.to_numpy(score)
    return scores
