"""Map strip: the maps of one sample over the steps, kept aside while a run scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.checks.model_randomization import ModelRandomization
from agnostic_rand.explainers import Explainer, ExplanationContext
from agnostic_rand.passes.run import run
from agnostic_rand.results.scores import Scores
from agnostic_rand.similarity import MapForm
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import Step

MOST_STEPS = 8
"""How many steps are kept; of more, these are evenly apart and end with the last."""


@dataclass(frozen=True)
class MapStrip:
    """One sample and its maps in the first draw, of the trained model and then of each step kept.

    Args:
        image: The sample, without the batch dimension.
        maps: By explainer, `(1 + steps kept, h, w)`.
        steps: The steps kept, in order.
        numbers: Their positions among all steps.
        sample: Its position among all samples.
        channel_axis: Where the image keeps its channels, or `None`.
    """

    image: HostArray
    maps: Mapping[str, HostArray]
    steps: tuple[Step, ...]
    numbers: tuple[int, ...]
    sample: int
    channel_axis: int | None


@dataclass
class MapRecorder:
    """An observer of a run.

    Args:
        adapter: Brings maps to the host.
        numbers: The steps whose maps are kept beside the trained model's.
        sample: The sample whose maps are kept.
    """

    adapter: ModelAdapter
    numbers: tuple[int, ...]
    sample: int = 0
    maps: dict[str, list[HostArray]] = field(default_factory=dict)

    def observe(self, explainer: str, context: ExplanationContext, forms: Mapping[MapForm, Array]) -> None:
        """Keep the sample's map where it is in this batch and the step is wanted."""
        signed = MapForm()
        maps = forms[signed] if signed in forms else next(iter(forms.values()))
        place = self.sample - context.first_sample
        wanted = context.step == -1 or (context.draw == 0 and context.step in self.numbers)
        if wanted and 0 <= place < maps.shape[0]:
            kept = np.array(self.adapter.to_numpy(maps[place : place + 1]))
            if kept.ndim == 4:
                kept = kept.mean(axis=context.channel_axis)
            self.maps.setdefault(explainer, []).append(kept[0])


def recorded(
    check: ModelRandomization, subject: Subject, explainers: Sequence[Explainer], *, sample: int = 0
) -> tuple[tuple[Scores, ...], MapStrip | None]:
    """The scores of all explainers, and one sample's maps if the samples are images.

    Args:
        check: Whose steps are shown.
        subject: The model and the data.
        explainers: With distinct names.
        sample: Whose maps are kept.

    Raises:
        AgnosticRandError: An explainer, its maps or a random model cannot be used.
    """
    shape = subject.samples.inputs.shape[1:]
    image = is_image(shape, subject.layer_axis)
    needs = check.needs(subject, explainers)
    (walk,) = needs.walks
    steps = walk.strategy.plan(subject.adapter.layers()).steps
    recorder = MapRecorder(subject.adapter, evenly(len(steps), MOST_STEPS), sample)
    observed = replace(needs, walks=(replace(walk, observe=recorder.observe if image else None),))
    results = check.read(subject, explainers, run(subject, observed))
    if not image:
        return results, None
    return results, MapStrip(
        image=subject.samples.inputs[sample],
        maps={name: np.stack(maps) for name, maps in recorder.maps.items()},
        steps=tuple(steps[number] for number in recorder.numbers),
        numbers=recorder.numbers,
        sample=sample,
        channel_axis=_image_channels(shape, subject.layer_axis),
    )


def evenly(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of `count` positions, evenly apart; the last is among them.

    Example:
        >>> evenly(3, 8), evenly(60, 4), evenly(60, 1)
        ((0, 1, 2), (0, 20, 39, 59), (59,))
    """
    if count <= most:
        return tuple(range(count))
    if most == 1:
        return (count - 1,)
    return tuple(round(i * (count - 1) / (most - 1)) for i in range(most))


def is_image(sample_shape: tuple[int, ...], channel_axis: int) -> bool:
    """Whether a sample can be shown: 8x8 pixels or more, with 1 or 3 channels or without.

    Example:
        >>> is_image((3, 32, 32), 1), is_image((32, 32, 3), -1), is_image((20, 5), -1), is_image((784,), 1)
        (True, True, False, False)
    """
    axis = _image_channels(sample_shape, channel_axis)
    if axis is not None:
        if sample_shape[axis] not in (1, 3):
            return False
        sample_shape = sample_shape[:axis] + sample_shape[axis + 1 :]
    return len(sample_shape) == 2 and min(sample_shape) >= 8


def _image_channels(sample_shape: tuple[int, ...], channel_axis: int) -> int | None:
    """The channel axis without the batch dimension; images `(h, w)` have none."""
    return channel_axis % 4 - 1 if len(sample_shape) == 3 else None
