"""Needs of a check: the states of the model and the maps that its scores are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.explainers import Explainer, ExplanationContext
from agnostic_rand.passes.explained_batches import ExplainedBatch
from agnostic_rand.passes.guards import GuardReport
from agnostic_rand.results.output_change import OutputChange
from agnostic_rand.similarity import MapForm, Measure
from agnostic_rand.weights import ModelRandomizationStrategy, Plan

Observer: TypeAlias = Callable[[str, ExplanationContext, Mapping[MapForm, Array]], None]
"""`observe(explainer's name, where the batch stands, its maps by form)`."""


@dataclass(frozen=True)
class Walk:
    """The states of a strategy, in which maps and outputs are compared with the trained model's.

    Args:
        strategy: Which layers are randomized and how.
        draws: How often each step is drawn.
        explainers: Whose maps are compared, with distinct names; the outputs are compared in any case.
        measures: How maps are compared.
        observe: Sees every batch of maps, in the forms of the measures, or `None`.
    """

    strategy: ModelRandomizationStrategy
    draws: int
    explainers: tuple[Explainer, ...] = ()
    measures: tuple[Measure, ...] = ()
    observe: Observer | None = None


@dataclass(frozen=True)
class Variant:
    """Other maps of the trained model than those that a run compares with.

    Args:
        targets: The classes to explain `(n,)`, or `None` for those of the run.
        draw: With `step`, which noise of its own a method draws; -1 for that of the run.
        step: See `draw`.
    """

    targets: HostArray | None = None
    draw: int = -1
    step: int = -1


@dataclass(frozen=True)
class Look:
    """Numbers that are computed from maps of the trained model, batch by batch.

    Args:
        explainers: Whose maps.
        measured: From the batch of the run, then one of each variant, arrays by name whose last axis is
            the samples.
        variants: The other maps.
        samples: How many samples are looked at, from the first on; `None` for all.
    """

    explainers: tuple[Explainer, ...]
    measured: Callable[[Sequence[ExplainedBatch]], Mapping[str, HostArray]]
    variants: tuple[Variant, ...] = ()
    samples: int | None = None


@dataclass(frozen=True)
class Needs:
    """All that a check needs of a run.

    Args:
        walks: The states of the model.
        looks: Numbers of the trained model's maps.
    """

    walks: tuple[Walk, ...] = ()
    looks: tuple[Look, ...] = ()

    def __add__(self, other: Needs) -> Needs:
        return Needs((*self.walks, *other.walks), (*self.looks, *other.looks))


@dataclass(frozen=True)
class WalkRecord:
    """What was found on a walk.

    Args:
        plan: Its steps.
        scores: By explainer and measure, `(draws, steps, n)`; NaN where undefined.
        outputs: How the model's own outputs changed.
        trained: How the trained model's outputs are, as one draw of one step.
        notes: By explainer, what guards saw.
        explainers: By name, as they were run.
        unchanged_layers: Layers whose draws equal their trained values.
        unchanged_parameters: Parameters whose draws do.
        told: Findings about the model.
    """

    plan: Plan
    scores: Mapping[str, Mapping[str, HostArray]]
    outputs: OutputChange
    trained: OutputChange
    notes: Mapping[str, GuardReport]
    explainers: Mapping[str, Explainer]
    unchanged_layers: tuple[str, ...] = ()
    unchanged_parameters: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a run found, in the order of what was needed.

    Args:
        walks: One for each walk.
        looks: For each look, by explainer and name, arrays whose last axis is the samples.
    """

    walks: tuple[WalkRecord, ...]
    looks: tuple[Mapping[str, Mapping[str, HostArray]], ...] = field(default=())

    def part(self, needs: Needs, after: Needs) -> Found:
        """What belongs to `needs`, which came after others."""
        walk, look = len(after.walks), len(after.looks)
        return Found(self.walks[walk : walk + len(needs.walks)], self.looks[look : look + len(needs.looks)])
