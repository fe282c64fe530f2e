"""Data randomization: do explanations change when the model learned permuted labels instead?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np

from agnostic_rand.adapters import HostArray, ModelAdapter, adapt
from agnostic_rand.arguments import real_number
from agnostic_rand.check_result import CheckResult
from agnostic_rand.checks.pairs import compared_models
from agnostic_rand.checks.subject import RunOptions, Subject
from agnostic_rand.errors import ArgumentError, InputError
from agnostic_rand.explainers import ExplainerLike
from agnostic_rand.samples import ArrayLike, Samples, read_samples
from agnostic_rand.similarity import Measure, Pairwise, resolve_measures
from agnostic_rand.targets import best_class, check_labels, outputs_of
from agnostic_rand.training import TrainingHistory, TrainingOptions, train
from agnostic_rand.weights import FullRandomization, Purpose, Randomizer, Streams

Fit: TypeAlias = Callable[[Any, HostArray, HostArray], Any]
"""`fit(model, inputs, labels) -> trained model`; `model` is a re-initialized copy."""

_DEFAULT_OPTIONS = RunOptions()
_DEFAULT_TRAINING = TrainingOptions()


@dataclass(frozen=True)
class DataRandomization:
    """How alike the maps of the model and of one that learned permuted labels are; lower depends more.

    A copy with fresh weights is trained on the same inputs with their labels permuted once, until
    it has memorized them. It is refused where it has not: then nothing can be compared.

    Args:
        model: The model that was trained on the true labels.
        inputs: What is explained, as in `ModelRandomizationMetric`.
        targets: As in `ModelRandomizationMetric`.
        train_inputs: The training set `(m, ...)`.
        train_labels: Its true labels `(m,)`.
        fit: Your own training function; by default the library's (Adam, cross entropy).
        training: How the library's is run.
        least_accuracy: What the accuracy on the permuted labels must reach.
        measures: How maps are compared.
        options: How the model is run.

    Source: Adebayo et al. 2018, section 5.2; the accuracy of 95 % is the paper's.
    """

    model: Any
    inputs: ArrayLike
    targets: ArrayLike
    train_inputs: ArrayLike
    train_labels: ArrayLike
    fit: Fit | None = None
    training: TrainingOptions = _DEFAULT_TRAINING
    least_accuracy: float = 0.95
    measures: tuple[str | Measure | Pairwise, ...] = ("spearman", "spearman_abs")
    options: RunOptions = _DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        real_number("least_accuracy", self.least_accuracy, least=0, example=0.95)

    def run(self, explainer: ExplainerLike) -> CheckResult:
        """The scores by sample; the trained model's accuracies and history are in `settings`.

        Args:
            explainer: As in `ModelRandomizationMetric.evaluate`; not one that is bound to a model.

        Raises:
            InputError: There are no training labels, or the permuted ones were not memorized.
            CapabilityError: The adapter cannot train and there is no `fit`.
            AgnosticRandError: The model, the data or the explainer cannot be used.
        """
        return self.run_all([explainer])[0]

    def run_all(self, explainers: list[ExplainerLike]) -> tuple[CheckResult, ...]:
        """As `run`, for several explainers; the model is trained once."""
        resolved = [self.options.explainer(explainer) for explainer in explainers]
        subject = Subject.open(self.model, self.inputs, self.targets, self.options)
        data = self._training_data(subject)
        permuted = subject.streams.generator(Purpose.TRAINING, 0, 1).permutation(data[1])
        with subject.working([]) as working:
            other, history = self._trained(subject, working, data[0], permuted)
            accuracy = _accuracy(other, data[0], permuted, self.options.batch_size)
            self._refuse_unlearned(accuracy)
            results = []
            for explainer in resolved:
                scores = compared_models(
                    subject, subject.adapter, other, explainer, resolve_measures(self.measures)
                )
                results.append(
                    CheckResult(
                        check="data_randomization",
                        explainer=explainer.name,
                        dimensions={"sample": tuple(range(len(subject.samples)))},
                        scores=scores,
                        meaning="a high score says that the map hardly depends on the labels that were learned",
                        seed=subject.streams.seed,
                        settings={
                            "permuted_label_accuracy": accuracy,
                            "true_label_accuracy": _accuracy(
                                subject.adapter, data[0], data[1], self.options.batch_size
                            ),
                            "history": None if history is None else asdict(history),
                            "labels_changed": float(np.mean(permuted != data[1])),
                            **subject.described([]),
                        },
                        versions=subject.versions(),
                    )
                )
        return tuple(results)

    def _training_data(self, subject: Subject) -> tuple[HostArray, HostArray]:
        data: Samples = read_samples(self.train_inputs, self.train_labels, subject.adapter)
        if data.targets is None:
            raise InputError(
                "train_labels",
                expected="a label for each training input",
                received="none",
                fix="Pass the labels that the model was trained on.",
            )
        classes = int(outputs_of(subject.adapter, subject.adapter.asarray(data.inputs[:1])).shape[1])
        check_labels(data.targets, classes)
        if len(np.unique(data.targets)) < 2:
            raise InputError(
                "train_labels",
                expected="at least two classes, so that permuting labels changes them",
                received="a single class",
                fix="Pass training data of all classes.",
            )
        return data.inputs, data.targets

    def _trained(
        self, subject: Subject, working: ModelAdapter, inputs: HostArray, labels: HostArray
    ) -> tuple[ModelAdapter, TrainingHistory | None]:
        copy = working.clone()
        plan = FullRandomization().plan(copy.layers())
        # Other weights than the cascade's: a training starts from a draw of its own.
        streams = Streams(subject.streams.derived_seed(Purpose.TRAINING, 0, 2))
        with Randomizer(copy, plan, streams, trained=subject.adapter) as randomizer:
            randomizer.apply(draw=0, step=0)
        if self.fit is None:
            return copy, train(copy, inputs, labels, self.training, streams)
        other = adapt(
            self.fit(copy.native, inputs, labels),
            backend=self.options.backend,
            example_inputs=inputs[:1],
            forward=self.options.forward,
        )
        if other.framework != subject.adapter.framework:
            raise ArgumentError(
                "fit",
                expected=f"a function that returns a {subject.adapter.framework!r} model",
                received=f"a {other.framework!r} model",
                fix="Return the model that was given, trained.",
            )
        return other, None

    def _refuse_unlearned(self, accuracy: float) -> None:
        if accuracy < self.least_accuracy:
            raise InputError(
                "the training on permuted labels",
                expected=f"an accuracy of at least {self.least_accuracy:.2f} on them",
                received=f"{accuracy:.3f}",
                fix="Train longer (training=TrainingOptions(epochs=...)), on fewer samples, or a larger model.",
            )


def _accuracy(adapter: ModelAdapter, inputs: HostArray, labels: HostArray, batch_size: int) -> float:
    right = 0
    for start in range(0, len(inputs), batch_size):
        outputs = outputs_of(adapter, adapter.asarray(inputs[start : start + batch_size]))
        right += int((adapter.to_numpy(best_class(outputs)) == labels[start : start + batch_size]).sum())
    return right / len(inputs)
