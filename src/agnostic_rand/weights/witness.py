"""Witness of a run: whether the model that computes is the one whose weights are random.

A copy may still compute with its original (a function that refers to the outer model), and a model with
values that it keeps from before (caches, contexts). Both are seen where they happen, in a forward pass.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray, Layer, ModelAdapter, PlacedInputs, Reads, SupportsReads, supports
from agnostic_rand.errors import ModelError
from agnostic_rand.weights.plan import full_name


class Witness:
    """Watches forward passes of one model on an example.

    Args:
        adapter: The model whose weights change.
        example: A few of the evaluated inputs, or `None` where there are none: nothing is seen then.
    """

    def __init__(self, adapter: ModelAdapter, example: PlacedInputs | None) -> None:
        self._adapter = adapter
        self._example = example if supports(adapter, SupportsReads) else None
        self._looked: set[str] = set()

    def refuse_reads_of(self, original: ModelAdapter) -> None:
        """Refuse a copy that computes with the model that it was copied from.

        Raises:
            ModelError: A forward pass of the copy reads values of the original.
        """
        read = self._reads(original)
        if read is not None and read.parameters:
            names = sorted(full_name(*name) for name in read.parameters)
            raise ModelError(
                "the randomized copy of the model",
                expected="a forward pass that computes with the copy's own weights",
                received=f"one that reads {_listed(names)} of the original, as a function does that refers to the "
                "outer model or to a layer of it",
                fix="Let forward= and the model's own functions use the model that they are given, or pass "
                "isolation='in_place': weights are swapped in your model and put back bit for bit.",
            )

    def look(self, layers: Mapping[str, Layer], random: Collection[str]) -> None:
        """Look at each layer once, when it has become random.

        Raises:
            ModelError: A forward pass no longer reads the weights of one of these layers.
        """
        if self._example is None or self._looked.issuperset(random):
            return
        read = self._reads(self._adapter)
        self._looked.update(random)
        if read is None:
            return
        used = {(name, p.name) for name in random for p in layers[name].used if p.size}
        missed = sorted(full_name(*name) for name in used - read.parameters)
        if missed and not read.branches:
            raise ModelError(
                "the model with random weights",
                expected="a forward pass that reads the weights which it was given",
                received=f"one that no longer reads {_listed(missed)}, because it goes on with values that were "
                "computed of the weights before",
                fix="Switch off what keeps such values: a cache that the model fills in evaluation mode, "
                "parametrize.cached(), a fused or folded copy of the weights.",
            )

    def _reads(self, of: ModelAdapter) -> Reads | None:
        if self._example is None:
            return None
        seen: Any = self._example.seen_by(self._adapter)
        reads: Reads = seen.reads(self._example.explained, of)
        return reads


def refuse_unmoved(trained: HostArray, random: HostArray, place: str) -> None:
    """Refuse outputs that are bit for bit those of the trained model, although every weight is new.

    Outputs that tell nothing (saturated, constant, the same for all samples) are passed over.

    Args:
        trained: The trained model's outputs on a batch `(n, classes)`.
        random: Those of the model with all weights random.
        place: What the state is called in errors.

    Raises:
        ModelError: Something computes with the trained weights.
    """
    if not np.array_equal(trained, random):
        return
    telling = trained[(trained != 0) & (trained != 1)]
    if np.unique(telling).size < 2 or (len(trained) > 1 and (trained == trained[0]).all()):
        return
    raise ModelError(
        f"the outputs of {place}",
        expected="other outputs than the trained model's: every weight that it uses is new",
        received="the very same outputs, bit for bit: they were computed with the trained weights",
        fix="Make sure that forward= calls the model that it is given, that the model keeps no values that it "
        "computed of its weights (caches), and that no context around the run keeps them (autocast, cached()).",
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
