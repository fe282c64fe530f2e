"""Shard of the samples: its maps of the trained model, and what others score against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter, PlacedInputs
from agnostic_rand.adapters.batch_view import BatchView
from agnostic_rand.errors import ArgumentError, ExplanationError, NonFiniteOutputError
from agnostic_rand.explainers import Explainer, ExplanationContext, is_own
from agnostic_rand.passes.explained_batches import ExplainedBatch, explain_batch
from agnostic_rand.passes.laws import same
from agnostic_rand.passes.needs import Look, Variant
from agnostic_rand.passes.ticker import Ticker
from agnostic_rand.similarity import MapForm, Measure, in_forms
from agnostic_rand.subject.samples import Samples
from agnostic_rand.subject.targets import best_class


@dataclass(frozen=True)
class Wanted:
    """Maps of one explainer in one state that several walks ask for.

    Args:
        explainer: Its number.
        measures: How the maps are compared.
        step: The step by which the explainer draws noise of its own.
    """

    explainer: int
    measures: tuple[Measure, ...]
    step: int


@dataclass(frozen=True)
class Scored:
    """What was found for `Wanted` in one batch.

    Args:
        forms: The maps, by form.
        scores: By measure `(n,)`.
        context: Where the batch stands.
        drew: Whether the explainer drew noise of its own.
    """

    forms: Mapping[MapForm, Array]
    scores: Mapping[Any, HostArray]
    context: ExplanationContext
    drew: bool


@dataclass(frozen=True)
class TrainedBatch:
    """One batch and what belongs to the trained model.

    Args:
        start: The position of the first sample.
        inputs: The samples.
        targets: The classes that are explained, or `None` for the current model's choice.
        labels: The labels of the samples, or `None`.
        outputs: The trained model's outputs `(n, classes)`.
        prepared: By explainer's number and measure, what every comparison needs.
        forms: By explainer's number, the maps in all forms that were asked for.
    """

    start: int
    inputs: PlacedInputs
    targets: Array | None
    labels: HostArray | None
    outputs: HostArray
    prepared: Mapping[tuple[int, Any], Any]
    forms: Mapping[int, Mapping[MapForm, Array]]

    @property
    def rows(self) -> slice:
        """The batch's place among all samples."""
        return slice(self.start, self.start + len(self.outputs))


