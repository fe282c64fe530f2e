"""Evaluation of scores: one number, with a warning for each thing that it does not show."""

from __future__ import annotations

import warnings

import numpy as np

from agnostic_rand.errors import FindingWarning, UndefinedScoreWarning
from agnostic_rand.results.scores import Scores
from agnostic_rand.statistics import defined_mean


def evaluated(scores: Scores, measure: str | None) -> float:
    """The mean of all defined scores of a measure, by default the first; NaN where none is defined.

    Warns of undefined scores and of the findings, from where the caller's caller stands.
    """
    array = scores.of(measure)
    missing = int(np.isnan(array).sum())
    if missing:
        warnings.warn(
            f"{missing} of {array.size} {scores.name_of(measure)} scores of {scores.explainer!r} are undefined "
            "(constant maps) and left out of the mean: look at .run(explainer).undefined.",
            UndefinedScoreWarning,
            stacklevel=3,
        )
    for finding in scores.findings:
        warnings.warn(f"{scores.explainer}: {finding}", FindingWarning, stacklevel=3)
    return float(defined_mean(array))
