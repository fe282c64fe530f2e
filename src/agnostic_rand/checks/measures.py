"""Measures that fit the inputs, and how a result records them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from agnostic_rand.adapters import HostArray
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures


def fitting_measures(measures: MeasureLikes, inputs: HostArray) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    """The measures, without those of structure where the inputs are no images, and findings that say so.

    Args:
        measures: As in `ModelRandomization`.
        inputs: `(n, ...)`.

    Raises:
        ArgumentError: None is left, or one is no measure.
    """
    if inputs.ndim == 4 or isinstance(measures, str | Measure) or not isinstance(measures, Sequence):
        return resolve_measures(measures), ()
    structural = [one for one in measures if isinstance(one, str) and one.startswith(("ssim", "hog"))]
    kept = [one for one in measures if one not in structural]
    if not structural or not kept:
        return resolve_measures(measures), ()
    left_out = f"Left out, because the inputs are no images with channels: {', '.join(map(str, structural))}."
    return resolve_measures(kept), (left_out,)


def described_measures(measures: Sequence[Measure]) -> dict[str, Any]:
    """What a result records of its measures: in which form they take maps, which are distances, their ranges."""
    return {
        "measures": {measure.name: repr(measure.form) for measure in measures},
        "distances": [measure.name for measure in measures if measure.distance],
        "ranges": {m.name: [end if math.isfinite(end) else None for end in m.range] for m in measures},
    }
