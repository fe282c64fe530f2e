"""Cosine-similarity convergence: do all output relevances lead to one and the same map?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from agnostic_rand.adapters import HostArray
from agnostic_rand.arguments import whole_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.errors import InputError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.explaining import explain_batch, explained_batches
from agnostic_rand.samples import ArrayLike
from agnostic_rand.targets import class_count
from agnostic_rand.weights import Purpose

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class CosineConvergence:
    """The absolute cosine at the input between maps of random relevances of the outputs; 1 has collapsed.

    With `m_c` the map of class c and `v` normal: `|cos(sum_c v_c m_c, sum_c w_c m_c)|`, for all
    pairs of random vectors. Methods that go back by a product of non-negative matrices (z+, alpha-1
    beta-0) converge to one map up to a factor, which no weight above decides: their scores are near
    1. Where the maps of all classes are orthogonal the score is that of the vectors themselves, in
    `settings["vectors_cosine"]`. Starting at inner layers, as the paper does too, needs a backward
    pass of the method's own from there, which adapters do not have. Combining class maps stands for
    starting with `v` only where a method is linear in the output's relevance: gradients, path
    methods and LRP are, guided backpropagation and GradCAM are not.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`.
        vectors: The number of random vectors, at least 2.
        options: How the model is run.

    Raises:
        ArgumentError: `vectors` is below 2.

    Source: Sixt et al. 2020, section 4 (CSC), with its 5 vectors.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> from agnostic_rand.checks import CosineConvergence
        >>> net, x = torch.nn.Linear(4, 3), np.eye(4, dtype="float32")
        >>> check = CosineConvergence(net, x, options=ar.RunOptions(seed=0))
        >>> float(check.run("input_map").mean().round(6).min())
        1.0
    """

    model: Any
    inputs: ArrayLike
    vectors: int = 5
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        whole_number("vectors", self.vectors, least=2, example=5)

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The score by pair of vectors and sample; NaN where a map is zero.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            InputError: The model has a single output.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, None, self.options)
        resolved = self.options.explainer(explainer)
        samples = subject.samples
        with subject.working([resolved]) as working:
            adapter = subject.activated(working)
            classes = class_count(adapter, samples)
            if classes < 2:
                raise InputError(
                    "the model",
                    expected="at least two outputs, whose relevances can differ",
                    received="a single output",
                    fix="Use the model randomization checks for models with one output.",
                )
            vectors = subject.streams.generator(Purpose.TARGETS, 2).standard_normal((self.vectors, classes))
            pairs = list(combinations(range(self.vectors), 2))
            scores = np.full((len(pairs), len(samples)), np.nan)
            first = np.zeros(len(samples), dtype=np.int64)
            context = subject.context()
            for batch in explained_batches(adapter, resolved, samples, first, context, "the trained model"):
                maps = [adapter.to_numpy(batch.maps)]
                for number in range(1, classes):
                    targets = adapter.asarray(first[batch.rows] + number)
                    # A step of its own for each class: a control draws other noise for it.
                    place = replace(context, first_sample=batch.start, draw=0, step=number)
                    again, _ = explain_batch(batch.view, resolved, targets, place, "another class")
                    maps.append(adapter.to_numpy(again))
                flat = np.stack([one.reshape(len(one), -1) for one in maps]).astype(np.float64)
                combined = np.einsum("vc,cnk->vnk", vectors, flat)
                for pair, (i, j) in enumerate(pairs):
                    scores[pair, batch.rows] = _cosine(combined[i], combined[j])
        return CheckResult(
            check="cosine_convergence",
            explainer=resolved.name,
            dimensions={"pair": tuple(pairs), "sample": tuple(range(len(samples)))},
            scores={"cosine": scores},
            meaning="a score near 1 says that the map is one and the same whatever the outputs' relevance",
            seed=subject.streams.seed,
            settings={
                "vectors": self.vectors,
                "vectors_cosine": [float(_cosine(vectors[i][None], vectors[j][None])[0]) for i, j in pairs],
                **subject.described([resolved]),
            },
            versions=subject.versions(),
        )


def _cosine(first: HostArray, second: HostArray) -> HostArray:
    """The absolute cosine of each row, `(n,)`; NaN where one is zero."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.abs((first * second).sum(axis=1))
    return np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1.0), np.nan)
