"""What a run found: frozen, complete enough to be repeated, and easy to store."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import ArgumentError, InsensitiveError, missing_extra, unknown_name
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.statistics import estimate_mean
from agnostic_rand.weights import Step

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FILE_FORMAT = 1


@dataclass(frozen=True, eq=False)
class RandomizationResult:
    """The scores of one explainer over the steps of a randomization.

    Args:
        explainer: The explainer's name.
        scores: By measure, `(draws, steps, samples)` in float64; NaN where undefined.
        steps: What was random in each step, with its coverage.
        outputs: How far the model's own outputs moved in each step.
        seed: The root of all randomness.
        settings: Everything else that the run depended on, as plain values.
        versions: Of this library, Python, NumPy and the framework.
        self_similarity: By measure, the mean score of the trained model's maps with themselves,
            computed twice: the ceiling of every other score, 1 for a deterministic explainer.
        findings: What is wrong with the explainer, in words; empty where nothing was found.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> x = np.random.default_rng(0).standard_normal((10, 4)).astype("float32")
        >>> result = ar.ModelRandomizationMetric(net, x, seed=0, draws=2).run("gradient")
        >>> result.scores["spearman"].shape
        (2, 1, 10)
    """

    explainer: str
    scores: Mapping[str, HostArray]
    steps: tuple[Step, ...]
    outputs: OutputChange
    seed: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    self_similarity: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for array in (*self.scores.values(), *vars(self.outputs).values()):
            array.flags.writeable = False
        for name in ("scores", "settings", "versions", "self_similarity"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings cannot be pickled; the constructor makes them anew.
        values = [getattr(self, one.name) for one in fields(self)]
        return type(self), tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    @property
    def undefined(self) -> dict[str, HostArray]:
        """By measure, how many samples have no score, `(draws, steps)`."""
        return {name: (~np.isfinite(scores)).sum(axis=2) for name, scores in self.scores.items()}

    @property
    def coverage(self) -> float:
        """The largest share of the model's parameters that was random in a step, in [0, 1]."""
        return max(step.coverage for step in self.steps)

    def mean(self, measure: str = "spearman") -> HostArray:
        """The mean over draws and samples of each step, `(steps,)`; NaN where none is defined."""
        scores = self._of(measure)
        defined = np.isfinite(scores)
        totals = np.where(defined, scores, 0.0).sum(axis=(0, 2))
        counts = defined.sum(axis=(0, 2))
        return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)

    def interval(self, measure: str = "spearman", level: float = 0.95) -> HostArray:
        """The interval of each step's mean, `(steps, 2)`, draws and samples both random; NaN where unknown.

        See `agnostic_rand.statistics.estimate_mean` for how it is computed.
        """
        scores = self._of(measure)
        return np.array([estimate_mean(scores[:, k]).interval(level) for k in range(scores.shape[1])])

    def assert_sensitive(self, max_similarity: float, measure: str = "spearman") -> None:
        """Pass only where little of the explanation survived the last step.

        Args:
            max_similarity: What the absolute mean score may be at most.
            measure: Which score.

        Raises:
            InsensitiveError: More survived, or the score is undefined.

        Example:
            >>> import agnostic_rand as ar, numpy as np, torch
            >>> net, x = torch.nn.Linear(4, 3), np.eye(4, dtype="float32")
            >>> ar.ModelRandomizationMetric(net, x, seed=0).run("input_map").assert_sensitive(0.5)
            Traceback (most recent call last):
            ...
            agnostic_rand.errors.InsensitiveError: ...
        """
        if measure in self.settings.get("distances", ()):
            raise ArgumentError(
                f"measure={measure!r}",
                expected="a similarity",
                received="a distance, whose larger scores mean less alike",
                fix="Pass for example measure='spearman'.",
            )
        survived = float(self.mean(measure)[-1])
        if not abs(survived) <= max_similarity:
            raise InsensitiveError(
                f"the explainer {self.explainer!r} after {self.steps[-1].name!r}",
                expected=f"an absolute mean {measure} of at most {max_similarity}",
                received="an undefined score (constant maps)" if np.isnan(survived) else f"{survived:.3f}",
                fix="This explanation does not depend enough on what the model learned.",
            )

    def summary(self) -> str:
        """The scores and the outputs' change by step, as a table for a terminal."""
        from agnostic_rand.report.text import summary_text

        return summary_text(self)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; undefined scores are `None`."""
        return {
            "format": FILE_FORMAT,
            "explainer": self.explainer,
            "seed": self.seed,
            "settings": dict(self.settings),
            "versions": dict(self.versions),
            "self_similarity": {k: None if np.isnan(v) else v for k, v in self.self_similarity.items()},
            "findings": list(self.findings),
            "steps": [asdict(step) for step in self.steps],
            "outputs": {name: _plain(array) for name, array in vars(self.outputs).items()},
            "scores": {name: _plain(array) for name, array in self.scores.items()},
        }

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each explainer, measure, step, draw and sample.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_extra("to_dataframe()", "pandas", "report") from error
        frames = []
        for measure, scores in self.scores.items():
            draw, step, sample = (index.ravel() for index in np.indices(scores.shape))
            frames.append(
                pd.DataFrame(
                    {
                        "explainer": self.explainer,
                        "measure": measure,
                        "step": step,
                        "step_name": np.array([s.name for s in self.steps], dtype=object)[step],
                        "draw": draw,
                        "sample": sample,
                        "score": scores.ravel(),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def plot(self) -> Figure:
        """The mean score of each measure over the steps, with its interval, beside the outputs' change.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from agnostic_rand.report.plots import curve_figure

        return curve_figure(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one `.npz` file, which replaces an older one only when it is complete."""
        described = self.to_dict()
        arrays = {f"scores.{name}": array for name, array in self.scores.items()}
        arrays |= {f"outputs.{name}": array for name, array in vars(self.outputs).items()}
        described["scores"], described["outputs"] = list(self.scores), list(vars(self.outputs))
        target = Path(path)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, description=np.array(json.dumps(described)), **arrays)  # type: ignore[arg-type]
            # mkstemp makes files private: give the mode that a new file would have.
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RandomizationResult:
        """Read what `save` wrote.

        Raises:
            ArgumentError: The file is not such a result.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                described = json.loads(str(file["description"]))
                if described["format"] != FILE_FORMAT:
                    raise ValueError(f"file format {described['format']}")
                scores = {name: file[f"scores.{name}"] for name in described["scores"]}
                outputs = OutputChange(**{name: file[f"outputs.{name}"] for name in described["outputs"]})
                steps = tuple(Step(**{**step, "layers": tuple(step["layers"])}) for step in described["steps"])
                return cls(
                    described["explainer"],
                    scores,
                    steps,
                    outputs,
                    described["seed"],
                    described["settings"],
                    described["versions"],
                    {k: np.nan if v is None else v for k, v in described["self_similarity"].items()},
                    tuple(described["findings"]),
                )
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ArgumentError(
                f"the file {os.fspath(path)!r}",
                expected=f"a result saved by this library (file format {FILE_FORMAT})",
                received=f"something else ({type(error).__name__}: {error})",
                fix="Pass a file that RandomizationResult.save wrote.",
            ) from error

    def _of(self, measure: str) -> HostArray:
        if measure not in self.scores:
            raise unknown_name("measure", measure, self.scores)
        return self.scores[measure]


def _plain(array: HostArray) -> Any:
    values = array.astype(object)
    values[np.isnan(array)] = None
    return values.tolist()
