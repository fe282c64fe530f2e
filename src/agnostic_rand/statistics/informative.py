"""Is an explanation faithful at all? A comparison with independent noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agnostic_rand.statistics.random_effects import MeanEstimate
from agnostic_rand.statistics.verdict import holm_levels

Informative: TypeAlias = Literal["informative", "uninformative", "unknown"]


@dataclass(frozen=True)
class Information:
    """Whether the model's output falls faster where an explanation points at than where noise does.

    Args:
        outcome: `"informative"`: it does. `"uninformative"`: no difference was seen, or the
            opposite. `"unknown"`: there is no score.
        reason: Why, in words.
        difference: The mean probability under the explanation minus that under noise.
        interval: Its interval, corrected for the number of explainers.
    """

    outcome: Informative
    reason: str
    difference: float
    interval: tuple[float, float]


def judge_information(differences: Sequence[MeanEstimate], *, level: float = 0.95) -> tuple[Information, ...]:
    """Verdicts on several explainers at once, with Holm's correction across them.

    Args:
        differences: Of each explainer, the mean over samples of the class's probability while what
            it points at is blurred, minus that while what noise points at is; below 0 is faithful.
        level: One minus the probability that any explainer that is no better than noise is called
            informative.

    Source: Binder et al. 2023 for the comparison; Holm 1979.

    Example:
        >>> [one.outcome for one in judge_information([MeanEstimate(-0.2, 0.01, 50), MeanEstimate(0.0, 0.01, 50)])]
        ['informative', 'uninformative']
    """
    # One-sided: only "below" says that an explanation is informative.
    p_values = [1 - one.probability_above(0.0) if _known(one) else 1.0 for one in differences]
    levels = holm_levels(p_values, 1 - level)
    found = []
    for one, p_value, alpha in zip(differences, p_values, levels, strict=True):
        interval = one.interval(1 - 2 * alpha)
        outcome: Informative = "unknown"
        if _known(one):
            outcome = "informative" if p_value <= alpha and one.mean < 0 else "uninformative"
        found.append(Information(outcome, _reason(outcome, one, interval), one.mean, interval))
    return tuple(found)


def _known(estimate: MeanEstimate) -> bool:
    return not math.isnan(estimate.standard_error)


def _reason(outcome: Informative, estimate: MeanEstimate, interval: tuple[float, float]) -> str:
    if outcome == "unknown":
        return "Whether it is informative is unknown: there is no faithfulness score for it."
    span = f"{estimate.mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"
    if outcome == "informative":
        return f"Blurring where it points at moves the probability by {span} against blurring where noise does."
    return (
        "Blurring where it points at lowers the output no more than blurring where noise does: the probability "
        f"differs by {span}."
    )
