"""What a sanity check compares with beside floors: the explainer's own noise, and the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.checks._guards import EQUAL_SHARE
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.explained_batches import explained_batches
from agnostic_rand.similarity import MapForm, Measure
from agnostic_rand.subject.subject import Subject

REFERENCE_SAMPLES = 64
"""How many samples are explained again."""

_OTHER_NOISE = 2**20
"""A draw that no run reaches: explainers that draw noise draw another one."""


@dataclass(frozen=True)
class References:
    """Scores of one explainer's maps of the trained model.

    Args:
        again: By measure, with its maps of the same model, explained again with other noise `(n,)`:
            1 for a method without noise, the ceiling of any other score.
        likeness: By the name of a control (input, edges), the mean of the first measure with the
            control's maps; NaN where undefined.
        twins: The names of explainers with the same maps, to within rounding.
    """

    again: Mapping[str, HostArray]
    likeness: Mapping[str, float]
    twins: tuple[str, ...] = ()


def references_of(
    subject: Subject,
    explainers: Sequence[Explainer],
    controls: Sequence[str],
    measures: tuple[Measure, ...],
) -> dict[str, References]:
    """By explainer, its references over the first samples.

    Args:
        subject: The model and the data.
        explainers: With distinct names; among them the controls.
        controls: The names of those that others may copy.
        measures: How maps are compared; likeness is by the first.
    """
    with subject.working(explainers) as working:
        adapter = subject.activated(working)
        targets = subject.fixed_targets(adapter)
        forms = {measure.form for measure in measures}
        maps = {
            one.name: {again: _maps(subject, adapter, one, targets, forms, again) for again in (False, True)}
            for one in explainers
        }
    found = {}
    for one in explainers:
        first, second = maps[one.name][False], maps[one.name][True]
        again = {m.name: _scores(m, first[m.form], second[m.form]) for m in measures}
        form = measures[0].form
        likeness = {
            name: _mean(_scores(measures[0], first[form], maps[name][False][form]))
            for name in controls
            if name != one.name and first[form].shape == maps[name][False][form].shape
        }
        others = (name for name in maps if name != one.name)
        twins = tuple(name for name in others if _equal(first[form], maps[name][False][form]))
        found[one.name] = References(again, likeness, twins)
    return found


def _maps(
    subject: Subject,
    adapter: ModelAdapter,
    explainer: Explainer,
    targets: HostArray,
    forms: set[MapForm],
    again: bool,
) -> dict[MapForm, HostArray]:
    samples = subject.few(REFERENCE_SAMPLES)
    context = replace(subject.context(), draw=_OTHER_NOISE, step=0) if again else subject.context()
    parts: dict[MapForm, list[HostArray]] = {form: [] for form in forms}
    for batch in explained_batches(adapter, explainer, samples, targets, context, "the trained model"):
        for form in parts:
            applied = form.apply(batch.maps, batch.channel_axis)
            parts[form].append(np.array(adapter.to_numpy(applied)))
    return {form: np.concatenate(part) for form, part in parts.items()}


def _equal(first: HostArray, second: HostArray) -> bool:
    scale = float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
    if first.shape != second.shape or scale == 0:
        return False
    return float(np.abs(first - second).max()) <= EQUAL_SHARE * scale


def _scores(measure: Measure, first: HostArray, second: HostArray) -> HostArray:
    return np.asarray(measure.compare(measure.prepare(first), second), dtype=np.float64)


def _mean(scores: HostArray) -> float:
    defined = scores[np.isfinite(scores)]
    return float(defined.mean()) if defined.size else float("nan")
