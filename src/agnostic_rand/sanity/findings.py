"""Findings about an explainer beside its verdict, in words."""

from __future__ import annotations

import numpy as np

from agnostic_rand.results.scores import Scores
from agnostic_rand.sanity.references import References
from agnostic_rand.similarity import Measure
from agnostic_rand.statistics import REPEATED, Information, Verdict, defined_mean, estimate_mean


def findings_of(
    result: Scores,
    measure: Measure,
    references: References,
    steps: tuple[Verdict, ...],
    information: Information | None,
) -> tuple[str, ...]:
    """All findings about one explainer.

    Args:
        result: The cascade from the top.
        measure: The measure of the verdicts.
        references: Its own noise, and its likeness to the input.
        steps: The verdicts on each step.
        information: What faithfulness says, or `None`.
    """
    found = [
        *result.findings,
        _survived(result, steps),
        _shared_zeros(result),
        _own_noise(result, measure, references),
        _copied(references, measure),
        _twins(references),
        None if information is None or information.outcome == "informative" else information.reason,
        _few_draws(result),
        _empty_draws(result, measure),
    ]
    return tuple(one for one in found if one)


def _survived(result: Scores, steps: tuple[Verdict, ...]) -> str | None:
    """Down to which step, counted from the top without a gap, the maps outlived the model."""
    depth = 0
    while depth < len(steps) and steps[depth].outcome == "insensitive":
        depth += 1
    if depth == 0:
        return None
    correlation = result.moved.correlation[:, depth - 1]
    defined = correlation[np.isfinite(correlation)]
    outputs = f"a correlation of {defined.mean():.2f}" if defined.size else "constant outputs"
    return (
        f"Insensitive to the layers above and in {result.steps[depth - 1].name!r}: with random weights there "
        f"the maps score {steps[depth - 1].score:.2f}, while the model is left with {outputs}."
    )


def _shared_zeros(result: Scores) -> str | None:
    names = ("spearman", "spearman_abs", "spearman_abs_nonzero")
    if not set(names) <= set(result.scores):
        return None
    signed, absolute, masked = (float(result.mean(name)[-1]) for name in names)
    if absolute - abs(signed) > 0.3 and absolute - masked > 0.2:
        return (
            f"Absolute maps agree ({absolute:.2f}) where signed ones do not ({signed:.2f}): both are zero at "
            f"the same pixels. Over the other pixels absolute maps score {masked:.2f}."
        )
    return None


def _own_noise(result: Scores, measure: Measure, references: References) -> str | None:
    again = references.again[measure.name]
    if not np.isfinite(again).any() or np.nanmean(again) >= REPEATED:
        return None
    # The same samples, so that what they have in common cancels.
    random = result.scores[measure.name][:, -1, : len(again)]
    low, high = estimate_mean(again[None] - random).interval()
    own, left = float(np.nanmean(again)), float(defined_mean(random))
    if low > 0:
        return f"It draws noise: the same model explained twice scores {own:.2f}, a random model {left:.2f}."
    return (
        f"What changes is its own noise: the same model explained twice scores {own:.2f}, a random model "
        f"{left:.2f} (difference [{low:.2f}, {high:.2f}]). No dependence on the weights was seen."
    )


def _copied(references: References, measure: Measure) -> str | None:
    for name, score in references.likeness.items():
        if score > 0.5:
            what = "the input" if name == "input_map" else "the input's edges"
            return f"Its maps of the trained model look like {what}: {measure.name} {score:.2f}."
    return None


def _twins(references: References) -> str | None:
    if not references.twins:
        return None
    names = " and ".join(map(repr, references.twins))
    return f"Its maps equal those of {names} in every pixel: both are one, or one did not bind as it should."


def _few_draws(result: Scores) -> str | None:
    draws = next(iter(result.scores.values())).shape[0]
    if draws > 1:
        return None
    return "One draw of the weights: its intervals speak of samples alone, not of other random weights."


def _empty_draws(result: Scores, measure: Measure) -> str | None:
    last = result.scores[measure.name][:, -1]
    empty = estimate_mean(last).empty_draws
    if empty in (0, len(last)):
        return None
    return f"{empty} of {len(last)} random models gave no score at all (constant maps): the others are judged."
