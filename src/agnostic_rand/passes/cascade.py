"""The only loop over data: shards and batches of samples, draws and steps of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter, PlacedInputs
from agnostic_rand.adapters.batch_view import BatchView
from agnostic_rand.errors import ArgumentError, ExplanationError, NonFiniteOutputError
from agnostic_rand.explainers import Explainer, ExplanationContext
from agnostic_rand.passes.explained_batches import explain_batch
from agnostic_rand.results.output_change import OutputChange, OutputTally
from agnostic_rand.similarity import MapForm, Measure, in_forms
from agnostic_rand.subject.progress import Progress, ProgressCallback
from agnostic_rand.subject.samples import Samples
from agnostic_rand.subject.targets import best_class
from agnostic_rand.weights import Plan, Randomizer

SHARD_BYTES = 2**30
"""The host memory that the base maps of one shard may take."""


Observer: TypeAlias = Callable[[str, ExplanationContext, Mapping[MapForm, Array]], None]
"""`observe(explainer's name, where the batch stands, its maps by form)`."""


@dataclass(frozen=True)
class CascadeSettings:
    """What a run does besides the plan.

    Args:
        measures: How maps are compared.
        draws: How often each step is drawn.
        batch_size: How many samples the model takes at once.
        channel_axis: Where inputs keep their channels, or `None`.
        progress: Called after each explained batch, or `None`.
        observe: Sees every batch of maps, in the forms of the measures, or `None`.
        shard_bytes: The memory that base maps may take at once.
    """

    measures: tuple[Measure, ...]
    draws: int
    batch_size: int
    channel_axis: int | None
    progress: ProgressCallback | None = None
    observe: Observer | None = None
    shard_bytes: int = SHARD_BYTES


@dataclass(frozen=True)
class CascadeRecord:
    """What a run measured.

    Args:
        scores: By explainer and measure, `(draws, steps, samples)`.
        outputs: How the model's own outputs changed.
        trained: The trained model's outputs for the first batch `(n, classes)`.
    """

    scores: Mapping[str, Mapping[str, HostArray]]
    outputs: OutputChange
    trained: HostArray


@dataclass(frozen=True)
class _Batch:
    start: int
    inputs: PlacedInputs
    targets: Array | None
    outputs: HostArray
    prepared: Mapping[str, Mapping[str, Any]]


def run_cascade(
    adapter: ModelAdapter,
    explainers: Sequence[Explainer],
    samples: Samples,
    targets: HostArray | str,
    randomizer: Randomizer,
    plan: Plan,
    context: ExplanationContext,
    settings: CascadeSettings,
) -> CascadeRecord:
    """Explain every batch with the trained model, then in each step of each draw, and compare.

    Args:
        adapter: The model that the randomizer changes.
        explainers: With distinct names.
        samples: The inputs.
        targets: The classes to explain `(n,)`, or `"dynamic"` for the current model's choice.
        randomizer: Brings the model into its states; it is trained when this function is called.
        plan: The randomizer's plan.
        context: Where explainers get their randomness.
        settings: Everything else.

    Raises:
        NonFiniteOutputError: A randomized model's outputs are not finite; names step and layer.
        ExplanationError: A map is not one of its inputs; names step, batch and explainer.
    """
    count = len(samples)
    shape = (settings.draws, len(plan.steps), count)
    scores = {e.name: {m.name: np.full(shape, np.nan) for m in settings.measures} for e in explainers}
    tally = OutputTally(settings.draws, len(plan.steps))
    trained: HostArray | None = None
    ticker = _Ticker(settings, count, len(plan.steps), len(explainers))
    for start, stop in _shards(samples, len(explainers) * len(settings.measures), settings):
        run = _ShardRun(adapter, randomizer, explainers, settings, context, ticker, scores, tally)
        batches = [
            run.base(first, samples[first : min(first + settings.batch_size, stop)], targets)
            for first in range(start, stop, settings.batch_size)
        ]
        trained = batches[0].outputs if trained is None else trained
        for draw in range(settings.draws):
            for number, step in enumerate(plan.steps):
                randomizer.apply(draw=draw, step=number)
                place = f"step {number} ({step.name!r}), draw {draw}"
                for batch in batches:
                    run.compare(batch, draw, number, place)
        # Each write looks first at what it would hide; this one look is at all layers.
        randomizer.verify()
        if stop < count:
            randomizer.restore()
    # There is at least one sample, so a first batch too.
    return CascadeRecord(scores, tally.change(), cast("HostArray", trained))


@dataclass(frozen=True)
class _ShardRun:
    adapter: ModelAdapter
    randomizer: Randomizer
    explainers: Sequence[Explainer]
    settings: CascadeSettings
    context: ExplanationContext
    ticker: _Ticker
    scores: Mapping[str, Mapping[str, HostArray]]
    tally: OutputTally

    def base(self, start: int, samples: Samples, targets: HostArray | str) -> _Batch:
        placed = samples.placed(self.adapter)
        fixed = None if isinstance(targets, str) else self.adapter.asarray(targets[start : start + len(samples)])
        view = self._view(placed)
        chosen = self._targets(view, fixed)
        place = "the trained model"
        context = replace(self.context, draw=-1, step=-1, first_sample=start)
        prepared = {}
        for explainer in self.explainers:
            forms = self._explain(view, explainer, chosen, context, place)
            prepared[explainer.name] = {m.name: m.prepare(forms[m.form]) for m in self.settings.measures}
        outputs = self._finite_outputs(view, place)
        return _Batch(start, placed, fixed, outputs, prepared)

    def compare(self, batch: _Batch, draw: int, step: int, place: str) -> None:
        view = self._view(batch.inputs)
        targets = self._targets(view, batch.targets)
        context = replace(self.context, draw=draw, step=step, first_sample=batch.start)
        stop = batch.start + view.inputs.shape[0]
        for explainer in self.explainers:
            forms = self._explain(view, explainer, targets, context, place)
            for measure in self.settings.measures:
                score = measure.compare(batch.prepared[explainer.name][measure.name], forms[measure.form])
                self.scores[explainer.name][measure.name][draw, step, batch.start : stop] = _host_scores(
                    self.adapter, score, measure, stop - batch.start
                )
        outputs = self._finite_outputs(view, place)
        self.randomizer.refuse_unmoved(batch.outputs, outputs, step=step, place=place)
        self.tally.add(draw, step, batch.outputs, outputs)

    def _view(self, inputs: PlacedInputs) -> BatchView:
        return BatchView(inputs.seen_by(self.adapter), inputs.explained)

    def _targets(self, view: BatchView, fixed: Array | None) -> Array:
        return best_class(view.predict(view.inputs)) if fixed is None else fixed

    def _explain(
        self,
        view: BatchView,
        explainer: Explainer,
        targets: Array,
        context: ExplanationContext,
        place: str,
    ) -> dict[MapForm, Array]:
        try:
            maps, axis = explain_batch(view, explainer, targets, context, place)
        except ExplanationError:
            # Maps of a model that has no finite outputs are the model's fault.
            self._finite_outputs(view, place)
            raise
        applied = in_forms({measure.form for measure in self.settings.measures}, maps, axis)
        if self.settings.observe is not None:
            self.settings.observe(explainer.name, context, applied)
        self.ticker.tick(explainer.name)
        return applied

    def _finite_outputs(self, view: BatchView, place: str) -> HostArray:
        outputs = self.adapter.to_numpy(view.predict(view.inputs)).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise NonFiniteOutputError(
                f"the outputs of {place}",
                expected="finite numbers",
                received=f"{int((~np.isfinite(outputs)).sum())} infinite or NaN values of {outputs.size}",
                fix="Use statistics='reset', a perturbation of smaller scale, or a model of higher precision.",
            )
        return outputs


class _Ticker:
    def __init__(self, settings: CascadeSettings, samples: int, steps: int, explainers: int) -> None:
        self._callback = settings.progress
        batches = -(-samples // settings.batch_size)
        self._total = batches * (1 + settings.draws * steps) * explainers
        self._done = 0

    def tick(self, description: str) -> None:
        self._done += 1
        if self._callback is not None:
            self._callback(Progress(self._done, self._total, description))


def _shards(samples: Samples, forms: int, settings: CascadeSettings) -> list[tuple[int, int]]:
    inputs = samples.inputs
    # A prepared map is at most as many float64 values as the input has elements.
    per_sample = inputs[0].size * (inputs.itemsize + 8 * forms)
    batches = max(1, settings.shard_bytes // (per_sample * settings.batch_size))
    size = batches * settings.batch_size
    return [(start, min(start + size, inputs.shape[0])) for start in range(0, inputs.shape[0], size)]


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
