"""What a check other than a cascade found: scores over named dimensions, frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import missing_extra, unknown_name
from agnostic_rand.statistics import MeanEstimate, estimate_mean

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class CheckResult:
    """The scores of one explainer in one check.

    Args:
        check: The check's name.
        explainer: The explainer's name.
        dimensions: What the axes of every score array are, in order, each with its values, such
            as `{"level": (0.1, 0.2), "sample": (0, 1, 2)}`. `"sample"`, where there is one, is last.
        scores: By measure, arrays of these dimensions in float64; NaN where undefined.
        meaning: In one sentence, what a high score says.
        seed: The root of all randomness.
        settings: Everything else that the scores depend on, as plain values.
        versions: Of this library, Python, NumPy and the framework.
        findings: What should be known before the scores are read, in words.
    """

    check: str
    explainer: str
    dimensions: Mapping[str, tuple[Any, ...]]
    scores: Mapping[str, HostArray]
    meaning: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    averaged: ClassVar[tuple[str, ...]] = ("draw", "sample")
    """The dimensions over which a mean is taken."""

    def __post_init__(self) -> None:
        for array in self.scores.values():
            array.flags.writeable = False
        for name in ("dimensions", "scores", "settings", "versions"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings cannot be pickled; the constructor makes them anew.
        values = [getattr(self, one.name) for one in fields(self)]
        return type(self), tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    @property
    def undefined(self) -> dict[str, int]:
        """By measure, how many scores are undefined."""
        return {name: int(np.isnan(array).sum()) for name, array in self.scores.items()}

    def mean(self, measure: str | None = None) -> HostArray:
        """The mean over samples (and draws, where there are some) at each other place.

        Args:
            measure: By default the first.
        """
        scores = self._of(measure)
        over = tuple(i for i, name in enumerate(self.dimensions) if name in self.averaged)
        defined = np.isfinite(scores)
        totals = np.where(defined, scores, 0.0).sum(axis=over)
        counts = defined.sum(axis=over)
        return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)

    def estimate(self, measure: str | None = None, place: Mapping[str, int] | None = None) -> MeanEstimate:
        """The mean and its uncertainty at one place of the other dimensions, such as `{"level": 0}`.

        Args:
            measure: By default the first.
            place: For each dimension but draw and sample, the index; 0 by default.

        Raises:
            UnknownNameError: There is no such measure or dimension.
        """
        scores = self._of(measure)
        place = place or {}
        for name in place:
            if name not in self.dimensions:
                raise unknown_name("dimension", name, self.dimensions)
        kept = tuple(slice(None) if name in ("draw", "sample") else place.get(name, 0) for name in self.dimensions)
        chosen = scores[kept]
        return estimate_mean(chosen if chosen.ndim == 2 else chosen[None])

    def summary(self) -> str:
        """The mean scores, as text for a terminal."""
        lines = [f"{self.check} of {self.explainer} ({self.meaning})"]
        names = [name for name in self.dimensions if name not in self.averaged]
        for measure in self.scores:
            means = self.mean(measure)
            for index in np.ndindex(means.shape):
                labels = zip(names, index, strict=True)
                place = ", ".join(f"{name} {self.dimensions[name][i]}" for name, i in labels)
                lines.append(f"  {measure:20} {place:40} {means[index]:8.3f}")
        lines += [f"  {name}: {count} undefined" for name, count in self.undefined.items() if count]
        return "\n".join([*lines, *(f"  ! {finding}" for finding in self.findings)])

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; undefined scores are `None`."""
        return {
            "check": self.check,
            "explainer": self.explainer,
            "dimensions": {name: list(values) for name, values in self.dimensions.items()},
            "scores": {name: _plain(array) for name, array in self.scores.items()},
            "meaning": self.meaning,
            "seed": self.seed,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "findings": list(self.findings),
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each measure and place.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_extra("to_dataframe()", "pandas", "report") from error
        frames = []
        for measure, scores in self.scores.items():
            columns: dict[str, Any] = {"explainer": self.explainer, "check": self.check, "measure": measure}
            for (name, values), index in zip(self.dimensions.items(), np.indices(scores.shape), strict=True):
                columns[name] = _labels(values)[index.ravel()]
            frames.append(pd.DataFrame({**columns, "score": scores.ravel()}))
        return pd.concat(frames, ignore_index=True)

    def _of(self, measure: str | None) -> HostArray:
        if measure is None:
            return next(iter(self.scores.values()))
        if measure not in self.scores:
            raise unknown_name("measure", measure, self.scores)
        return self.scores[measure]


def _labels(values: Sequence[Any]) -> HostArray:
    labels = np.empty(len(values), dtype=object)
    labels[:] = list(values)
    return labels


def _plain(array: HostArray) -> Any:
    values = array.astype(object)
    values[np.isnan(array)] = None
    return values.tolist()
