"""Labelled scores: one array for each measure over named dimensions, with all that they depended on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError, unknown_name
from agnostic_rand.results.archive import plain
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.statistics import MeanEstimate, defined_mean, estimate_mean
from agnostic_rand.weights import Step


@dataclass(frozen=True)
class Notes:
    """What is known of one explainer besides its scores.

    Args:
        findings: What should be known before its scores are read, in words.
        self_similarity: By measure, the mean score of the trained model's maps with themselves,
            computed twice: the ceiling of every other score, 1 for a deterministic explainer.
        settings: In a result of several explainers, the settings that are not those of all.
    """

    findings: tuple[str, ...] = ()
    self_similarity: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LabelledScores:
    """Scores as numbers: what is known of them without showing or storing them.

    Args:
        check: The check's name.
        dimensions: What the axes of every score array are, in order, each with its values, such as
            `{"draw": (0, 1), "step": ("fc", "conv"), "sample": (0, 1, 2)}`. `"explainer"`, where there
            is one, is first, and `"sample"` last.
        scores: By measure, arrays of these dimensions in float64; NaN where undefined.
        notes: By explainer, what is known of it besides its scores.
        meaning: In one sentence, what a high score says.
        seed: The root of all randomness.
        settings: Everything else that the scores depend on, as plain values; what differs between
            explainers is in their notes.
        versions: Of this library, Python, NumPy and the framework.
        steps: What was random in each step, with its coverage; empty where nothing is randomized in steps.
        outputs: How far the model's own outputs moved in each step, or `None`.
        averaged: The dimensions over which a mean is taken.
    """

    check: str
    dimensions: Mapping[str, tuple[Any, ...]]
    scores: Mapping[str, HostArray]
    notes: Mapping[str, Notes]
    meaning: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    outputs: OutputChange | None = None
    averaged: tuple[str, ...] = ("draw", "sample")

    def __post_init__(self) -> None:
        for array in (*self.scores.values(), *(vars(self.outputs).values() if self.outputs else ())):
            array.flags.writeable = False
        for name in ("dimensions", "scores", "notes", "settings", "versions"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings cannot be pickled; the constructor makes them anew.
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: dict(v) if isinstance(v, MappingProxyType) else v for name, v in values.items()}
        return _remade, (type(self), plain)

    @classmethod
    def of_explainers(cls, results: Sequence[Self]) -> Self:
        """One result over the dimension `"explainer"`, from those of single explainers.

        Args:
            results: Of one check with the same settings, each of another explainer.
        """
        first = results[0]
        told = [plain(one.settings) for one in results]
        shared = {name for name in told[0] if all(name in one and one[name] == told[0][name] for one in told)}
        return replace(
            first,
            dimensions={"explainer": tuple(one.explainer for one in results), **first.dimensions},
            scores={name: np.stack([one.scores[name] for one in results]) for name in first.scores},
            notes={
                one.explainer: replace(
                    one.notes[one.explainer],
                    settings={name: value for name, value in one.settings.items() if name not in shared},
                )
                for one in results
            },
            settings={name: value for name, value in first.settings.items() if name in shared},
        )

    def __getitem__(self, explainer: str) -> Self:
        """The scores of one of the explainers.

        Raises:
            UnknownNameError: There is no such explainer.
        """
        if explainer not in self.notes:
            raise unknown_name("explainer", explainer, self.notes)
        if "explainer" not in self.dimensions:
            return self
        place = self.explainers.index(explainer)
        return replace(
            self,
            dimensions={name: values for name, values in self.dimensions.items() if name != "explainer"},
            scores={name: array[place].copy() for name, array in self.scores.items()},
            notes={explainer: replace(self.notes[explainer], settings={})},
            settings={**self.settings, **self.notes[explainer].settings},
        )

    @property
    def explainers(self) -> tuple[str, ...]:
        """The names of all explainers."""
        return tuple(self.notes)

    @property
    def explainer(self) -> str:
        """The name of the explainer, or of all with commas between."""
        return ", ".join(self.notes)

    @property
    def findings(self) -> tuple[str, ...]:
        """What should be known before the scores are read; with the explainer's name where there are several."""
        several = len(self.notes) > 1
        return tuple(
            f"{name}: {one}" if several else one for name, notes in self.notes.items() for one in notes.findings
        )

    @property
    def self_similarity(self) -> dict[str, float]:
        """By measure, the lowest ceiling of the explainers: the trained model's maps with themselves."""
        found: dict[str, float] = {}
        for notes in self.notes.values():
            for name, value in notes.self_similarity.items():
                found[name] = min(value, found.get(name, value))
        return found

    @property
    def undefined(self) -> dict[str, HostArray]:
        """By measure, how many samples have no score at each place of the other dimensions."""
        axis = list(self.dimensions).index("sample") if "sample" in self.dimensions else ()
        return {name: (~np.isfinite(array)).sum(axis=axis) for name, array in self.scores.items()}

    @property
    def moved(self) -> OutputChange:
        """`outputs`, where the model is randomized in steps.

        Raises:
            ArgumentError: It is not.
        """
        if self.outputs is None:
            raise ArgumentError(
                f"the scores of {self.check!r}",
                expected="those of steps in which the model is randomized, with the change of its outputs",
                received="scores without steps",
                fix="Take the scores of ModelRandomization().",
            )
        return self.outputs

    @property
    def coverage(self) -> float:
        """The largest share of the model's parameters that was random in a step, in [0, 1]; NaN without steps."""
        return max((step.coverage for step in self.steps), default=float("nan"))

    def mean(self, measure: str | None = None) -> HostArray:
        """The mean over draws and samples (`averaged`) at each place of the other dimensions; NaN where undefined.

        Args:
            measure: By default the first.

        Raises:
            UnknownNameError: There is no such measure.
        """
        over = tuple(i for i, name in enumerate(self.dimensions) if name in self.averaged)
        return defined_mean(self.of(measure), over)

    def estimate(self, measure: str | None = None, place: Mapping[str, int] | None = None) -> MeanEstimate:
        """The mean and its uncertainty at one place of the dimensions that no mean is taken over.

        Args:
            measure: By default the first.
            place: For each such dimension the index, such as `{"step": 2}`; 0 by default.

        Raises:
            UnknownNameError: There is no such measure or dimension.
        """
        place = place or {}
        for name in place:
            if name not in self.dimensions:
                raise unknown_name("dimension", name, self.dimensions)
        over = [name for name in self.averaged if name in self.dimensions and name not in place]
        kept = tuple(slice(None) if name in over else place.get(name, 0) for name in self.dimensions)
        chosen = self.of(measure)[kept]
        # Draws and samples vary; what else a mean is taken over belongs to each of them.
        names = [name for name in self.dimensions if name in over]
        inner = tuple(i for i, name in enumerate(names) if name not in ("draw", "sample"))
        chosen = chosen.mean(axis=inner) if inner else chosen
        return estimate_mean(chosen if chosen.ndim == 2 else chosen[None])

    def interval(self, measure: str | None = None, level: float = 0.95) -> HostArray:
        """The interval of each mean `(..., 2)`, draws and samples both random; NaN where unknown.

        See `agnostic_rand.statistics.estimate_mean` for how it is computed. It ends where the measure's range does.

        Args:
            measure: By default the first.
            level: How often it covers the true mean, in (0, 1).

        Raises:
            UnknownNameError: There is no such measure.
        """
        measure = self.name_of(measure)
        means = self.mean(measure)
        names = [name for name in self.dimensions if name not in self.averaged]
        low, high = self.settings.get("ranges", {}).get(measure, (None, None))
        # Numbers, since older versions of NumPy refuse to clip at no end at all.
        ends = -np.inf if low is None else low, np.inf if high is None else high
        found = np.full((*means.shape, 2), np.nan)
        for index in np.ndindex(means.shape):
            place = dict(zip(names, index, strict=True))
            found[index] = np.clip(self.estimate(measure, place).interval(level), *ends)
        return found

    def of(self, measure: str | None = None) -> HostArray:
        """The scores of a measure, by default of the first.

        Raises:
            UnknownNameError: There is no such measure.
        """
        return self.scores[self.name_of(measure)]

    def name_of(self, measure: str | None) -> str:
        """The measure's name, or that of the first where it is `None`.

        Raises:
            UnknownNameError: There is no such measure.
        """
        if measure is None:
            return next(iter(self.scores))
        if measure not in self.scores:
            raise unknown_name("measure", measure, self.scores)
        return measure


def _remade(kind: type[LabelledScores], values: dict[str, Any]) -> LabelledScores:
    return kind(**values)
