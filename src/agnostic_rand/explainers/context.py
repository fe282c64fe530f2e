"""Context of an explanation: what an explainer is told besides the model, the inputs and the targets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from array_api_compat import array_namespace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.weights.streams import Purpose, Streams


@dataclass(frozen=True)
class ExplanationContext:
    """Where a batch of explanations stands in a run.

    Args:
        streams: The root of the explainers' randomness.
        batch_size: The number of samples that the model is run on at once.
        channel_axis: Where the inputs keep their channels; `None` for inputs without.
        draw: The draw of the model's weights; -1 for the trained model.
        step: The step of the plan; -1 for the trained model.
        first_sample: The position of the batch's first sample among all samples.
        noises: Noise that was put on the device before, by shape.
        target_columns: The number of columns of the caller's one-hot targets; `None` for class indices.
        drew: The samples for which noise of their own was drawn, as it is drawn.
        copies: Where the batch is made of copies of another, the outermost first: the number of
            samples of the other, and the number of the first copy among all.
    """

    streams: Streams
    batch_size: int
    channel_axis: int | None
    draw: int = -1
    step: int = -1
    first_sample: int = 0
    noises: dict[tuple[int, ...], Array] = field(default_factory=dict)
    target_columns: int | None = None
    drew: set[int] = field(default_factory=set)
    copies: tuple[tuple[int, int], ...] = ()

    def channels_last(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape `(n, ...)` with channels at its end: numbers are drawn in one layout for all frameworks."""
        if self.channel_axis is None:
            return shape
        axis = self.channel_axis % len(shape)
        return (*shape[:axis], *shape[axis + 1 :], shape[axis])

    def from_channels_last(self, values: HostArray) -> HostArray:
        """Numbers that were drawn with channels at the end, in the layout of the inputs."""
        return values if self.channel_axis is None else np.moveaxis(values, -1, self.channel_axis)

    def common_noise(self, adapter: ModelAdapter, shape: tuple[int, ...]) -> Array:
        """Standard normal noise, the same in every call: for every sample, step and draw."""
        if shape not in self.noises:
            rng = self.streams.generator(Purpose.SMOOTHING)
            noise = rng.standard_normal(self.channels_last(shape), dtype=np.float32)
            self.noises[shape] = adapter.asarray(np.ascontiguousarray(self.from_channels_last(noise)))
        return self.noises[shape]

    def noisy(self, adapter: ModelAdapter, inputs: Array, level: float, number: int, of: int) -> Array:
        """The inputs with common noise, its standard deviation a share of each input's range (max - min)."""
        xp = array_namespace(inputs)
        axes = tuple(range(1, inputs.ndim))
        spread = xp.max(inputs, axis=axes, keepdims=True) - xp.min(inputs, axis=axes, keepdims=True)
        noise = self.common_noise(adapter, (of, *inputs.shape[1:]))
        return inputs + level * spread * noise[number, ...][None, ...]

    def common_uniform(self, shape: tuple[int, ...]) -> HostArray:
        """Uniform numbers in [0, 1), on the host, the same in every call."""
        return self.streams.generator(Purpose.SMOOTHING, 1).random(shape)

    def own_noise(self, sample: int) -> np.random.Generator:
        """A generator that belongs to this step, this draw and one sample (and its copy) of the batch alone."""
        self.drew.add(sample)
        numbers = []
        for size, first in reversed(self.copies):
            numbers.append(first + sample // size)
            sample %= size
        # Keys are not negative, so the trained model's -1 is counted as 0.
        key = (self.draw + 1, self.step + 1, self.first_sample + sample, *numbers)
        return self.streams.generator(Purpose.CONTROL, *key)

    def of_copies(self, size: int, first: int) -> ExplanationContext:
        """The context of copies of a batch of `size` samples, one after the other, the first being copy `first`."""
        return replace(self, copies=(*self.copies, (size, first)))
