"""Report of a sanity check, by explainer: verdicts, why, and every score behind them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Self

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError, missing_extra, unknown_name
from agnostic_rand.results.archive import Take, plain, read_archive, write_archive
from agnostic_rand.results.scores import Scores
from agnostic_rand.results.typed import exactly, typed
from agnostic_rand.sanity.explainer_report import ExplainerReport
from agnostic_rand.sanity.text import sanity_text
from agnostic_rand.statistics import Floors

if TYPE_CHECKING:
    import pandas as pd

KIND = "sanity_report"
"""What a file of a report says that it holds."""

_REPORT = "report"


@dataclass(frozen=True, repr=False)
class SanityReport:
    """What was found about every explainer, and what was run.

    Args:
        explainers: The reports, the user's explainers first, then the controls.
        seed: The root of all randomness.
        settings: What was run, as plain values.
        versions: Of this library, Python, NumPy and the framework.
        seconds: How long it took.
        decay: By order, the model's own accuracy, agreement and output correlation at each step.

    Raises:
        ArgumentError: An explainer lacks the scores that its verdict is on, or the settings lack the measure.
    """

    explainers: tuple[ExplainerReport, ...]
    seed: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float
    decay: Mapping[str, Scores] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for expected, received in _faults(self):
            raise ArgumentError(
                "the report", expected=expected, received=received, fix="Take what sanity_check returns."
            )

    def __getitem__(self, name: str) -> ExplainerReport:
        for explainer in self.explainers:
            if explainer.name == name:
                return explainer
        raise unknown_name("explainer", name, [explainer.name for explainer in self.explainers])

    def __repr__(self) -> str:
        told = ", ".join(f"{one.name} {one.verdict.outcome}" for one in self.explainers if not one.control)
        told = f"SanityReport, seed {self.seed}: {told}"
        return f"<{told if len(told) < 280 else f'{told[:279]}…'}>"

    def summary(self) -> str:
        """The verdicts as a table for a terminal, and why each was given."""
        return sanity_text(self.explainers, self.settings, self.seed)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; numbers that are not finite are `None`."""
        return {
            "seed": self.seed,
            "settings": plain(self.settings),
            "versions": dict(self.versions),
            "seconds": self.seconds,
            "decay": {order: result.to_dict() for order, result in self.decay.items()},
            "explainers": [_explainer_dict(explainer) for explainer in self.explainers],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file, which replaces an older one only when it is complete.

        Args:
            path: Such as `"report.npz"`; see `docs/file-format.md` for what is in it.

        Raises:
            ArgumentError: The file cannot be written.
        """
        arrays: dict[str, HostArray] = {}
        write_archive(path, KIND, {_REPORT: _described(self, _REPORT, arrays)}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], most_bytes: int | None = None) -> Self:
        """The report in a file that `save` wrote; `agnostic_rand.load` reads scores too.

        Args:
            path: The file.
            most_bytes: What it may unpack to; by default 256 MiB, or 8 times its size where that is more.

        Raises:
            FileNotFoundError: There is no such file.
            ArgumentError: It holds no report, is damaged, or unpacks to more.
        """
        return read_archive(path, {KIND: cls.restored}, most_bytes)

    @classmethod
    def restored(cls, described: Mapping[str, Any], take: Take) -> Self:
        """The report of a description and arrays.

        Raises:
            ArgumentError: They are not as `save` makes them.
        """

        def scores(value: Any, place: str) -> Scores:
            return Scores.restored(value, lambda name: take(f"{place}/{name}"))

        value = exactly([_REPORT], described, "the description")[_REPORT]
        found: Self = typed(cls, value, _REPORT, {Scores: scores})
        return found

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


def _described(value: Any, place: str, arrays: dict[str, HostArray]) -> Any:
    """The value for JSON, with the arrays of all scores in it by the place where they stand."""
    if isinstance(value, Scores):
        arrays |= {f"{place}/{name}": array for name, array in value.arrays().items()}
        return value.description()
    if is_dataclass(value):
        value = {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, Mapping):
        return {name: _described(one, f"{place}.{name}", arrays) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_described(one, f"{place}.{number}", arrays) for number, one in enumerate(value)]
    return plain(value)


def _faults(report: SanityReport) -> Iterator[tuple[str, str]]:
    names = [one.name for one in report.explainers]
    if not names or len(set(names)) < len(names):
        yield "explainers with names of their own", ", ".join(names) or "none"
    missing = {"verdict_measure", "framework", "samples", "draws"} - set(report.settings)
    if missing:
        yield "what was run as the settings", f"none of {', '.join(sorted(missing))}"
        return
    for one in report.explainers:
        cascade = one.cascades.get("top_down")
        if cascade is None or cascade.outputs is None or tuple(cascade.dimensions) != ("draw", "step", "sample"):
            yield f"the cascade of {one.name!r} from the top", "none"
            return
        if report.settings["verdict_measure"] not in one.floors or not set(one.floors) <= set(cascade.scores):
            yield f"floors of {one.name!r} for the measure of verdicts", f"those of {', '.join(one.floors)}"
        if len(one.by_step) != len(cascade.steps):
            yield f"a verdict on each step of {one.name!r}", f"{len(one.by_step)} of {len(cascade.steps)}"
        for scores in (*one.cascades.values(), one.random_logit, one.faithfulness):
            if scores is not None and scores.explainer != one.name:
                yield f"scores of {one.name!r}", f"those of {scores.explainer!r}"


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
    found: dict[str, Any] = {
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
    }
    return {
        **plain(found),
        "cascades": {order: result.to_dict() for order, result in explainer.cascades.items()},
        "random_logit": None if explainer.random_logit is None else explainer.random_logit.to_dict(),
        "faithfulness": None if explainer.faithfulness is None else explainer.faithfulness.to_dict(),
    }
