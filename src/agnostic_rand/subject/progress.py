"""Progress of a run: what is done, and of how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Args:
        done: Explained batches.
        total: All batches that will be explained.
        description: What was explained last.
    """

    done: int
    total: int
    description: str


ProgressCallback: TypeAlias = Callable[[Progress], None]
