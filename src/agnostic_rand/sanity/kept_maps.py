"""Kept maps of a run: those of the first samples, of the trained and of fully random models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.explainers import ExplanationContext
from agnostic_rand.similarity import MapForm, Measure
from agnostic_rand.statistics import FloorScores, measure_floors

KEPT_SAMPLES = 64
"""Of how many samples maps are kept."""


@dataclass
class KeptMaps:
    """An observer of a walk.

    Args:
        adapter: Brings maps to the host.
        last_step: The step whose maps are kept beside the trained model's.
        limit: How many samples are kept.
    """

    adapter: ModelAdapter
    last_step: int
    limit: int = KEPT_SAMPLES
    _parts: dict[tuple[str, int, MapForm], list[HostArray]] = field(default_factory=dict)

    def observe(self, explainer: str, context: ExplanationContext, forms: Mapping[MapForm, Array]) -> None:
        """Keep a batch's maps if they are among those that are wanted."""
        room = self.limit - context.first_sample
        if room <= 0 or context.step not in (-1, self.last_step):
            return
        for form, maps in forms.items():
            kept = np.array(self.adapter.to_numpy(maps))[:room]
            self._parts.setdefault((explainer, context.draw, form), []).append(kept)

    def trained(self, explainer: str, form: MapForm) -> HostArray:
        """The trained model's maps in a form."""
        return np.concatenate(self._parts[explainer, -1, form])

    def floors(
        self, explainer: str, measure: Measure, draws: int, ceiling: HostArray, rng: np.random.Generator
    ) -> FloorScores:
        """The floors of one explainer and measure; `ceiling` is of the same samples."""
        random = [np.concatenate(self._parts[explainer, draw, measure.form]) for draw in range(draws)]
        trained = self.trained(explainer, measure.form)
        found = measure_floors(measure.prepare, measure.compare, trained, random, ceiling, rng)
        return replace(found, distance=measure.distance)
