"""Information of an explanation: is it faithful at all? A comparison with independent noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agnostic_rand.arguments import real_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.statistics.holm import holm_levels
from agnostic_rand.statistics.random_effects import MeanEstimate

Informative: TypeAlias = Literal["informative", "uninformative", "unknown"]

DEFAULT_GAIN = 0.01
"""The smallest gain over noise that matters: one point of probability."""


@dataclass(frozen=True)
class Information:
    """Whether the model's output falls faster where an explanation points at than where noise does.

    Args:
        outcome: `"informative"`: it does. `"uninformative"`: it gains less than the smallest gain
            that matters. `"unknown"`: the samples are too few to tell, or there is no score.
        reason: Why, in words.
        difference: The mean probability under the explanation minus that under noise.
        interval: Its interval, corrected for the number of explainers: informative where its upper
            end is below 0, uninformative where only its lower end is above minus that gain.
    """

    outcome: Informative
    reason: str
    difference: float
    interval: tuple[float, float]


def judge_information(
    differences: Sequence[MeanEstimate], *, gain: float = DEFAULT_GAIN, level: float = 0.95
) -> tuple[Information, ...]:
    """Verdicts on several explainers at once, with Holm's correction across them for each of the two claims.

    That no difference is seen is no evidence for none: *uninformative* must be shown, as in a test
    of non-inferiority.

    Args:
        differences: Of each explainer, the mean over samples of the class's probability while what
            it points at is blurred, minus that while what noise points at is; below 0 is faithful.
        gain: How much lower the probability must be to matter; at least 0.
        level: One minus the probability that any explainer that is no better than noise is called
            informative; also one minus that of calling any uninformative that gains as much as `gain`.

    Raises:
        ArgumentError: The gain is negative, or the level is not in (0.5, 1).

    Source: Binder et al. 2023 for the comparison; Holm 1979.

    Example:
        >>> estimates = [MeanEstimate(-0.2, 0.01, 50), MeanEstimate(0.0, 0.002, 50), MeanEstimate(0.0, 0.05, 3)]
        >>> [one.outcome for one in judge_information(estimates)]
        ['informative', 'uninformative', 'unknown']
    """
    real_number("gain", gain, least=0, example=DEFAULT_GAIN)
    if not 0.5 < level < 1:
        raise ArgumentError("level", expected="a number in (0.5, 1)", received=repr(level), fix="Pass level=0.95.")
    better = [one.probability_below(0.0) for one in differences]
    no_better = [one.probability_above(-gain) for one in differences]
    levels = [holm_levels(p_values, 1 - level) for p_values in (better, no_better)]
    found = []
    for one, p_better, p_none, upper, lower in zip(differences, better, no_better, *levels, strict=True):
        interval = one.interval(1 - 2 * lower)[0], one.interval(1 - 2 * upper)[1]
        outcome: Informative = "unknown"
        if p_better <= upper:
            outcome = "informative"
        elif p_none <= lower:
            outcome = "uninformative"
        found.append(Information(outcome, _reason(outcome, one, interval, gain), one.mean, interval))
    return tuple(found)


def _reason(outcome: Informative, estimate: MeanEstimate, interval: tuple[float, float], gain: float) -> str:
    if math.isnan(estimate.standard_error):
        return "Whether it is informative is unknown: there is no faithfulness score for it."
    span = f"{estimate.mean:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"
    if outcome == "informative":
        return f"Blurring where it points at moves the probability by {span} against blurring where noise does."
    if outcome == "uninformative":
        return (
            "Blurring where it points at lowers the output no more than blurring where noise does: the probability "
            f"differs by {span}, and {gain:.2f} would matter."
        )
    return (
        f"Whether it is informative is unknown: against noise the probability differs by {span}, which may be "
        f"nothing or more than the {gain:.2f} that matter. More samples are needed."
    )
