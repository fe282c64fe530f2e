"""Folder of figures and scores, or one file; each file is complete or not there."""

from __future__ import annotations

import importlib
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agnostic_rand.errors import ArgumentError, missing_extra
from agnostic_rand.report.maps import MapStrip
from agnostic_rand.report.strips import strip_figure
from agnostic_rand.results.foreign import cell
from agnostic_rand.results.plots import curves_figure
from agnostic_rand.results.replacement import replacing, writing
from agnostic_rand.results.scores import Scores
from agnostic_rand.results.text import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE_KINDS = (".npz", ".json", ".csv")
"""The endings of `--out` that stand for one file; anything else is a folder."""

_NOT_YET = (".html", ".htm", ".pdf", ".png", ".svg", ".md", ".txt", ".xlsx", ".parquet")
_DPI = 150
_LONGEST_NAME = 100


def is_file(path: Path) -> bool:
    """Whether an output path stands for one file; otherwise it is a folder."""
    return path.suffix.lower() in FILE_KINDS


def prepare_output(path: Path, results: int) -> None:
    """Prove, before any long work, that `path` can be written and that what writes it is installed.

    Args:
        path: A folder, or a file that ends in one of `FILE_KINDS`.
        results: How many results will be written.

    Raises:
        ArgumentError: The path cannot be written, has an ending that is not known, or stands for
            one result where there are several.
        MissingExtraError: matplotlib or pandas is needed and not installed.
    """
    if not is_file(path):
        prepare_folder(path)
        return
    if path.suffix.lower() == ".npz" and results > 1:
        raise ArgumentError(
            f"--out {str(path)!r}",
            expected="one explainer, of which an .npz file holds the result",
            received=f"{results} explainers",
            fix="Pass a folder (it gets an .npz file for each), a .json or a .csv file.",
        )
    if path.suffix.lower() == ".csv":
        _require(path, "pandas")
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        _try_folder(path.parent)


def prepare_folder(path: Path) -> None:
    """Make the folder where it is missing, and prove that files can be written to it.

    Raises:
        ArgumentError: It cannot be written, or its name has a file's ending.
        MissingExtraError: matplotlib or pandas is not installed.
    """
    if is_file(path) or path.suffix.lower() in _NOT_YET:
        raise ArgumentError(
            f"--out {str(path)!r}",
            expected=f"a folder, or for the command cascade a file that ends in {', '.join(FILE_KINDS)}",
            received=f"the ending {path.suffix!r}, which is not written here"
            + (" (HTML reports are yet to come)" if path.suffix.lower() in (".html", ".htm") else ""),
            fix=f"Pass a folder such as --out {path.with_suffix('')}: it gets figures (PNG) and scores.",
        )
    _require(path, "matplotlib")
    _require(path, "pandas")
    with writing(path):
        _try_folder(path)


def write_output(
    path: Path,
    results: Sequence[Scores],
    measure: str,
    strip: MapStrip | None = None,
    title: str = "input",
) -> list[Path]:
    """Write results to one file in the form of its ending, or to a folder with figures.

    Args:
        path: As `prepare_output` took it; files of the same names are replaced.
        results: Of the same steps; exactly one for `.npz`.
        measure: Which score the figures show.
        strip: The maps of one sample, or `None` for inputs that are no images.
        title: What stands above that sample.

    Returns:
        The files, in the order in which they were written.

    Raises:
        ArgumentError: The disk is full, or a file cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        results[0].save(path)
        return [path]
    if kind == ".json":
        content = json.dumps({"results": [result.to_dict() for result in results]}, allow_nan=False)
        with replacing(path) as file:
            file.write(content.encode())
        return [path]
    if kind == ".csv":
        _write_scores(path, results)
        return [path]
    written = [path / name for name in _file_names([result.explainer for result in results])]
    for saved, result in zip(written, results, strict=True):
        result.save(saved)
    _write_scores(path / "scores.csv", results)
    _write_figure(path / "curves.png", curves_figure(results, measure))
    written += [path / "scores.csv", path / "curves.png"]
    if strip is not None:
        _write_figure(path / "strip.png", _strip_figure(strip, results, measure, title))
        written.append(path / "strip.png")
    return written


def _strip_figure(strip: MapStrip, results: Sequence[Scores], measure: str, title: str) -> Figure:
    scores = {
        result.explainer: [float(result.scores[measure][0, number, strip.sample]) for number in strip.numbers]
        for result in results
    }
    return strip_figure(
        strip.image,
        strip.maps,
        ["trained", *(f"{step.name}\n{percent(step.coverage)}" for step in strip.steps)],
        scores=scores,
        channel_axis=strip.channel_axis,
        title=title,
        note="Above: the share\nof parameters\nthat are random.\n\n"
        f"Below each map:\nits {measure}\nwith the trained\nmodel's map.",
    )


def _write_scores(path: Path, results: Sequence[Scores]) -> None:
    import pandas as pd

    table = pd.concat([result.to_dataframe() for result in results], ignore_index=True)
    words = {name: table[name].map(cell) for name in table.columns if table[name].dtype.kind not in "fiub"}
    with replacing(path) as file:
        table.assign(**words).to_csv(file, index=False)


def _write_figure(path: Path, figure: Figure) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)


def _try_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _require(path: Path, package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise missing_extra(f"--out {str(path)!r}", package, "report") from error


def _file_names(explainers: Sequence[str]) -> list[str]:
    """A name of a file for each, apart on file systems that ignore case too."""
    taken: dict[str, str] = {}
    for explainer in explainers:
        plain = name = re.sub(r"[^A-Za-z0-9_.-]", "_", explainer)[:_LONGEST_NAME]
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken[name.lower()] = f"{name}.npz"
    return list(taken.values())
