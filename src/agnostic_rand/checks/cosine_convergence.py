"""Cosine-similarity convergence: do all output relevances lead to one and the same map?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from agnostic_rand.adapters import (
    HostArray,
    ModelAdapter,
    SupportsFromLayer,
    SupportsLayerGradient,
    require,
)
from agnostic_rand.arguments import whole_number
from agnostic_rand.checks._cosines import gaussian_median_cosine, median_cosines
from agnostic_rand.checks._inside import channel_axis
from agnostic_rand.checks._output_relevance import INPUT, RULES, combined, started
from agnostic_rand.checks.check import Check
from agnostic_rand.errors import ArgumentError, InputError, unknown_name
from agnostic_rand.explainers import Explainer
from agnostic_rand.explainers.named import unnamed
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import Purpose


@dataclass(frozen=True)
class CosineConvergence(Check):
    """The absolute cosine between what random relevances of the outputs become on their way back; 1 has collapsed.

    For each sample, `v` and `w` are normal vectors over the outputs. At each location of a layer or of
    the input, `|cos|` is taken across the channels of what `v` and `w` became; a score is the median
    over locations, for each pair of vectors. Inputs without at least two channels are one vector as a
    whole. Methods that go back by a product of non-negative matrices (z+, alpha-1 beta-0) converge
    to one map up to a factor, which no weight above decides: their scores are near 1.
    `settings["baseline"]` has what normal vectors of as many channels score.

    The gradient, guided backpropagation and the deconvnet start with `v` itself. Of any other method
    the maps of all classes are added up with the weights `v`, which is the same only where the method
    is linear in the output's relevance: path methods and LRP are, GradCAM is not.

    Args:
        vectors: The number of random vectors for each sample, at least 2.
        layers: At which layers' outputs to look besides the input: a name, several, or `"all"` of at least two
            channels; for the three methods that start with `v`. Each costs as much as the input.

    Raises:
        ArgumentError: `vectors` is below 2.

    Source: Sixt et al. 2020, section 4 (CSC), with its 5 vectors. The paper starts at inner layers too,
    and takes the median over all locations of all images at once.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
        >>> float(ar.CosineConvergence().run(subject, "input_map").mean().round(6).min())
        1.0
    """

    name: ClassVar[str] = "cosine_convergence"
    question: ClassVar[str] = "Do all output relevances lead to one and the same map?"
    meaning: ClassVar[str] = "a score near 1 says that the map is one and the same whatever the outputs' relevance"
    cannot_say: ClassVar[str] = "how a map depends on the weights"

    vectors: int = 5
    layers: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        whole_number("vectors", self.vectors, least=2, example=5)

    def results(self, subject: Subject, explainers: Sequence[Explainer]) -> tuple[Scores, ...]:
        """The scores of each explainer, in their order; see `Check.run`."""
        return tuple(self._result(subject, one) for one in explainers)

    def _result(self, subject: Subject, resolved: Explainer) -> Scores:
        """The score by place, pair of vectors and sample; NaN where a map is zero.

        Raises:
            InputError: The model has a single output.
            ArgumentError: Layers are asked for of a method that does not start with `v`.
            CapabilityError: Layers are asked for, and the adapter cannot look inside the model.
            UnknownNameError: There is no such layer with at least two channels.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        rule = RULES.get(type(unnamed(resolved)))
        samples = subject.samples
        with subject.working([resolved]) as working:
            adapter = subject.activated(working)
            classes = subject.classes
            if classes < 2:
                raise InputError(
                    "the model",
                    expected="at least two outputs, whose relevances can differ",
                    received="a single output",
                    fix="Use the model randomization checks for models with one output.",
                )
            shape = len(samples), self.vectors, classes
            vectors = subject.streams.generator(Purpose.TARGETS, 2).standard_normal(shape)
            names = self._layers(adapter, subject, resolved)
            found = _Found(self.vectors, len(samples))
            if rule is None:
                for rows, maps, axis in combined(adapter, resolved, subject, vectors):
                    found.add(INPUT, rows, maps, axis)
            else:
                for name, rows, maps, axis in started(adapter, subject, rule, vectors, names):
                    found.add(name, rows, maps, axis)
        places = (INPUT, *names)
        medians = {place: _median(found.scores[place]) for place in places}
        baselines = {place: gaussian_median_cosine(found.channels[place]) for place in places}
        own, _ = median_cosines(np.moveaxis(vectors, 1, 0), None)
        findings = tuple(
            f"At {place}: median {medians[place]:.3f} {found.words[place]}, where normal vectors have "
            f"{baselines[place]:.3f}."
            for place in places
        )
        return Scores(
            check=self.name,
            notes={resolved.name: Notes(findings)},
            dimensions={
                "place": places,
                "pair": tuple(combinations(range(self.vectors), 2)),
                "sample": tuple(range(len(samples))),
            },
            scores={"cosine": np.stack([found.scores[place] for place in places])},
            meaning=self.meaning,
            seed=subject.seed,
            settings={
                "vectors": self.vectors,
                "ranges": {"cosine": [0.0, 1.0]},
                "start": "the outputs' relevance" if rule else "maps of all classes, added up with random weights",
                "median": medians,
                "baseline": baselines,
                "across": {place: found.words[place] for place in places},
                "undefined_locations": {place: float(np.mean(found.missing[place])) for place in places},
                "vectors_cosine": own.tolist(),
                **subject.described([resolved]),
            },
            versions=subject.versions(),
        )

    def _layers(self, adapter: ModelAdapter, subject: Subject, explainer: Explainer) -> tuple[str, ...]:
        """The names of the layers to look at, from the output to the input."""
        if not self.layers:
            return ()
        rule = RULES.get(type(unnamed(explainer)))
        if rule is None:
            raise ArgumentError(
                "layers",
                expected="the gradient, guided backpropagation or the deconvnet, whose way back is known",
                received=repr(explainer.name),
                fix="Leave layers out to look at the input.",
            )
        require(
            adapter,
            SupportsLayerGradient if rule == "standard" else SupportsFromLayer,
            "CosineConvergence(layers=...)",
            "Leave layers out to look at the input.",
        )
        batch = subject.example()
        capable: Any = batch.seen_by(adapter)
        shapes = capable.layer_shapes(batch.explained)
        fitting = [
            layer.name
            for layer in reversed(adapter.layers())
            if len(shape := shapes.get(layer.name, ())) > 1
            and shape[channel_axis(layer, shape, subject.layer_axis)] > 1
        ]
        if self.layers == "all":
            return tuple(fitting)
        wanted = (self.layers,) if isinstance(self.layers, str) else self.layers
        for name in wanted:
            if name not in fitting:
                raise unknown_name("layer", name, fitting)
        return tuple(name for name in fitting if name in wanted)


