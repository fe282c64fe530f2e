"""Progress of a run: what is done, of how much, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from agnostic_rand.errors import ArgumentError, missing_extra


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        done: Explained batches.
        total: All batches that will be explained.
        description: What was explained last.
        seconds_left: What the rest will take, by what was done so far; `None` before anything was.
    """

    done: int
    total: int
    description: str
    seconds_left: float | None = None


ProgressCallback: TypeAlias = Callable[[Progress], None]

ProgressLike: TypeAlias = ProgressCallback | bool | None
"""A function of one `Progress`, `True` for a bar, or `None` or `False` for nothing."""


def resolve_progress(progress: ProgressLike) -> ProgressCallback | None:
    """The function that is told of each explained batch, or `None`.

    Raises:
        ArgumentError: It is neither a function nor a boolean.
        MissingExtraError: A bar is asked for, and tqdm is not installed.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise missing_extra("progress=True", "tqdm", "report") from error
        return _Bar(tqdm)
    if not callable(progress):
        raise ArgumentError(
            "progress",
            expected="True, or a function of one Progress, or None",
            received=repr(progress),
            fix="Pass for example progress=print.",
        )
    return progress


class _Bar:
    """A bar for each run, in a terminal or a notebook."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._bar: Any = None

    def __call__(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = self._make(total=progress.total, unit="batch")
        self._bar.set_description(progress.description, refresh=False)
        self._bar.update(progress.done - self._bar.n)
        if progress.done == progress.total:
            self._bar.close()
            self._bar = None
