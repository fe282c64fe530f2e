"""References of a sanity check beside floors: the explainer's own noise, and the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.explained_batches import ExplainedBatch
from agnostic_rand.passes.guards import EQUAL_SHARE
from agnostic_rand.passes.needs import Look, Variant
from agnostic_rand.sanity.kept_maps import KEPT_SAMPLES, KeptMaps
from agnostic_rand.similarity import Measure
from agnostic_rand.statistics import defined_mean

_OTHER_NOISE = 2**20
"""A draw that no run reaches: explainers that draw noise draw another one."""


@dataclass(frozen=True)
class References:
    """Scores of one explainer's maps of the trained model.

    Args:
        again: By measure, with its maps of the same model, explained again with other noise `(n,)`:
            1 for a method without noise, the ceiling of any other score.
        likeness: By the name of a control (input, edges), the mean of the first measure with the
            control's maps; NaN where undefined.
        twins: The names of explainers with the same maps, to within rounding.
    """

    again: Mapping[str, HostArray]
    likeness: Mapping[str, float]
    twins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Again:
    """Compares the maps of a batch with those that the trained model gives again.

    Args:
        measures: How.
    """

    measures: tuple[Measure, ...]

    def __call__(self, batches: Sequence[ExplainedBatch]) -> Mapping[str, HostArray]:
        """By measure, `(n,)`."""
        first, second = batches
        found = {}
        for measure in self.measures:
            maps = [measure.form.apply(batch.maps, batch.channel_axis) for batch in (first, second)]
            score = measure.compare(measure.prepare(maps[0]), maps[1])
            found[measure.name] = np.asarray(first.view.to_numpy(score), dtype=np.float64)
        return found


def explained_again(explainers: tuple[Explainer, ...], measures: tuple[Measure, ...]) -> Look:
    """A look at how the trained model's maps repeat with other noise."""
    return Look(explainers, Again(measures), (Variant(draw=_OTHER_NOISE, step=0),), KEPT_SAMPLES)


def references_of(
    again: Mapping[str, Mapping[str, HostArray]], kept: KeptMaps, controls: Sequence[str], measure: Measure
) -> dict[str, References]:
    """By explainer, its references over the first samples.

    Args:
        again: By explainer and measure, what `explained_again` found.
        kept: The trained model's maps.
        controls: The names of those that others may copy.
        measure: By which likeness is measured.
    """
    maps = {name: kept.trained(name, measure.form) for name in again}
    found = {}
    for name, first in maps.items():
        likeness = {
            control: float(defined_mean(_scores(measure, first, maps[control])))
            for control in controls
            if control != name and first.shape == maps[control].shape
        }
        twins = tuple(other for other in maps if other != name and _equal(first, maps[other]))
        found[name] = References(again[name], likeness, twins)
    return found


def _equal(first: HostArray, second: HostArray) -> bool:
    scale = float(np.sqrt(np.mean(np.square(first, dtype=np.float64))))
    if first.shape != second.shape or scale == 0:
        return False
    return float(np.abs(first - second).max()) <= EQUAL_SHARE * scale


def _scores(measure: Measure, first: HostArray, second: HostArray) -> HostArray:
    return np.asarray(measure.compare(measure.prepare(first), second), dtype=np.float64)
