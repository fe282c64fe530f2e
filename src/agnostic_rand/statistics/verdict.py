"""What may be said of an explanation, and with how much certainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from agnostic_rand.statistics.floors import Floors
from agnostic_rand.statistics.random_effects import MeanEstimate

Outcome: TypeAlias = Literal["sensitive", "insensitive", "inconclusive", "undefined"]

DEFAULT_MARGIN = 0.1


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation depends on the randomized weights.

    Args:
        outcome: `"insensitive"`: more survived than the floor and the margin allow. `"sensitive"`:
            less did. `"inconclusive"`: the interval holds the limit. `"undefined"`: there is no
            score.
        reason: Why, in words.
        score: The mean score at full randomization.
        interval: Its interval, corrected for the number of explainers.
        limit: The floor plus the margin.
    """

    outcome: Outcome
    reason: str
    score: float
    interval: tuple[float, float]
    limit: float


def judge(
    estimates: Sequence[MeanEstimate],
    floors: Sequence[Floors],
    *,
    margin: float = DEFAULT_MARGIN,
    level: float = 0.95,
) -> tuple[Verdict, ...]:
    """Verdicts on several explainers at once, with Holm's correction across them.

    Args:
        estimates: Each explainer's mean score at full randomization.
        floors: Each explainer's floors.
        margin: How much above the floor still counts as nothing.
        level: One minus the probability of any wrong "sensitive" or "insensitive" among all.

    Source: Holm 1979; the three values follow equivalence testing.

    Example:
        >>> estimate = MeanEstimate(0.9, 0.01, 100)
        >>> judge([estimate], [Floors(0.1, 0.0, 0.0, 1.0)])[0].outcome
        'insensitive'
    """
    limits = [floor.floor + margin for floor in floors]
    p_values = [_p_value(estimate, limit) for estimate, limit in zip(estimates, limits, strict=True)]
    levels = holm_levels(p_values, 1 - level)
    verdicts = []
    for estimate, limit, floor, alpha in zip(estimates, limits, floors, levels, strict=True):
        interval = estimate.interval(1 - alpha)
        outcome = _outcome(interval, limit)
        reason = _reason(outcome, estimate, interval, floor, margin)
        verdicts.append(Verdict(outcome, reason, estimate.mean, interval, limit))
    return tuple(verdicts)


def judge_step(
    estimates: Sequence[MeanEstimate],
    floors: Sequence[Floors],
    output_correlations: Sequence[float],
    *,
    level: float = 0.95,
) -> tuple[Verdict, ...]:
    """Verdicts on partly random models: did more than half of the explanation survive?

    Layers that are still trained keep part of every explanation alive, so a floor that owes nothing
    to the model would be too much to ask. The limit is halfway from the floor to the ceiling. Where
    the outputs themselves kept a correlation above one half, likeness says nothing: inconclusive.

    Args:
        estimates: Mean scores, of several explainers and steps.
        floors: The floors of each.
        output_correlations: Of the model's outputs with the trained model's, in each one's step;
            NaN where they became constant.
        level: One minus the probability of any wrong verdict among all of these (Holm 1979).

    Example:
        >>> estimates, floors = [MeanEstimate(0.9, 0.01, 100)] * 2, [Floors(0.1, 0.0, 0.0, 1.0)] * 2
        >>> [verdict.outcome for verdict in judge_step(estimates, floors, [0.1, 0.9])]
        ['insensitive', 'inconclusive']
    """
    limits = [(floor.floor + floor.ceiling) / 2 for floor in floors]
    p_values = [_p_value(estimate, limit) for estimate, limit in zip(estimates, limits, strict=True)]
    levels = holm_levels(p_values, 1 - level)
    verdicts = []
    for estimate, limit, moved, alpha in zip(estimates, limits, output_correlations, levels, strict=True):
        interval = estimate.interval(1 - alpha)
        outcome = _outcome(interval, limit)
        reason = _step_reason(outcome, estimate, interval, limit)
        if outcome == "insensitive" and moved > 0.5:
            outcome = "inconclusive"
            reason = f"The maps stayed alike, but so did the outputs: their correlation is {moved:.2f}."
        verdicts.append(Verdict(outcome, reason, estimate.mean, interval, limit))
    return tuple(verdicts)


def holm_levels(p_values: Sequence[float], alpha: float) -> tuple[float, ...]:
    """The level at which each hypothesis is tested by Holm's step-down procedure.

    The smallest p-value is tested at `alpha / m`, the next at `alpha / (m - 1)`, and so on while
    each is significant; after the first that is not, all others get its level.

    Example:
        >>> [round(level, 4) for level in holm_levels([0.001, 0.4, 0.02], 0.05)]
        [0.0167, 0.05, 0.025]
    """
    count = len(p_values)
    levels = [0.0] * count
    current = alpha / max(count, 1)
    stopped = False
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        if not stopped:
            current = alpha / (count - place)
            stopped = p_values[index] > current
        levels[index] = current
    return tuple(levels)


def _p_value(estimate: MeanEstimate, limit: float) -> float:
    """Two-sided: the mean may be above the limit or below it."""
    if math.isnan(estimate.standard_error) or math.isnan(limit):
        return 1.0
    above = estimate.probability_above(limit)
    return min(1.0, 2 * min(above, 1 - above))


def _outcome(interval: tuple[float, float], limit: float) -> Outcome:
    low, high = interval
    if math.isnan(low) or math.isnan(limit):
        return "undefined"
    if low > limit:
        return "insensitive"
    return "sensitive" if high < limit else "inconclusive"


def _reason(
    outcome: Outcome, estimate: MeanEstimate, interval: tuple[float, float], floor: Floors, margin: float
) -> str:
    if outcome == "undefined":
        return "There is no score: the maps are constant, or too few to know how their mean varies."
    span = f"{estimate.mean:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
    limit = f"the floor of {floor.floor:.2f} plus the margin of {margin:.2f}"
    if outcome == "insensitive":
        return f"With random weights the maps still score {span}, above {limit}: they owe much to something else."
    if outcome == "sensitive":
        return f"With random weights the maps score {span}, below {limit}: they depend on the weights."
    return f"The interval {span} holds {limit}: more {estimate.limited_by} are needed."


def _step_reason(outcome: Outcome, estimate: MeanEstimate, interval: tuple[float, float], limit: float) -> str:
    if outcome == "undefined":
        return "There is no score: the maps are constant, or too few to know how their mean varies."
    span = f"{estimate.mean:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
    half = f"{limit:.2f}, halfway from the floor to the ceiling"
    if outcome == "insensitive":
        return f"The maps still score {span}, above {half}: they hardly depend on what these layers learned."
    if outcome == "sensitive":
        return f"The maps score {span}, below {half}: they depend on what these layers learned."
    return f"The interval {span} holds {half}: more {estimate.limited_by} are needed."
