"""Faithfulness: does the model's output fall when the pixels that a map points at are blurred?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._patch_grid import PatchGrid
from agnostic_rand.checks._probabilities import with_probabilities
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.explainers import Explainer
from agnostic_rand.explainers.folding import chosen_outputs, folded
from agnostic_rand.passes.explained_batches import ExplainedBatch
from agnostic_rand.passes.needs import Found, Look, Needs
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import MapForm
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import Purpose

_ABSOLUTE = MapForm("absolute", "sum")


@dataclass(frozen=True)
class Faithfulness(PassCheck):
    """The class's probability while the map's highest patches are blurred one by one; lower is more faithful.

    Patches are ranked by the sum of absolute attributions, and blurred from the highest on; the
    score is the mean softmax probability of the class over these steps: `mean()` and `estimate()`
    of the result, whose scores are the curve. Of patches that a map does not tell apart, the first
    of one random order are blurred first. The score depends on what a blurred patch means to the
    model, and does not say whether a map is right. The inputs are images; what is explained is what the
    other checks explain, and the probability is a softmax of the outputs, but for a model that puts out
    probabilities.

    Args:
        patch: The side of a patch in pixels; by default 15 at 224 px and in proportion.
        steps: How many patches are blurred, at most all.

    Raises:
        ArgumentError: A setting has a value that cannot be used.
        InputError: The inputs are no images, or the model has a single output.

    Source: Binder et al. 2023, appendix A.1.
    """

    name: ClassVar[str] = "faithfulness"
    question: ClassVar[str] = "Does the model's output fall when the pixels that a map points at are blurred?"
    meaning: ClassVar[str] = "a low score says that the output depends on what the map points at"
    cannot_say: ClassVar[str] = "whether a map is right, nor what a blurred patch means to the model"

    patch: int | None = None
    steps: int = 30

    def __post_init__(self) -> None:
        whole_number("steps", self.steps, least=1, example=30)
        if self.patch is not None:
            whole_number("patch", self.patch, least=1, example=15)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """A look at the maps of the trained model; see `PassCheck.needs`."""
        return Needs(looks=(Look(tuple(explainers), self.curve(subject)),))

    def curve(self, subject: Subject) -> BlurredCurve:
        """What computes the probabilities from a batch of maps, which are its last.

        Raises:
            InputError: The inputs are no images, or the model has a single output.
        """
        grid = self._grid(subject)
        activated, _ = with_probabilities(subject)
        ties = subject.streams.generator(Purpose.FLOOR, 1).permutation(grid.count)
        return BlurredCurve(subject, grid, min(self.steps, grid.count), activated, ties)

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The probabilities `(patches, samples)` as patches are blurred; see `PassCheck.read`."""
        grid = self._grid(subject)
        steps = min(self.steps, grid.count)
        return tuple(
            Scores(
                check=self.name,
                dimensions={"patches": tuple(range(1, steps + 1)), "sample": tuple(range(len(subject.samples)))},
                scores=found.looks[0][one.name],
                notes={one.name: Notes()},
                meaning=self.meaning,
                seed=subject.seed,
                settings={
                    "patch": grid.side,
                    "steps": steps,
                    "blur": grid.box,
                    "probability": with_probabilities(subject)[1],
                    "ranges": {"probability": [0.0, 1.0]},
                    **subject.described([one]),
                },
                versions=subject.versions(),
                averaged=("patches", "sample"),
            )
            for one in explainers
        )

    def _grid(self, subject: Subject) -> PatchGrid:
        return PatchGrid.of(subject.samples.inputs, subject.layer_axis, self.patch)


@dataclass(frozen=True)
class BlurredCurve:
    """Computes the probabilities of a batch while patches are blurred.

    Args:
        subject: The model and the data.
        grid: The patches.
        steps: How many are blurred.
        activated: The model, from outputs to probabilities.
        ties: The order of patches that a map does not tell apart.
    """

    subject: Subject
    grid: PatchGrid
    steps: int
    activated: Any
    ties: HostArray

    def __call__(self, batches: Sequence[ExplainedBatch]) -> Mapping[str, HostArray]:
        """By `"probability"`, `(steps, n)`."""
        batch = batches[-1]
        order = self._order(batch)[:, : self.steps]
        with self.subject.working([]) as working:
            return {"probability": self._curve(self.activated(working), batch, order)}

    def _order(self, batch: ExplainedBatch) -> HostArray:
        """The patches of each map from the highest on, `(n, count)`."""
        grid, ties = self.grid, self.ties
        # Images (n, h, w) have no channels, though other inputs of three dimensions do.
        axis = batch.channel_axis if grid.channel_axis else None
        maps = batch.view.to_numpy(_ABSOLUTE.apply(batch.maps, axis))
        sums = grid.sums(maps.reshape(-1, grid.height, grid.width))
        order: HostArray = ties[np.argsort(-sums[:, ties], axis=1, kind="stable")]
        return order

    def _curve(self, adapter: ModelAdapter, batch: ExplainedBatch, order: HostArray) -> HostArray:
        samples, grid = self.subject.samples[batch.rows], self.grid
        images = samples.inputs.astype(np.float32)
        adapter = samples.placed(adapter).seen_by(adapter)
        blurred = grid.blurred(images)

        def variants() -> Iterator[Array]:
            hidden = np.zeros((len(images), grid.count), dtype=np.float32)
            for patches in order.T:
                np.put_along_axis(hidden, patches[:, None], 1.0, axis=1)
                yield adapter.asarray(images + grid.mask(hidden) * (blurred - images))

        def probability(inputs: Array, targets: Array) -> Array:
            return chosen_outputs(adapter, inputs, targets)

        parts = folded(probability, variants(), batch.targets, self.subject.batch_size)
        return np.concatenate([adapter.to_numpy(part) for part in parts]).astype(np.float64)
