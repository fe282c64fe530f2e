"""Probe of a model: the fewest samples of the data that it takes, and what it puts out for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agnostic_rand.adapters import Forward, HostArray, ModelAdapter, adapt, untouched
from agnostic_rand.errors import InputError
from agnostic_rand.subject.samples import Samples
from agnostic_rand.subject.targets import outputs_of

FEW = 4
"""How many samples are enough for a look at a model that takes any number."""

BEYOND_ROUNDING = {"float16": 0.05, "bfloat16": 0.05}
"""By the type of weights, the share of the outputs' scale that kernels may differ by; else `ROUNDING`."""

ROUNDING = 0.01


@dataclass(frozen=True)
class Probe:
    """What the first look at a model showed.

    Args:
        adapter: The model, traced on the example.
        count: How many samples the example has: few, or a whole batch where the model takes no fewer.
        outputs: The outputs for the example `(count, classes)`.
        any_size: Whether it takes other batches than those of the size that was asked for.
    """

    adapter: ModelAdapter
    count: int
    outputs: HostArray
    any_size: bool = True

    @property
    def classes(self) -> int:
        """The number of the model's outputs."""
        return int(self.outputs.shape[1])


def probe(
    model: Any, samples: Samples, batch_size: int, *, backend: str | None = None, forward: Forward | None = None
) -> Probe:
    """Look at a model with a few samples, or where it does not take these, with the first batch.

    A batch is what models need whose outputs are squeezed, which keep a state for each row, which were exported
    for one size, which normalize by the batch, or whose rows are the nodes of one graph.

    Args:
        model: As in `adapt`.
        samples: The data.
        batch_size: The number of samples that the model is to take at once.
        backend: As in `adapt`.
        forward: As in `adapt`.

    Raises:
        ModelError: The model takes neither, or its outputs are not `(n, classes)`.
        InputError: It does not take the smaller batch that is left at the end.
    """
    batch = min(batch_size, len(samples))
    # Fewer than a batch, so that outputs which depend on the rest of the batch can be told.
    few = min(FEW, (batch + 1) // 2)
    try:
        found = _probed(model, samples[:few], backend, forward)
    except Exception:
        if few == batch:
            raise
        found = replace(_probed(model, samples[:batch], backend, forward), any_size=False)
    left = len(samples) % batch
    if 0 < left < found.count:
        _refuse_remainder(found.adapter, samples[len(samples) - left :], batch)
    return found


def depends_on_batch(probed: Probe, outputs: HostArray) -> str | None:
    """The finding that outputs depend on which samples are in the batch, or `None`.

    Args:
        probed: The look at the same model.
        outputs: Its outputs for the first batch `(n, classes)`.
    """
    if probed.count >= len(outputs):
        return None
    parts = [p.dtype for layer in probed.adapter.layers() for p in layer.parameters]
    allowed = max((BEYOND_ROUNDING.get(dtype, ROUNDING) for dtype in parts), default=ROUNDING)
    difference = float(np.abs(outputs[: probed.count] - probed.outputs).max())
    scale = float(np.abs(outputs).max())
    if not difference > allowed * scale:
        return None
    return (
        f"The model's outputs for a sample depend on the rest of its batch: those of {probed.count} samples "
        f"alone and in a batch of {len(outputs)} differ by {difference / scale:.0%} of the largest output. So the "
        "scores depend on batch_size. Likely cause: a normalization by the statistics of the batch."
    )


def _probed(model: Any, example: Samples, backend: str | None, forward: Forward | None) -> Probe:
    adapter = adapt(model, backend=backend, example_inputs=example.all_inputs, forward=forward)
    placed = example.placed(adapter)
    with untouched(adapter):
        outputs = adapter.to_numpy(outputs_of(placed.seen_by(adapter), placed.explained))
    return Probe(adapter, len(example), np.array(outputs, dtype=np.float64))


def _refuse_remainder(adapter: ModelAdapter, rest: Samples, batch: int) -> None:
    """Padded, the last batch would change what is explained where rows depend on each other: it is refused."""
    placed = rest.placed(adapter)
    try:
        with untouched(adapter):
            outputs_of(placed.seen_by(adapter), placed.explained)
    except Exception as error:
        raise InputError(
            "batch_size",
            expected=f"one that leaves no smaller batch at the end: the model takes {batch} samples at once",
            received=f"{batch}, which leaves {len(rest)} samples that the model does not take ({error})",
            fix="Choose a batch_size that divides the number of samples, or leave the last samples out.",
        ) from error
