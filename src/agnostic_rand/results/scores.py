"""Scores of a check, as text, figures, tables and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, get_type_hints

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError, InsensitiveError, missing_extra
from agnostic_rand.results.archive import Take, plain, read_archive, write_archive
from agnostic_rand.results.consistency import refuse_inconsistent, refuse_unreadable
from agnostic_rand.results.foreign import printable
from agnostic_rand.results.labelled import LabelledScores, Notes
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.results.plots import curve_figure
from agnostic_rand.results.text import summary_text
from agnostic_rand.results.typed import exactly, typed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["KIND", "Notes", "Scores"]

KIND = "scores"
"""What a file of scores says that it holds."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Scores(LabelledScores):
    """What a check found for one explainer, or for several over the dimension `"explainer"`; see `LabelledScores`.

    Arguments are those of `LabelledScores`.

    Raises:
        ArgumentError: Arrays, dimensions, steps and notes contradict each other.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> x = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
        >>> scores = ar.ModelRandomization(draws=2).run(ar.Subject(net, x, seed=0), "gradient")
        >>> scores.scores["spearman"].shape
        (2, 2, 10)
    """

    def __post_init__(self) -> None:
        refuse_inconsistent(self)
        super().__post_init__()

    def assert_sensitive(self, max_similarity: float, measure: str | None = None) -> None:
        """Pass only where little of the explanation survived the last step.

        Args:
            max_similarity: What the absolute mean score may be at most.
            measure: Which score; by default the first.

        Raises:
            InsensitiveError: More survived, or the score is undefined.

        Example:
            >>> import agnostic_rand as ar, numpy as np, torch
            >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
            >>> ar.ModelRandomization().run(subject, "input_map").assert_sensitive(0.5)
            Traceback (most recent call last):
            ...
            agnostic_rand.errors.InsensitiveError: ...
        """
        measure = self.name_of(measure)
        if measure in self.settings.get("distances", ()):
            raise ArgumentError(
                f"measure={measure!r}",
                expected="a similarity",
                received="a distance, whose larger scores mean less alike",
                fix="Pass for example measure='spearman'.",
            )
        _ = self.moved
        if tuple(name for name in self.dimensions if name != "explainer") != ("draw", "step", "sample"):
            raise ArgumentError(
                f"the scores of {self.check!r}",
                expected="those of draws, steps and samples, one of which is the last",
                received=f"dimensions {', '.join(self.dimensions)}",
                fix="Assert on the scores of ModelRandomization().",
            )
        last = self.steps[-1].name
        for name in self.explainers:
            survived = float(self[name].mean(measure)[-1])
            if not abs(survived) <= max_similarity:
                raise InsensitiveError(
                    f"the explainer {name!r} after {last!r}",
                    expected=f"an absolute mean {measure} of at most {max_similarity}",
                    received="an undefined score (constant maps)" if np.isnan(survived) else f"{survived:.3f}",
                    fix="This explanation does not depend enough on what the model learned.",
                )

    def summary(self) -> str:
        """The mean scores and what to know to read them, for a terminal of 80 columns."""
        return summary_text(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(values)}" for name, values in self.dimensions.items())
        told = f"Scores of {self.check} ({self.explainer}): {', '.join(self.scores)} over {sizes}"
        return printable(f"<{told if len(told) < 280 else f'{told[:279]}…'}>")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; undefined scores and other numbers are `None`."""
        found = self.description()
        found["scores"] = {name: plain(array) for name, array in self.scores.items()}
        if self.outputs is not None:
            found["outputs"] = {name: plain(array) for name, array in vars(self.outputs).items()}
        return found

    def description(self) -> dict[str, Any]:
        """Everything but the arrays, as plain values for JSON; numbers that are not finite are `None`."""
        described = {
            "check": self.check,
            "explainer": self.explainer if "explainer" not in self.dimensions else None,
            "dimensions": {name: list(values) for name, values in self.dimensions.items()},
            "notes": {name: asdict(notes) for name, notes in self.notes.items()},
            "meaning": self.meaning,
            "seed": self.seed,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "steps": [asdict(step) for step in self.steps],
            "averaged": list(self.averaged),
            "scores": list(self.scores),
            "outputs": None if self.outputs is None else list(vars(self.outputs)),
        }
        return {name: plain(value) for name, value in described.items()}

    def arrays(self) -> dict[str, HostArray]:
        """All arrays, by the name that they have in a file."""
        outputs = {} if self.outputs is None else vars(self.outputs)
        named = {f"scores.{name}": array for name, array in self.scores.items()}
        return named | {f"outputs.{name}": array for name, array in outputs.items()}

    @classmethod
    def restored(cls, described: Mapping[str, Any], take: Take) -> Self:
        """What `description` and `arrays` were made of.

        Raises:
            ArgumentError: They are not as these make them.
        """
        kinds = get_type_hints(cls) | {"scores": tuple[str, ...], "outputs": tuple[str, ...] | None}
        kinds["explainer"] = str | None
        found = exactly(list(kinds), described, "the description")
        found = {name: typed(kinds[name], value, f"the field {name!r}") for name, value in found.items()}
        refuse_unreadable(found)
        outputs = found["outputs"] and OutputChange(**{name: take(f"outputs.{name}") for name in found["outputs"]})
        del found["explainer"]
        return cls(
            **found
            | {
                "dimensions": {name: tuple(map(_value, one)) for name, one in found["dimensions"].items()},
                "scores": {name: take(f"scores.{name}") for name in found["scores"]},
                "outputs": outputs or None,
            }
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each explainer, measure and place; `step` is the number of a step, `step_name` its name.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_extra("to_dataframe()", "pandas", "report") from error
        frames = []
        for measure, scores in self.scores.items():
            columns: dict[str, Any] = {"check": self.check, "explainer": self.explainer, "measure": measure}
            for (name, values), index in zip(self.dimensions.items(), np.indices(scores.shape), strict=True):
                if name == "step":
                    columns["step"] = index.ravel()
                    name = "step_name"
                columns[name] = _labels(values)[index.ravel()]
            frames.append(pd.DataFrame({**columns, "score": scores.ravel()}))
        return pd.concat(frames, ignore_index=True)

    def to_xarray(self) -> xr.Dataset:
        """One labelled array for each measure.

        Raises:
            MissingExtraError: xarray is not installed.
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise missing_extra("to_xarray()", "xarray", "report") from error
        names = tuple(self.dimensions)
        labels = {name: (name, _coordinates(values)) for name, values in self.dimensions.items()}
        arrays = {measure: (names, array.copy()) for measure, array in self.scores.items()}
        about = {"check": self.check, "explainer": self.explainer, "seed": self.seed, "meaning": self.meaning}
        return xr.Dataset(arrays, coords=labels, attrs=about)

    def plot(self) -> Figure:
        """The mean score of each measure over the steps, with its interval, beside the outputs' change.

        Raises:
            ArgumentError: There are no steps.
            MissingExtraError: matplotlib is not installed.
        """
        return curve_figure(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file, which replaces an older one only when it is complete.

        Args:
            path: Such as `"scores.npz"`; see `docs/file-format.md` for what is in it.

        Raises:
            ArgumentError: The file cannot be written.
        """
        write_archive(path, KIND, self.description(), self.arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str], most_bytes: int | None = None) -> Self:
        """The scores in a file that `save` wrote; `agnostic_rand.load` reads sanity reports too.

        Args:
            path: The file.
            most_bytes: What it may unpack to; by default 256 MiB, or 8 times its size where that is more.

        Raises:
            FileNotFoundError: There is no such file.
            ArgumentError: It holds no scores, is damaged, or unpacks to more.
        """
        return read_archive(path, {KIND: cls.restored}, most_bytes)


def _labels(values: Sequence[Any]) -> HostArray:
    labels = np.empty(len(values), dtype=object)
    labels[:] = list(values)
    return labels


def _coordinates(values: Sequence[Any]) -> HostArray:
    numbers = all(isinstance(value, int | float) for value in values)
    return np.array(values) if numbers else np.array([str(value) for value in values], dtype=object)


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
