"""Faithfulness: does the model's output fall when the pixels that a map points at are blurred?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._patch_grid import PatchGrid
from agnostic_rand.checks._probabilities import with_probabilities
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.explainers.folding import chosen_outputs, folded
from agnostic_rand.passes.explained_batches import ExplainedBatch, explained_batches
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.similarity import MapForm
from agnostic_rand.statistics import MeanEstimate, estimate_mean
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import Purpose

FAITHFULNESS_STEPS = 30
"""How many patches are blurred, as in the paper."""

_DEFAULT_OPTIONS = RunOptions()
_ABSOLUTE = MapForm("absolute", "sum")


@dataclass(frozen=True, eq=False)
class FaithfulnessResult(CheckResult):
    """The probabilities `(patches, samples)` of one explainer; the score is their mean over both.

    Arguments are those of `CheckResult`.
    """

    averaged: ClassVar[tuple[str, ...]] = ("patches", "sample")

    def curve(self) -> HostArray:
        """The mean over samples by number of blurred patches, `(patches,)`."""
        means: HostArray = self._of(None).mean(axis=1)
        return means

    def estimate(self, measure: str | None = None, place: Mapping[str, int] | None = None) -> MeanEstimate:
        """The score and its uncertainty; with a `place` such as `{"patches": 0}`, that of one point of the curve.

        Args:
            measure: By default the first.
            place: The index of a number of patches, or `None` for the mean over all.

        Raises:
            UnknownNameError: There is no such measure or dimension.
        """
        if place is not None:
            return super().estimate(measure, place)
        return estimate_mean(self._of(measure).mean(axis=0)[None])


@dataclass(frozen=True)
class Faithfulness:
    """The class's probability while the map's highest patches are blurred one by one; lower is more faithful.

    Patches are ranked by the sum of absolute attributions, and blurred from the highest on; the
    score is the mean softmax probability of the class over these steps: `mean()` and `estimate()`
    of the result, which keeps the curve too. Of patches that a map does not tell apart, the first
    of one random order are blurred first. The score depends on what a blurred patch means to the
    model, and does not say whether a map is right.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: Images, as in `ModelRandomizationMetric`.
        targets: Class indices `(n,)` or one-hot labels; `None` for the model's predictions (as in
            the paper).
        patch: The side of a patch in pixels; by default 15 at 224 px and in proportion.
        steps: How many patches are blurred, at most all.
        options: How the model is run. What is explained is what the other checks explain; the
            probability is a softmax of the outputs, but for a model that puts out probabilities.

    Source: Binder et al. 2023, appendix A.1.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    patch: int | None = None
    steps: int = FAITHFULNESS_STEPS
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, least=1, example=30)
        if self.patch is not None:
            whole_number("patch", self.patch, least=1, example=15)

    def run(self, explainer: ExplainerLike) -> FaithfulnessResult:
        """The probabilities `(patches, samples)` as patches are blurred.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            InputError: The inputs are no images, or the model has a single output.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        resolved = self.options.explainer(explainer)
        result = faithfulness_of(subject, resolved, patch=self.patch, steps=self.steps)
        return cast(FaithfulnessResult, result)


def faithfulness_of(
    subject: Subject,
    explainer: Explainer,
    *,
    patch: int | None = None,
    steps: int = FAITHFULNESS_STEPS,
    noise: int = -1,
) -> CheckResult:
    """The check on a subject that was read already, a `FaithfulnessResult`; see `Faithfulness`.

    Args:
        subject: The model and the data.
        explainer: The method.
        patch: As in `Faithfulness`.
        steps: As in `Faithfulness`.
        noise: Another number gives explainers that draw noise another noise.
    """
    grid = PatchGrid.of(subject.samples.inputs, subject.layer_axis, patch)
    steps = min(steps, grid.count)
    curve = np.full((steps, len(subject.samples)), np.nan)
    with subject.working([explainer]) as working:
        explained = subject.activated(working)
        labels = subject.fixed_targets(working)
        judged, activation = with_probabilities(working, subject)
        ties = subject.streams.generator(Purpose.FLOOR, 1).permutation(grid.count)
        batches = explained_batches(
            explained,
            explainer,
            subject.samples,
            labels,
            replace(subject.context(), draw=noise),
            "the trained model",
        )
        for batch in batches:
            order = _order(explained, batch, grid, ties)
            curve[:, batch.rows] = _curve(judged, batch, subject, grid, order[:, :steps])
    return FaithfulnessResult(
        check="faithfulness",
        explainer=explainer.name,
        dimensions={"patches": tuple(range(1, steps + 1)), "sample": tuple(range(len(labels)))},
        scores={"probability": curve},
        meaning="a low score says that the output depends on what the map points at",
        seed=subject.streams.seed,
        settings={
            "patch": grid.side,
            "steps": steps,
            "blur": grid.box,
            "probability": activation,
            **subject.described([explainer]),
        },
        versions=subject.versions(),
    )


def _order(adapter: ModelAdapter, batch: ExplainedBatch, grid: PatchGrid, ties: HostArray) -> HostArray:
    """The patches of each map from the highest on, `(n, count)`."""
    # Images (n, h, w) have no channels, though other inputs of three dimensions do.
    axis = batch.channel_axis if grid.channel_axis else None
    maps = adapter.to_numpy(_ABSOLUTE.apply(batch.maps, axis))
    sums = grid.sums(maps.reshape(-1, grid.height, grid.width))
    order: HostArray = ties[np.argsort(-sums[:, ties], axis=1, kind="stable")]
    return order


def _curve(
    adapter: ModelAdapter, batch: ExplainedBatch, subject: Subject, grid: PatchGrid, order: HostArray
) -> HostArray:
    images = subject.samples.inputs[batch.rows].astype(np.float32)
    adapter = subject.samples[batch.rows].placed(adapter).seen_by(adapter)
    blurred = grid.blurred(images)

    def variants() -> Iterator[Array]:
        hidden = np.zeros((len(images), grid.count), dtype=np.float32)
        for patches in order.T:
            np.put_along_axis(hidden, patches[:, None], 1.0, axis=1)
            yield adapter.asarray(images + grid.mask(hidden) * (blurred - images))

    def probability(inputs: Array, targets: Array) -> Array:
        return chosen_outputs(adapter, inputs, targets)

    parts = folded(probability, variants(), batch.targets, subject.batch_size)
    return np.concatenate([adapter.to_numpy(part) for part in parts])
