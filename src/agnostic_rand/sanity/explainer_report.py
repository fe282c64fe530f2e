"""Report on one explainer: its verdict, why, and every score behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agnostic_rand.errors import unknown_name
from agnostic_rand.results.scores import Scores
from agnostic_rand.statistics import Floors, Information, Informative, Verdict


@dataclass(frozen=True)
class ExplainerReport:
    """All that was found about one explainer.

    Args:
        name: The explainer's name.
        control: Whether it is one of the controls that explain nothing.
        verdict: Whether it depends on the weights, at full randomization.
        informative: Whether the model's output falls faster where it points at than where noise does.
        floors: By measure, what unrelated maps score, and the same model's.
        cascades: By order, the scores of the cascade.
        random_logit: The scores against another class, or `None` where there is none.
        faithfulness: The probabilities as patches are blurred, or `None` for inputs that are no images.
        findings: What should be known about the explainer, in words.
        by_step: For each step from the top, whether more than half of the explanation survived it.
        information: Why it is informative or not, or `None` where that is unknown.
        likeness: By control, the mean score of the trained model's maps with the control's.
    """

    name: str
    control: bool
    verdict: Verdict
    informative: Informative
    floors: Mapping[str, Floors]
    cascades: Mapping[str, Scores]
    random_logit: Scores | None
    faithfulness: Scores | None
    findings: tuple[str, ...]
    by_step: tuple[Verdict, ...] = ()
    information: Information | None = None
    likeness: Mapping[str, float] = field(default_factory=dict)

    def normalized(self, measure: str) -> float:
        """The place of the mean score at full randomization between floor (0) and ceiling (1).

        NaN where floor and ceiling are less than 0.05 apart.

        Args:
            measure: Which score.

        Raises:
            UnknownNameError: There is no such measure.

        Source: Arun et al. 2021 for the floor of other images.
        """
        if measure not in self.floors:
            raise unknown_name("measure", measure, self.floors)
        return self.floors[measure].normalized(float(self.cascades["top_down"].mean(measure)[-1]))
