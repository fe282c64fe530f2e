"""Faithfulness: does the model's output fall when the pixels that a map points at are blurred?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from agnostic_rand.activation import with_activation
from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.errors import InputError
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.explainers.folding import chosen_outputs, folded
from agnostic_rand.explaining import ExplainedBatch, explained_batches
from agnostic_rand.samples import ArrayLike
from agnostic_rand.similarity import MapForm

_DEFAULT_OPTIONS = RunOptions()
_ABSOLUTE = MapForm("absolute", "sum")


@dataclass(frozen=True)
class Faithfulness:
    """The class's probability while the map's highest patches are blurred one by one; lower is more faithful.

    Patches are ranked by the sum of absolute attributions, and blurred from the highest on; the
    score is the mean softmax probability of the class over these steps. It depends on what a
    blurred patch means to the model, and does not say whether a map is right.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: Images, as in `ModelRandomizationMetric`.
        targets: Class indices `(n,)` or one-hot labels; `None` for the model's predictions (as in
            the paper).
        patch: The side of a patch in pixels; by default 15 at 224 px and in proportion.
        steps: How many patches are blurred, at most all.
        options: How the model is run; its activation is always a softmax here.

    Source: Binder et al. 2023, appendix A.1.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    patch: int | None = None
    steps: int = 30
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, least=1, example=30)
        if self.patch is not None:
            whole_number("patch", self.patch, least=1, example=15)

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The probabilities `(patches, samples)` as patches are blurred.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            InputError: The inputs are no images.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        return faithfulness_of(subject, self.options.explainer(explainer), patch=self.patch, steps=self.steps)


def faithfulness_of(
    subject: Subject, explainer: Explainer, *, patch: int | None = None, steps: int = 30
) -> CheckResult:
    """The check on a subject that was read already; see `Faithfulness`."""
    grid = _Grid.of(subject.samples.inputs, subject.channel_axis, patch)
    steps = min(steps, grid.count)
    curve = np.full((steps, len(subject.samples)), np.nan)
    with subject.working([explainer]) as working:
        adapter = with_activation(working, "softmax")
        labels = subject.fixed_targets(adapter)
        batches = explained_batches(
            adapter, explainer, subject.samples.inputs, labels, subject.context(), "the trained model"
        )
        for batch in batches:
            curve[:, batch.rows] = _curve(adapter, batch, subject, grid, steps)
    return CheckResult(
        check="faithfulness",
        explainer=explainer.name,
        dimensions={"patches": tuple(range(1, steps + 1)), "sample": tuple(range(len(labels)))},
        scores={"probability": curve},
        meaning="a low score says that the output depends on what the map points at",
        seed=subject.streams.seed,
        settings={"patch": grid.side, "steps": steps, **subject.described([explainer])},
        versions=subject.versions(),
    )


@dataclass(frozen=True)
class _Grid:
    """Patches that do not overlap; those at the far edges may be smaller."""

    side: int
    rows: int
    columns: int
    height: int
    width: int
    channel_axis: int

    @classmethod
    def of(cls, inputs: HostArray, channel_axis: int, patch: int | None) -> _Grid:
        if inputs.ndim not in (3, 4):
            raise InputError(
                "inputs",
                expected="images (n, h, w) or with channels",
                received=f"shape {inputs.shape}",
                fix="Faithfulness by blurred patches is defined for images only.",
            )
        axis = channel_axis % 4 if inputs.ndim == 4 else 0
        height, width = (n for i, n in enumerate(inputs.shape) if i not in (0, axis))
        side = max(1, round(15 * min(height, width) / 224)) if patch is None else min(patch, height, width)
        return cls(side, -(-height // side), -(-width // side), height, width, axis)

    @property
    def count(self) -> int:
        return self.rows * self.columns

    def sums(self, maps: HostArray) -> HostArray:
        """The sum over each patch, `(n, count)`."""
        full = np.zeros((maps.shape[0], self.rows * self.side, self.columns * self.side))
        full[:, : self.height, : self.width] = maps
        split = full.reshape(-1, self.rows, self.side, self.columns, self.side)
        sums: HostArray = split.sum(axis=(2, 4)).reshape(len(maps), -1)
        return sums

    def mask(self, patches: HostArray) -> HostArray:
        """From patches `(n, count)` to pixels, with an axis for channels where the inputs have one."""
        pixels = patches.reshape(-1, self.rows, self.columns).repeat(self.side, 1).repeat(self.side, 2)
        cut = pixels[:, : self.height, : self.width]
        return np.expand_dims(cut, self.channel_axis) if self.channel_axis else cut


def _curve(adapter: ModelAdapter, batch: ExplainedBatch, subject: Subject, grid: _Grid, steps: int) -> HostArray:
    maps = adapter.to_numpy(_ABSOLUTE.apply(batch.maps, batch.channel_axis))
    order = np.argsort(-grid.sums(maps.reshape(-1, grid.height, grid.width)), axis=1, kind="stable")
    images = subject.samples.inputs[batch.rows].astype(np.float32)
    blurred = _blurred(images, grid)

    def variants() -> Iterator[Array]:
        hidden = np.zeros((len(images), grid.count), dtype=np.float32)
        for step in range(steps):
            np.put_along_axis(hidden, order[:, step : step + 1], 1.0, axis=1)
            yield adapter.asarray(images + grid.mask(hidden) * (blurred - images))

    def probability(inputs: Array, targets: Array) -> Array:
        return chosen_outputs(adapter, inputs, targets)

    parts = folded(probability, variants(), batch.targets, subject.options.batch_size)
    return np.concatenate([adapter.to_numpy(part) for part in parts])


def _blurred(images: HostArray, grid: _Grid) -> HostArray:
    # A box as wide as a patch, but wide enough to blur where patches are a pixel or two.
    size = [max(grid.side, 5)] * images.ndim
    size[0] = 1
    if grid.channel_axis:
        size[grid.channel_axis] = 1
    blurred: HostArray = ndimage.uniform_filter(images, size, mode="nearest")
    return blurred