@dataclass(frozen=True)
class BatchRun:
    """Explains batches with the model as it is.

    Args:
        adapter: The model, activated.
        explainers: All of a run.
        context: Where explainers get their randomness.
        ticker: Counts what was explained.
    """

    adapter: ModelAdapter
    explainers: Sequence[Explainer]
    context: ExplanationContext
    ticker: Ticker

    def trained(
        self,
        start: int,
        samples: Samples,
        targets: HostArray | None,
        measures: Mapping[int, Sequence[Measure]],
        looks: Sequence[tuple[Look, Sequence[int]]],
    ) -> tuple[TrainedBatch, list[dict[int, Mapping[str, HostArray]]]]:
        """A batch explained with the trained model, and what looks found in it, by explainer's number.

        Args:
            start: The position of the first sample.
            samples: Of the batch.
            targets: The classes to explain `(n,)`, or `None` for the model's choice.
            measures: By explainer's number, what its maps are compared by.
            looks: With the numbers of their explainers.
        """
        placed = samples.placed(self.adapter)
        fixed = None if targets is None else self.adapter.asarray(targets)
        view = BatchView(placed.seen_by(self.adapter), placed.explained)
        chosen = best_class(view.predict(view.inputs)) if fixed is None else fixed
        context = replace(self.context, draw=-1, step=-1, first_sample=start)
        prepared: dict[tuple[int, Any], Any] = {}
        forms: dict[int, Mapping[MapForm, Array]] = {}
        found: list[dict[int, Mapping[str, HostArray]]] = [{} for _ in looks]
        for number in range(len(self.explainers)):
            looking = [
                (place, look)
                for place, (look, numbers) in enumerate(looks)
                if number in numbers and (look.samples is None or start < look.samples)
            ]
            if number not in measures and not looking:
                continue
            base, drew = self._explained(view, number, chosen, context)
            wanted = measures.get(number, ())
            forms[number] = in_forms({measure.form for measure in wanted}, base.maps, base.channel_axis)
            prepared |= {(number, same(m)): m.prepare(forms[number][m.form]) for m in wanted}
            made: dict[Any, ExplainedBatch] = {}
            for place, look in looking:
                batches = [
                    base,
                    *(self._variant(view, number, base, drew, variant, made) for variant in look.variants),
                ]
                found[place][number] = look.measured(batches)
        outputs = self.finite_outputs(view, "the trained model")
        batch = TrainedBatch(start, placed, fixed, samples.targets, outputs, prepared, forms)
        return batch, found

    def scored(
        self, batch: TrainedBatch, wanted: Sequence[Wanted], draw: int, place: str
    ) -> tuple[HostArray, list[Scored]]:
        """The outputs of the model as it is, and what was wanted of its maps, in its order."""
        view = BatchView(batch.inputs.seen_by(self.adapter), batch.inputs.explained)
        targets = best_class(view.predict(view.inputs)) if batch.targets is None else batch.targets
        made: dict[int, Scored] = {}
        found = []
        for one in wanted:
            known = made.get(one.explainer)
            # Without noise of its own, a method gives the same maps whatever step the state is of a walk.
            if known is None or (known.drew and known.context.step != one.step):
                known = self._scored(view, batch, one, targets, draw, place)
                made[one.explainer] = known
            else:
                self.ticker.tick(self.explainers[one.explainer].name)
            found.append(known)
        return self.finite_outputs(view, place), found

    def _scored(
        self, view: BatchView, batch: TrainedBatch, one: Wanted, targets: Array, draw: int, place: str
    ) -> Scored:
        context = replace(self.context, draw=draw, step=one.step, first_sample=batch.start)
        made, drew = self._explained(view, one.explainer, targets, context, place)
        forms = in_forms({measure.form for measure in one.measures}, made.maps, made.channel_axis)
        scores = {}
        for measure in one.measures:
            score = measure.compare(batch.prepared[one.explainer, same(measure)], forms[measure.form])
            scores[same(measure)] = _host_scores(self.adapter, score, measure, len(batch.outputs))
        return Scored(forms, scores, context, drew)

    def _explained(
        self,
        view: BatchView,
        number: int,
        targets: Array,
        context: ExplanationContext,
        place: str = "the trained model",
    ) -> tuple[ExplainedBatch, bool]:
        """The maps of one batch, and whether noise of their own was drawn for them."""
        explainer = self.explainers[number]
        drew: set[int] = set()
        try:
            maps, axis = explain_batch(view, explainer, targets, replace(context, drew=drew), place)
        except ExplanationError:
            # Maps of a model that has no finite outputs are the model's fault.
            self.finite_outputs(view, place)
            raise
        self.ticker.tick(explainer.name)
        return ExplainedBatch(context.first_sample, view, targets, maps, axis), bool(drew)

    def _variant(
        self,
        view: BatchView,
        number: int,
        base: ExplainedBatch,
        drew: bool,
        variant: Variant,
        made: dict[Any, ExplainedBatch],
    ) -> ExplainedBatch:
        noise = (variant.draw, variant.step) if drew or not is_own(self.explainers[number]) else (-1, -1)
        if variant.targets is None and noise == (-1, -1):
            self.ticker.tick(self.explainers[number].name)
            return base
        key = None if variant.targets is None else id(variant.targets), noise
        if key not in made:
            targets = base.targets
            if variant.targets is not None:
                targets = self.adapter.asarray(variant.targets[base.rows])
            context = replace(self.context, draw=variant.draw, step=variant.step, first_sample=base.start)
            what = "the trained model" if variant.targets is None else "another class"
            made[key] = self._explained(view, number, targets, context, what)[0]
        return made[key]

    def finite_outputs(self, view: BatchView, place: str) -> HostArray:
        """The outputs in float64.

        Raises:
            NonFiniteOutputError: They are not finite.
        """
        outputs = self.adapter.to_numpy(view.predict(view.inputs)).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise NonFiniteOutputError(
                f"the outputs of {place}",
                expected="finite numbers",
                received=f"{int((~np.isfinite(outputs)).sum())} infinite or NaN values of {outputs.size}",
                fix="Use statistics='reset', a perturbation of smaller scale, or a model of higher precision.",
            )
        return outputs


def _host_scores(adapter: ModelAdapter, score: Array, measure: Measure, samples: int) -> HostArray:
    scores = np.asarray(adapter.to_numpy(score), dtype=np.float64)
    if scores.shape != (samples,):
        raise ArgumentError(
            f"the measure {measure.name!r}",
            expected=f"a function f(a, b) -> (n,): one score for each of the {samples} samples",
            received=f"an array of shape {scores.shape}" if scores.ndim else "one number for the whole batch",
            fix="Score each sample by itself: the batch size must not change the scores.",
        )
    return scores
