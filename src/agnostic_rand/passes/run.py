"""Run of a plan: the only loop over data, in which every state, map and output is made once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.explainers import Explainer, is_own
from agnostic_rand.passes.guards import GUARD_SAMPLES, GuardReport, guard, left_trained
from agnostic_rand.passes.laws import Law, Place, laws_of, same
from agnostic_rand.passes.needs import Found, Needs
from agnostic_rand.passes.shard import BatchRun, TrainedBatch, Wanted
from agnostic_rand.passes.tally import Tally, Unchanged
from agnostic_rand.passes.ticker import Ticker
from agnostic_rand.similarity import Measure
from agnostic_rand.subject.subject import Subject
from agnostic_rand.subject.targets import frozen_targets
from agnostic_rand.weights import Plan, Randomizer, Reinitialize, unused_parameters

SHARD_BYTES = 2**30
"""The host memory that the base maps of one shard may take."""

_NO_STEPS = Plan((), Reinitialize(), fresh=False, statistics="keep")
"""By which a model that no walk randomizes is seen to stay as it is."""


def run(subject: Subject, needs: Needs, *, shard_bytes: int = SHARD_BYTES) -> Found:
    """All that is needed, from one pass over the data.

    For each shard of the samples, its maps of the trained model are made first. Then each law of randomization
    puts the model into its states, draw by draw: a shard and a draw are a unit that knows of no other.

    Args:
        subject: The model and the data.
        needs: The walks and looks of all checks.
        shard_bytes: The memory that base maps may take at once.

    Raises:
        NonFiniteOutputError: A randomized model's outputs are not finite; names step and layer.
        ExplanationError: A map is not one of its inputs; names step, batch and explainer.
        AgnosticRandError: A walk cannot be planned, or the model not be randomized.
    """
    return _Run.of(subject, needs).found(shard_bytes)


@dataclass(frozen=True)
class _Run:
    """One pass: what is needed, with explainers by number.

    Args:
        subject: The model and the data.
        needs: Of all checks.
        explainers: Each once, as they were asked for.
        walked: By walk, the numbers of its explainers.
        looked: By look, the numbers of its explainers.
        plans: By walk, its plan.
        laws: By which all states are made.
    """

    subject: Subject
    needs: Needs
    explainers: tuple[Explainer, ...]
    walked: tuple[tuple[int, ...], ...]
    looked: tuple[tuple[int, ...], ...]
    plans: tuple[Plan, ...]
    laws: tuple[Law, ...]

    @classmethod
    def of(cls, subject: Subject, needs: Needs) -> _Run:
        known: dict[Any, int] = {}
        explainers: list[Explainer] = []

        def numbered(several: Sequence[Explainer]) -> tuple[int, ...]:
            for one in several:
                if known.setdefault(same(one), len(explainers)) == len(explainers):
                    explainers.append(one)
            return tuple(known[same(one)] for one in several)

        walked = tuple(numbered(walk.explainers) for walk in needs.walks)
        looked = tuple(numbered(look.explainers) for look in needs.looks)
        plans, laws = laws_of(needs.walks, subject.adapter.layers())
        return cls(subject, needs, tuple(explainers), walked, looked, plans, laws)

    def found(self, shard_bytes: int) -> Found:
        subject = self.subject
        nested = subject.is_open
        plans = [law.plan for law in self.laws] or [_NO_STEPS]
        with subject.working(self.explainers) as working, subject.randomizers(working, plans) as randomizers:
            settled = subject.settled(self.explainers)
            adapter = subject.activated(working)
            context, targets = subject.context(), subject.targets(adapter)
            guards = {
                number: self._guarded(adapter, settled[number], targets, self._measures[number])
                for number in self._measures
                if not is_own(settled[number])
            }
            batches = BatchRun(adapter, settled, context, Ticker(subject.progress, self._total()))
            tally = Tally.of(self.needs, self.plans, self.walked, settled, len(subject.samples))
            fixed = None if isinstance(targets, str) else targets
            for start, stop in self._shards(shard_bytes):
                shard = [
                    self._trained(batches, tally, slice(first, min(first + subject.batch_size, stop)), fixed)
                    for first in range(start, stop, subject.batch_size)
                ]
                for law, randomizer in zip(self.laws, randomizers, strict=False):
                    self._walk(law, randomizer, batches, shard, tally)
                    # Not where nobody needs the copy any more.
                    if nested or len(self.laws) > 1 or stop < len(subject.samples):
                        randomizer.restore()
            if not self.laws:
                randomizers[0].verify()
            unchanged = [Unchanged(one.unchanged, one.unchanged_parameters) for one in randomizers]
            told = (
                *subject.told_of_batches(tally.first_outputs),
                *left_trained(unused_parameters(subject.adapter.layers()), subject.other_arrays()),
            )
        notes = {
            number: guards.get(number) or GuardReport(tally.similar.get(number, {}), ())
            for number in range(len(settled))
        }
        by_walk = [unchanged[self._law_of(number)] for number in range(len(self.needs.walks))]
        return tally.found(notes, by_walk, told)

    def _law_of(self, walk: int) -> int:
        """The number of the law that makes the states of a walk."""
        return next(
            n for n, law in enumerate(self.laws) if any(p.walk == walk for places in law.places for p in places)
        )

    def _trained(self, batches: BatchRun, tally: Tally, rows: slice, targets: HostArray | None) -> TrainedBatch:
        chosen = None if targets is None else targets[rows]
        looks = list(zip(self.needs.looks, self.looked, strict=True))
        batch, seen = batches.trained(rows.start, self.subject.samples[rows], chosen, self._measures, looks)
        tally.trained(batch, seen, batches, self._measures)
        # The maps themselves are kept no longer than they are looked at.
        return replace(batch, forms={})

    def _walk(
        self, law: Law, randomizer: Randomizer, batches: BatchRun, shard: Sequence[TrainedBatch], tally: Tally
    ) -> None:
        """All states of a law in one shard."""
        for draw in range(law.draws):
            for number, (step, places) in enumerate(zip(law.plan.steps, law.places, strict=True)):
                places = tuple(p for p in places if draw < self.needs.walks[p.walk].draws)
                if not places:
                    continue
                randomizer.apply(draw=draw, step=number)
                what = f"step {places[0].step} ({step.name!r}), draw {draw}"
                wanted = self._wanted(places)
                for batch in shard:
                    outputs, scored = batches.scored(batch, list(wanted), draw, what)
                    randomizer.refuse_unmoved(batch.outputs, outputs, step=number, place=what)
                    tally.state(batch, draw, places, outputs, dict(zip(wanted, scored, strict=True)))
        # Each write looks first at what it would hide; this one look is at all layers.
        randomizer.verify()

    def _wanted(self, places: Sequence[Place]) -> list[Wanted]:
        """What is needed of the maps in one state, each explainer once for each step that it stands for."""
        steps: dict[tuple[int, int], None] = {}
        measures: dict[int, list[Measure]] = {}
        for place in places:
            for number in self.walked[place.walk]:
                steps[number, place.step] = None
                # Maps without noise of their own are made once for all steps, and scored for all of them.
                measures.setdefault(number, []).extend(self.needs.walks[place.walk].measures)
        return [Wanted(number, _distinct(measures[number]), step) for number, step in steps]

    @cached_property
    def _measures(self) -> dict[int, tuple[Measure, ...]]:
        """By explainer's number, what its maps are compared by in any walk."""
        found: dict[int, list[Measure]] = {}
        for walk, numbers in zip(self.needs.walks, self.walked, strict=True):
            for number in numbers:
                found.setdefault(number, []).extend(walk.measures)
        return {number: _distinct(measures) for number, measures in found.items()}

    def _guarded(
        self, adapter: ModelAdapter, explainer: Explainer, targets: HostArray | str, measures: tuple[Measure, ...]
    ) -> GuardReport:
        subject = self.subject
        samples = subject.few(min(GUARD_SAMPLES, subject.batch_size))
        count = len(samples)
        if isinstance(targets, str):
            targets = frozen_targets(adapter, samples, count)
        return guard(adapter, explainer, samples, targets[:count], subject.context(), measures)

    def _shards(self, shard_bytes: int) -> list[tuple[int, int]]:
        inputs = self.subject.samples.inputs
        maps = sum(len(measures) for measures in self._measures.values())
        # A prepared map is at most as many float64 values as the input has elements.
        per_sample = inputs[0].size * (inputs.itemsize + 8 * maps)
        size = max(1, shard_bytes // (per_sample * self.subject.batch_size)) * self.subject.batch_size
        return [(start, min(start + size, len(inputs))) for start in range(0, len(inputs), size)]

    def _total(self) -> int:
        """How many batches are explained."""
        samples, size = len(self.subject.samples), self.subject.batch_size
        batches = -(-samples // size)
        looked = sum(
            len(numbers)
            * len(look.variants)
            * (batches if look.samples is None else -(-min(look.samples, samples) // size))
            for look, numbers in zip(self.needs.looks, self.looked, strict=True)
        )
        walked = 0
        for law in self.laws:
            for draw in range(law.draws):
                for places in law.places:
                    walked += len(self._wanted([p for p in places if draw < self.needs.walks[p.walk].draws]))
        return batches * (len(self.explainers) + walked) + looked


def _distinct(measures: Iterable[Measure]) -> tuple[Measure, ...]:
    return tuple({same(measure): measure for measure in measures}.values())
