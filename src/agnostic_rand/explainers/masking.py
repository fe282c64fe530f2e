"""Masking of parts of the input while the output is watched; no gradient is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.arguments import real_number, whole_number
from agnostic_rand.errors import ArgumentError
from agnostic_rand.explainers.baselines import Baseline, baseline_of, check_baseline
from agnostic_rand.explainers.context import ExplanationContext
from agnostic_rand.explainers.folding import chosen_outputs, folded
from agnostic_rand.explainers.registry import METHODS, named
from agnostic_rand.explainers.resize import upsampled


@named(METHODS, "occlusion")
@dataclass(frozen=True)
class Occlusion:
    """How much the output falls when a patch is hidden; a pixel's value is the mean over its patches.

    Args:
        patch: The patch's side in pixels; by default an eighth of the input's, rounded up. A patch
            spans all channels.
        stride: The distance between patches; by default the patch's side.
        baseline: What a hidden patch shows: a number, an array that broadcasts to one sample,
            `"mean"` or `"blur"`.

    Raises:
        ArgumentError: An argument is out of range.

    Source: Zeiler & Fergus 2014, section 4.2.

    Example:
        >>> Occlusion(patch=4, stride=2).name
        'occlusion'
    """

    name: ClassVar[str] = "occlusion"

    patch: int | None = None
    stride: int | None = None
    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        for name in ("patch", "stride"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), least=1, example=4)
        check_baseline(self.baseline)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs`; see `Explainer.explain`."""
        xp = array_namespace(inputs)
        baseline = baseline_of(self.baseline, adapter, inputs, context.channel_axis)
        patches = self._patches(tuple(inputs.shape), context.channel_axis)
        whole = chosen_outputs(adapter, inputs, targets)
        hidden = (inputs + adapter.asarray(mask) * (baseline - inputs) for mask in patches)
        falls: list[Array] = []
        for outputs in folded(lambda x, y: chosen_outputs(adapter, x, y), hidden, targets, context.batch_size):
            falls += [whole - outputs[k, ...] for k in range(outputs.shape[0])]
        total, count = xp.zeros_like(inputs), np.sum(patches, axis=0)
        for mask, fall in zip(patches, falls, strict=True):
            total = total + adapter.asarray(mask) * xp.reshape(fall, (-1, *[1] * (inputs.ndim - 1)))
        return total / adapter.asarray(count)

    def _patches(self, shape: tuple[int, ...], channel_axis: int | None) -> list[HostArray]:
        """Masks `(1, ...)` that broadcast over the batch, 1 where the input is hidden."""
        channels = -1 if channel_axis is None else channel_axis % len(shape)
        places: list[list[slice]] = []
        for axis, size in enumerate(shape[1:], start=1):
            if axis == channels:
                places.append([slice(0, size)])
                continue
            side = min(self.patch or -(-size // 8), size)
            starts = list(range(0, size - side + 1, self.stride or side))
            if starts[-1] + side < size:
                # The last patch is moved in, so that every pixel is hidden at least once.
                starts.append(size - side)
            places.append([slice(start, start + side) for start in starts])
        masks = []
        for place in product(*places):
            mask = np.zeros((1, *shape[1:]), dtype=np.float32)
            index: tuple[int | slice, ...] = (0, *place)
            mask[index] = 1
            masks.append(mask)
        if not np.all(np.sum(masks, axis=0)):
            raise ArgumentError(
                "stride",
                expected="a stride of at most the patch's side, so that every pixel is hidden at least once",
                received=f"stride={self.stride} with patch={self.patch}",
                fix="Leave stride out.",
            )
        return masks


@named(METHODS, "rise")
@dataclass(frozen=True)
class RISE:
    """The mean of random masks, each weighted by the output that the masked input gives.

    The masks are the same for every sample and for the trained and the random model.

    Args:
        masks: Their number, at least 1.
        cells: The side of the coarse random grid that is upsampled to a mask.
        keep: The probability that a cell is shown, in (0, 1).
        baseline: What hidden parts show, as in `Occlusion`.

    Raises:
        ArgumentError: An argument is out of range.

    Source: Petsiuk et al. 2018, section 3. The model's own outputs are the weights: use
    `activation="softmax"` for the paper's probabilities.

    Example:
        >>> RISE(masks=200).name
        'rise'
    """

    name: ClassVar[str] = "rise"

    masks: int = 500
    cells: int = 7
    keep: float = 0.5
    baseline: Baseline = 0.0

    def __post_init__(self) -> None:
        whole_number("masks", self.masks, least=1, example=500)
        whole_number("cells", self.cells, least=1, example=7)
        real_number("keep", self.keep, least=0, example=0.5, above=True)
        if self.keep >= 1:
            raise ArgumentError(
                "keep", expected="a probability in (0, 1)", received=repr(self.keep), fix="Pass keep=0.5."
            )
        check_baseline(self.baseline)

    def explain(self, adapter: ModelAdapter, inputs: Array, targets: Array, context: ExplanationContext) -> Array:
        """The maps, shaped like `inputs` without channels where they have any; see `Explainer.explain`."""
        xp = array_namespace(inputs)
        baseline = baseline_of(self.baseline, adapter, inputs, context.channel_axis)
        shown: list[Array] = []

        def masked() -> Iterator[Array]:
            for mask in self._masks(tuple(inputs.shape), context, adapter):
                shown.append(mask)
                yield baseline + mask * (inputs - baseline)

        total: Array = None
        for outputs in folded(lambda x, y: chosen_outputs(adapter, x, y), masked(), targets, context.batch_size):
            for k in range(outputs.shape[0]):
                weight = xp.reshape(outputs[k, ...], (-1, *[1] * (inputs.ndim - 1)))
                part = weight * shown.pop(0)
                total = part if total is None else total + part
        maps = total / (self.masks * self.keep)
        return maps if context.channel_axis is None else xp.squeeze(maps, axis=context.channel_axis)

    def _masks(self, shape: tuple[int, ...], context: ExplanationContext, adapter: ModelAdapter) -> Iterator[Array]:
        channels = None if context.channel_axis is None else context.channel_axis % len(shape)
        space = [size for axis, size in enumerate(shape) if axis not in (0, channels)]
        # Images have two dimensions to mask; sequences, volumes and features are masked along one.
        height, width = space if len(space) == 2 else (1, int(np.prod(space)))
        rows, columns = min(self.cells, height), min(self.cells, width)
        cell = -(-height // rows), -(-width // columns)
        numbers = context.common_uniform((self.masks, (rows + 1) * (columns + 1) + 2))
        for number in numbers:
            coarse = (number[2:] < self.keep).reshape(1, rows + 1, columns + 1).astype(np.float32)
            fine = upsampled(coarse, ((rows + 1) * cell[0], (columns + 1) * cell[1]), adapter)
            top, left = int(number[0] * cell[0]), int(number[1] * cell[1])
            mask = fine[:, top : top + height, left : left + width].reshape(1, *space)
            full = mask if channels is None else np.expand_dims(mask, channels)
            yield adapter.asarray(np.ascontiguousarray(full))
