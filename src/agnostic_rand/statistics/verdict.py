"""Verdict: what may be said of an explanation, and with how much certainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agnostic_rand.arguments import real_number
from agnostic_rand.statistics.contrasts import Contrasts
from agnostic_rand.statistics.decisions import Decision, Outcome, decide
from agnostic_rand.statistics.reasons import reason_of, step_reason_of

DEFAULT_MARGIN = 0.1


@dataclass(frozen=True)
class Verdict:
    """Whether an explanation depends on the randomized weights.

    Args:
        outcome: `"insensitive"`: more survived than the floor and the margin allow, or everything.
            `"sensitive"`: less did, and the trained model explained twice scores more.
            `"inconclusive"`: neither is certain, or there is one draw. `"undefined"`: there is no
            score.
        reason: Why, in words.
        score: The mean score.
        interval: Its 95 % interval, of this explainer alone.
        limit: What the score is compared with: the floor plus the margin, or halfway to the ceiling.
        excess: The score minus the floor, or minus the place halfway to the ceiling.
        excess_interval: Its interval, from which the outcome follows: it counts how well the floor
            is known, and is corrected for the number of explainers.
    """

    outcome: Outcome
    reason: str
    score: float
    interval: tuple[float, float]
    limit: float
    excess: float
    excess_interval: tuple[float, float]


def judge(
    contrasts: Sequence[Contrasts], *, margin: float = DEFAULT_MARGIN, level: float = 0.95
) -> tuple[Verdict, ...]:
    """Verdicts on several explainers at once, with Holm's correction across them.

    *Insensitive* is above every floor plus the margin. *Sensitive* is below a floor plus the margin
    while the ceiling is above both: what ignores the model scores the same with a random model as
    with the trained one twice, and so is not sensitive, whatever its maps have in common or its
    noise hides. Where every map of every random model is the trained model's, nothing is left to
    chance: *insensitive*. One draw says nothing of other random weights: *inconclusive*.

    Args:
        contrasts: Of each explainer, with the floors (`share=0`).
        margin: How much above the floor still counts as nothing; at least 0.
        level: One minus the probability of any wrong "sensitive" or "insensitive" among all.

    Raises:
        ArgumentError: The margin is negative, or the level is not in (0, 1).

    Source: Holm 1979; Berger 1982 (several floors); the three values follow equivalence testing.

    Example:
        >>> from agnostic_rand.statistics import Floors, MeanEstimate, known_contrasts
        >>> judge([known_contrasts(MeanEstimate(0.9, 0.01, 100), Floors(0.1, 0.0, 0.0, 1.0))])[0].outcome
        'insensitive'
    """
    real_number("margin", margin, least=0, example=DEFAULT_MARGIN)
    found = decide(contrasts, margin, margin, level)
    return tuple(_verdict(one, margin, reason_of(one, margin)) for one in found)


def judge_step(
    contrasts: Sequence[Contrasts],
    output_correlations: Sequence[float],
    *,
    margin: float = DEFAULT_MARGIN,
    level: float = 0.95,
) -> tuple[Verdict, ...]:
    """Verdicts on partly random models: did more than half of the explanation survive?

    Layers that are still trained keep part of every explanation alive, so a floor that owes nothing
    to the model would be too much to ask. The limit is halfway from the floor to the ceiling. Where
    the outputs themselves kept a correlation above one half, likeness says nothing: inconclusive.

    Args:
        contrasts: Of several explainers and steps, halfway to the ceiling (`share=0.5`).
        output_correlations: Of the model's outputs with the trained model's, in each one's step;
            NaN where they became constant.
        margin: How far the ceiling must be above the floor for "sensitive"; at least 0.
        level: One minus the probability of any wrong verdict among all of these.

    Raises:
        ArgumentError: The margin is negative, or the level is not in (0, 1).

    Source: As of `judge`.

    Example:
        >>> from agnostic_rand.statistics import Floors, MeanEstimate, known_contrasts
        >>> one = known_contrasts(MeanEstimate(0.9, 0.01, 100), Floors(0.1, 0.0, 0.0, 1.0), share=0.5)
        >>> [verdict.outcome for verdict in judge_step([one, one], [0.1, 0.9])]
        ['insensitive', 'inconclusive']
    """
    real_number("margin", margin, least=0, example=DEFAULT_MARGIN)
    verdicts = []
    for one, moved in zip(decide(contrasts, 0.0, margin, level), output_correlations, strict=True):
        verdict = _verdict(one, 0.0, step_reason_of(one, margin))
        if verdict.outcome == "insensitive" and moved > 0.5:
            reason = f"The maps stayed alike, but so did the outputs: their correlation is {moved:.2f}."
            verdict = replace(verdict, outcome="inconclusive", reason=reason)
        verdicts.append(verdict)
    return tuple(verdicts)


def _verdict(decision: Decision, margin: float, reason: str) -> Verdict:
    score = decision.contrasts.score
    limit = decision.contrasts.limit(decision.floor) + margin if decision.floor else math.nan
    return Verdict(
        decision.outcome, reason, score.mean, score.interval(), limit, decision.excess, decision.interval
    )
