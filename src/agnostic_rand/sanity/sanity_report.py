"""What a sanity check found, by explainer: verdicts, why, and every score behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agnostic_rand.errors import missing_extra, unknown_name
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.results.randomization_result import RandomizationResult
from agnostic_rand.statistics import Floors, Information, Informative, Verdict

if TYPE_CHECKING:
    import pandas as pd

NECESSARY = (
    "A sensitive explanation depends on the weights. That is necessary, not sufficient: it may still be wrong, "
    "and nothing scores lower than independent noise. No number here ranks methods."
)


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
    cascades: Mapping[str, RandomizationResult]
    random_logit: CheckResult | None
    faithfulness: CheckResult | None
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


@dataclass(frozen=True)
class SanityReport:
    """What was found about every explainer, and what was run.

    Args:
        explainers: The reports, the user's explainers first, then the controls.
        seed: The root of all randomness.
        settings: What was run, as plain values.
        versions: Of this library, Python, NumPy and the framework.
        estimated_seconds: How long the run was expected to take.
        seconds: How long it took.
        decay: By order, the model's own accuracy, agreement and output correlation at each step.
    """

    explainers: tuple[ExplainerReport, ...]
    seed: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    estimated_seconds: float
    seconds: float
    decay: Mapping[str, CheckResult] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ExplainerReport:
        for explainer in self.explainers:
            if explainer.name == name:
                return explainer
        raise unknown_name("explainer", name, [explainer.name for explainer in self.explainers])

    def summary(self) -> str:
        """The verdicts as a table for a terminal, and why each was given."""
        from agnostic_rand.report.sanity_text import sanity_text

        return sanity_text(self)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON."""
        return {
            "seed": self.seed,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "estimated_seconds": self.estimated_seconds,
            "seconds": self.seconds,
            "decay": {order: result.to_dict() for order, result in self.decay.items()},
            "explainers": [_explainer_dict(explainer) for explainer in self.explainers],
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each explainer, check, measure, step, draw and sample.

        Rows of the cascades have the score's place between floor and ceiling in `normalized`. Rows of
        the check `"references"` have a mean for each `reference`: the floors, the ceiling, the floor
        of verdicts, and the likeness of the trained model's maps to the input and its edges.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_extra("to_dataframe()", "pandas", "report") from error
        frames = []
        for explainer in self.explainers:
            for order, result in explainer.cascades.items():
                frame = result.to_dataframe().assign(check=f"cascade_{order}")
                floors = {name: one.floor for name, one in explainer.floors.items()}
                spans = {name: one.span for name, one in explainer.floors.items()}
                places = (frame["score"] - frame["measure"].map(floors)) / frame["measure"].map(spans)
                frames.append(frame.assign(normalized=places))
            frames.append(pd.DataFrame(_reference_rows(explainer, self.settings["verdict_measure"])))
            for check in (explainer.random_logit, explainer.faithfulness):
                if check is not None:
                    frames.append(check.to_dataframe())
        frames += [one.to_dataframe().assign(check=f"decay_{order}") for order, one in self.decay.items()]
        return pd.concat(frames, ignore_index=True)


def _reference_rows(explainer: ExplainerReport, measure: str) -> list[dict[str, Any]]:
    rows = {(name, key): value for name, floors in explainer.floors.items() for key, value in _floor_dict(floors)}
    rows |= {(measure, f"likeness_{name}"): value for name, value in explainer.likeness.items()}
    return [
        {"explainer": explainer.name, "check": "references", "measure": name, "reference": key, "score": value}
        for (name, key), value in rows.items()
    ]


def _floor_dict(floors: Floors) -> list[tuple[str, float]]:
    names = ("cross_image", "shuffled", "between_draws", "ceiling", "floor")
    return [(name, getattr(floors, name)) for name in names]


def _explainer_dict(explainer: ExplainerReport) -> dict[str, Any]:
    return {
        "name": explainer.name,
        "control": explainer.control,
        "verdict": asdict(explainer.verdict),
        "informative": explainer.informative,
        "floors": {name: {**asdict(one), "floor": one.floor} for name, one in explainer.floors.items()},
        "normalized": {name: explainer.normalized(name) for name in explainer.floors},
        "by_step": [asdict(verdict) for verdict in explainer.by_step],
        "information": None if explainer.information is None else asdict(explainer.information),
        "likeness": dict(explainer.likeness),
        "findings": list(explainer.findings),
        "cascades": {order: result.to_dict() for order, result in explainer.cascades.items()},
        "random_logit": None if explainer.random_logit is None else explainer.random_logit.to_dict(),
        "faithfulness": None if explainer.faithfulness is None else explainer.faithfulness.to_dict(),
    }
