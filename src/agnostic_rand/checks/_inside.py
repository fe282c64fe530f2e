"""Places inside a model: what each layer passes on to the next one with parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, ModelAdapter
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import Purpose


@dataclass(frozen=True)
class Place:
    """Where a layer's activation is seen.

    Args:
        layer: The layer with parameters.
        seen_at: The name of the layer whose output is taken: its own, or that of an activation after it.
        rectified: Whether a ReLU without a name follows, so that negative outputs pass on nothing.
    """

    layer: Layer
    seen_at: str
    rectified: bool

    @property
    def words(self) -> str:
        """What is looked at, for a result."""
        own = "its output" if self.seen_at == self.layer.name else f"the output of {self.seen_at!r}"
        return f"{own}, rectified" if self.rectified else own

    def activation(self, output: HostArray) -> HostArray:
        """What reaches the next layer, from what was seen."""
        return np.maximum(output, 0.0) if self.rectified else output


def places_of(adapter: ModelAdapter, subject: Subject) -> dict[str, Place]:
    """By layer with parameters and an output with channels, where its activation is seen.

    An activation that the framework names is looked at itself: the last layer without parameters
    that follows with an output of the same shape. Where a ReLU has no name, the gradient gives it
    away: it is zero wherever the output is negative. Any other function without a name is not
    found, and the output before it is taken.

    Args:
        adapter: The trained model; it can look inside itself.
        subject: The data, of which the first batch is run.
    """
    first = subject.samples[: subject.batch_size]
    batch = first.placed(adapter)
    capable: Any = batch.seen_by(adapter)
    shapes: Mapping[str, tuple[int, ...]] = capable.layer_shapes(batch.explained)
    # Of one class alone, most outputs of the last layer have no gradient.
    shape = len(first), subject.classes
    mixed = subject.streams.generator(Purpose.TARGETS, 3).standard_normal(shape)
    weights = adapter.asarray(mixed.astype(np.float32))
    owners = {layer.name for layer in adapter.layers()}
    places = {}
    for layer in adapter.layers():
        if len(shapes.get(layer.name, ())) < 2:
            continue
        seen_at = _following(layer.name, shapes, owners)
        output, gradient = (adapter.to_numpy(a) for a in capable.layer_gradient(batch.explained, weights, seen_at))
        places[layer.name] = Place(layer, seen_at, _is_rectified(output, gradient))
    return places


def channel_axis(layer: Layer, shape: tuple[int, ...], images: int) -> int:
    """The axis with as many entries as the layer has output channels: where images keep theirs, or the last.

    Args:
        layer: The layer.
        shape: Of its output, batch included.
        images: Where images keep their channels.
    """
    counts = {p.shape[-1] for p in layer.parameters if len(p.shape) == 1}
    axes = [images % len(shape)] if len(shape) == 4 else []
    fitting = [axis for axis in (*axes, len(shape) - 1, 1) if shape[axis] in counts or not counts]
    return fitting[0] if fitting else (axes or [1])[0]


def _following(name: str, shapes: Mapping[str, tuple[int, ...]], owners: set[str]) -> str:
    """The last layer of the same shape before the next with parameters, or the layer itself."""
    order = list(shapes)
    found = name
    for other in order[order.index(name) + 1 :]:
        if other in owners:
            break
        # A block that holds layers ends after them, and puts out what the last of them does, or more.
        if other == "" or any(one.startswith((f"{other}.", f"{other}/")) for one in order):
            continue
        if shapes[other] != shapes[name]:
            break
        found = other
    return found


def _is_rectified(output: HostArray, gradient: HostArray) -> bool:
    negative = output < 0
    return bool(negative.any()) and not gradient[negative].any() and bool(gradient[output > 0].any())
