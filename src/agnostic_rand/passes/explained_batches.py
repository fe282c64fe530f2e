"""Explained batches: maps that are checked, with their place in every error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agnostic_rand.adapters import Array, HostArray, ModelAdapter
from agnostic_rand.adapters.batch_view import BatchView
from agnostic_rand.explainers import Explainer, ExplanationContext
from agnostic_rand.explainers.maps import scoring_maps
from agnostic_rand.subject.samples import Samples


@dataclass(frozen=True)
class ExplainedBatch:
    """The maps of one batch, where they can be scored.

    Args:
        start: The position of the first sample.
        view: The model on this batch, with what was computed remembered.
        targets: The classes that were explained `(n,)`.
        maps: `(n, ...)`.
        channel_axis: Where the maps keep channels, or `None`.
    """

    start: int
    view: BatchView
    targets: Array
    maps: Array
    channel_axis: int | None

    @property
    def rows(self) -> slice:
        """The batch's place among all samples."""
        return slice(self.start, self.start + int(self.maps.shape[0]))


def explained_batches(
    adapter: ModelAdapter,
    explainer: Explainer,
    samples: Samples,
    targets: HostArray,
    context: ExplanationContext,
    place: str,
) -> Iterator[ExplainedBatch]:
    """The maps of all inputs with the model as it is, batch by batch.

    Args:
        adapter: The model.
        explainer: The method.
        samples: The inputs.
        targets: The classes to explain `(n,)`.
        context: Where explainers get their randomness; its batch size is used.
        place: What the model's state is called in errors.

    Raises:
        ExplanationError: A map is not one of its inputs.
    """
    for start in range(0, len(samples), context.batch_size):
        placed = samples[start : start + context.batch_size].placed(adapter)
        chosen = adapter.asarray(targets[start : start + context.batch_size])
        view = BatchView(placed.seen_by(adapter), placed.explained)
        maps, axis = explain_batch(view, explainer, chosen, replace(context, first_sample=start), place)
        yield ExplainedBatch(start, view, chosen, maps, axis)


def explain_batch(
    view: BatchView, explainer: Explainer, targets: Array, context: ExplanationContext, place: str
) -> tuple[Array, int | None]:
    """The checked maps of one batch, and the axis of their channels; errors say where it was.

    Raises:
        ExplanationError: A map is not one of its inputs.
    """
    inputs = view.inputs
    where = f"{place}, samples {context.first_sample} to {context.first_sample + inputs.shape[0] - 1}"
    try:
        maps = explainer.explain(view, inputs, targets, context)
    except Exception as error:
        error.add_note(f"While {explainer.name!r} explained {where}.")
        raise
    subject = f"{explainer.name!r} on {where}"
    return scoring_maps(maps, tuple(inputs.shape), context.channel_axis, view, subject)
