"""Patch grid of an image: patches that do not overlap, and their blurred copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.errors import InputError


@dataclass(frozen=True)
class PatchGrid:
    """Patches that do not overlap; those at the far edges may be smaller.

    Args:
        side: Of a patch, in pixels.
        rows: The number of patches from top to bottom.
        columns: The number of patches from left to right.
        height: Of an image, in pixels.
        width: Of an image, in pixels.
        channel_axis: Where the images keep channels; 0 for images without.
    """

    side: int
    rows: int
    columns: int
    height: int
    width: int
    channel_axis: int

    @classmethod
    def of(cls, inputs: HostArray, channel_axis: int, patch: int | None) -> PatchGrid:
        """The grid of these images; by default patches of 15 pixels at 224 and in proportion.

        Raises:
            InputError: The inputs are no images.
        """
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
        """The number of patches."""
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

    @property
    def box(self) -> int:
        """The side of the blur: a patch's, but wide enough to blur where patches are a pixel or two.

        Odd, so that a box has its pixel in the middle: one more than the side of a patch of even side.
        """
        side = max(self.side, 5)
        return side if side % 2 else side + 1

    def blurred(self, images: HostArray) -> HostArray:
        """The mean over a box around each pixel, edges repeated; shaped like the images."""
        # SciPy takes longer to import than this library: not before it is needed.
        from scipy import ndimage

        size = [self.box] * images.ndim
        size[0] = 1
        if self.channel_axis:
            size[self.channel_axis] = 1
        blurred: HostArray = ndimage.uniform_filter(images, size, mode="nearest")
        return blurred
