"""Random logit: does the explanation depend on the class that it explains?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from agnostic_rand.adapters import Forward, HostArray
from agnostic_rand.adapters.activation import Activation
from agnostic_rand.checks._evaluation import evaluated
from agnostic_rand.checks.check import PassCheck
from agnostic_rand.checks.measures import described_measures, fitting_measures
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import Explainer, ExplainerLike
from agnostic_rand.passes.explained_batches import ExplainedBatch
from agnostic_rand.passes.needs import Found, Look, Needs, Variant
from agnostic_rand.results.scores import Notes, Scores
from agnostic_rand.similarity import Measure, MeasureLikes, resolve_measures
from agnostic_rand.subject.progress import ProgressLike
from agnostic_rand.subject.samples import ArrayLike
from agnostic_rand.subject.subject import Subject
from agnostic_rand.weights import Purpose


@dataclass(frozen=True)
class RandomLogit(PassCheck):
    """How alike the maps of a sample's class and of another class are; lower depends more on the class.

    Score: `rho(map(x; class y), map(x; class y'))`, the model as it is. The paper draws one other
    class for each image; all of them cost as many maps and need no draw. It says nothing about the
    model's weights, and noise that is drawn for each class scores 0.

    Args:
        off_class: `"one"` other class drawn for each sample (as Sixt et al. 2020), or `"all"`.
        measures: How maps are compared. `"ssim_sign_invariant"` adds channels up, as the paper does
            for relevance methods; it takes the largest absolute value for gradients, which a
            `Measure` with the form `MapForm("signed", "max_abs", "percentile_range")` does.

    Raises:
        ArgumentError: `off_class` is neither.
        InputError: The model has a single output.

    Source: Sixt et al. 2020, section 5.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> subject = ar.Subject(torch.nn.Linear(4, 3), np.eye(4, dtype="float32"), seed=0)
        >>> ar.RandomLogit(off_class="all").run(subject, "input_map").mean().tolist()
        [1.0, 1.0]
    """

    name: ClassVar[str] = "random_logit"
    question: ClassVar[str] = "Does the explanation depend on the class that it explains?"
    meaning: ClassVar[str] = "a high score says that the map hardly depends on the class"
    cannot_say: ClassVar[str] = "whether a map depends on the model's weights: noise of each class scores 0"

    off_class: Literal["one", "all"] = "one"
    measures: MeasureLikes = ("ssim_sign_invariant", "spearman")

    def __post_init__(self) -> None:
        if self.off_class not in ("one", "all"):
            raise ArgumentError(
                "off_class",
                expected="'one' or 'all'",
                received=repr(self.off_class),
                fix="Pass off_class='all' to compare with every other class.",
            )
        resolve_measures(self.measures)

    def needs(self, subject: Subject, explainers: Sequence[Explainer]) -> Needs:
        """A look at the maps of other classes; see `PassCheck.needs`."""
        measures, _ = fitting_measures(self.measures, subject.samples.inputs)
        others = self._other_classes(subject)
        # A step of its own for each class: a control draws other noise for it.
        variants = tuple(Variant(classes, draw=0, step=number) for number, classes in enumerate(others))
        return Needs(looks=(Look(tuple(explainers), _Compared(measures), variants),))

    def read(self, subject: Subject, explainers: Sequence[Explainer], found: Found) -> tuple[Scores, ...]:
        """The scores by other class and sample; see `PassCheck.read`."""
        measures, left_out = fitting_measures(self.measures, subject.samples.inputs)
        compared = "one other class, drawn for each sample" if self.off_class == "one" else "every other class"
        return tuple(
            Scores(
                check=self.name,
                dimensions={
                    "off_class": _named(self.off_class, subject.classes - 1),
                    "sample": tuple(range(len(subject.samples))),
                },
                scores=found.looks[0][one.name],
                notes={one.name: Notes(left_out)},
                meaning=f"{self.meaning}; compared with {compared}",
                seed=subject.seed,
                settings={
                    "off_class": self.off_class,
                    **described_measures(measures),
                    **subject.described([one]),
                },
                versions=subject.versions(),
            )
            for one in explainers
        )

    def _other_classes(self, subject: Subject) -> HostArray:
        """Other classes than the labels, `(number, n)`."""
        labels, classes = subject.fixed_targets(subject.adapter), subject.classes
        if classes < 2:
            raise InputError(
                "the model",
                expected="at least two outputs, of which another can be explained",
                received="a single output",
                fix="Use the model randomization checks for models with one output.",
            )
        if self.off_class == "all":
            return np.stack([(labels + shift) % classes for shift in range(1, classes)])
        rng = subject.streams.generator(Purpose.TARGETS)
        others: HostArray = (labels + rng.integers(1, classes, len(labels))) % classes
        return others[None]


class RandomLogitMetric:
    """`RandomLogit` in the form that users of Xplique know: one model, one number.

    Args:
        model: As in `Subject`, like `inputs` and `targets`.
        inputs: See `model`.
        targets: See `model`.
        batch_size: As in `Subject`.
        activation: As in `Subject`.
        seed: As in `Subject`.
        off_class: As in `RandomLogit`.
        measures: As in `RandomLogit`.
        forward: As in `Subject`, like all that follow.
        backend: See `forward`.
        isolation: See `forward`.
        channel_axis: See `forward`.
        wrt_layer: See `forward`.
        explained_input: See `forward`.
        progress: See `forward`.

    Raises:
        AgnosticRandError: The model, the data or an argument cannot be used; the message says why.

    Source: the call's form, and the order of its first six arguments, are Xplique's.

    Example:
        >>> import agnostic_rand as ar, numpy as np, torch
        >>> net, x = torch.nn.Linear(4, 3), np.eye(4, dtype="float32")
        >>> ar.RandomLogitMetric(net, x, off_class="all", measures="spearman").evaluate("input_map")
        1.0
    """

    def __init__(
        self,
        model: Any,
        inputs: ArrayLike,
        targets: ArrayLike = None,
        batch_size: int | None = 64,
        activation: Activation = None,
        seed: int | None = 42,
        *,
        off_class: Literal["one", "all"] = "one",
        measures: MeasureLikes = ("ssim_sign_invariant", "spearman"),
        forward: Forward | None = None,
        backend: str | None = None,
        isolation: str | None = None,
        channel_axis: int | None = None,
        wrt_layer: str | None = None,
        explained_input: int | str | None = None,
        progress: ProgressLike = None,
    ) -> None:
        self._check = RandomLogit(off_class, measures)
        self._subject = Subject(
            model,
            inputs,
            targets,
            seed=seed,
            batch_size=batch_size,
            activation=activation,
            forward=forward,
            backend=backend,
            isolation=isolation,
            channel_axis=channel_axis,
            wrt_layer=wrt_layer,
            explained_input=explained_input,
            progress=progress,
        )

    def evaluate(self, explainer: ExplainerLike) -> float:
        """The mean of the first measure over classes and samples; NaN where none is defined.

        It warns of undefined scores, which are left out, and of all findings of `run`.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.
        """
        return evaluated(self.run(explainer), None)

    def run(self, explainer: ExplainerLike) -> Scores:
        """The scores by other class and sample.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`.

        Raises:
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        return self._check.run(self._subject, explainer)


@dataclass(frozen=True)
class _Compared:
    measures: tuple[Measure, ...]

    def __call__(self, batches: Sequence[ExplainedBatch]) -> Mapping[str, HostArray]:
        base, *others = batches
        found = {}
        for measure in self.measures:
            prepared = measure.prepare(measure.form.apply(base.maps, base.channel_axis))
            scores = [measure.compare(prepared, measure.form.apply(b.maps, b.channel_axis)) for b in others]
            found[measure.name] = np.stack([np.asarray(base.view.to_numpy(s), np.float64) for s in scores])
        return found


def _named(off_class: str, count: int) -> tuple[str, ...]:
    """What tells the other classes apart: how far they are from the label, all classes in a circle."""
    return ("drawn",) if off_class == "one" else tuple(f"label + {shift}" for shift in range(1, count + 1))
