"""Tally of a run: what was found so far, in the arrays in which checks read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agnostic_rand.adapters import Array, HostArray
from agnostic_rand.explainers import Explainer
from agnostic_rand.passes.guards import GuardReport, self_similarity
from agnostic_rand.passes.laws import Place, same
from agnostic_rand.passes.needs import Found, Needs, Walk, WalkRecord
from agnostic_rand.passes.shard import BatchRun, Scored, TrainedBatch, Wanted
from agnostic_rand.results.output_change import OutputTally
from agnostic_rand.similarity import MapForm, Measure
from agnostic_rand.weights import Plan


@dataclass(frozen=True)
class Unchanged:
    """What a randomizer's draws left as it was trained.

    Args:
        layers: Whole layers.
        parameters: Single parameters.
    """

    layers: tuple[str, ...]
    parameters: tuple[str, ...]


@dataclass
class Tally:
    """What was found so far.

    Args:
        needs: Of all checks.
        plans: By walk, its plan.
        walked: By walk, the numbers of its explainers.
        explainers: All of the run.
        scores: By walk, explainer's number and measure, `(draws, steps, n)`.
        outputs: By walk, the change of the outputs.
        own: The trained model's outputs.
        looks: By look, explainer's number and name, what each batch gave.
        similar: By explainer's number and measure, the score of its first maps with themselves.
        first_outputs: The trained model's outputs for the first batch.
    """

    needs: Needs
    plans: Sequence[Plan]
    walked: Sequence[tuple[int, ...]]
    explainers: Sequence[Explainer]
    scores: list[dict[int, dict[str, HostArray]]]
    outputs: list[OutputTally]
    own: OutputTally
    looks: list[dict[int, dict[str, list[HostArray]]]]
    similar: dict[int, dict[str, float]] = field(default_factory=dict)
    first_outputs: HostArray = field(default_factory=lambda: np.zeros((0, 1)))

    @classmethod
    def of(
        cls,
        needs: Needs,
        plans: Sequence[Plan],
        walked: Sequence[tuple[int, ...]],
        explainers: Sequence[Explainer],
        samples: int,
    ) -> Tally:
        """An empty one."""
        shapes = [(walk.draws, len(plan.steps)) for walk, plan in zip(needs.walks, plans, strict=True)]
        scores = [
            {number: {m.name: np.full((*shape, samples), np.nan) for m in walk.measures} for number in numbers}
            for walk, shape, numbers in zip(needs.walks, shapes, walked, strict=True)
        ]
        tallies = [OutputTally(*shape) for shape in shapes]
        return cls(needs, plans, walked, explainers, scores, tallies, OutputTally(1, 1), [{} for _ in needs.looks])

    def trained(
        self,
        batch: TrainedBatch,
        seen: Sequence[Mapping[int, Mapping[str, HostArray]]],
        batches: BatchRun,
        measures: Mapping[int, tuple[Measure, ...]],
    ) -> None:
        """Add one batch of the trained model, and what looks found in it."""
        if batch.start == 0:
            self.first_outputs = batch.outputs
            self.similar = {n: self_similarity(batch.forms[n], m, batches.adapter) for n, m in measures.items()}
        self.own.add(0, 0, batch.outputs, batch.outputs, batch.labels)
        for kept, found in zip(self.looks, seen, strict=True):
            for number, arrays in found.items():
                for name, array in arrays.items():
                    kept.setdefault(number, {}).setdefault(name, []).append(array)
        context = replace(batches.context, draw=-1, step=-1, first_sample=batch.start)
        for walk, numbers in zip(self.needs.walks, self.walked, strict=True):
            if walk.observe is not None:
                for number in numbers:
                    walk.observe(self.explainers[number].name, context, _of_walk(walk, batch.forms[number]))

    def state(
        self,
        batch: TrainedBatch,
        draw: int,
        places: Sequence[Place],
        outputs: HostArray,
        scored: Mapping[Wanted, Scored],
    ) -> None:
        """Add what was found in one state for one batch."""
        found = {(wanted.explainer, wanted.step): one for wanted, one in scored.items()}
        for place in places:
            walk = self.needs.walks[place.walk]
            self.outputs[place.walk].add(draw, place.step, batch.outputs, outputs, batch.labels)
            for number in self.walked[place.walk]:
                one = found[number, place.step]
                for measure in walk.measures:
                    scores = self.scores[place.walk][number][measure.name]
                    scores[draw, place.step, batch.rows] = one.scores[same(measure)]
                if walk.observe is not None:
                    context = replace(one.context, step=place.step)
                    walk.observe(self.explainers[number].name, context, _of_walk(walk, one.forms))

    def found(
        self, notes: Mapping[int, GuardReport], unchanged: Sequence[Unchanged], told: tuple[str, ...]
    ) -> Found:
        """All of it, by the explainers' names.

        Args:
            notes: By explainer's number, what guards saw.
            unchanged: By walk, what its draws left as it was trained.
            told: Findings about the model.
        """
        walks = []
        for place, (walk, plan) in enumerate(zip(self.needs.walks, self.plans, strict=True)):
            own = {self.explainers[number].name: number for number in self.walked[place]}
            names = {measure.name for measure in walk.measures}
            walks.append(
                WalkRecord(
                    plan=plan,
                    scores={name: self.scores[place][number] for name, number in own.items()},
                    outputs=self.outputs[place].change(),
                    trained=self.own.change(),
                    notes={name: _of_measures(notes[number], names) for name, number in own.items()},
                    explainers={name: self.explainers[number] for name, number in own.items()},
                    unchanged_layers=unchanged[place].layers,
                    unchanged_parameters=unchanged[place].parameters,
                    told=told,
                )
            )
        looks = [
            {
                self.explainers[number].name: {
                    name: np.concatenate(parts, axis=-1, dtype=np.float64)[..., : look.samples]
                    for name, parts in arrays.items()
                }
                for number, arrays in kept.items()
            }
            for look, kept in zip(self.needs.looks, self.looks, strict=True)
        ]
        return Found(tuple(walks), tuple(looks))


def _of_walk(walk: Walk, forms: Mapping[MapForm, Array]) -> dict[MapForm, Array]:
    return {measure.form: forms[measure.form] for measure in walk.measures}


def _of_measures(notes: GuardReport, names: set[str]) -> GuardReport:
    return replace(notes, self_similarity={m: value for m, value in notes.self_similarity.items() if m in names})
