"""Random logit: does the explanation depend on the class that it explains?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter
from agnostic_rand.checks._fitting import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.passes.explained_batches import explain_batch, explained_batches
from agnostic_rand.results.check_result import CheckResult
from agnostic_rand.similarity import Measure, Pairwise
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import RunOptions, Subject
from agnostic_rand.weights import Purpose

_DEFAULT_OPTIONS = RunOptions()


@dataclass(frozen=True)
class RandomLogitMetric:
    """How alike the maps of a sample's class and of another class are; lower depends more on the class.

    Score: `rho(map(x; class y), map(x; class y'))`, the model as it is. The paper draws one other
    class for each image; all of them cost as many maps and need no draw. It says nothing about the
    model's weights, and noise that is drawn for each class scores 0.

    Args:
        model: As in `ModelRandomizationMetric`.
        inputs: As in `ModelRandomizationMetric`.
        targets: Class indices `(n,)` or one-hot labels; `None` for the model's predictions.
        off_class: `"one"` other class drawn for each sample (as Sixt et al. 2020), or `"all"`.
        measures: How maps are compared. `"ssim_sign_invariant"` adds channels up, as the paper does
            for relevance methods; it takes the largest absolute value for gradients, which a
            `Measure` with the form `MapForm("signed", "max_abs", "percentile_range")` does.
        options: How the model is run.

    Raises:
        ArgumentError: `off_class` is neither.

    Source: Sixt et al. 2020, section 5.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net, x = torch.nn.Linear(4, 3), np.eye(4, dtype="float32")
        >>> ar.RandomLogitMetric(net, x, off_class="all").evaluate("input_map")
        1.0
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike = None
    off_class: Literal["one", "all"] = "one"
    measures: tuple[str | Measure | Pairwise, ...] = ("ssim_sign_invariant", "spearman")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        if self.off_class not in ("one", "all"):
            raise ArgumentError(
                "off_class",
                expected="'one' or 'all'",
                received=repr(self.off_class),
                fix="Pass off_class='all' to compare with every other class.",
            )

    def evaluate(self, explainer: ExplainerLike) -> float:
        """The mean of the first measure over classes and samples; NaN where none is defined."""
        scores = next(iter(self.run(explainer).scores.values()))
        return float(np.nanmean(scores)) if np.isfinite(scores).any() else float("nan")

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The scores by other class and sample.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            InputError: The model has a single output.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        result = random_logit_of(subject, self.options.explainer(explainer), self.off_class, measures)
        return replace(result, findings=left_out)


def random_logit_of(
    subject: Subject, explainer: Explainer, off_class: Literal["one", "all"], measures: tuple[Measure, ...]
) -> CheckResult:
    """The check on a subject that was read already; see `RandomLogitMetric`."""
    with subject.working([explainer]) as working:
        adapter = subject.activated(working)
        labels = subject.fixed_targets(adapter)
        others = _other_classes(subject, labels, off_class)
        scores = _compared(adapter, explainer, subject, labels, others, measures)
    return CheckResult(
        check="random_logit",
        explainer=explainer.name,
        dimensions={"off_class": _named(off_class, len(others)), "sample": tuple(range(len(labels)))},
        scores=scores,
        meaning="a high score says that the map hardly depends on the class; compared with "
        + ("one other class, drawn for each sample" if off_class == "one" else "every other class"),
        seed=subject.streams.seed,
        settings={
            "off_class": off_class,
            "measures": described_measures(measures),
            **subject.described([explainer]),
        },
        versions=subject.versions(),
    )


def _named(off_class: str, count: int) -> tuple[str, ...]:
    """What tells the other classes apart: how far they are from the label, all classes in a circle."""
    return ("drawn",) if off_class == "one" else tuple(f"label + {shift}" for shift in range(1, count + 1))


def _other_classes(subject: Subject, labels: HostArray, off_class: str) -> HostArray:
    """Other classes than the labels, `(number, n)`."""
    classes = subject.classes
    if classes < 2:
        raise InputError(
            "the model",
            expected="at least two outputs, of which another can be explained",
            received="a single output",
            fix="Use the model randomization checks for models with one output.",
        )
    if off_class == "all":
        return np.stack([(labels + shift) % classes for shift in range(1, classes)])
    rng = subject.streams.generator(Purpose.TARGETS)
    others: HostArray = (labels + rng.integers(1, classes, len(labels))) % classes
    return others[None]


def _compared(
    adapter: ModelAdapter,
    explainer: Explainer,
    subject: Subject,
    labels: HostArray,
    others: HostArray,
    measures: tuple[Measure, ...],
) -> dict[str, HostArray]:
    scores = {measure.name: np.full(others.shape, np.nan) for measure in measures}
    samples, context = subject.samples, subject.context()
    for batch in explained_batches(adapter, explainer, samples, labels, context, "the trained model"):
        prepared = {m.name: m.prepare(m.form.apply(batch.maps, batch.channel_axis)) for m in measures}
        for number, classes in enumerate(others):
            # A step of its own for each class: a control draws other noise for it.
            place = replace(context, first_sample=batch.start, draw=0, step=number)
            targets = adapter.asarray(classes[batch.rows])
            maps, axis = explain_batch(batch.view, explainer, targets, place, "another class")
            for measure in measures:
                score = measure.compare(prepared[measure.name], measure.form.apply(maps, axis))
                scores[measure.name][number, batch.rows] = adapter.to_numpy(score)
    return scores
