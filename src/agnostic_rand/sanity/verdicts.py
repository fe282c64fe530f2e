"""Verdicts on a family of explainers, from their cascades and floors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.passes.guards import survived_exactly
from agnostic_rand.results.scores import Scores
from agnostic_rand.statistics import FloorScores, Verdict, contrast, defined_mean, judge, judge_step


def verdicts_of(
    cascades: Mapping[str, Scores],
    floors: Mapping[str, Mapping[str, FloorScores]],
    measure: str,
    margin: float,
) -> dict[str, Verdict]:
    """By explainer, the verdict on full randomization.

    Args:
        cascades: By explainer; the last step is full randomization.
        floors: By explainer and measure.
        measure: What the verdicts are on.
        margin: How much above the floor still counts as nothing.
    """
    contrasts = []
    for name, result in cascades.items():
        scores = result.scores[measure]
        unchanged = survived_exactly({measure: scores}, result.moved, result.coverage)
        contrasts.append(contrast(scores[:, -1], floors[name][measure], unchanged=unchanged))
    return dict(zip(cascades, judge(contrasts, margin=margin), strict=True))


def step_verdicts_of(
    cascades: Mapping[str, Scores],
    floors: Mapping[str, Mapping[str, FloorScores]],
    measure: str,
    margin: float,
) -> dict[str, tuple[Verdict, ...]]:
    """By explainer, the verdict on each step; all of them are one family, because any may be quoted.

    Args:
        cascades: By explainer, of the same steps.
        floors: By explainer and measure.
        measure: What the verdicts are on.
        margin: How far the ceiling must be above the floor.
    """
    steps = len(next(iter(cascades.values())).steps)
    places = [(name, step) for name in cascades for step in range(steps)]
    contrasts, correlations = [], []
    for name, step in places:
        scores = cascades[name].scores[measure][:, step]
        contrasts.append(contrast(scores, floors[name][measure], share=0.5, unchanged=_unchanged(scores)))
        correlations.append(float(defined_mean(cascades[name].moved.correlation[:, step])))
    found = dict(zip(places, judge_step(contrasts, correlations, margin=margin), strict=True))
    return {name: tuple(found[name, step] for step in range(steps)) for name in cascades}


def _unchanged(scores: HostArray) -> bool:
    defined = scores[np.isfinite(scores)]
    return bool(defined.size) and bool((defined >= 1 - 1e-9).all())