class _Found:
    """Scores by place, as batches come."""

    def __init__(self, vectors: int, samples: int) -> None:
        self._shape = len(list(combinations(range(vectors), 2))), samples
        self.scores: dict[str, HostArray] = {}
        self.channels: dict[str, int] = {}
        self.words: dict[str, str] = {}
        self.missing: dict[str, list[float]] = {}

    def add(self, place: str, rows: slice, maps: HostArray, axis: int | None) -> None:
        """Count the maps `(vectors, n, ...)` of one batch."""
        size = int(np.prod(maps.shape[2:]))
        by_location = axis is not None and maps.shape[2:][axis % (maps.ndim - 1) - 1] > 1
        channels = maps.shape[2:][axis % (maps.ndim - 1) - 1] if axis is not None and by_location else size
        self.channels[place] = channels
        locations = f"at each of {size // channels} locations" if by_location else "of the whole map"
        self.words[place] = f"across {channels} {'channels' if by_location else 'values'} {locations}"
        scores, missing = median_cosines(maps, axis if by_location else None)
        self.scores.setdefault(place, np.full(self._shape, np.nan))[:, rows] = scores
        self.missing.setdefault(place, []).append(missing)


def _median(scores: HostArray) -> float:
    defined = scores[np.isfinite(scores)]
    return float(np.median(defined)) if defined.size else float("nan")
